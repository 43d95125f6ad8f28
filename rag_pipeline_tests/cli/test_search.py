"""`search`: who asks, what a hit shows, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag_pipeline.cli.search import SNIPPET_CHARS, snippet_of
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.cli.conftest import Ask, ask_in, small_project
from rag_pipeline_tests.embedding.cross_models import make_cross_encoder
from rag_pipeline_tests.pipeline.project import Project

KEYS = {
    "rank", "score", "chunk_id", "document_id", "source", "uri", "title", "section_path", "text", "page", "line",
    "start_char", "end_char", "token_count", "media_type", "allowed_principals", "source_modified_at", "vector_rank",
    "vector_distance", "text_rank", "text_score", "rank_weight", "published_at", "citation", "source_overdue",
    "source_polled_at", "vector_weight", "elsewhere", "rerank_score", "rerank_note", "superseded_by", "age_weight",
    "at_source", "raised_above",
}  # fmt: skip


def test_json_has_one_hit_a_line_with_stable_keys(ask: Ask) -> None:
    answer = ask("search", "red lever", "--as", "public", "--json")
    assert answer.code == 0
    assert answer.err == ""
    assert [record["rank"] for record in answer.records] == list(range(1, len(answer.records) + 1))
    assert all(set(record) == KEYS for record in answer.records)
    assert "red lever" in answer.records[0]["text"]


def test_a_hit_shows_where_it_stands_who_may_read_it_and_why_it_was_found(ask: Ask) -> None:
    answer = ask("search", "red lever", "--as", "public")
    assert "Running the pump > Stopping it" in answer.out
    assert "docs/" in answer.out
    assert "may read: public" in answer.out
    assert "modified 20" in answer.out
    assert "vector #" in answer.out
    assert "text #1 (BM25" in answer.out
    assert "in mode hybrid" in answer.err


def test_only_what_the_caller_may_read_is_found(ask: Ask) -> None:
    public = ask("search", "gold coins", "--as", "public", "--json", "--k", "50")
    hr = ask("search", "gold coins", "--as", "someone", "--as", "hr", "--json", "--k", "50")
    assert not any("coins" in record["text"] for record in public.records)
    assert any("coins" in record["text"] for record in hr.records)


def test_a_search_must_say_who_asks(ask: Ask) -> None:
    answer = ask("search", "red lever")
    assert answer.code == 2
    assert "--as" in answer.err


@pytest.mark.parametrize("mode", ["vector", "text"])
def test_a_mode_uses_its_own_retriever_only(ask: Ask, mode: str) -> None:
    record = ask("search", "red lever", "--as", "public", "--mode", mode, "--json").records[0]
    other = "text" if mode == "vector" else "vector"
    assert record[f"{mode}_rank"] == 1
    assert record[f"{other}_rank"] is None


def test_a_source_narrows_the_search_and_must_be_known(ask: Ask) -> None:
    found = ask("search", "pump", "--as", "hr", "--source", "people", "--json")
    assert {record["source"] for record in found.records} == {"people"}
    unknown = ask("search", "pump", "--as", "hr", "--source", "peple")
    assert unknown.code == 2
    assert "docs, people" in unknown.err


def test_a_window_shows_the_section_around_a_hit(tmp_path: Path) -> None:
    project = Project.create(tmp_path, chunking={"max_tokens": 24, "header_max_tokens": 8, "min_tokens": 0})
    steps = " ".join(f"Step {number} is to turn the wheel number {number} to the left." for number in range(9))
    project.write("guide.md", f"# Guide\n\nNot this part.\n\n## Start\n\n{steps}\n")
    project.refresh()
    question = ("search", "wheel number 4", "--as", "public", "--k", "1", "--mode", "text")
    (bare,) = ask_in(tmp_path, *question, "--json").records
    assert "window" not in bare
    (small,) = ask_in(tmp_path, *question, "--json", "--window", "40").records
    assert bare["text"] in small["window"]
    assert len(bare["text"]) < len(small["window"]) < len(steps)
    (large,) = ask_in(tmp_path, *question, "--json", "--window", "1000").records
    assert " ".join(large["window"].split()).endswith(steps)
    assert "Not this part" not in large["window"]
    assert "wheel number 8" in " ".join(ask_in(tmp_path, *question, "--window", "1000").out.split())


def test_an_empty_query_is_refused(ask: Ask) -> None:
    assert ask("search", " ", "--as", "public").code == 2


def test_before_the_first_run_it_says_what_to_do(tmp_path: Path) -> None:
    small_project(tmp_path).pipeline()
    answer = ask_in(tmp_path, "search", "x", "--as", "public")
    assert answer.code == 3
    assert "rag-pipeline run" in answer.err


def test_a_document_cannot_steer_the_terminal(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("evil.txt", "The bell rings \x1b[2J\x1b]0;owned\x07 and [bold]brackets[/bold] stay.\n")
    project.refresh()
    answer = ask_in(tmp_path, "search", "bell", "--as", "public")
    assert "\x1b" not in answer.out
    assert "\x07" not in answer.out
    assert "[bold]brackets[/bold]" in answer.out


def test_no_line_is_wider_than_the_terminal(ask: Ask) -> None:
    for columns in (60, 80, 120):
        out = ask("search", "pump", "--as", "public", columns=columns).out
        assert max(len(line) for line in out.splitlines()) <= columns


def test_a_snippet_shows_the_part_with_the_words_of_the_query() -> None:
    text = "filler words here. " * 100 + "The red lever is pulled twice. " + "more filler follows. " * 100
    snippet = snippet_of(text, "where is the lever pulled")
    assert "red lever is pulled" in snippet
    assert len(snippet) <= SNIPPET_CHARS + 4
    assert snippet.startswith("… ")
    assert snippet.endswith(" …")


def test_a_short_text_is_its_own_snippet_on_one_line() -> None:
    assert snippet_of("## Head\n\nTwo\n  lines.", "anything") == "Head Two lines."


def test_filters_of_the_command_line(ask: Ask) -> None:
    assert ask("search", "red lever", "--as", "public", "--path", "nothing/**", "--json").records == []
    everything = ask("search", "red lever", "--as", "public", "--json").records
    limited = ask("search", "red lever", "--as", "public", "--since", "9999d", "--path", "*.md", "--json").records
    assert limited
    assert {record["uri"] for record in limited} <= {record["uri"] for record in everything}
    unknown = ask("search", "red lever", "--as", "public", "--filter", "sttaus=Final")
    assert unknown.code == 2
    assert "no field 'sttaus'" in unknown.err
    wrong = ask("search", "red lever", "--as", "public", "--since", "lately")
    assert wrong.code == 2
    assert "30d" in wrong.err


def test_what_a_reranker_said_is_shown_and_it_can_be_left_aside(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    project.settings |= {"cache": "cache", "rerank": {"model": "tiny", "folder": "model"}}
    make_cross_encoder(tmp_path / "model")
    project.refresh()
    hits = ask_in(tmp_path, "search", "pump lever", "--as", "public", "--json").records
    assert len(hits) > 1
    assert all(isinstance(hit["rerank_score"], float) and hit["rerank_note"] is None for hit in hits)
    assert "reranked (" in " ".join(ask_in(tmp_path, "search", "pump lever", "--as", "public").out.split())
    plain = ask_in(tmp_path, "search", "pump lever", "--as", "public", "--no-rerank", "--json").records
    assert {hit["rerank_score"] for hit in plain} == {None}
    (tmp_path / "model" / "model.safetensors").write_bytes(b"damaged")
    answer = ask_in(tmp_path, "search", "pump lever", "--as", "public")
    assert answer.code == 0
    assert "Not reranked" in answer.err


def test_an_earlier_state_is_named_by_its_own_publication(tmp_path: Path) -> None:
    """Also where nothing was found in it, which is where no hit says of when it is."""
    project = small_project(tmp_path)
    project.settings["embedding_models"]["other"] = {"kind": "hashing", "model": "hashing", "dimension": 32}
    project.refresh()
    before = datetime.now(UTC).isoformat()
    with Searcher.open(project.pipeline()) as searcher:
        first = searcher.published()
    project.settings["serve"] = "other"
    project.refresh()
    with Searcher.open(project.pipeline()) as searcher:
        assert searcher.published()["alias"] == "other"
        assert searcher.published(as_of=datetime.fromisoformat(before)) == first
    for query in ("pump lever", "zzz"):
        answer = ask_in(tmp_path, "search", query, "--as", "public", "--mode", "text", "--as-of", before)
        assert f"index of {first['alias']}, published" in " ".join(answer.err.split())


@pytest.mark.parametrize("command", ["search", "ask", "mcp"])
def test_who_does_not_say_for_whom_is_told_what_to_type(tmp_path: Path, command: str) -> None:
    answer = ask_in(tmp_path, command, *([] if command == "mcp" else ["pump"]))
    assert answer.code == 2
    assert "--as public" in answer.err


def test_a_document_that_is_not_there_is_said_in_a_sentence(ask: Ask) -> None:
    assert (
        "\nThere is no document 'nowhere.md' among"
        in ask("search", "lever", "--as", "public", "--why", "nowhere.md").out
    )


def test_an_erasure_that_nobody_confirms_says_how_to_go_on(ask: Ask) -> None:
    answer = ask("erase", "--address", "people", "salaries.md", "--reason", "asked")
    assert answer.code == 1
    assert "Nothing was erased." in answer.err
    assert "--yes" in answer.err
    assert ask("search", "gold coins", "--as", "hr", "--json").records
