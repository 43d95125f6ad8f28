"""`status`, `verify` and `trace` as commands."""

from __future__ import annotations

from pathlib import Path

from rag_pipeline.contracts.tables import CHUNKS
from rag_pipeline_tests.cli.conftest import Ask, ask_in, small_project
from rag_pipeline_tests.pipeline.project import Project

STATUS_KEYS = {
    "delivered",
    "outside",
    "undelivered",
    "lake",
    "serve",
    "sources",
    "tables",
    "spaces",
    "published",
    "is_behind",
    "is_held",
    "quarantine",
    "last_runs",
    "damaged",
    "held",
    "held_because",
    "writer",
    "published_problem",
    "polls_problem",
}
TRACE_KEYS = {
    "chunk_id", "index", "chunk", "embedding", "document", "duplicates", "revisions", "content", "quarantine", "checks",
}  # fmt: skip


def lever_chunk(ask: Ask) -> str:
    return str(ask("search", "red lever", "--as", "public", "--json").records[0]["chunk_id"])


def test_status_is_one_object_with_stable_keys(ask: Ask) -> None:
    [status] = ask("status", "--json").records
    assert set(status) == STATUS_KEYS
    assert {s["source"]: s["live"] for s in status["sources"]} == {"docs": 3, "people": 1}
    assert status["published"]["alias"] == "small"
    assert status["is_behind"] is False
    assert status["quarantine"] == {"empty": 1}
    assert status["last_runs"][0]["run_id"] == "test"


def test_status_shows_every_layer_at_any_width(ask: Ask) -> None:
    for columns in (80, 120):
        answer = ask("status", columns=columns)
        assert answer.code == 0
        for word in ("bronze/docs", "silver/chunks", "gold/publications", "small", "everything that bronze holds"):
            assert word in answer.out
        assert max(len(line) for line in answer.out.splitlines()) <= columns


def test_status_before_the_first_run_says_that_nothing_is_published(tmp_path: Path) -> None:
    small_project(tmp_path).pipeline()
    answer = ask_in(tmp_path, "status")
    assert answer.code == 0
    assert "nothing yet" in answer.out
    assert ask_in(tmp_path, "status", "--json").records[0]["published"] is None


def test_verify_of_a_sound_lake_finds_nothing(ask: Ask) -> None:
    answer = ask("verify", "--json")
    assert answer.code == 0
    [report] = answer.records
    assert (report["ghosts"], report["missing"], report["mismatched"], report["findings"]) == (0, 0, 0, [])
    assert "every promise holds" in ask("verify").err


def test_verify_ends_with_one_and_names_what_it_found(own: Project) -> None:
    with own.workspace() as workspace:
        chunks = workspace.lake.read(CHUNKS).head(1)
        workspace.lake.merge(CHUNKS, CHUNKS.empty(), chunks["chunk_id"].to_list())
    answer = ask_in(own.folder, "verify", "--json")
    assert answer.code == 1
    assert answer.records[0]["ghosts"] == 1
    shown = ask_in(own.folder, "verify")
    assert shown.code == 1
    assert "published_ghosts" in shown.out


def test_a_trace_leads_back_to_the_bytes(ask: Ask) -> None:
    answer = ask("trace", lever_chunk(ask), "--json")
    assert answer.code == 0
    [trace] = answer.records
    assert set(trace) == TRACE_KEYS
    assert trace["index"]["table_version"] >= 1
    assert trace["embedding"]["dimension"] == 64
    assert trace["revisions"][0]["change"] == "added"
    assert trace["content"]["first_line"] == "# Running the pump"
    assert trace["content"]["bytes_hash"] == trace["revisions"][-1]["bytes_hash"]
    assert [row["source"] for row in trace["duplicates"]] == ["docs"]
    assert all(trace["checks"].values())


def test_a_trace_for_people_shows_every_layer(ask: Ask) -> None:
    out = ask("trace", lever_chunk(ask), columns=80).out
    for word in ("Published index", "Embedding", "silver/chunks", "silver/documents", "bronze/docs", "Source bytes"):
        assert word in out
    assert "✗" not in out


def test_an_unknown_chunk_is_a_finding(ask: Ask) -> None:
    for name in ("0" * 32, "it's"):
        answer = ask("trace", name)
        assert answer.code == 1
        assert answer.out == ""
        assert "No chunk" in answer.err
