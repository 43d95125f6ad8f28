"""Groups that sources know: who reads what by them, from the next search on, and nobody longer than the source says."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from rag_pipeline.contracts.memberships import MEMBERSHIPS, PRINCIPALS
from rag_pipeline.errors import SettingsError, StoreError
from rag_pipeline.refresh import revoke
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure, release
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.refresh.everything import refresh_everything, refresh_layers
from rag_pipeline.refresh.memberships import (
    MembershipsReport,
    open_memberships,
    poll_memberships,
    withdraw_memberships,
)
from rag_pipeline.refresh.unsettled import finish_revocations
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.readable import ReadableSources
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.pipeline.project import Project

Groups = dict[str, Any]
Seen = Callable[..., set[str]]


def say(project: Project, groups: Groups, file: str = "groups.yaml") -> None:
    (project.folder / file).write_text(yaml.safe_dump(groups, allow_unicode=True), "utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two sources that know groups of equal names, each with a page for such a group."""
    project = Project.create(tmp_path_factory.mktemp("built"), ["docs", "wiki"])
    for name in ("docs", "wiki"):
        source = project.settings["sources"][name]
        source["groups"] = {"file": f"{name}.yaml"}
        source["allowed_principals"] = [f"{name}:crew"]
        say(project, {"crew": ["ada"] if name == "docs" else ["bob"]}, f"{name}.yaml")
        project.write(f"{name}.md", f"# Pump of {name}\n\nThe pump of {name} is oiled at dawn.\n", source=name)
    project.write("open.md", "---\nallowed_principals: [public]\n---\n# Open\n\nThe open pump is dry.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


@pytest.fixture
def seen(project: Project) -> Iterator[Seen]:
    """What somebody finds, by one Searcher that stays open."""
    with Searcher.open(project.pipeline()) as searcher:
        yield lambda *principals: {hit.uri for hit in searcher.search("pump oiled at dawn", principals=principals)}


def has(project: Project, *principals: str) -> frozenset[str]:
    with Searcher.open(project.pipeline()) as searcher:
        return searcher.principals_of(principals)


def polled(project: Project) -> MembershipsReport:
    """Ask the groups alone, as a run does at its beginning and after it has revoked."""
    with project.workspace() as workspace:
        report = poll_memberships(workspace)
        open_memberships(workspace)
    return report


OPEN = {"docs/open.md"}


def test_a_caller_reads_what_their_groups_may_and_equal_names_of_two_sources_do_not_mix(seen: Seen) -> None:
    assert seen("ada") == OPEN | {"docs/docs.md"}
    assert seen("bob") == OPEN | {"wiki/wiki.md"}
    assert seen("ada", "bob") == OPEN | {"docs/docs.md", "wiki/wiki.md"}
    # In no group; and the bare name of a group is none of the groups.
    assert seen("eve") == seen("crew") == seen("public") == OPEN


def test_declared_as_one_two_sources_share_a_group(project: Project, seen: Seen) -> None:
    for source in project.settings["sources"].values():
        source["groups"]["prefix"] = ""
        source["allowed_principals"] = ["crew"]
    project.refresh()
    everything = OPEN | {"docs/docs.md", "wiki/wiki.md"}
    assert seen("ada") == seen("bob") == everything


def test_a_change_counts_from_the_next_search_on_and_touches_no_row(project: Project) -> None:
    with Searcher.open(project.pipeline()) as searcher:

        def found(who: str) -> set[str]:
            return {hit.uri for hit in searcher.search("pump", principals=[who])}

        before, published, embedded = project.published(), searcher.published(), list(project.embedded)
        assert found("ada") == OPEN | {"docs/docs.md"}
        say(project, {"crew": ["bob"]}, "docs.yaml")
        assert polled(project).withdrawn == 1
        assert found("ada") == OPEN
        assert found("bob") == OPEN | {"docs/docs.md", "wiki/wiki.md"}
        assert searcher.published() == published
    assert (project.published(), project.embedded) == (before, embedded)


def test_an_unchanged_run_commits_nothing(project: Project) -> None:
    project.refresh()
    assert project.refresh() == 0
    assert polled(project).commits == 0


def test_memberships_are_read_once_after_each_change_and_not_by_each_search(project: Project) -> None:
    with Searcher.open(project.pipeline()) as searcher:
        reads: list[str] = []
        lake = searcher._groups._lake
        read, lake.read = lake.read, lambda *a, **b: reads.append("read") or read(*a, **b)  # type: ignore[method-assign,func-returns-value]
        for turn in range(1, 3):
            for who in ("ada", "bob", "eve"):
                searcher.search("pump", principals=[who])
            assert len(reads) == turn
            say(project, {"crew": ["bob"]}, "docs.yaml")
            polled(project)


def test_groups_nest_and_a_circle_of_them_ends(project: Project, seen: Seen) -> None:
    groups = {"crew": {"groups": ["deck"]}, "deck": {"members": ["eve"], "groups": ["mates", "deck"]}}
    say(project, groups | {"mates": {"members": ["dan"], "groups": ["crew"]}}, "docs.yaml")
    polled(project)
    for who in ("eve", "dan"):
        assert seen(who) == OPEN | {"docs/docs.md"}
        found = has(project, who)
        assert found == {who, "public", "docs:crew", "docs:deck", "docs:mates"}
    say(project, groups | {"mates": ["dan"]}, "docs.yaml")
    polled(project)
    assert seen("dan") == OPEN | {"docs/docs.md"}
    say(project, {"crew": {"groups": ["deck"]}, "deck": ["eve"], "mates": ["dan"]}, "docs.yaml")
    polled(project)
    assert seen("dan") == OPEN


def test_groups_of_a_caller_by_their_provider_may_be_members_too(project: Project, seen: Seen) -> None:
    project.settings["sources"]["docs"]["groups"]["member_prefix"] = "okta:"
    say(project, {"crew": ["sailors"]}, "docs.yaml")
    polled(project)
    assert seen("okta:ada", "okta:sailors") == OPEN | {"docs/docs.md"}
    assert seen("okta:ada", "sailors") == OPEN


BROKEN = {
    "gone": None,
    "empty": "",
    "no mapping": "- ada\n",
    "no list": "crew: ada\n",
    "a name that is a list": "crew: [[ada]]\n",
    "an unknown key": "crew: {people: [ada]}\n",
    "a group twice": "crew: [ada]\ncrew: [bob]\n",
    "not text": b"crew: [\xff]\n",
    "too large": "crew: [" + "a, " * 200_000 + "]\n",
    "cut": "crew: [ada, b",
}


def test_a_file_that_cannot_be_taken_whole_changes_nothing_and_holds_up_no_other(project: Project, seen: Seen) -> None:
    path = project.folder / "docs.yaml"
    for turn, (fault, content) in enumerate(BROKEN.items()):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        say(project, {"crew": [f"eve{turn}"]}, "wiki.yaml")
        assert polled(project).unavailable.keys() == {"docs"}, fault
        assert seen("ada") == OPEN | {"docs/docs.md"}, fault
        assert (seen("bob"), seen(f"eve{turn}")) == (OPEN, OPEN | {"wiki/wiki.md"}), fault


def test_a_file_that_names_nobody_is_believed_and_said(project: Project, seen: Seen) -> None:
    say(project, {}, "docs.yaml")
    assert polled(project).empty == ("docs",)
    assert seen("ada") == OPEN


def test_csv_names_members_line_by_line_and_a_line_that_may_be_cut_is_refused(project: Project, seen: Seen) -> None:
    project.settings["sources"]["docs"]["groups"]["file"] = "docs.csv"
    path = project.folder / "docs.csv"
    path.write_text('\ufeffgroup,member,kind\r\ncrew,"ada",\r\ncrew,deck,group\r\ndeck,eve,person\r\n', "utf-8")
    assert polled(project).unavailable == {}
    assert seen("eve") == seen("ada") == OPEN | {"docs/docs.md"}
    for wrong in (
        "group,member\ncrew,ed",
        "group\ncrew\n",
        "group,member\ncrew\n",
        "group,member,kind\ncrew,ed,robot\n",
    ):
        path.write_text(wrong, "utf-8")
        report = polled(project)
        assert report.unavailable.keys() == {"docs"}, wrong
        assert seen("eve") == OPEN | {"docs/docs.md"}


def test_hostile_names_are_nobodys(project: Project, seen: Seen) -> None:
    names: list[Any] = ["ad\u200ba", "public", "", " ", None, 7, True, "x" * 300, "\u202eada", "o'; drop", "a" * 255]
    say(project, {"crew": names, "public": ["eve"], "\u0301crew": ["eve"], "cr\u200bew": ["eve"]}, "docs.yaml")
    report = polled(project)
    assert len(report.refused["docs"]) >= 6
    for who in ("ada", "eve", "public", "7", "True"):
        assert seen(who) == OPEN
    assert seen("o'; drop") == OPEN | {"docs/docs.md"}
    with project.workspace() as workspace:
        rows = workspace.lake.read(PRINCIPALS).filter(pl.col("source") == "docs")
    assert set(rows["group_principal"]) == {"docs:crew", "docs:\u0301crew"}


def test_a_prefix_that_an_accent_would_join_keeps_names_apart(project: Project) -> None:
    project.settings["sources"]["docs"]["groups"]["prefix"] = "e"
    say(project, {"\u0301quipe": ["ada"], "quipe": ["bob"]}, "docs.yaml")
    polled(project)
    assert has(project, "ada") == {"ada", "public"}
    assert "equipe" in has(project, "bob")


def test_settings_count_though_the_source_does_not_answer(project: Project, seen: Seen) -> None:
    (project.folder / "docs.yaml").unlink()
    project.settings["sources"]["docs"]["groups"]["prefix"] = "ship/"
    report = polled(project)
    assert (report.unavailable.keys(), report.withdrawn) == ({"docs"}, 1)
    assert seen("ada") == OPEN
    assert "ship/crew" in has(project, "ada")
    # A source whose groups are no longer asked for gives none.
    for source in project.settings["sources"].values():
        del source["groups"]
    with project.workspace() as workspace:
        open_memberships(workspace)
        assert not workspace.lake.read(PRINCIPALS).height
    assert seen("bob") == OPEN


def test_the_file_of_groups_is_no_document(project: Project) -> None:
    project.settings["sources"]["docs"]["groups"]["file"] = "docs/who.yaml"
    say(project, {"crew": ["ada"]}, "docs/who.yaml")
    project.settings["sources"]["wiki"]["location"] = "."
    project.settings["sources"]["wiki"]["allowed_principals"] = ["public"]
    with project.workspace() as workspace:
        listed = {item.address for name in ("docs", "wiki") for item in workspace.source(name).list()}
    assert "docs.md" in listed
    assert not {"who.yaml", "docs/who.yaml", "wiki.yaml", "pipeline.yaml"} & listed


def test_who_left_a_group_is_out_at_once_and_who_came_in_waits_until_what_is_revoked_has_left(
    project: Project, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group gets other members and loses its page at the same time: the new ones may never have read it."""
    say(project, {"crew": ["bob"]}, "docs.yaml")
    project.settings["sources"]["docs"]["allowed_principals"] = ["board"]

    def fail(*_: object, **__: object) -> Any:
        raise StoreError("the disk is gone")

    with monkeypatch.context() as patch, project.workspace() as workspace:
        patch.setattr(revoke, "take_from_published", fail)
        patch.setattr("rag_pipeline.refresh.everything.revoke_now", fail)
        with pytest.raises(StoreError):
            refresh_layers(workspace)
    assert seen("ada") == OPEN
    assert seen("bob") == OPEN | {"wiki/wiki.md"}
    project.refresh()
    assert seen("bob") == OPEN | {"wiki/wiki.md"}
    assert "docs:crew" in has(project, "bob")
    assert seen("board") == OPEN | {"docs/docs.md"}


@pytest.mark.parametrize("table", [MEMBERSHIPS, PRINCIPALS], ids=lambda table: table.path)
@pytest.mark.parametrize("damage", ["cut", "log", "gone"])
def test_a_damaged_table_lets_nobody_in_and_heals_in_the_next_run(
    project: Project, seen: Seen, table: Any, damage: str
) -> None:
    folder = project.folder / "lake" / table.path
    if damage == "gone":
        shutil.rmtree(folder)
    for path in folder.rglob("*.json" if damage == "log" else "*.parquet"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    say(project, {"crew": ["eve"]}, "docs.yaml")
    polled(project)
    assert seen("ada") == OPEN
    assert seen("eve") == OPEN | {"docs/docs.md"}
    assert project.verify().findings == []


def test_a_source_that_cannot_be_opened_keeps_nobody_in_a_group_of_another(project: Project, seen: Seen) -> None:
    assert seen("ada") == OPEN | {"docs/docs.md"}
    say(project, {"crew": ["eve"]}, "docs.yaml")
    project.settings["sources"]["wiki"]["storage_options"] = {"key": "$NOT_SET_ANYWHERE"}
    with project.workspace() as workspace, pytest.raises(SettingsError, match="NOT_SET_ANYWHERE"):
        poll_memberships(workspace)
    assert seen("ada") == OPEN


def test_a_table_that_is_gone_as_a_whole_is_found_and_made_again(project: Project) -> None:
    shutil.rmtree(project.folder / "lake" / PRINCIPALS.path)
    [found] = project.verify().findings
    assert (found["code"], found["kind"]) == ("searches_count_memberships", "missing")
    polled(project)
    assert project.verify().findings == []


def test_every_way_of_asking_knows_the_groups(project: Project) -> None:
    with Searcher.open(project.pipeline()) as searcher:
        [hit] = [hit for hit in searcher.search("pump", principals=["ada"]) if hit.uri == "docs/docs.md"]

        def told(who: str) -> list[bool]:
            asked: dict[str, Any] = {"principals": [who]}
            return [
                searcher.chunk(hit.chunk_id, **asked) is not None,
                bool(searcher.window(hit, **asked)),
                bool(searcher.windows([hit], **asked)),
                bool([each for each in searcher.explain("pump", **asked).hits if each.uri == hit.uri]),
                searcher.verified([hit], **asked)[0].at_source == "same",
            ]

        readable = ReadableSources(project.pipeline())

        def counted(who: str) -> dict[str, int]:
            return {source.source: source.documents for source in readable.of([who])}

        assert (told("ada"), told("bob")) == ([True] * 5, [False] * 5)
        assert (counted("ada"), counted("bob")) == ({"docs": 2}, {"docs": 1, "wiki": 1})
        say(project, {"crew": ["bob"]}, "docs.yaml")
        polled(project)
        assert (told("ada"), told("bob")) == ([False] * 5, [True] * 5)
        assert (counted("ada"), counted("bob")) == ({"docs": 1}, {"docs": 2, "wiki": 1})


def test_an_erased_principal_is_in_no_group_and_stays_out(project: Project, seen: Seen) -> None:
    say(project, {"crew": {"members": ["ada", "adabert"], "groups": ["deck"]}, "deck": ["ada", "eve"]}, "docs.yaml")
    polled(project)
    with project.workspace() as workspace:
        begun = begin_erasure(workspace, Wanted(principal="ada"), reason="asked", erased_by="test")
        certificate = finish_erasure(workspace)
        assert certificate is not None
    assert seen("ada") == OPEN
    for table in (MEMBERSHIPS, PRINCIPALS):
        # Of no version of the tables a file is left that names her.
        for path in (project.folder / "lake" / table.path).rglob("*.parquet"):
            assert "'ada'" not in str(pl.read_parquet(path).rows())
    # The source goes on to name her.
    assert polled(project).added == 0
    assert (seen("ada"), seen("adabert"), seen("eve")) == (OPEN, OPEN | {"docs/docs.md"}, OPEN | {"docs/docs.md"})
    with project.workspace() as workspace:
        release(workspace, begun.erasure_id)
    polled(project)
    assert seen("ada") == OPEN | {"docs/docs.md"}


@pytest.mark.parametrize("beside", [withdraw_memberships, finish_revocations])
def test_who_comes_into_a_group_while_a_run_is_at_work_finds_nothing_that_the_group_lost_before(
    project: Project, seen: Seen, beside: Callable[[Workspace], object]
) -> None:
    @contextmanager
    def around(step: str) -> Iterator[None]:
        yield
        if step == "bronze/docs":
            # The source is listed; the crew loses its page, and only then has it somebody new.
            (project.folder / "docs" / "docs.md").unlink()
            say(project, {"crew": ["eve"]}, "docs.yaml")
            with project.workspace() as other:
                beside(other)

    with project.workspace() as workspace:
        refresh_everything(workspace, "small", around=around)
    assert seen("eve") == seen("ada") == {"docs/open.md"}
    project.refresh()
    assert seen("eve") == {"docs/open.md"}
    assert "docs:crew" in has(project, "eve")
