"""Tables in items of lists and in quotes, and lists in quotes, keep their names when they are cut."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import BlockKind
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline_tests.transforms.chunk.counters import WordCounter, document_of, heading

PARAMS = ChunkParams(max_tokens=70, min_tokens=8, header_max_tokens=30)
NAMES = "| Berth | Depth |"
ROWS = [NAMES, "|---|---|", *(f"| north {n} | {n} m |" for n in range(40))]


def _found(kind: BlockKind, lines: list[str]) -> list[tuple[str, str]]:
    document = document_of(heading("Quay"), (kind, "\n".join(lines)))
    chunks = chunk_document(document, PARAMS, WordCounter())
    assert not any(chunk.is_hard_split for chunk in chunks)
    return [(chunk.header, document.text[chunk.start_char : chunk.end_char]) for chunk in chunks]


@pytest.mark.parametrize("mark", ["", "> "])
def test_a_table_in_an_item_names_its_columns_and_the_item_in_each_part(mark: str) -> None:
    lines = ["1. Moor:", "", *(f"   {row}" for row in ROWS), "", "2. Leave."]
    found = _found("quote" if mark else "list", [f"{mark}{line}" for line in lines])
    assert len(found) > 2
    rows = [header for header, text in found[1:] if text.lstrip("> ").startswith("| north")]
    assert len(rows) >= len(found) - 2
    assert {tuple(header.split("\n")[1:]) for header in rows} == {("1. Moor:", NAMES)}


def test_a_table_that_opens_an_item_names_its_columns_without_the_mark() -> None:
    lines = [f"- {ROWS[0]}", *(f"  {row}" for row in ROWS[1:]), "- Leave."]
    headers = [header.split("\n")[-1] for header, _ in _found("list", lines)[1:]]
    assert set(headers) == {NAMES}


def test_a_quote_names_the_columns_of_its_table_and_nothing_where_the_table_is_over() -> None:
    prose = " ".join(["plain"] * 20)
    found = _found("quote", [*(f"> {row}" for row in ROWS), ">", f"> {prose}", ">", f"> {prose}", ">", f"> {prose}"])
    for header, text in found[1:]:
        assert (NAMES in header) == text.startswith("> | north"), text


def test_parts_of_a_list_in_a_quote_name_the_item_they_lie_in() -> None:
    items = [f"> {indent}- {' '.join([f'deck{n}'] * 9)}" for n in range(6) for indent in ("", "  ")]
    long = ["> - Ropes", *(f">   - {' '.join([f'knot{n}'] * 9)}" for n in range(12))]
    assert all(text.startswith("> - ") for _, text in _found("quote", items)[1:])
    assert all(header.endswith("\n- Ropes") for header, _ in _found("quote", long)[1:])


def test_bars_and_rules_that_are_no_table_name_nothing() -> None:
    lines = [f"- a | b is said in {n} words or so" for n in range(12)]
    lines[5:5] = ["", "  ---", ""]
    assert {header for header, _ in _found("list", lines)[1:]} == {"Quay"}
