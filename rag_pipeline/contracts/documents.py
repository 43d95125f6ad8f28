"""The values that pass between parser and chunker: parsed documents, blocks and chunks.

Belongs here: plain frozen dataclasses of the standard library, cheap to import in a worker process.
Does not belong here: table schemas (`tables.py`) or any logic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal[
    "heading",
    "paragraph",
    "list",
    "table",
    "code",
    "definition",
    "quote",
    "html",
    "cue",
    "record",
    "field",
    "picture",
]

# Kinds whose wording can be boilerplate; in tables, code and records equal values are data.
REPEATABLE_KINDS: frozenset[BlockKind] = frozenset({"paragraph", "quote", "html", "list", "picture"})


@dataclass(frozen=True, slots=True)
class Block:
    """The smallest parsed unit: the half-open span `[start_char, end_char)` of the document's text.

    A picture's span is what was read from it; where nothing was, it is empty and says where the picture stands.

    Blocks are in document order and do not overlap; between them is only white space (or text that the
    parser assigns to no block, which the chunker treats as part of the block before it).

    Attributes:
        level: Heading depth from 1 for headings (definitions in code use it for nesting), else 0.
        label: Plain text of a heading; qualified name of a definition; speaker of a cue; what is said of a picture;
            else None.
        page: Page (slide, sheet) number counted from 1, where the format has pages.
        line: Line in the original file (row in a sheet) that the block begins in, counted from 1, where that is known.
        holds_lines: Whether each line of the block's text is one line of the file, from `line` on. Text that a
            parser composed does not: only where it begins is known.
    """

    kind: BlockKind
    start_char: int
    end_char: int
    level: int = 0
    label: str | None = None
    page: int | None = None
    line: int | None = None
    holds_lines: bool = True


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture within a document; the first of them is that of the first block of kind `picture`, and so on.

    Attributes:
        media_type: By its bytes; `application/octet-stream` where they do not tell.
        width, height: In pixels; 0 where they are not told.
        size_bytes: Of the picture as the file holds it.
        content_hash: SHA-256 of the same; in a PDF, of the stream.
    """

    media_type: str
    width: int
    height: int
    size_bytes: int
    content_hash: str


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """One document, as a parser makes it of a source object's bytes.

    Most objects hold one document (`part` is ""); a file of records, a mailbox or a mail with
    attachments holds several, each with a `part` that stays the same when its neighbours change.

    Attributes:
        text: The document as clean text, line ends `\\n`, Unicode normal form C.
        blocks: Its structure, in order.
        title: The title the content itself gives (front matter, first heading, title element), never one
            made from the address, so that a rename changes nothing that is embedded.
        author: As the content gives it.
        language: ISO 639-1 code, where it could be told.
        metadata: Further facts the content gives, as strings.
        quality: Named parts of the quality score, each in [0, 1], higher is better.
        block_hashes: Hashes of the blocks and sections that could be boilerplate, ascending.
        pictures: One for each block of kind `picture`, in their order.
    """

    text: str
    blocks: tuple[Block, ...]
    title: str | None = None
    author: str | None = None
    language: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    part: str = ""
    block_hashes: tuple[int, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One span of a document, as cut by the chunker: `text == document.text[start_char:end_char]`.

    Attributes:
        section_path: Headings from the root to this chunk's section, plain text.
        header: Context put before the text for embedding and full-text search; may be empty.
        token_count: Tokens of header and text together as the model's tokenizer counts them, without
            the model's own special tokens.
        page: Page of the chunk's first character, from 1, or None.
        line: Line of the original file (row of a sheet) in which the chunk's text begins, from 1, or None.
        is_hard_split: The chunk ends inside a unit that alone was over the limit.
    """

    start_char: int
    end_char: int
    section_path: tuple[str, ...]
    header: str
    token_count: int
    kind: BlockKind
    page: int | None = None
    line: int | None = None
    is_hard_split: bool = False


HEADER_SEPARATOR = "\n\n"


def embedded_text(header: str, text: str) -> str:
    """Exactly what the model and the full-text index see of a chunk."""
    return f"{header}{HEADER_SEPARATOR}{text}" if header else text


def header_with(header: str, context: str) -> str:
    """A header with a sentence that situates the chunk, as its last paragraph: no other part of a header is one."""
    return f"{header}{HEADER_SEPARATOR}{context}"


def own_header(header: str) -> str:
    """What `header_with` was given."""
    return header.rpartition(HEADER_SEPARATOR)[0]


def context_in(header: str) -> str:
    """The sentence in a header; empty: there is none."""
    return header.rpartition(HEADER_SEPARATOR)[2] if HEADER_SEPARATOR in header else ""


def place_named(page: int | None, line: int | None) -> str:
    """A place for a person: `page 3`, `line 12`, or `sheet 2, row 57`, as only spreadsheets have both; else empty."""
    if page and line:
        return f"sheet {page}, row {line}"
    return f"page {page}" if page else f"line {line}" if line else ""
