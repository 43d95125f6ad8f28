"""What runs cost: recorded by the steps, bounded, added up, and worth no failed run."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts import costs as contract
from rag_pipeline.contracts.costs import COSTS_FILE, Cost, bytes_of_costs, costs_of, newest_lines
from rag_pipeline.contracts.tables import CHUNKS
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import embeddings
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.costs import expected_seconds, read_cost_report
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.plan import plan_run
from rag_pipeline.stores import costs as store
from rag_pipeline.stores import whole_files
from rag_pipeline.stores.costs import add_cost, read_costs
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project

TEXT = "# Bells\n\nThe bell in the tower is rung by hand at noon.\n"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("costs"), ("docs", "people"))
    project.write("a.md", TEXT)
    project.write("b.md", "# Keys\n\nThe keys hang behind the clock.\n", source="people")
    project.refresh()
    return project


def test_a_run_records_what_it_read_parsed_and_embedded_and_one_without_work_nothing(
    published: Project, tmp_path: Path
) -> None:
    project = published.copied(tmp_path, polled=True)
    with project.workspace() as workspace:
        report = read_cost_report(workspace, 30)
        tokens = int(workspace.lake.read(CHUNKS, ["token_count"])["token_count"].sum())
    sizes = {
        name: len(b"".join(path.read_bytes() for path in (tmp_path / name).iterdir())) for name in ("docs", "people")
    }
    assert {each.what: each.bytes for each in report.by_source}.keys() == sizes.keys()
    # A copied file is read again, since it is another one on the disk.
    assert all(each.bytes >= sizes[each.what] for each in report.by_source)
    assert (report.total.documents, report.total.texts, report.total.tokens) == (2, 2, tokens)
    # What a source costs is not its bytes alone: who asks which one to leave out looks here.
    assert [(each.documents, each.texts, each.seconds > 0) for each in report.by_source] == [(1, 1, True)] * 2
    assert sum(each.tokens for each in report.by_source) == tokens
    assert sum(each.seconds for each in report.by_source) == pytest.approx(report.total.seconds)
    assert report.total.price == 0
    assert report.total.seconds > 0
    assert [(each.what, each.tokens) for each in report.by_model] == [("small", tokens)]
    stored = {each.table: each for each in report.storage}
    assert stored["silver/chunks"].all_bytes >= stored["silver/chunks"].newest_bytes > 0
    assert any(name.startswith("gold/index/") for name in stored)
    before = (tmp_path / "lake" / COSTS_FILE).read_bytes()
    project.refresh()
    assert (tmp_path / "lake" / COSTS_FILE).read_bytes() == before


def test_a_plan_takes_the_pace_of_the_last_runs_and_knows_none_of_another_model(
    published: Project, tmp_path: Path
) -> None:
    project = published.copied(tmp_path, polled=True)
    project.write("new.md", "# Ropes\n\nA rope for the well, and another one.\n")
    assert plan_run(project.pipeline()).models[0].seconds > 0
    project.settings["embedding_models"]["wide"] = {"kind": "hashing", "model": "hashing", "dimension": 128}
    project.settings["serve"] = "wide"
    plan = plan_run(project.pipeline())
    assert plan.models[0].seconds is None
    assert plan.seconds is None
    cost = Cost(datetime.now(UTC), "run", "embed", "small", "s", tokens=100, seconds=2.0)
    assert expected_seconds([cost], "s", 50) == 1.0
    assert expected_seconds([cost], "other", 50) is None
    assert expected_seconds([], "s", 0) == 0.0


def test_a_file_that_is_damaged_or_cannot_be_written_costs_no_run(published: Project, tmp_path: Path) -> None:
    project = published.copied(tmp_path, polled=True)
    file = tmp_path / "lake" / COSTS_FILE
    file.write_bytes(b"\x00{")
    project.write("new.md", "# Ropes\n\nA rope for the well.\n")
    project.refresh()
    assert [cost.work for cost in costs_of(file.read_bytes())] == ["read", "parse", "cut", "embed"]
    file.unlink()
    file.mkdir()
    project.write("newer.md", "# Wells\n\nThe well is deep.\n")
    project.refresh()
    assert "wells" in {row["title"].lower() for row in project.published()}


def test_the_command_shows_sums_and_storage(published: Project) -> None:
    record = ask_in(published.folder, "costs", "--json").records[0]
    assert record["total"]["texts"] == 2
    shown = ask_in(published.folder, "costs", "--days", "1")
    assert shown.code == 0
    assert "silver/chunks" in shown.out
    assert "small" in shown.out


def test_only_the_newest_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "MOST_ROWS", 3)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [Cost(start + timedelta(days=day), f"r{day}", "embed", "m", price=None) for day in range(5)]
    assert costs_of(bytes_of_costs(rows)) == rows[2:]
    assert costs_of(newest_lines(bytes_of_costs(rows))) == rows[2:]


def test_a_row_is_added_without_reading_or_writing_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [Cost(start + timedelta(days=day), f"r{day}", "embed", "m") for day in range(5)]
    file = tmp_path / "lake" / COSTS_FILE
    with project.workspace() as workspace:
        add_cost(workspace.lake, rows[0])
        inode = file.stat().st_ino
        # Half a line is what a process leaves that was killed while it wrote.
        file.write_bytes(file.read_bytes() + b'{"at": "20')
        add_cost(workspace.lake, rows[1])
        assert (file.stat().st_ino, read_costs(workspace.lake)) == (inode, rows[:2])
        # What a version before wrote as one object stays.
        whole = [json.loads(line) for line in bytes_of_costs(rows[:2]).splitlines()]
        file.write_text(json.dumps({"format": 1, "rows": whole}), "utf-8")
        add_cost(workspace.lake, rows[2])
        assert read_costs(workspace.lake) == rows[:3]
        monkeypatch.setattr(contract, "MOST_ROWS", 2)
        monkeypatch.setattr(store, "_FILE", replace(store._FILE, trimmed_bytes=10))
        monkeypatch.setattr(whole_files, "_TRIMMED_LINES", 1)
        add_cost(workspace.lake, rows[3])
        assert read_costs(workspace.lake) == rows[2:4]
        assert len(file.read_bytes().splitlines()) == 2


def test_a_moment_in_which_the_file_cannot_be_read_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Cost(datetime(2026, 1, 1, tzinfo=UTC), f"r{number}", "embed", "m") for number in range(3)]
    for is_local in (True, False):
        with Project.create(tmp_path / str(is_local)).workspace() as workspace:
            add_cost(workspace.lake, rows[0])
            with monkeypatch.context() as patch:
                patch.setattr(workspace.lake, "is_local", is_local)
                patch.setattr(whole_files, "content_of", unreadable)
                if is_local:
                    add_cost(workspace.lake, rows[1])
                else:
                    with pytest.raises(StoreError):
                        add_cost(workspace.lake, rows[1])
            assert read_costs(workspace.lake)[0] == rows[0]


def unreadable(*_: object) -> bytes:
    raise OSError(errno.EIO, "Input/output error")


def test_what_was_embedded_before_it_failed_is_counted(
    published: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = published.copied(tmp_path, polled=True)
    project.write("many.md", "\n".join(f"# Rope {n}\n\nA rope for the well of village {n}.\n" for n in range(9)))
    monkeypatch.setattr(embeddings, "COMMIT_TEXTS", 4)
    before = read_rows(project)
    with monkeypatch.context() as patch, project.workspace("failing") as workspace:
        refresh_source(workspace, "docs")
        refresh_documents(workspace)
        refresh_chunks(workspace)
        append, appended = workspace.lake.append, []

        def full_at_the_second(*args: Any, **options: Any) -> Any:
            appended.append(args)
            if len(appended) == 2:
                raise StoreError("no space left")
            return append(*args, **options)

        patch.setattr(workspace.lake, "append", full_at_the_second)
        with pytest.raises(StoreError, match="no space"):
            refresh_embeddings(workspace, "small")
    [row] = [each for each in read_rows(project)[len(before) :] if each.work == "embed"]
    assert (row.run_id, row.texts) == ("failing", 8)
    assert row.tokens > 0


def read_rows(project: Project) -> list[Cost]:
    with project.workspace() as workspace:
        return read_costs(workspace.lake)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "rows", "work"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.binary(max_size=50) | st.builds(lambda rows: repr({"format": 1, "rows": rows}).encode(), junk))
def test_whatever_stands_in_the_file_it_is_read(content: bytes) -> None:
    assert isinstance(costs_of(content), list)
