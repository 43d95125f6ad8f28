"""Single decisions of the chunker, each on a small document."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence

import pytest

from rag_pipeline.contracts.documents import Block, BlockKind, Chunk, ParsedDocument
from rag_pipeline.errors import ContractViolation, SettingsError
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline.transforms.chunk.chunker import BATCH_CHARS
from rag_pipeline.transforms.chunk.tokens import MAX_ENCODE_CHARS
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.transforms.chunk.counters import WordCounter, document_of, heading, words

SMALL = ChunkParams(max_tokens=40, min_tokens=8, header_max_tokens=16)


def chunks_of(document: ParsedDocument, params: ChunkParams = SMALL) -> list[tuple[Chunk, str]]:
    found = chunk_document(document, params, WordCounter())
    return [(chunk, document.text[chunk.start_char : chunk.end_char]) for chunk in found]


def texts(document: ParsedDocument, params: ChunkParams = SMALL) -> list[str]:
    return [text for _, text in chunks_of(document, params)]


def test_the_header_is_title_and_path_without_the_heading_the_text_begins_with() -> None:
    document = document_of(
        heading("Guide"), ("paragraph", words(5)), heading("Setup", 2), ("paragraph", words(25)),
        ("paragraph", words(25)), title="Guide",
    )  # fmt: skip
    found = [(chunk.header, chunk.section_path) for chunk, _ in chunks_of(document)]
    assert found == [
        ("", ("Guide",)),
        ("Guide", ("Guide", "Setup")),
        ("Guide > Setup", ("Guide", "Setup")),
    ]


def test_a_title_that_is_no_heading_leads_the_header() -> None:
    document = document_of(("paragraph", words(5)), heading("Setup"), ("paragraph", words(5)), title="Guide")
    assert [chunk.header for chunk, _ in chunks_of(document)] == ["Guide", "Guide"]


def test_without_header_there_is_none() -> None:
    document = document_of(heading("Setup"), ("paragraph", words(5)), title="Guide")
    assert chunks_of(document, ChunkParams(40, with_header=False, min_tokens=8))[0][0].header == ""


def test_a_long_header_loses_its_oldest_middle_parts_then_words() -> None:
    deep = [heading(f"level {level} of it", level) for level in range(1, 6)]
    document = document_of(*deep, ("paragraph", words(30)), ("paragraph", words(30)), title="Guide")
    assert (
        chunks_of(document, ChunkParams(60, header_max_tokens=12))[1][0].header
        == "Guide > level 4 of it > level 5 of it"
    )
    endless = document_of(("paragraph", words(5)), title="very " * 30 + "long")
    assert chunks_of(endless)[0][0].header == " ".join(["very"] * 16)


def test_headings_without_body_live_on_in_the_path_and_leaf_headings_stay() -> None:
    document = document_of(heading("Guide"), heading("Setup", 2), heading("Use", 2), ("paragraph", words(4)))
    assert [(chunk.section_path, text) for chunk, text in chunks_of(document)] == [
        (("Guide", "Setup"), "## Setup"),
        (("Guide", "Use"), f"## Use\n\n{words(4)}"),
    ]


def test_a_heading_never_ends_a_chunk_of_prose() -> None:
    document = document_of(heading("Setup"), ("paragraph", " ".join([words(12)] * 3)))
    first, *_ = texts(document)
    assert first.startswith("# Setup\n\nword")


def test_a_table_keeps_its_header_row_and_lends_it_to_later_chunks() -> None:
    rows = [f"| key{index} | value{index} |" for index in range(12)]
    document = document_of(heading("Ports"), ("table", "\n".join(["| name | number |", "|---|---|", *rows])))
    found = chunks_of(document, ChunkParams(60, header_max_tokens=16))
    assert found[0][1].startswith("# Ports\n\n| name | number |\n|---|---|\n| key0")
    assert {chunk.header for chunk, _ in found[1:]} == {"Ports\n| name | number |"}
    assert all(text.startswith("| key") for _, text in found[1:])
    assert not any(chunk.is_hard_split for chunk, _ in found)


def test_nested_items_stay_with_their_item() -> None:
    items = "\n".join(f"- {words(8)}\n  - {words(4)}" for _ in range(4))
    for text in texts(document_of(("list", items))):
        assert text.startswith("- word")
        assert text.count("\n  - ") == sum(line.startswith("- ") for line in text.splitlines())


def test_code_is_cut_between_statements() -> None:
    function = "def run():\n" + "\n".join(f"    if a{index}:\n        b{index}(c, d)" for index in range(8))
    found = texts(document_of(("code", function)))
    assert len(found) > 1
    assert all(text.startswith(("def", "    if")) for text in found)


def test_a_large_definition_is_its_own_chunk_under_its_qualified_name() -> None:
    document = document_of(
        ("code", "import os"),
        ("definition", "class Store:", 1, "Store"),
        ("definition", "    def a(self): pass".strip(), 2, "Store.a"),
        ("definition", "def b(self):\n" + "\n".join(f"    call({n})" for n in range(6)), 2, "Store.b"),
        ("definition", "def c(self): pass", 2, "Store.c"),
        ("definition", "def main(): pass", 1, "main"),
        ("definition", "def other(): pass", 1, "other"),
    )
    assert [(chunk.section_path, chunk.header, text.split("(")[0]) for chunk, text in chunks_of(document)] == [
        ((), "", "import os"),
        (("Store",), "", "class Store:\n\ndef a"),
        (("Store", "b"), "Store", "def b"),
        (("Store", "c"), "Store", "def c"),
        ((), "", "def main"),
    ]


def test_code_after_a_class_belongs_to_the_module_again() -> None:
    text = "class Store:\n    x = 1\n\n    def a(self): pass\n\nrun(Store())"
    at = [text.index(mark) for mark in ("class", "def", "run")]
    document = ParsedDocument(
        text,
        (
            Block("definition", at[0], at[1] - 6, 1, "Store"),
            Block("definition", at[1], at[2] - 2, 2, "Store.a"),
            Block("code", at[2], len(text)),
        ),
    )
    assert [chunk.section_path for chunk, _ in chunks_of(document)] == [("Store",), ()]


def test_a_chunk_stays_on_one_page_and_names_it() -> None:
    document = document_of(("paragraph", words(6)), ("paragraph", words(6)), ("paragraph", words(6)), pages=[1, 1, 2])
    assert [(chunk.page, chunk.line) for chunk, _ in chunks_of(document)] == [(1, 1), (2, 5)]


def test_a_short_tail_takes_a_unit_from_the_chunk_before() -> None:
    document = document_of(*[("paragraph", words(12))] * 3, ("paragraph", "Short end."))
    assert [len(text.split()) for text in texts(document, SMALL)] == [24, 14]


def test_whole_blocks_between_target_and_limit_stay_whole() -> None:
    document = document_of(("paragraph", words(30)), ("paragraph", words(4)), ("paragraph", words(4)))
    assert [len(text.split()) for text in texts(document, ChunkParams(40, 10, 2, 16))] == [30, 8]


def test_an_endless_word_is_cut_although_the_tokenizer_takes_it_for_one() -> None:
    found = chunks_of(document_of(("paragraph", "q" * 5_000)))
    assert "".join(text for _, text in found) == "q" * 5_000
    assert [chunk.is_hard_split for chunk, _ in found] == [True] * (len(found) - 1) + [False]


def test_a_cut_does_not_part_a_letter_from_its_accent() -> None:
    found = texts(document_of(("paragraph", "q\u0323" * 2_000)))
    assert len(found) > 1
    assert all(text.startswith("q") for text in found)


def test_a_document_longer_than_one_batch_is_cut_as_its_parts_are() -> None:
    section = [heading("Part"), *[("paragraph", words(30))] * 40]
    single = texts(document_of(*section))
    times = BATCH_CHARS // sum(map(len, single)) + 2
    assert texts(document_of(*section * times)) == single * times


def test_a_document_of_white_space_has_no_chunks() -> None:
    assert texts(ParsedDocument(" \n\n ", ())) == []


@pytest.mark.parametrize("spans", [[(0, 4), (2, 6)], [(4, 6), (0, 4)], [(0, 99)]])
def test_blocks_that_overlap_or_leave_the_text_are_refused(spans: list[tuple[int, int]]) -> None:
    document = ParsedDocument("ab cd ef", tuple(Block("paragraph", start, end) for start, end in spans))
    with pytest.raises(ContractViolation, match="parser is at fault"):
        chunk_document(document, SMALL, WordCounter())


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 70}, {"target_tokens": 300}, {"target_tokens": 0}, {"min_tokens": -1}]
)
def test_params_that_leave_no_room_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        ChunkParams(**wrong)


def test_every_parameter_changes_the_fingerprint() -> None:
    others = [
        ChunkParams(253), ChunkParams(target_tokens=254), ChunkParams(min_tokens=47),
        ChunkParams(header_max_tokens=63), ChunkParams(with_header=False),
    ]  # fmt: skip
    assert len({params.fingerprint for params in [ChunkParams(), *others]}) == 6
    assert pickle.loads(pickle.dumps(ChunkParams())) == ChunkParams()


SCRIPT = """
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline_tests.transforms.chunk.counters import WordCounter, document_of, heading, words
parts = [part for n in range(9) for part in (heading(f"h{n}", n % 3 + 1), ("paragraph", words(60)))]
print(chunk_document(document_of(*parts, title="t"), ChunkParams(40, header_max_tokens=8), WordCounter()))
"""


def test_chunks_are_the_same_in_another_process_with_another_hash_seed() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(printed) == 1


def test_a_run_of_marks_without_end_is_cut_like_any_other_text() -> None:
    text = "a" + "\u0301" * 3_000
    document = ParsedDocument(text, (Block("paragraph", 0, len(text)),))
    assert "".join(texts(document)) == text
    assert all(chunk.is_hard_split for chunk, _ in chunks_of(document)[:-1])


def test_a_section_larger_than_one_encoding_is_encoded_piece_by_piece() -> None:
    asked: list[int] = []

    class Watched(WordCounter):
        def token_spans_batch(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
            asked.append(sum(map(len, texts)))
            return super().token_spans_batch(texts)

    text = "one word after another. " * 40_000
    document = ParsedDocument(text, (Block("paragraph", 0, len(text.rstrip())),))
    chunks = chunk_document(document, SMALL, Watched())
    assert len(asked) > 4
    assert max(asked) <= MAX_ENCODE_CHARS
    assert chunks == chunk_document(document, SMALL, WordCounter())


LINES = ChunkParams(max_tokens=60, min_tokens=8, header_max_tokens=24)


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("list", "- item {n} is checked by hand every day of the year"),
        ("table", "| berth {n} | {n} metres deep | due on day {n} |"),
        ("code", "step(number={n}, name='pump', wait=True)"),
        ("paragraph", "Sentence {n} says what there is to say about that."),
        ("field", "key{n}: value {n} of all the values in the file"),
    ],
)
def test_a_chunk_names_the_line_its_text_begins_in(kind: BlockKind, row: str) -> None:
    document = document_of(heading("Harbour"), (kind, "\n".join(row.format(n=n) for n in range(60))))
    found = chunks_of(document, LINES)
    assert len(found) > 5
    for chunk, text in found:
        assert document.text.split("\n")[(chunk.line or 0) - 1].startswith(text.split("\n")[0])


def test_text_that_no_block_claims_has_a_line() -> None:
    document = ParsedDocument("# Top\n\n\nloose text", (Block("heading", 0, 5, 1, "Top", line=4),))
    assert [(chunk.line, text) for chunk, text in chunks_of(document)] == [(4, document.text)]
    parted = ParsedDocument(f"# Top\n\n\n{'loose text. ' * 40}", document.blocks)
    assert next(chunk.line for chunk, _ in chunks_of(parted)) == 4
    assert {chunk.line for chunk, text in chunks_of(parted) if not text.startswith("#")} <= {7}


def parts_of(owner: str, indent: str, count: int = 12) -> str:
    return f"{owner}\n" + "\n".join(f"{indent}- part {n} lies in the locker of {n}" for n in range(count))


def test_every_part_of_a_list_names_the_items_above_it() -> None:
    items = "\n".join(
        [parts_of("- Boat Alpha", "  "), parts_of("7. Boat Beta", "   "), parts_of("- [x] Gear\n\t- Mast", "\t\t")]
    )
    owners = {"Alpha": "- Boat Alpha", "Beta": "7. Boat Beta", "Mast": "- [x] Gear\n\t- Mast"}
    seen: set[str] = set()
    owner = ""
    for chunk, text in chunks_of(document_of(heading("Kit"), ("list", items)), LINES):
        first = text.split("\n")[0]
        if first.lstrip().startswith("- part"):
            assert chunk.header == f"Kit\n{owners[owner]}"
            assert first.startswith((" ", "\t"))
            seen.add(owner)
        owner = next((name for name in reversed(owners) if name in text), owner)
    assert seen == set(owners)


def test_a_part_of_one_long_item_names_the_item_and_those_above() -> None:
    items = f"1. Checks\n   2. Pump room: {'look at the valve and the gauge. ' * 12}\n\n      {words(30)}\n3. Done"
    headers = [chunk.header for chunk, _ in chunks_of(document_of(("list", items)), LINES)]
    assert headers[0] == ""
    assert all(header.startswith("1. Checks\n   2. Pump room: look") for header in headers[1:])
    assert len(headers) > 2


def test_a_row_cut_between_its_cells_keeps_its_first_cell_and_the_names_of_the_others() -> None:
    names = "\t".join(["berth", *(f"column{n}" for n in range(40))])
    rows = "\n".join("\t".join([f"quay{row}", *(f"{row}x{n}" for n in range(40))]) for row in range(3))
    found = chunks_of(document_of(("table", f"{names}\n{rows}")), LINES)
    for row in range(3):
        for n in (9, 39):
            header, text = next((c.header, text) for c, text in found if f"{row}x{n}" in text.split())
            assert f"quay{row}" in header.split() or f"quay{row}" in text.split()
            assert f"column{n}" in header.split()
            assert "berth" in header.split()


def test_a_part_of_a_turn_names_its_speaker_and_time() -> None:
    found = chunks_of(document_of(("cue", f"[00:01:02] Ann Lee: {'We sail at dawn. ' * 30}")), LINES)
    assert {chunk.header for chunk, _ in found[1:]} == {"[00:01:02] Ann Lee:"}
