"""Whatever memberships sources tell, one after the other: everybody finds what they may by them, and nothing else."""

from __future__ import annotations

import os

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_pipeline.refresh.memberships import open_memberships, poll_memberships
from rag_pipeline.retrieval.readable import ReadableSources
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.pipeline.project import Project

EXAMPLES = int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "6"))
SOURCES = ("docs", "wiki")
GROUPS = ("crew", "deck", "mates")
# One has the name of a group, as a person may.
PEOPLE = ("ada", "bob", "crew")
# (source, group, member, whether it is a group of the source)
Edge = tuple[str, str, str, bool]
EDGES = st.one_of(
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(GROUPS), st.sampled_from(PEOPLE), st.just(False)),
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(GROUPS), st.sampled_from(GROUPS), st.just(True)),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Of each source a page for each group, whose readers are that group alone."""
    project = Project.create(tmp_path_factory.mktemp("members"), SOURCES, deduplication={"near": False})
    for name in SOURCES:
        source = project.settings["sources"][name]
        source |= {"groups": {"file": f"{name}.yaml"}, "allowed_principals": []}
        source["permission_rules"] = [
            {"pattern": f"{group}.md", "allowed_principals": [f"{name}:{group}"]} for group in GROUPS
        ]
        (project.folder / f"{name}.yaml").write_text("{}")
        for group in GROUPS:
            project.write(f"{group}.md", f"# Pump\n\nThe pump of {group} in {name}.\n", source=name)
    project.refresh()
    return project


def say(project: Project, edges: set[Edge]) -> None:
    for name in SOURCES:
        groups = {
            group: {
                key: sorted(
                    member
                    for source, outer, member, inner in edges
                    if (source, outer, inner) == (name, group, is_group)
                )
                for key, is_group in (("members", False), ("groups", True))
            }
            for group in GROUPS
        }
        (project.folder / f"{name}.yaml").write_text(yaml.safe_dump(groups))


def pages_of(person: str, edges: set[Edge]) -> set[str]:
    """What somebody may read, found in the plainest way: groups are gone through until nothing is added."""
    found: set[tuple[str, str]] = set()
    for _ in range(len(SOURCES) * len(GROUPS) + 1):
        for source, group, member, is_group in edges:
            if (member == person and not is_group) or (is_group and (source, member) in found):
                found.add((source, group))
    return {f"{source}/{group}.md" for source, group in found}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nights=st.lists(st.sets(EDGES, max_size=9), min_size=2, max_size=3))
def test_everybody_finds_what_their_groups_may_read_and_nothing_else(project: Project, nights: list[set[Edge]]) -> None:
    readable = ReadableSources(project.pipeline())
    with project.workspace() as workspace, Searcher.open(project.pipeline()) as searcher:

        def found(person: str) -> set[str]:
            return {hit.uri for hit in searcher.search("pump", principals=[person], k=50, mode="text")}

        say(project, set())
        poll_memberships(workspace)
        before: set[Edge] = set()
        for edges in nights:
            say(project, edges)
            poll_memberships(workspace)
            for person in PEOPLE:
                # Who has left is out already, and who is new is not in yet.
                assert found(person) <= pages_of(person, before) & pages_of(person, edges)
            open_memberships(workspace)
            for person in PEOPLE:
                pages = pages_of(person, edges)
                assert found(person) == pages
                assert sum(source.documents for source in readable.of([person])) == len(pages)
            assert found("public") == found("eve") == set()
            before = edges
