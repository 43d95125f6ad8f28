"""Short titles and addresses are taken out as words, and out of nothing that the program or Dagster works by."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import polars as pl
import pyarrow as pa
import pytest

from rag_pipeline.contracts.tables import PUBLICATIONS
from rag_pipeline.defs.erased_records import redacted_event, scrub_records
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh import erase_pieces
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.stores import byte_search
from rag_pipeline.stores.byte_search import Needles, found_in_file
from rag_pipeline_tests.pipeline.project import Project

EVENT = {
    "__class__": "DagsterEvent",
    "status": {"__enum__": "DagsterRunStatus.SUCCESS"},
    "event_type_value": "SUCCESS",
    "timestamp": "2026-11-27 08:27:14",
    "Quillsby": "Quillsby",
    "user_message": "took Dagster,\nQuillsby and Quillsbys; SUCCESS",
    "metadata": {"docs/a.md": {"__class__": "Dagster", "text": "Quillsby"}},
}


def test_a_record_of_dagster_keeps_its_kinds_and_fields() -> None:
    needles = Needles((b"Dagster", b"DagsterEvent", b"SUCCESS", b"Quillsby", b"docs/a.md", b"2026-11-27"))
    after = json.loads(redacted_event(json.dumps(EVENT), needles))
    assert after == EVENT | {
        "user_message": "took [erased],\n[erased] and Quillsbys; [erased]",
        "metadata": {"[erased]": {"__class__": "Dagster", "text": "[erased]"}},
    }


@pytest.mark.parametrize("text", ["184320", "1764184320.1", "the Quillsbys", "xQuillsby", "Quillsby_2"])
def test_a_part_of_a_word_is_no_finding(text: str) -> None:
    needles = Needles((b"Quillsby", b"84320"))
    assert needles.of(text.encode()) == set()
    assert needles.redacted(text) == text


@pytest.mark.parametrize(
    "text", ["Quillsby", "of Quillsby.", 'a\n"Quillsby"', "\u2013Quillsby\u2013", "\u00fcber/Quillsby"]
)
def test_a_word_is_found_however_it_is_written(text: str) -> None:
    needles = Needles((b"Quillsby",))
    for written in (
        text,
        json.dumps(text),
        json.dumps({"a": json.dumps([text])}),
        json.dumps(text, ensure_ascii=False),
    ):
        assert needles.of(written.encode()) == {0}
        assert needles.of(needles.redacted(written).encode()) == set()


def test_a_word_between_other_values_of_a_column_is_found(tmp_path: Path) -> None:
    needles = Needles((b"Quillsby",))
    for values in (["one", "Quillsby", "two"], [["one"], ["x", "Quillsby"], ["two"]]):
        pl.DataFrame({"a": values}).write_parquet(tmp_path / "a.parquet", compression="zstd")
        assert found_in_file(tmp_path / "a.parquet", needles) == {0}
    pa.parquet.write_table(pa.table({"a": ["one", "xQuillsby", "two"]}), tmp_path / "a.parquet", compression="zstd")
    assert found_in_file(tmp_path / "a.parquet", needles) == set()


def test_rows_of_dagster_stay_though_their_snapshot_has_the_word(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "runs.db")) as file:
        file.execute("create table snapshots(snapshot_body blob)")
        file.execute("create table event_logs(event text, step_key text)")
        file.execute("insert into snapshots values (?)", (b"a job with Quillsby",))
        file.execute("insert into event_logs values (?, 'Quillsby')", (json.dumps(EVENT),))
        file.commit()
    scrub_records(tmp_path, Needles((b"Quillsby",)))
    with closing(sqlite3.connect(tmp_path / "runs.db")) as file:
        assert file.execute("select count(*) from snapshots").fetchone() == (1,)
        event, step = file.execute("select event, step_key from event_logs").fetchone()
    assert step == "Quillsby"
    assert "Quillsby and" not in event


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("ferries.md", "# Ferries\n\nThe ferry leaves at nine, and runs until the tide has turned.\n")
    project.refresh()
    return project


@pytest.mark.parametrize("named", ["action", "alias", "model_spec", "number"])
def test_a_page_that_is_called_like_something_of_the_pointer(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    project = built.copied(tmp_path)
    with project.workspace() as workspace:
        before = workspace.lake.read(PUBLICATIONS).row(-1, named=True)
    spec = json.loads(before["model_spec"])
    word = "2026-11-27" if named == "number" else str(next(each for each in spec.values() if len(str(each)) > 5))
    title = before[named] if named in ("action", "alias") else word
    project.write("page.md", f"# {title}\n\nIt says how the lanterns of the northern shed are oiled.\n")
    project.refresh()
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("docs", "page.md")), reason="r", erased_by="dpo")
        certificate = finish_erasure(workspace)
        last = workspace.lake.read(PUBLICATIONS).sort("sequence").row(-1, named=True)
    assert certificate is not None
    for column in ("action", "alias", "model_spec", "space", "table_name", "configured_alias"):
        assert last[column] == before[column]
    assert project.search("ferry", "public")


def test_a_word_in_records_that_nobody_cleaned_keeps_an_erasure_open(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    project = built.copied(tmp_path)
    project.write("page.md", "# Quillsby\n\nIt says how the lanterns of the northern shed are oiled.\n")
    project.refresh()
    home = project.pipeline().dagster_home
    home.mkdir(exist_ok=True)
    (home / "out.txt").write_text("took Quillsby\n")
    (home / "words.json").write_text('"Quillsby"')
    with project.workspace() as workspace:
        begin_erasure(workspace, Wanted(place=("docs", "page.md")), reason="r", erased_by="dpo")
        with pytest.raises(StoreError, match=r"out\.txt"):
            finish_erasure(workspace)
        certificate = finish_erasure(workspace, lambda needles: scrub_records(home, needles))
    assert certificate is not None
    assert any("in 1 files, where it stays" in note for note in certificate.notes)
    assert (home / "out.txt").read_text() == "took [erased]\n"


def test_titles_that_are_words_of_any_lake_hold_up_no_erasure(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    project = built.copied(tmp_path)
    project.settings["sources"]["people"] = {"location": "people", "allowed_principals": ["mo"]}
    for number, title in enumerate(("configuration", "format", "erased", "English")):
        project.write(f"{number}.md", f"# {title}\n\nHe oils the lantern number {number}{number}.\n", source="people")
    project.write("page.md", "# Certificate\n\nIt says how the pumps of the western shed are oiled.\n")
    project.refresh()
    for wanted, count in ((Wanted(principal="mo"), 4), (Wanted(place=("docs", "page.md")), 1)):
        with project.workspace() as workspace:
            begin_erasure(workspace, wanted, reason="of people/3.md, then docs/page.md", erased_by="dpo")
            certificate = finish_erasure(workspace)
        assert certificate is not None
        assert len(certificate.documents) == count
        assert "[erased]" in certificate.reason
        assert any("words of any lake" in note for note in certificate.notes)
    assert [row["title"] for row in project.published()] == ["Ferries"]
    # A certificate of before named the one that was erased after.
    said = [path.read_text() for path in (tmp_path / "lake" / "erasures").iterdir()]
    assert len(said) == 4
    assert not any("docs/page.md" in text for text in said)


def test_no_title_or_address_is_left_out_however_many_there_are(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erase_pieces, "MOST_PIECES", 2)
    project = built.copied(tmp_path)
    project.settings["sources"]["people"] = {"location": "people", "allowed_principals": ["mo"]}
    for name in ("Quillsby", "Wolfram", "Ottoline"):
        project.write(f"{name}s.md", f"# {name} the elder\n\n{name} oils a lantern in the shed.\n", source="people")
    project.refresh()
    with project.workspace() as workspace:
        plan = begin_erasure(workspace, Wanted(principal="mo"), reason="r", erased_by="dpo")
    for name in ("Quillsby", "Wolfram", "Ottoline"):
        assert {f"{name} the elder".encode(), f"{name}s.md".encode(), f"people/{name}s.md".encode()} <= {*plan.needles}


def test_many_pieces_are_found_as_few_are() -> None:
    random = Random(3)
    content = random.randbytes(40_000)
    held = {content[start : start + 8] for start in range(0, 12_000, 40)}
    pieces = [*held, *(random.randbytes(8) for _ in range(300))]
    assert byte_search.held_by(content, pieces) == held
    assert byte_search.held_by(content * 4, pieces) == held
    assert byte_search.held_by(content, pieces[:200]) == held & set(pieces[:200])
    assert byte_search.held_by(b"", pieces) == set()


def test_all_rows_of_a_long_table_are_cleaned(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "runs.db")) as file:
        file.execute("create table event_logs(event text)")
        file.executemany("insert into event_logs values (?)", [(json.dumps({"message": "Quillsby"}),)] * 450)
        file.execute("update event_logs set rowid = -rowid where rowid % 2")
        file.commit()
    scrub_records(tmp_path, Needles((b"Quillsby",)))
    with closing(sqlite3.connect(tmp_path / "runs.db")) as file:
        assert set(file.execute("select event from event_logs")) == {('{"message": "[erased]"}',)}
