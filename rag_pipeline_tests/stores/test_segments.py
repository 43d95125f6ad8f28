"""Tables in segments hold what a table in one piece would, and a change rewrites the segments it touches."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.table import Column, TableContract
from rag_pipeline.stores import delta, segments
from rag_pipeline.stores.delta import DeltaStore
from rag_pipeline.stores.delta_log import forget_log
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.read_once import MOST_BYTES, ReadOnce

NOTES = TableContract(
    layer="silver",
    name="notes",
    doc="One row per line of a note.",
    key=("line_id",),
    grouped_by="note",
    columns={
        "line_id": Column(pl.String(), "Line."),
        "note": Column(pl.String(), "Note it is of."),
        "text": Column(pl.String(), "What it says.", nullable=True),
    },
)

Lines = dict[str, tuple[str, str | None]]
lines = st.dictionaries(
    st.integers(0, 30).map(lambda number: f"{number // 3}/{number % 3}"), st.text("ab", max_size=40) | st.none()
)


def rows(found: Lines) -> pl.DataFrame:
    table = [(line, note, text) for line, (note, text) in sorted(found.items())]
    return pl.DataFrame(table, schema=NOTES.schema, orient="row")


def stored(store: DeltaStore) -> Lines:
    frame = store.read(NOTES)
    assert frame.height == frame["line_id"].n_unique()
    return {line: (note, text) for line, note, text in frame.iter_rows()}


def files(store: DeltaStore) -> set[str]:
    return set(store.file_uris(NOTES)) if store.exists(NOTES) else set()


@given(
    steps=st.lists(st.tuples(st.sampled_from(["merge", "delete", "update", "append"]), lines), min_size=1, max_size=8),
    target=st.sampled_from([1, 2_000, 256_000]),
    merge_above=st.sampled_from([0, 64_000_000]),
    kept=st.sampled_from([None, 0, 5_000, MOST_BYTES]),
)
def test_any_changes_leave_the_rows_that_they_should(
    steps: list[tuple[str, dict[str, str | None]]], target: int, merge_above: int, kept: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "LEAST_SEGMENT_BYTES", target)
        patch.setattr(delta, "MERGE_ABOVE_BYTES", merge_above)
        patch.setattr(delta, "TIDY_EVERY", 3)
        lake = Lake(folder, read_once=None if kept is None else ReadOnce(kept))
        want: Lines = {}
        with lake.writing():
            for action, said in steps:
                found: Lines = {line: (line.partition("/")[0], text) for line, text in said.items()}
                if action == "merge":
                    lake.merge(NOTES, rows(found))
                    want |= found
                elif action == "append":
                    new = {line: row for line, row in found.items() if line not in want}
                    if new:
                        lake.append(NOTES, rows(new))
                    want |= new
                elif action == "delete":
                    notes = {note for note, _ in found.values()}
                    lake.merge(NOTES, NOTES.empty(), notes, delete_column="note")
                    want = {line: row for line, row in want.items() if row[0] not in notes}
                else:
                    known = {line: row for line, row in found.items() if line in want}
                    if known:
                        lake.update(NOTES, rows(known).select("line_id", "text"))
                    want |= known
                assert stored(lake) == want
                some = pl.col("note").is_in(["0", "4"])
                chosen = lake.read(NOTES, ["text", "line_id"], where=some)
                assert sorted(chosen["line_id"]) == sorted(line for line, row in want.items() if row[0] in "04")
        assert lake.read(NOTES).columns == list(NOTES.columns)


def many(notes: int) -> Lines:
    return {f"{note:04}/{line}": (f"{note:04}", f"line {line} " * 40) for note in range(notes) for line in range(3)}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(segments, "LEAST_SEGMENT_BYTES", 4_000)
    lake = Lake(str(tmp_path))
    with lake.writing():
        lake.append(NOTES, rows(many(400)))
    return lake


def test_a_change_writes_the_segment_that_holds_it_and_no_other(lake: Lake) -> None:
    before = files(lake)
    assert len(before) > 10
    with lake.writing():
        lake.merge(NOTES, rows({"0007/0": ("0007", "edited"), "0007/9": ("0007", "a new line")}))
    assert len(files(lake) - before) == len(before - files(lake)) == 1
    assert stored(lake)["0007/9"] == ("0007", "a new line")


def test_a_segment_that_grows_is_cut_and_new_rows_fill_the_last(lake: Lake) -> None:
    before = len(files(lake))
    with lake.writing():
        for number in range(40):
            lake.merge(NOTES, rows({f"0007/x{number}": ("0007", f"line {number} " * 40)}))
            lake.append(NOTES, rows({f"new{number}/0": (f"new{number}", "short")}))
    assert stored(lake).keys() == {*many(400), *(f"0007/x{n}" for n in range(40)), *(f"new{n}/0" for n in range(40))}
    assert before < len(files(lake)) < before + 12


def test_a_table_that_was_written_in_one_piece_is_laid_out_by_its_next_change(tmp_path: Path) -> None:
    from dataclasses import replace

    store = Lake(str(tmp_path))
    with store.writing():
        store.append(replace(NOTES, grouped_by=""), rows(many(5)))
        assert stored(store) == many(5)
        store.update(NOTES, pl.DataFrame({"line_id": ["0001/1"], "text": ["updated"]}))
        store.merge(NOTES, rows({"0002/0": ("0002", "merged")}), ["0003/0"])
    want: Lines = {**many(5), "0001/1": ("0001", "updated"), "0002/0": ("0002", "merged")}
    del want["0003/0"]
    assert stored(store) == want
    assert any("segment=0" in uri for uri in files(store))


def test_files_of_the_data_and_of_the_log_follow_the_table_and_not_its_history(lake: Lake) -> None:
    root = Path(lake.root) / NOTES.path
    with lake.writing():
        for number in range(100):
            lake.merge(NOTES, rows({"0007/0": ("0007", f"edit {number}")}))
    assert stored(lake)["0007/0"] == ("0007", "edit 99")
    data = [file for file in root.rglob("part-*.parquet")]
    assert len(data) <= len(files(lake)) + delta.TIDY_EVERY + delta.KEPT_VERSIONS
    assert len(list((root / "_delta_log").iterdir())) <= 70


def test_a_reader_who_opened_an_older_version_reads_on(lake: Lake) -> None:
    with lake.writing():
        opened = lake.opened(NOTES)
        assert opened is not None
        for number in range(3):
            lake.merge(NOTES, rows({"0007/0": ("0007", f"edit {number}")}))
        newest = lake.opened(NOTES)
        assert newest is not None
        lake.tidy(NOTES, newest)
        assert lake.read(NOTES, version=opened.version()).height == 1_200


def test_the_log_is_forgotten_up_to_a_checkpoint_and_no_further(tmp_path: Path) -> None:
    for version in range(31):
        (tmp_path / f"{version:020}.json").touch()
    for version in (10, 20, 30):
        (tmp_path / f"{version:020}.checkpoint.parquet").touch()
    (tmp_path / "_last_checkpoint").touch()
    assert forget_log(tmp_path, 5) == 0
    assert forget_log(tmp_path, 25) == 20 + 1
    left = {path.name for path in tmp_path.iterdir()}
    assert f"{20:020}.checkpoint.parquet" in left
    assert f"{20:020}.json" in left
    assert f"{19:020}.json" not in left
    assert "_last_checkpoint" in left
