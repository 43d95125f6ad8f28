"""What an edit in the middle of a long run costs: the chunks beside it, however long the run is."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import BlockKind, ParsedDocument, embedded_text
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline.transforms.chunk.fresh_starts import REACH_CHUNKS, lowest_within
from rag_pipeline_tests.transforms.chunk.counters import WordCounter, document_of, heading

PARAMS = ChunkParams(max_tokens=64, min_tokens=8, header_max_tokens=16)
WORDS = ("pump", "valve", "harbour", "crane", "deck", "engine", "report", "north", "winter", "steel", "cable")
# Each a block of its own; their lengths differ, and that alone brings packing into step again.
PROSE = {"turns", "paragraphs"}
PIECES: dict[str, tuple[BlockKind, str]] = {
    "table": ("table", "| {n} | {a} {b} | {m} |"),
    "list": ("list", "- {a} {b} of the {c}"),
    "code": ("code", "{a}_{b} = {c}({n}, '{b}')"),
    "lines": ("paragraph", "{n} {a} of the {b} is {c}."),
    "turns": ("cue", "Ann: {some}."),
    "paragraphs": ("paragraph", "{n} {some}."),
}


def piece(chosen: random.Random, form: str) -> str:
    a, b, c = chosen.choices(WORDS, k=3)
    n, m = chosen.randrange(100_000), chosen.randrange(1_000)
    some = " ".join(chosen.choices(WORDS, k=chosen.randrange(2, 20)))
    return form.format(some=some, a=a, b=b, c=c, n=n, m=m)


def document(what: str, pieces: Sequence[str]) -> ParsedDocument:
    kind: BlockKind = PIECES[what][0]
    if what in PROSE:
        return document_of(heading("All"), *[(kind, text) for text in pieces], title="Harbour")
    head = ["| number | what | many |", "|---|---|---|"] if kind == "table" else []
    return document_of(heading("All"), (kind, "\n".join([*head, *pieces])), title="Harbour")


def chunks(found: ParsedDocument) -> list[str]:
    return [
        embedded_text(chunk.header, found.text[chunk.start_char : chunk.end_char])
        for chunk in chunk_document(found, PARAMS, WordCounter())
    ]


def edits(pieces: Sequence[str], at: int, new: str) -> list[list[str]]:
    """One piece more, one less, and one that is another."""
    return [[*pieces[:at], *middle, *pieces[stop:]] for middle, stop in (([new], at), ([], at + 1), ([new], at + 1))]


@pytest.mark.parametrize("what", PIECES)
def test_an_edit_in_the_middle_makes_few_chunks_new_however_many_there_are(what: str) -> None:
    form = PIECES[what][1]
    chosen = random.Random(what)
    pieces = [piece(chosen, form) for _ in range(1_000)]
    before = set(chunks(document(what, pieces)))
    edited = [*edits(pieces, 150, piece(chosen, form)), *edits(pieces, 500, piece(chosen, form))[:1]]
    new = [len(set(chunks(document(what, found))) - before) for found in edited]
    # As far as the next fresh start: a reach away on average, and seldom more than four.
    assert max(new) <= 5 * REACH_CHUNKS


@given(
    found=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), max_size=40),
    reach=st.integers(1, 20),
)
def test_a_place_is_lowest_if_no_other_within_reach_is_as_low(found: list[tuple[int, int]], reach: int) -> None:
    hashes = [bytes([value]) for value, _ in found]
    places = list(itertools.accumulate(step for _, step in found))
    assert lowest_within(hashes, places, reach) == [
        at
        for at, place in enumerate(places)
        if all(
            hashes[at] < hashes[other]
            for other in range(len(found))
            if other != at and abs(places[other] - place) < reach
        )
    ]


def test_rows_that_are_all_alike_are_cut_like_any_others() -> None:
    same = chunks(document("list", ["- yes"] * 1_000))
    assert len(set(same[1:-1])) == 1
    assert set(chunks(document("list", ["- yes"] * 1_001))) - set(same) <= {same[-1] + "\n- yes"}
