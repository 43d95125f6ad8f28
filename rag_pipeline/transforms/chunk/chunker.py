"""From a parsed document to its chunks.

Belongs here: the order of the steps, and the final count of every chunk by direct encoding.
Does not belong here: the steps themselves, each of which has its module in this package.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from rag_pipeline.contracts.documents import Block, BlockKind, Chunk, ParsedDocument, embedded_text
from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.errors import ContractViolation
from rag_pipeline.transforms.chunk.context import contexts
from rag_pipeline.transforms.chunk.headers import NO_HEADER, Header, Headers
from rag_pipeline.transforms.chunk.omission import without_blocks
from rag_pipeline.transforms.chunk.pack import Packer
from rag_pipeline.transforms.chunk.params import ChunkParams
from rag_pipeline.transforms.chunk.sections import Section, line_at, sections_of
from rag_pipeline.transforms.chunk.sentences import DEFAULT_LANGUAGE
from rag_pipeline.transforms.chunk.tokens import TokenMap
from rag_pipeline.transforms.chunk.units import Unit, UnitCutter, hard_cut, trimmed_spans

BATCH_CHARS = 256_000
"""Sections are worked on in batches of about this length, so memory does not grow with the document."""

LIKELY_CHARS_PER_TOKEN = 5
"""A section longer than this per token hardly ever fits, so it is not tried whole. English has 4 to 5."""

# Cut at their sentences to keep a heading company; a table or a piece of code stays whole instead.
_PROSE_KINDS: frozenset[BlockKind] = frozenset(
    {"paragraph", "quote", "html", "list", "record", "field", "cue", "picture"}
)


@dataclass(frozen=True, slots=True)
class _Run:
    """Blocks packed together: a whole section, or a part of one in code."""

    path: tuple[str, ...]
    is_opened: bool
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A chunk before its tokens are counted directly."""

    path: tuple[str, ...]
    header: Header
    units: tuple[Unit, ...]

    @property
    def start_char(self) -> int:
        return self.units[0].start_char

    @property
    def end_char(self) -> int:
        return self.units[-1].end_char


def chunk_document(
    document: ParsedDocument, params: ChunkParams, counter: TokenCounter, left_out: Collection[int] = ()
) -> list[Chunk]:
    """Cut a document into chunks that tile its sections.

    A chunk's span begins and ends with a character that is not white space, but for the indentation of its first
    line where it begins inside a list or code; between the spans of one section
    lies only white space, or what is left out. The same document, parameters, tokenizer and hashes to leave out
    give the same chunks anywhere.

    Args:
        left_out: Hashes of blocks that get into no chunk, see `omission.py`.

    Raises:
        ContractViolation: The document's blocks overlap or leave its text.
    """
    headers = Headers(document.title, params, counter)
    chunks: list[Chunk] = []
    sections_wanted = sections_of(document)
    if left_out:
        sections_wanted = without_blocks(document, sections_wanted, left_out, with_header=params.with_header)
    for sections in _batches(sections_wanted):
        whole, others = _whole_sections(document.text, sections, headers, params, counter)
        spans = [(block.start_char, block.end_char) for section in others for block in section.blocks]
        tokens = TokenMap(document.text, spans, counter)
        runs = [run for section in others for run in _runs(section, tokens, params)]
        headers.prepare(run.path for run in runs)
        drafts = [draft for run in runs for draft in _drafts(document, run, headers, tokens, params)]
        cut = _counted(document.text, drafts, params, counter)
        chunks.extend(sorted([*whole, *cut], key=attrgetter("start_char")))
    return chunks


def _whole_sections(
    text: str, sections: Sequence[Section], headers: Headers, params: ChunkParams, counter: TokenCounter
) -> tuple[list[Chunk], list[Section]]:
    """Chunks of the sections that fit as they are, and the sections that have to be cut.

    Most sections fit, and encoding one as it will be embedded settles it: its blocks need no counts of their own.
    """
    likely: list[tuple[Section, Header]] = []
    others: list[Section] = []
    for section in sections:
        length = section.blocks[-1].end_char - section.blocks[0].start_char
        pages = {block.page for block in section.blocks}
        if any(section.definitions) or len(pages) > 1 or length > params.pack_tokens * LIKELY_CHARS_PER_TOKEN:
            others.append(section)
        else:
            likely.append((section, headers.of(section.path, without_own=section.is_opened)))
    counts = counter.token_counts([embedded_text(header.text, _text_of(text, section)) for section, header in likely])
    chunks: list[Chunk] = []
    for (section, header), token_count in zip(likely, counts, strict=True):
        if token_count > params.pack_tokens:
            others.append(section)
            continue
        units = tuple(Unit(block.start_char, block.end_char, block, block.kind) for block in section.blocks)
        chunks.append(_chunk(text, _Draft(section.path, header, units), token_count))
    return chunks, sorted(others, key=lambda section: section.blocks[0].start_char)


def _text_of(text: str, section: Section) -> str:
    return text[section.blocks[0].start_char : section.blocks[-1].end_char]


def _batches(sections: Iterable[Section]) -> Iterator[list[Section]]:
    batch: list[Section] = []
    for section in sections:
        batch.append(section)
        if section.blocks[-1].end_char - batch[0].blocks[0].start_char >= BATCH_CHARS:
            yield batch
            batch = []
    if batch:
        yield batch


def _runs(section: Section, tokens: TokenMap, params: ChunkParams) -> Iterator[_Run]:
    """Part the definitions of code: a large one alone under its own name, small neighbours together."""
    if not any(section.definitions):
        yield _Run(section.path, section.is_opened, tuple(section.blocks))
        return
    together: list[tuple[Block, str | None]] = []
    is_opened = section.is_opened
    for block, name in zip(section.blocks, section.definitions, strict=True):
        if name and tokens.count(block.start_char, block.end_char) >= params.min_tokens:
            if together:
                yield _small_run(section.path, is_opened, together)
            yield _Run((*section.path, name), True, (block,))
            together, is_opened = [], False
        else:
            together.append((block, name))
    if together:
        yield _small_run(section.path, is_opened, together)


def _small_run(path: tuple[str, ...], is_opened: bool, together: list[tuple[Block, str | None]]) -> _Run:
    blocks = tuple(block for block, _ in together)
    only_name = together[0][1] if len(together) == 1 else None
    return _Run((*path, only_name), True, blocks) if only_name else _Run(path, is_opened, blocks)


def _drafts(
    document: ParsedDocument, run: _Run, headers: Headers, tokens: TokenMap, params: ChunkParams
) -> Iterator[_Draft]:
    text = document.text
    full = headers.of(run.path)
    first = headers.of(run.path, without_own=run.is_opened)
    limit_tokens = params.max_tokens - max(first.token_count, full.token_count)
    named_limit_tokens = params.max_tokens - params.header_max_tokens if params.with_header else limit_tokens
    cutter = UnitCutter(text, tokens, document.language or DEFAULT_LANGUAGE, limit_tokens, named_limit_tokens)
    units = _units(run, cutter)
    above = contexts(text, units)

    @cache
    def header_at(index: int) -> Header:
        base = full if index else first
        if not above.get(index):
            return base
        unit = units[index]
        named = headers.with_lines(base, above[index])
        fits = tokens.count(unit.start_char, unit.end_char) <= params.max_tokens - named.token_count
        return named if fits else base

    for begin, stop in Packer(text, units, header_at, tokens, params).groups():
        yield _Draft(run.path, header_at(begin), tuple(units[begin:stop]))


def _units(run: _Run, cutter: UnitCutter) -> list[Unit]:
    """The units of all blocks; a heading is one unit with what follows it, so that it never ends a chunk."""
    units: list[Unit] = []
    for block in run.blocks:
        is_below_heading = len(units) == 1 and units[0].kind == "heading" and units[0].block.page == block.page
        parts = cutter.units(block)
        if not is_below_heading:
            units.extend(parts)
            continue
        heading = units[0]
        if not cutter.fits(heading.start_char, parts[0].end_char) and block.kind in _PROSE_KINDS:
            parts = cutter.parts(block)
        if cutter.fits(heading.start_char, parts[0].end_char):
            below = parts.pop(0)
            units = [Unit(heading.start_char, below.end_char, heading.block, block.kind, below.is_hard_split)]
        units.extend(parts)
    return units


def _counted(text: str, drafts: Sequence[_Draft], params: ChunkParams, counter: TokenCounter) -> Iterator[Chunk]:
    """Count header and text of every draft by direct encoding; cut again the rare one that is over."""
    counts = counter.token_counts(
        [embedded_text(draft.header.text, text[draft.start_char : draft.end_char]) for draft in drafts]
    )
    for draft, token_count in zip(drafts, counts, strict=True):
        if token_count <= params.max_tokens:
            yield _chunk(text, draft, token_count)
        else:
            yield from _counted(text, _halves(text, draft), params, counter)


def _halves(text: str, draft: _Draft) -> list[_Draft]:
    """Two drafts in place of one that is over the limit, parted between units where there are several."""
    middle = len(draft.units) // 2
    if middle:
        return [
            _Draft(draft.path, draft.header, draft.units[:middle]),
            _Draft(draft.path, draft.header, draft.units[middle:]),
        ]
    unit = draft.units[0]
    if unit.end_char - unit.start_char < 2:
        if not draft.header.text:
            raise ContractViolation(
                "The tokenizer makes more tokens of one character than a chunk may hold. Raise `chunking.max_tokens`.",
                start_char=unit.start_char,
            )
        return [_Draft(draft.path, NO_HEADER, draft.units)]
    cut = hard_cut(text, unit.start_char, (unit.start_char + unit.end_char + 1) // 2)
    spans = trimmed_spans(text, unit.start_char, unit.end_char, [cut])
    return [
        _Draft(
            draft.path,
            draft.header,
            (Unit(start, end, unit.block, unit.kind, unit.is_hard_split or end < unit.end_char),),
        )
        for start, end in spans
    ]


def _chunk(text: str, draft: _Draft, token_count: int) -> Chunk:
    first = draft.units[0]
    kinds = [unit.kind for unit in draft.units if unit.kind != "heading"]
    return Chunk(
        start_char=draft.start_char,
        end_char=draft.end_char,
        section_path=draft.path,
        header=draft.header.text,
        token_count=token_count,
        kind=kinds[0] if kinds else first.kind,
        page=first.block.page,
        line=line_at(text, first.block, first.start_char),
        is_hard_split=draft.units[-1].is_hard_split,
    )
