"""A run decodes each column of each data file once, and sees every commit all the same."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from rag_pipeline.contracts.table import Column, TableContract
from rag_pipeline.contracts.tables import EMBEDDINGS
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.stores import segments
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.read_once import DataFiles, ReadOnce

PAGES = TableContract(
    layer="silver",
    name="pages",
    doc="One row per page.",
    key=("page",),
    grouped_by="page",
    columns={"page": Column(pl.String(), "Page."), "hash": Column(pl.String(), ""), "text": Column(pl.String(), "")},
)


def pages(numbers: Sequence[int], text: str = "as it was") -> pl.DataFrame:
    rows = [(f"{number:04}", f"hash of {text}", f"{number} {text} " * 40) for number in numbers]
    return pl.DataFrame(rows, schema=PAGES.schema, orient="row")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(segments, "LEAST_SEGMENT_BYTES", 2_000)
    with (lake := Lake(str(tmp_path))).writing():
        lake.append(PAGES, pages(range(400)))
    assert len(lake.file_uris(PAGES)) > 10
    return str(tmp_path)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were scanned, since it was last cleared."""
    names: list[str] = []
    scan = DataFiles.scan

    def counted(files: DataFiles, chosen: Sequence[str] | None = None) -> pl.LazyFrame:
        names.extend(files.names if chosen is None else chosen)
        return scan(files, chosen)

    monkeypatch.setattr(DataFiles, "scan", counted)
    return names


def text_of(lake: Lake, page: str) -> list[str]:
    return lake.read(PAGES, ["text"], where=pl.col("page") == page)["text"].to_list()


@pytest.mark.parametrize("count", [100, 400])
def test_after_an_edit_only_the_file_that_it_wrote_is_read_however_large_the_table_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str], count: int
) -> None:
    monkeypatch.setattr(segments, "LEAST_SEGMENT_BYTES", 2_000)
    lake = Lake(str(tmp_path), read_once=ReadOnce(200_000))
    with lake.writing():
        lake.append(PAGES, pages(range(count)))
        lake.merge(PAGES, pages([70], "edited before"))
        lake.read(PAGES, ["page", "hash"])
        decoded.clear()
        lake.merge(PAGES, pages([7], "edited"))
        # Of the file that is rewritten all columns, and of the one that takes its place what is asked for.
        assert len(lake.read(PAGES, ["page", "hash"]).filter(pl.col("hash") == "hash of edited")) == 1
        assert text_of(lake, "0007") == ["7 edited " * 40]
    assert len(decoded) <= 4
    decoded.clear()
    assert lake.read(PAGES, ["hash", "page"]).height == count
    assert decoded == []


def test_what_another_writer_commits_is_seen_at_once(folder: str) -> None:
    reader, writer = Lake(folder, read_once=ReadOnce()), Lake(folder)
    for number in range(20):
        assert text_of(reader, "0003") == [f"3 {number - 1 if number else 'as it was'} " * 40]
        with writer.writing():
            writer.merge(PAGES, pages([3], str(number)))
        assert reader.version(PAGES) == writer.version(PAGES) > number


def test_a_table_that_was_made_again_is_not_taken_for_the_one_before(folder: str) -> None:
    reader = Lake(folder, read_once=ReadOnce())
    assert text_of(reader, "0003") == ["3 as it was " * 40]
    assert reader.version(PAGES) == 0
    shutil.rmtree(f"{folder}/{PAGES.path}")
    assert reader.version(PAGES) == -1
    with (writer := Lake(folder)).writing():
        writer.append(PAGES, pages(range(400), "made again"))
    assert reader.version(PAGES) == 0
    assert text_of(reader, "0003") == ["3 made again " * 40]


def test_an_earlier_version_is_read_as_it_was(folder: str) -> None:
    lake = Lake(folder, read_once=ReadOnce())
    with lake.writing():
        before = lake.read(PAGES, ["hash"])
        lake.merge(PAGES, pages([7], "edited"), ["0009"])
    assert lake.read(PAGES, ["hash"]).height == before.height - 1
    assert lake.read(PAGES, ["hash"], version=0).sort("hash").equals(before.sort("hash"))
    assert set(lake.read(PAGES, ["page"], version=0)["page"]) == set(pages(range(400))["page"])


def test_a_lost_file_that_was_not_read_yet_is_told(folder: str) -> None:
    lake = Lake(folder, read_once=ReadOnce())
    assert lake.version(PAGES) == 0
    Path(lake.file_uris(PAGES)[0]).unlink()
    with pytest.raises(LakeDamaged):
        lake.read(PAGES, ["hash"])


def test_what_is_kept_is_bounded(folder: str) -> None:
    kept = ReadOnce(30_000)
    lake = Lake(folder, read_once=kept)
    for column in ("page", "hash", "text", "page", "hash"):
        assert lake.read(PAGES, [column]).height == 400
        sizes = [part.estimated_size() for parts in kept._columns.values() for part in parts.values()]
        assert sum(sizes) <= 30_000
    assert {name for _, name in kept._columns} <= {"page", "hash"}


def test_vectors_of_a_batch_look_at_the_files_of_the_batch_alone(tmp_path: Path, decoded: list[str]) -> None:
    """However many others there are: a cold build asks for each batch in turn."""
    table = EMBEDDINGS.of("space")
    # So little room that the hashes of all texts are not kept; the numbers of the batches are.
    lake = Lake(str(tmp_path), read_once=ReadOnce(9_000))
    written = datetime(2026, 1, 1, tzinfo=UTC)
    with lake.writing():
        for batch in range(12):
            rows = [(f"{batch:02}{n:02}" * 16, [float(n)] * 8, batch, written, "r") for n in range(10)]
            lake.append(table, pl.DataFrame(rows, table.schema, orient="row"))
    known = lake.embedded_hashes("space")
    assert lake.vectors("space", known.filter(batch=4)).height == 10
    decoded.clear()
    for batch in (7, 2):
        wanted = known.filter(pl.col("batch") == batch).head(3)
        assert set(lake.vectors("space", wanted)["text_hash"]) == set(wanted["text_hash"])
    # Once for the hashes and once for the vectors.
    assert len(decoded) <= 4
    assert len(set(decoded)) == 2


def test_a_table_that_was_put_back_and_reached_its_version_again_is_another_one(folder: str, tmp_path: Path) -> None:
    backup = tmp_path.with_name(f"{tmp_path.name} of before")
    shutil.copytree(folder, backup)
    found = []
    for text in ("edited", "edited otherwise"):
        with (lake := Lake(folder)).writing():
            lake.merge(PAGES, pages([70], text))
        found.append(lake.identity(PAGES))
        shutil.rmtree(folder)
        shutil.copytree(backup, folder)
    (first, version), (second, again) = found
    assert version == again
    assert first != second
