"""A look before a run says "nothing changed" only where a run would find nothing to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from filelock import FileLock

from rag_pipeline.alerts.cycle import tell
from rag_pipeline.contracts.alerts import ALERTS_FILE, Finding
from rag_pipeline.contracts.tables import QUARANTINE
from rag_pipeline.embedding import reranker, space
from rag_pipeline.parsing import decode, registry
from rag_pipeline.refresh import look
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.heal import damage_was_met
from rag_pipeline.refresh.holds import record_hold
from rag_pipeline.refresh.kept_listings import KeptListing
from rag_pipeline.refresh.look import SETTLED_FILE, forget_settled, inputs_of, nothing_changed, read_settled
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.memberships import poll_memberships
from rag_pipeline.refresh.polls import poll_statuses
from rag_pipeline.refresh.publication import publish
from rag_pipeline.refresh.settle import settle
from rag_pipeline.settings import load_pipeline
from rag_pipeline.stores.lock import HOLDER_NAME, LOCK_NAME
from rag_pipeline.transforms.chunk import params
from rag_pipeline_tests.pipeline.project import Project

PUBLISHED = ("alias", "table_name", "table_version")
SETTLED_AT = 1_700_000_000
Change = Callable[[Project, pytest.MonkeyPatch], object]


@pytest.fixture(autouse=True)
def program(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever edits the program while tests run makes none of them fail."""
    module = tmp_path_factory.mktemp("program") / "__init__.py"
    module.write_text("", "utf-8")
    monkeypatch.setattr(look.rag_pipeline, "__file__", str(module))  # type: ignore[attr-defined]


def settled_project(folder: Path) -> Project:
    project = Project.create(folder, sources=("docs", "notes"))
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    (folder / "questions.jsonl").write_text("", "utf-8")
    project.settings["sources"]["notes"]["groups"] = {"file": "groups.yaml"}
    (folder / "groups.yaml").write_text("crew: [ada]\n", "utf-8")
    for address, text in (("a.md", "# Pumps\n\nThe pump runs.\n"), ("b.md", "# Doors\n\nThe door shuts.\n")):
        written(project, address, text)
    written(project, "empty.md", "")
    project.refresh()
    assert noted(project)
    return project


def written(project: Project, address: str, text: str) -> Path:
    path = project.write(address, text)
    os.utime(path, (SETTLED_AT, SETTLED_AT))
    return path


def noted(project: Project, made_with: str | None = "the same", kept: Mapping[str, KeptListing] | None = None) -> bool:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        if made_with == "the same":
            made_with = inputs_of(workspace.pipeline)
        told = {"published": {name: getattr(last, name) for name in PUBLISHED}}
        return settle(workspace, "run", told, made_with, kept)


def looks_the_same(project: Project, *, after: timedelta = timedelta(0)) -> bool:
    variables = {name: value for name, value in os.environ.items() if name.startswith("RAG_PIPELINE__")}
    pipeline = load_pipeline(project.folder / "pipeline.yaml", variables)
    settled = read_settled(pipeline)
    return settled is not None and nothing_changed(pipeline, settled, datetime.now(UTC) + after)


def first_file(project: Project, pattern: str) -> Path:
    return sorted((project.folder / "lake").glob(pattern))[0]


def with_setting(project: Project, where: str, value: object) -> None:
    *above, last = where.split(".")
    section = project.settings
    for name in above:
        section = section.setdefault(name, {})
    section[last] = value
    project.pipeline()


def rewritten_within_a_moment(project: Project, _: object) -> None:
    """Same size, same times: what was read a moment after it was written is read again."""
    path = project.folder / "docs" / "a.md"
    path.write_text("# Pumps\n\nThe pump runs.\n", "utf-8")
    now = datetime.now(UTC).timestamp()
    os.utime(path, (now, now))
    project.refresh()
    assert noted(project)
    assert looks_the_same(project)
    with path.open("r+b") as file:
        file.write(b"# Pumps\n\nThe pump rusts"[: path.stat().st_size])
    os.utime(path, (now, now))


def taken_into_bronze_only(project: Project, _: object) -> None:
    written(project, "c.md", "# Keys\n\nThe key turns.\n")
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")


def polled_groups_only(project: Project, _: object) -> None:
    (project.folder / "groups.yaml").write_text("crew: [bob]\n", "utf-8")
    with project.workspace() as workspace:
        poll_memberships(workspace)


def parsed_only(project: Project, _: object) -> None:
    taken_into_bronze_only(project, _)
    with project.workspace() as workspace:
        refresh_documents(workspace)


def kept_by_hand(project: Project, _: object) -> None:
    with project.workspace() as workspace:
        publish(workspace, "small", by_hand=True, note="again")
        maintain(workspace)


def cut_in_half(pattern: str) -> Change:
    def change(project: Project, _: object) -> None:
        path = first_file(project, pattern)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


CHANGES: dict[str, Change] = {
    "an edit": lambda p, _: written(p, "a.md", "# Pumps\n\nThe pump rests.\n"),
    "an edit of equal size and times": rewritten_within_a_moment,
    "a new document": lambda p, _: written(p, "c.md", "# Keys\n"),
    "a deletion": lambda p, _: (p.folder / "docs" / "a.md").unlink(),
    "a rename": lambda p, _: (p.folder / "docs" / "a.md").rename(p.folder / "docs" / "z.md"),
    "a sidecar": lambda p, _: p.write("a.md.meta.yaml", "allowed_principals: [hr]\n"),
    "a sidecar without a document": lambda p, _: p.write("lost.md.meta.yaml", "allowed_principals: [hr]\n"),
    "a source that is not there": lambda p, _: (p.folder / "docs").rename(p.folder / "gone"),
    "a rule": lambda p, _: with_setting(
        p, "sources.docs.permission_rules", [{"pattern": "a.md", "allowed_principals": ["hr"]}]
    ),
    "readers of a source": lambda p, _: with_setting(p, "sources.docs.allowed_principals", ["hr"]),
    "another source": lambda p, _: with_setting(p, "sources.more", {"location": "docs/more"}),
    "a threshold": lambda p, _: with_setting(p, "thresholds.max_duplicate_share", 0.5),
    "a variable over a setting": lambda _, m: m.setenv("RAG_PIPELINE__CHUNKING__MAX_TOKENS", "100"),
    "a new model": lambda p, _: with_setting(
        p, "embedding_models.wide", {"kind": "hashing", "model": "hashing", "dimension": 128}
    ),
    "other weights": lambda _, m: m.setattr(space, "HASHING_VERSION", "feature-hashing/0"),
    "another reranking model": lambda p, m: (
        m.setattr(type(p.pipeline()), "reranker_spec", property(lambda _: "any")),
        m.setattr(reranker, "resolve_reranker", lambda *_: SimpleNamespace(fingerprint="other")),
    ),
    "another chunker": lambda _, m: m.setattr(params, "CHUNKER_VERSION", "0"),
    "another decoder": lambda _, m: m.setattr(decode, "VERSION", "0"),
    "another parser": lambda _, m: m.setattr(registry, "_version_of", lambda _: "0"),
    "another library": lambda p, m: ((p.folder / "x-1.dist-info").mkdir(), m.syspath_prepend(str(p.folder))),
    "an edited module": lambda _p, _m: Path(look.rag_pipeline.__file__).write_text("x = 1\n", "utf-8"),  # type: ignore[attr-defined]
    "a question": lambda p, _: (p.folder / "questions.jsonl").write_text("\n", "utf-8"),
    "a run killed after bronze": taken_into_bronze_only,
    "a run killed before publishing": parsed_only,
    "a command of a person": kept_by_hand,
    "a damaged table": cut_in_half("silver/chunks/**/*.parquet"),
    "a damaged log": cut_in_half("silver/documents/_delta_log/*.json"),
    "a damaged index": cut_in_half("gold/index/*/data/*.lance"),
    "a lost table": lambda p, _: first_file(p, "gold/embeddings/*/*.parquet").unlink(),
    "damage that was met": lambda p, _: damage_was_met(p.workspace()),
    "a writer at work": lambda p, _: (p.folder / "lake" / HOLDER_NAME).write_text("{}", "utf-8"),
    "a damaged note": cut_in_half(".settled.json"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_whatever_could_make_a_run_do_something_makes_it_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = settled_project(tmp_path)
    assert looks_the_same(project)
    CHANGES[kind](project, monkeypatch)
    assert not looks_the_same(project)


def test_a_look_records_that_the_sources_were_polled_and_leaves_all_else(tmp_path: Path) -> None:
    project = settled_project(tmp_path)
    (tmp_path / "lake" / "polls.json").write_text("damaged", "utf-8")
    before = look.lake_state(tmp_path / "lake")
    assert looks_the_same(project, after=timedelta(minutes=1))
    assert looks_the_same(project, after=timedelta(minutes=2))
    assert look.lake_state(tmp_path / "lake") == before
    with project.workspace() as workspace:
        polls, problem = poll_statuses(workspace)
    assert not problem
    assert {poll.source for poll in polls} == {"docs", "notes"}
    assert all(poll.is_overdue is False and poll.polled_at == poll.attempted_at for poll in polls)


def test_telling_is_no_change(tmp_path: Path) -> None:
    """Each look writes when sources were looked at last, which is another moment each time."""
    project = settled_project(tmp_path)
    project.settings["alerts"] = {"sinks": {"log": {"kind": "log"}}}
    project.refresh()
    with project.workspace() as workspace:
        tell(workspace)
    assert noted(project)
    with project.workspace() as workspace:
        tell(workspace, [Finding("check:a", 1.0, is_bad=True)])
    assert (tmp_path / "lake" / ALERTS_FILE).exists()
    assert looks_the_same(project)


def test_reading_is_no_change(tmp_path: Path) -> None:
    project = settled_project(tmp_path)
    assert project.search("pump", "public")
    assert not project.verify().findings
    assert looks_the_same(project)


@pytest.mark.parametrize("after", [timedelta(hours=-1), timedelta(hours=2), timedelta(days=2)])
def test_time_alone_is_a_reason_to_run(after: timedelta, tmp_path: Path) -> None:
    """The clock was set back; derived tables would count as stale before long; maintenance is due."""
    project = settled_project(tmp_path)
    if after > timedelta(days=1):
        for source in project.settings["sources"].values():
            source["stale_after"] = "30d"
        project.refresh()
        assert noted(project)
        assert looks_the_same(project, after=timedelta(hours=12))
    assert not looks_the_same(project, after=after)


def test_what_is_tried_again_later_is_tried_then(tmp_path: Path) -> None:
    project = settled_project(tmp_path)
    with project.workspace() as workspace:
        rows = workspace.lake.read(QUARANTINE)
        soon = pl.lit(datetime.now(UTC) + timedelta(minutes=10)).cast(QUARANTINE.schema["next_attempt_at"])
        workspace.lake.merge(QUARANTINE, rows.with_columns(next_attempt_at=soon))
    assert noted(project)
    assert looks_the_same(project, after=timedelta(minutes=9))
    assert not looks_the_same(project, after=timedelta(minutes=11))


def test_content_that_comes_to_be_too_old_is_noticed(tmp_path: Path) -> None:
    project = settled_project(tmp_path)
    age = datetime.now(UTC).timestamp() - SETTLED_AT
    project.settings["sources"]["docs"]["content_stale_after"] = f"{int(age / 60) + 20}min"
    project.refresh()
    assert noted(project)
    assert looks_the_same(project, after=timedelta(minutes=10))
    assert not looks_the_same(project, after=timedelta(minutes=30))


def test_nothing_is_noted_while_something_is_left_to_do(tmp_path: Path) -> None:
    project = settled_project(tmp_path)
    with project.workspace() as workspace:
        ids = frozenset({"a"})
        record_hold(workspace, "vanished", "docs", held=ids, measured=ids, reason="it is gone")
    assert not noted(project)
    assert read_settled(project.pipeline()) is None
    taken_into_bronze_only(project, None)
    assert not noted(project)


@pytest.mark.parametrize("pattern", ["silver/chunks/**/*.parquet", "gold/embeddings/**/*.parquet"])
def test_a_lake_that_lost_a_file_while_a_run_was_at_work_is_not_noted(pattern: str, tmp_path: Path) -> None:
    project = settled_project(tmp_path)
    first_file(project, pattern).unlink()
    assert not noted(project)
    assert read_settled(project.pipeline()) is None


def test_what_changed_while_a_run_was_ending_is_not_noted_as_seen(tmp_path: Path) -> None:
    project = settled_project(tmp_path)
    written(project, "late.md", "# Late\n\nIt came while the run was ending.\n")
    assert not noted(project)
    assert not looks_the_same(project)


def test_nothing_is_noted_of_a_run_that_may_have_read_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = settled_project(tmp_path)
    assert not noted(project, made_with="what was edited meanwhile")
    assert not noted(project, made_with=None)
    monkeypatch.setattr(space, "HASHING_VERSION", "feature-hashing/0")
    assert not noted(project)
    assert not looks_the_same(project)


def test_a_run_that_has_ended_waits_for_no_other_to_note_it(tmp_path: Path) -> None:
    project = settled_project(tmp_path)
    (tmp_path / "lake" / HOLDER_NAME).write_text("somebody", "utf-8")
    with FileLock(tmp_path / "lake" / LOCK_NAME):
        assert not noted(project)


def test_a_note_that_cannot_be_removed_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = settled_project(tmp_path)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError("denied")

    monkeypatch.setattr(Path, "unlink", refused)
    forget_settled(project.pipeline())


def test_a_note_holds_nothing_that_documents_declare(tmp_path: Path) -> None:
    project = settled_project(tmp_path)
    path = project.write("c.md", "# Keys\n\nThe key turns.\n")
    project.write("c.md.meta.yaml", "title: Nightingale\nallowed_principals: [hr]\n")
    project.refresh()
    assert noted(project)
    assert path.exists()
    assert b"Nightingale" not in (tmp_path / "lake" / SETTLED_FILE).read_bytes()


def test_many_files_that_were_written_just_before_they_were_read_are_compared_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = settled_project(tmp_path)
    paths = [project.write(f"{number}.md", f"# Key {number}\n\nIt turns.\n") for number in range(80)]
    project.refresh()
    # However slow the machine is, this is just after they were written.
    with monkeypatch.context() as patch:
        patch.setattr("rag_pipeline.refresh.settle.RACY_WINDOW", timedelta(hours=1))
        assert not noted(project)
    # As it is some seconds later.
    with monkeypatch.context() as patch:
        patch.setattr("rag_pipeline.refresh.settle.RACY_WINDOW", timedelta(0))
        assert noted(project)
        settled = read_settled(project.pipeline())
        assert settled is not None
        assert [each.racy for each in settled.sources.values()] == [(), ()]
        times = paths[7].stat()
        paths[7].write_text("# Key 8\n\nIt turns.\n", "utf-8")
        os.utime(paths[7], ns=(times.st_atime_ns, times.st_mtime_ns))
        assert not noted(project)
