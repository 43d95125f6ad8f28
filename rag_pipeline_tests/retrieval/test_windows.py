"""Windows: by section or by tokens, one for hits that are neighbours, one look into the store, within permissions."""

from __future__ import annotations

from typing import Any

import pytest

from rag_pipeline.errors import BadQuery
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline_tests.pipeline.project import Project

EVERYTHING = 100_000


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    project = Project.create(
        tmp_path_factory.mktemp("windows"),
        chunking={"max_tokens": 40, "target_tokens": 30, "min_tokens": 8, "with_header": False},
    )
    for name, readers in (("open.md", "public"), ("closed.md", "board")):
        parts = [f"Sentence {at} of {name} says that the pump {at} is oiled on day {at}." for at in range(12)]
        text = "# Oil\n\n" + " ".join(parts[:8]) + "\n\n# Water\n\n" + " ".join(parts[8:])
        project.write(name, f"---\nallowed_principals: [{readers}]\n---\n{text}\n")
    project.refresh()
    return Searcher.open(project.pipeline())


def hits_of(searcher: Searcher, *principals: str) -> list[Any]:
    return searcher.search("pump oiled sentence", principals=principals, k=50, mode="text")


def test_hits_of_one_section_share_a_window(searcher: Searcher) -> None:
    hits = hits_of(searcher, "public")
    assert len(hits) > 3
    windows = searcher.windows(hits, principals=["public"], max_tokens=EVERYTHING)
    assert [sorted({hits[rank - 1].section_path[-1] for rank in window.ranks}) for window in windows] in (
        [["Oil"], ["Water"]],
        [["Water"], ["Oil"]],
    )
    assert sorted(rank for window in windows for rank in window.ranks) == [hit.rank for hit in hits]
    for window in windows:
        assert all(hits[rank - 1].text in window.text for rank in window.ranks)
        assert window.chunk_ids
        assert window.end_char > window.start_char


def test_windows_by_tokens_leave_the_section(searcher: Searcher) -> None:
    hits = hits_of(searcher, "public")
    (window,) = searcher.windows(hits, principals=["public"], max_tokens=EVERYTHING, by="tokens")
    assert "Sentence 0 of" in window.text
    assert "Sentence 11 of" in window.text


def test_a_window_keeps_to_its_budget_and_far_hits_stay_apart(searcher: Searcher) -> None:
    hits = hits_of(searcher, "public")
    oil = sorted((hit for hit in hits if hit.section_path == ("Oil",)), key=lambda hit: hit.start_char)
    apart = searcher.windows([oil[0], oil[-1]], principals=["public"], max_tokens=1)
    assert sorted(window.text for window in apart) == sorted([oil[0].text, oil[-1].text])
    (one,) = searcher.windows(oil[:1], principals=["public"], max_tokens=60)
    assert oil[0].token_count < one.token_count <= 60
    (touching,) = searcher.windows(oil[:2], principals=["public"], max_tokens=1)
    assert touching.ranks == tuple(sorted(hit.rank for hit in oil[:2]))


def test_all_hits_of_a_page_are_one_look_into_the_store(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    hits = hits_of(searcher, "board")
    assert len({hit.document_id for hit in hits}) == 2
    looks = []
    read = VectorTable.read

    def counted(table: VectorTable, *arguments: Any, **options: Any) -> Any:
        looks.append(arguments)
        return read(table, *arguments, **options)

    monkeypatch.setattr(VectorTable, "read", counted)
    assert searcher.windows(hits, principals=["board"])
    assert len(looks) == 1


def test_a_window_shows_only_what_the_caller_may_read(searcher: Searcher) -> None:
    hits = hits_of(searcher, "board")
    for by in ("section", "tokens"):
        windows = searcher.windows(hits, principals=["public"], max_tokens=EVERYTHING, by=by)  # type: ignore[arg-type]
        assert {window.uri for window in windows} == {"docs/open.md"}
        assert "closed" not in str(windows)
    assert searcher.windows([], principals=["public"]) == []
    with pytest.raises(BadQuery, match="by 'page'"):
        searcher.windows(hits, principals=["public"], by="page")  # type: ignore[arg-type]
    with pytest.raises(BadQuery, match="max_tokens"):
        searcher.windows(hits, principals=["public"], max_tokens=0)
