"""What a plan says is what the run then does, and the lake does not notice that anybody planned."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_pipeline.contracts.tables import DUPLICATES
from rag_pipeline.defs import build_definitions
from rag_pipeline.refresh.everything import Everything, refresh_everything
from rag_pipeline.refresh.look import lake_state
from rag_pipeline.refresh.plan import Plan, SourcePlan, plan_run
from rag_pipeline.refresh.publication import rollback
from rag_pipeline.stores.costs import read_costs
from rag_pipeline.stores.kept import open_version
from rag_pipeline_tests.pipeline.project import Project

TEXTS = (
    "# Lamps\n\nA green lamp hangs above the door, and nobody has to look for it at night.\n",
    "# Pumps\n\nThe pump has a red lever. Pull it twice, then wait for the water.\n\n## Oil\n\nOnce a year.\n",
    "# Lamps\n\nA blue lamp hangs above the door, and nobody has to look for it at night.\n\nIt is new.\n",
    "---\nallowed_principals: [keepers]\n---\n# Keys\n\nThe keys hang behind the clock on the wall of the hall.\n",
    "---\nallowed_principals: [public]\n---\n# Hours\n\nThe hall is open on each day of the week but for Monday.\n",
)
NAMES = ("a.md", "b.md", "deep/c.md", "d.md", "e.txt")
SOURCES = ("docs", "people")

Change = Callable[[Project], None]
Readers = dict[str, set[str]]


def _write(source: str, name: str, text: int) -> Change:
    return lambda project: project.write(name, TEXTS[text], source=source) and None


def _delete(source: str, name: str) -> Change:
    return lambda project: (project.folder / source / name).unlink(missing_ok=True)


def _break(source: str, name: str) -> Change:
    return lambda project: project.write(name, b"\x00\x01\x02 not text \xff", source=source) and None


def _move(source: str, name: str, to_source: str, to: str) -> Change:
    def change(project: Project) -> None:
        old = project.folder / source / name
        if old.exists():
            new = project.folder / to_source / to
            new.parent.mkdir(exist_ok=True, parents=True)
            old.replace(new)

    return change


def _source_setting(source: str, values: dict[str, Any]) -> Change:
    return lambda project: project.settings["sources"].get(source, {}).update(values)


def _setting(values: dict[str, Any]) -> Change:
    return lambda project: project.settings.update(values)


def _without_source(source: str) -> Change:
    return lambda project: project.settings["sources"].pop(source, None) and None


sources = st.sampled_from(SOURCES)
names = st.sampled_from(NAMES)
SOURCE_SETTINGS = (
    {"allowed_principals": ["public"]},
    {"allowed_principals": []},
    {"allowed_principals": ["hr", "keepers"]},
    {"permission_rules": [{"pattern": "deep/*", "allowed_principals": ["public"]}]},
    {"use_front_matter": False},
    {"exclude": ["a.*"]},
    {"max_deleted_share": 0.1, "max_deleted_floor": 0},
    {"min_quality": 0.9, "low_quality": "rank_down"},
    {"max_document_bytes": 100},
)
SETTINGS = (
    {"chunking": {"max_tokens": 24, "header_max_tokens": 8, "min_tokens": 0}},
    {"boilerplate": {"leave_out": True, "min_documents": 2}},
    {"serve": "wide"},
    {"quarantined_documents": "keep_last_good"},
)
changes = st.one_of(
    st.builds(_write, sources, names, st.integers(0, len(TEXTS) - 1)),
    st.builds(_delete, sources, names),
    st.builds(_break, sources, names),
    st.builds(_move, sources, names, sources, names),
    st.builds(_source_setting, sources, st.sampled_from(SOURCE_SETTINGS)),
    st.builds(_setting, st.sampled_from(SETTINGS)),
    st.builds(_without_source, st.just("people")),
)


def _project(folder: Path) -> Project:
    project = Project.create(folder, sources=SOURCES)
    project.settings["sources"]["people"]["allowed_principals"] = ["hr"]
    project.settings["embedding_models"]["wide"] = {"kind": "hashing", "model": "hashing", "dimension": 128}
    for at, name in enumerate(NAMES):
        project.write(name, TEXTS[at])
    project.write("a.md", TEXTS[1], source="people")
    project.write("copy.md", TEXTS[0])
    return project


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = _project(tmp_path_factory.mktemp("planned"))
    project.refresh()
    return project


def _shown(project: Project) -> tuple[Readers, set[str]]:
    """Principals by document_id of what readers see, and the documents that an equal one stands for."""
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        left_out = set(workspace.lake.read(DUPLICATES)["document_id"])
        if last is None:
            return {}, left_out
        rows = open_version(workspace.vectors, last).read(["document_id", "allowed_principals"])
    found: Readers = {}
    for document, principals in rows.iter_rows():
        found.setdefault(document, set()).update(principals)
    return found, left_out


def _pairs(readers: Readers) -> set[tuple[str, str]]:
    return {(document, name) for document, principals in readers.items() for name in principals}


def _run(project: Project) -> Everything:
    with project.workspace() as workspace:
        return refresh_everything(workspace, evaluate=False)


def _embedded(project: Project) -> tuple[int, int, float]:
    """What embedding cost so far, as runs recorded it: texts, tokens, price."""
    with project.workspace() as workspace:
        rows = [cost for cost in read_costs(workspace.lake) if cost.work == "embed"]
    return sum(row.texts for row in rows), sum(row.tokens for row in rows), sum(row.price or 0.0 for row in rows)


def _planned(project: Project) -> Plan:
    """The plan, made without a change of any file of the lake and without a text that is embedded."""
    lake, embedded = project.folder / "lake", len(project.embedded)
    before = lake_state(lake) if lake.exists() else None
    plan = plan_run(project.pipeline())
    assert (lake_state(lake) if lake.exists() else None) == before
    assert len(project.embedded) == embedded
    return plan


def _assert_equal(plan: Plan, run: Everything) -> None:
    names = list(SourcePlan.__dataclass_fields__)
    assert [{name: getattr(each, name) for name in names} for each in plan.sources] == [
        {name: getattr(report, name) for name in names} for report in run.bronze.values()
    ]
    documents, chunks = run.documents, run.chunks
    assert (plan.parsed, plan.documents_metadata_changed, plan.documents_removed, plan.quarantined) == (
        *(documents.parsed, documents.metadata_changed, documents.removed, documents.quarantined),
    )
    assert (plan.documents_held, plan.documents_cut, plan.documents_uncut, plan.chunks) == (
        *(documents.held, chunks.documents_cut, chunks.documents_removed, chunks.chunks),
    )
    assert (plan.rows_revoked, plan.rows_narrowed) == (run.revocations.removed, run.revocations.narrowed)
    served = plan.models[0]
    assert (served.alias, served.space_fingerprint) == (run.embeddings.alias, run.embeddings.space_fingerprint)
    assert served.texts == run.embeddings.computed
    assert (served.rows_added, served.rows_changed, served.rows_removed) == (
        *(run.index.added, run.index.changed, run.index.removed),
    )


def _assert_permissions(plan: Plan, before: tuple[Readers, set[str]], after: tuple[Readers, set[str]]) -> None:
    (seen, copies), (now_seen, now_copies) = before, after
    opened = {pair for pair in _pairs(now_seen) - _pairs(seen) if pair[0] not in copies}
    closed = {pair for pair in _pairs(seen) - _pairs(now_seen) if pair[0] not in now_copies}
    shown_opens = {(each.document_id, each.principal) for each in plan.opens}
    shown_closes = {(each.document_id, each.principal) for each in plan.closes}
    assert opened <= shown_opens
    assert {pair for pair in shown_opens if pair[0] in now_seen and pair[0] not in copies} == opened
    assert closed <= shown_closes
    assert {pair for pair in shown_closes if pair[0] in seen and pair[0] not in now_copies} == closed
    known = {document for document, name in opened if name == "public" and seen.get(document)}
    assert known <= {each.document_id for each in plan.opens_to_public}


@given(st.lists(changes, min_size=1, max_size=5))
@settings(
    max_examples=int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "4")),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
def test_the_run_does_what_was_planned(published: Project, made: list[Change]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = published.copied(Path(folder))
        for change in made:
            change(project)
        before = _shown(project)
        plan = _planned(project)
        spent = _embedded(project)
        _assert_equal(plan, _run(project))
        after = _embedded(project)
        served = plan.models[0]
        assert (served.texts, served.tokens) == (after[0] - spent[0], after[1] - spent[1])
        assert served.price == after[2] - spent[2] == 0
        _assert_permissions(plan, before, _shown(project))
        # A second plan has nothing left to say but for what the deletion guard holds.
        again = _planned(project)
        assert (again.opens, again.closes, again.models[0].texts, again.models[0].rows_added) == ([], [], 0, 0)


def test_a_plan_of_an_empty_lake_makes_no_lake(tmp_path: Path) -> None:
    project = _project(tmp_path)
    plan = _planned(project)
    assert not (tmp_path / "lake").exists()
    # Nothing was open to everybody yet, so a person has to say that it is meant.
    assert {each.source for each in plan.opens_to_public} == {"docs"}
    assert plan.storage_bytes > plan.models[0].storage_bytes > 0
    assert plan.price == 0
    _assert_equal(plan, _run(project))


def test_a_plan_waits_for_no_run_that_is_under_way(published: Project) -> None:
    with published.workspace() as workspace, workspace.lake.writing():
        assert _planned(published).opens == []


def test_a_source_that_does_not_answer_is_said_and_the_rest_is_planned(published: Project, tmp_path: Path) -> None:
    project = published.copied(tmp_path)
    (tmp_path / "people").rename(tmp_path / "away")
    project.write("new.md", "# New\n\nSomething that stands nowhere else.\n")
    plan = _planned(project)
    assert [bool(source.unavailable_because) for source in plan.sources] == [False, True]
    assert plan.closes == []
    assert [(each.uri.rsplit("/", 1)[-1], each.principal, each.is_new) for each in plan.opens] == [
        ("new.md", "public", True)
    ]
    # Each night brings new documents to a source that everybody reads.
    assert plan.opens_to_public == []


def test_readers_that_were_sent_back_by_hand_gain_nothing(published: Project, tmp_path: Path) -> None:
    project = published.copied(tmp_path)
    project.write("new.md", "# New\n\nSomething that stands nowhere else.\n")
    project.refresh()
    with project.workspace() as workspace:
        rollback(workspace, note="it is wrong")
    (tmp_path / "docs" / "b.md").unlink()
    plan = _planned(project)
    assert plan.is_held
    assert plan.opens == []
    assert {each.uri.rsplit("/", 1)[-1] for each in plan.closes} == {"b.md"}


def test_the_launchpad_shows_the_same_figures_and_fails_where_something_opens_to_everybody(
    published: Project, tmp_path: Path
) -> None:
    project = published.copied(tmp_path)
    project.settings["sources"]["people"]["allowed_principals"] = ["public"]
    pipeline = project.pipeline()
    plan = _planned(project)
    job = build_definitions(pipeline).resolve_job_def("plan")
    before = lake_state(tmp_path / "lake")
    with dg.DagsterInstance.ephemeral() as instance:
        refused = job.execute_in_process(instance=instance, raise_on_error=False)
        assert not refused.success
        config = {"ops": {"plan_run": {"config": {"allow_public": True}}}}
        allowed = job.execute_in_process(instance=instance, run_config=config)
    assert lake_state(tmp_path / "lake") == before
    (output,) = [event.step_output_data for event in allowed.all_events if event.is_successful_output]
    shown = {name: value.value for name, value in output.metadata.items()}
    assert shown["rag/plan_opens_to_public"] == len(plan.opens_to_public) > 0
    assert shown["rag/plan_documents_cut"] == plan.documents_cut
    assert shown["rag/plan_rows_narrowed"] == plan.rows_narrowed
    models = output.metadata["rag/plan_models"]
    assert isinstance(models, dg.TableMetadataValue)
    assert [row.data["alias"] for row in models.records] == ["small"]
