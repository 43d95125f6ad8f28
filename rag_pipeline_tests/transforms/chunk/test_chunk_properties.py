"""What holds for the chunks of every document."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import Block, Chunk, ParsedDocument, embedded_text
from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline.transforms.chunk.sections import Section, sections_of
from rag_pipeline.transforms.chunk.sentences import sentence_cuts
from rag_pipeline.transforms.chunk.units import CHARS_PER_TOKEN_LIMIT
from rag_pipeline_tests.transforms.chunk import strategies
from rag_pipeline_tests.transforms.chunk.counters import (
    TOKENIZER,
    MergingCounter,
    WordCounter,
    document_of,
    heading,
    model_counter,
)

needs_model = pytest.mark.skipif(TOKENIZER is None, reason="needs the packaged model's tokenizer")
counters = pytest.mark.parametrize(
    "counter_of", [WordCounter, pytest.param(model_counter, marks=needs_model)], ids=["words", "model"]
)


def bare_text(document: ParsedDocument) -> list[int]:
    """Positions of characters that chunks must hold, in order."""
    return [
        position
        for section in sections_of(document)
        for block in section.blocks
        for position in range(block.start_char, block.end_char)
        if not document.text[position].isspace()
    ]


def section_of(sections: list[Section], chunk: Chunk) -> Section:
    return next(
        section
        for section in sections
        if section.blocks[0].start_char <= chunk.start_char < section.blocks[-1].end_char
    )


@counters
@given(document=strategies.documents, params=strategies.params)
def test_chunks_tile_the_sections_in_order(counter_of, document: ParsedDocument, params: ChunkParams) -> None:
    chunks = chunk_document(document, params, counter_of())
    held = [
        position
        for chunk in chunks
        for position in range(chunk.start_char, chunk.end_char)
        if not document.text[position].isspace()
    ]
    assert held == bare_text(document)
    for chunk in chunks:
        text = document.text[chunk.start_char : chunk.end_char]
        assert text
        assert text == text.rstrip()
        indentation = text[: len(text) - len(text.lstrip())]
        assert not indentation or (not indentation.strip(" \t") and document.text[chunk.start_char - 1] == "\n")


@given(document=strategies.documents)
def test_only_bare_headings_above_deeper_ones_are_left_out(document: ParsedDocument) -> None:
    kept = set(bare_text(document))
    for block, following in itertools.pairwise((*document.blocks, None)):
        is_left_out = block.start_char not in kept
        assert is_left_out == (
            block.kind == "heading"
            and following is not None
            and following.kind == "heading"
            and following.level > block.level
        )


@counters
@given(document=strategies.documents, params=strategies.params)
def test_no_chunk_is_over_the_limit_and_counts_are_exact(counter_of, document, params) -> None:
    counter: TokenCounter = counter_of()
    for chunk in chunk_document(document, params, counter):
        text = embedded_text(chunk.header, document.text[chunk.start_char : chunk.end_char])
        assert chunk.token_count == len(counter.token_spans(text)) <= params.max_tokens
        assert len(counter.token_spans(chunk.header)) <= params.header_max_tokens


@given(document=strategies.documents, params=strategies.params)
def test_a_tokenizer_that_breaks_every_assumption_is_still_obeyed(document, params) -> None:
    counter = MergingCounter()
    chunks = chunk_document(document, params, counter)
    for chunk in chunks:
        text = embedded_text(chunk.header, document.text[chunk.start_char : chunk.end_char])
        assert chunk.token_count == len(counter.token_spans(text)) <= params.max_tokens
    held = "".join(document.text[chunk.start_char : chunk.end_char] for chunk in chunks)
    assert "".join(held.split()) == "".join(document.text[position] for position in bare_text(document))


@counters
@given(document=strategies.prose_documents, params=strategies.params)
def test_a_chunk_lies_in_one_section_and_carries_its_path(counter_of, document, params) -> None:
    sections = sections_of(document)
    for chunk in chunk_document(document, params, counter_of()):
        section = section_of(sections, chunk)
        assert chunk.end_char <= section.blocks[-1].end_char
        assert chunk.section_path == section.path


@counters
@given(document=strategies.prose_documents, params=strategies.params)
def test_a_block_that_fits_is_not_cut(counter_of, document, params) -> None:
    """Fits: beside the longest header the limit allows, and below its own heading where it follows one."""
    counter: TokenCounter = counter_of()
    ends = {chunk.end_char for chunk in chunk_document(document, params, counter)}
    room = params.max_tokens - (params.header_max_tokens if params.with_header else 0)
    for section in sections_of(document):
        for before, block in itertools.pairwise((None, *section.blocks)):
            start = before.start_char if before and before.kind == "heading" else block.start_char
            text = document.text[start : block.end_char]
            if len(counter.token_spans(text)) <= room and len(text) <= room * CHARS_PER_TOKEN_LIMIT:
                assert not any(block.start_char < end < block.end_char for end in ends)


@counters
@given(document=strategies.prose_documents, params=strategies.params)
def test_a_sentence_is_cut_only_if_it_alone_is_too_long(counter_of, document, params) -> None:
    counter: TokenCounter = counter_of()
    prose = [block for block in document.blocks if block.kind == "paragraph"]
    for chunk in chunk_document(document, params, counter):
        for block in prose:
            if not chunk.is_hard_split and block.start_char < chunk.end_char < block.end_char:
                starts = sentence_cuts(document.text, block.start_char, block.end_char, "en")
                following = next(at for at in range(chunk.end_char, block.end_char) if not document.text[at].isspace())
                assert following in starts


@given(document=strategies.documents, params=strategies.params)
def test_what_a_hard_split_cuts_goes_on_in_the_next_chunk_of_its_section(document, params) -> None:
    counter = WordCounter()
    chunks = chunk_document(document, params, counter)
    for chunk, following in itertools.pairwise(chunks):
        if chunk.is_hard_split:
            assert following.section_path == chunk.section_path
            assert not document.text[chunk.end_char : following.start_char].strip()
    assert not chunks or not chunks[-1].is_hard_split


@counters
@given(
    before=st.lists(strategies.body, max_size=4),
    edited=st.lists(strategies.body, min_size=1, max_size=4),
    replaced=st.lists(strategies.body, min_size=1, max_size=4),
    after=st.lists(strategies.body, max_size=4),
    params=strategies.params,
)
def test_an_edit_leaves_the_chunks_of_other_sections(counter_of, before, edited, replaced, after, params) -> None:
    def outside(middle: list) -> list[tuple[str, str]]:
        document = document_of(
            heading("First"), *before, heading("Edited", 2), *middle, heading("Last"), *after, title="Guide"
        )
        return [
            (chunk.header, document.text[chunk.start_char : chunk.end_char])
            for chunk in chunk_document(document, params, counter_of())
            if chunk.section_path[-1:] != ("Edited",)
        ]

    assert outside(edited) == outside(replaced)


@given(document=strategies.documents, params=strategies.params, gap=st.sampled_from(["", " ", "\n", " loose text "]))
def test_text_that_no_block_claims_is_not_lost(document: ParsedDocument, params: ChunkParams, gap: str) -> None:
    text = gap + document.text + gap
    blocks = tuple(
        Block(block.kind, block.start_char + len(gap), block.end_char + len(gap), block.level, block.label)
        for block in document.blocks[::2]
    )
    shifted = ParsedDocument(text, blocks)
    held = [shifted.text[chunk.start_char : chunk.end_char] for chunk in chunk_document(shifted, params, WordCounter())]
    kept = [text[position] for position in bare_text(shifted)]
    assert "".join("".join(held).split()) == "".join(kept)
    loose = "".join(gap.split())
    assert "".join(kept).startswith(loose)
    assert "".join(kept).endswith(loose)
