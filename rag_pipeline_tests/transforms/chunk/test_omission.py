"""Documents cut around blocks that are left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import Block, ParsedDocument, embedded_text
from rag_pipeline.transforms.block_hashes import block_wording, repeatable_hashes, section_wordings, wording_hash
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline.transforms.chunk.omission import LARGEST_SHARE
from rag_pipeline_tests.transforms.chunk import strategies
from rag_pipeline_tests.transforms.chunk.counters import WordCounter

PARAMS = ChunkParams()
NOTICE = "Printed copies are not kept up to date."


def document_of(*parts: tuple[str, str]) -> ParsedDocument:
    """Blocks of (kind, text), two line ends between them."""
    blocks: list[Block] = []
    start = 0
    for kind, text in parts:
        label = text if kind == "heading" else None
        blocks.append(Block(kind, start, start + len(text), int(kind == "heading"), label))  # type: ignore[arg-type]
        start += len(text) + 2
    return ParsedDocument("\n\n".join(text for _, text in parts), tuple(blocks))


def cut(document: ParsedDocument, *notices: str, params: ChunkParams = PARAMS) -> list[tuple[tuple[str, ...], str]]:
    hashes = [wording_hash(notice.casefold()) for notice in notices]
    chunks = chunk_document(document, params, WordCounter(), hashes)
    return [(chunk.section_path, document.text[chunk.start_char : chunk.end_char]) for chunk in chunks]


def wordings(document: ParsedDocument) -> list[str]:
    """What of a document may be left out, section by section."""
    return [wording for _, wording in section_wordings(document.text, document.blocks)]


@given(document=strategies.prose_documents, params=strategies.params, data=st.data())
def test_what_is_left_out_is_in_no_chunk_and_everything_else_is(
    document: ParsedDocument, params: ChunkParams, data: st.DataObject
) -> None:
    known = repeatable_hashes(document.text, document.blocks)
    left_out = data.draw(st.sets(st.sampled_from(known))) if known else set()
    chunks = chunk_document(document, params, WordCounter(), left_out)
    whole = chunk_document(document, params, WordCounter())
    held = {at for chunk in chunks for at in range(chunk.start_char, chunk.end_char)}
    held = {at for at in held if not document.text[at].isspace()}
    every = {at for chunk in whole for at in range(chunk.start_char, chunk.end_char)}
    every = {at for at in every if not document.text[at].isspace()}
    gone = every - held
    allowed = {
        at
        for block in document.blocks
        for at in range(block.start_char, block.end_char)
        if block.kind == "heading" or block_wording(document.text, block) is not None
    }
    assert held <= every
    assert gone <= allowed
    assert chunks or not whole
    for chunk in chunks:
        text = embedded_text(chunk.header, document.text[chunk.start_char : chunk.end_char])
        assert chunk.token_count == len(WordCounter().token_spans(text)) <= params.max_tokens


def test_a_section_is_parted_where_a_block_is_taken_from_its_middle() -> None:
    first, last = "The gate opens at six in the morning.", "The gate closes at ten in the evening."
    document = document_of(("heading", "Gate"), ("paragraph", first), ("paragraph", NOTICE), ("paragraph", last))
    assert cut(document, NOTICE) == [(("Gate",), f"Gate\n\n{first}"), (("Gate",), last)]


def test_a_section_goes_as_a_whole_or_not_at_all() -> None:
    body = "The gate opens at six in the morning and closes late."
    document = document_of(
        ("heading", "Gate"), ("paragraph", body), ("heading", "Print"), ("paragraph", NOTICE), ("heading", "Hours")
    )
    # Somebody may look for the heading, unless it stands in all the other documents too.
    assert cut(document, NOTICE) == cut(document)
    (section,) = [wording for wording in wordings(document) if wording.startswith("print")]
    assert cut(document, NOTICE, section) == [(("Gate",), f"Gate\n\n{body}"), (("Hours",), "Hours")]


def test_a_heading_is_named_above_what_remains_below_it() -> None:
    body = "The gate opens at six in the morning and closes late."
    below = document_of(("heading", "Print"), ("paragraph", NOTICE), ("paragraph", body + " " + body))
    assert cut(below, NOTICE) == [(("Print",), body + " " + body)]
    bare = ChunkParams(with_header=False)
    assert cut(below, NOTICE, params=bare) == [(("Print",), "Print"), (("Print",), body + " " + body)]


def test_what_follows_a_colon_stays() -> None:
    body = "The gate opens at six in the morning and closes late in the evening."
    rule = "On the quay this is forbidden:"
    document = document_of(("paragraph", rule), ("list", NOTICE), ("paragraph", body))
    assert cut(document, NOTICE) == cut(document)


def test_a_document_that_would_lose_too_much_is_kept_whole() -> None:
    short = "Gate 7 is open."
    assert len(short) < LARGEST_SHARE * len(short + NOTICE)
    document = document_of(("paragraph", short), ("paragraph", NOTICE))
    assert cut(document, NOTICE) == cut(document)


def test_equal_wording_in_a_table_stays() -> None:
    body = "The gate opens at six in the morning and closes late in the evening."
    document = document_of(("paragraph", body), ("table", NOTICE))
    assert cut(document, NOTICE) == cut(document)
