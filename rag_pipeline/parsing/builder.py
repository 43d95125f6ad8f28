"""Two ways to make a ParsedDocument: compose its text block by block, or mark spans in a given text.

Belongs here: keeping spans exact, ordered, trimmed and apart.
Does not belong here: any format.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument

# Part of every parser's recipe, like decode.VERSION.
VERSION = "1"

BLOCK_SEPARATOR = "\n\n"
# A label is one line of a heading path.
MAX_LABEL_CHARS = 300


def one_line(text: str) -> str:
    """`text` with every run of white space as one space, at most MAX_LABEL_CHARS long: fit for a label."""
    return " ".join(text[: MAX_LABEL_CHARS * 4].split())[:MAX_LABEL_CHARS].rstrip()


class TextBuilder:
    """Composes a document's text from blocks, for formats whose bytes are not text themselves."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []

    @property
    def length_chars(self) -> int:
        """Characters of text so far."""
        return self._length

    @property
    def is_empty(self) -> bool:
        """Whether no text has been added yet."""
        return not self._length

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks added so far."""
        return tuple(self._blocks)

    def add(
        self,
        kind: BlockKind,
        text: str,
        level: int = 0,
        label: str | None = None,
        page: int | None = None,
        line: int | None = None,
        holds_lines: bool = False,
    ) -> None:
        """Append one block after a blank line; a block of white space only is left out.

        Surrounding white space is trimmed, but the indentation of the first line is kept before the
        block's span, so that code reads as it stands. A heading without a label gets its own text as one.

        Args:
            holds_lines: Each line of `text` is one line of the file, from `line` on.
        """
        body = text.strip()
        if not body:
            return
        lead = text[: len(text) - len(text.lstrip())].rpartition("\n")[2] if kind == "code" else ""
        before = (BLOCK_SEPARATOR if self._length else "") + lead
        start = self._length + len(before)
        self._pieces += (before, body)
        self._length = start + len(body)
        if kind == "heading":
            level = max(1, level)
            label = one_line(label or body)
        self._blocks.append(Block(kind, start, self._length, level, label, page, line, holds_lines or line is None))

    def mark_picture(self, caption: str = "", page: int | None = None) -> None:
        """Append a block without text where a picture stands; see `parsing/pictures.py`."""
        self._blocks.append(Block("picture", self._length, self._length, label=one_line(caption) or None, page=page))

    def build(
        self,
        title: str | None = None,
        author: str | None = None,
        language: str | None = None,
        metadata: Mapping[str, str] | None = None,
        quality: Mapping[str, float] | None = None,
        part: str = "",
    ) -> ParsedDocument:
        """The document so far. It may be empty: `registry.parse` refuses empty documents for all formats."""
        return ParsedDocument(
            text="".join(self._pieces),
            blocks=tuple(self._blocks),
            title=one_line(title) or None if title else None,
            author=one_line(author) or None if author else None,
            language=language,
            metadata=dict(metadata or {}),
            quality=dict(quality or {}),
            part=part,
        )


class LineTable:
    """Character offsets of the lines of a text that has only `\\n` as line end.

    Attributes:
        lines: The lines without their ends; a final line end makes no further, empty line.
        starts: Offset of each line's first character, and one past the text at the end.
    """

    __slots__ = ("lines", "starts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        if self.lines[-1] == "":
            self.lines.pop()
        self.starts = list(accumulate((len(line) + 1 for line in self.lines), initial=0))

    def line_of(self, char: int) -> int:
        """Number, from 0, of the line that holds the character at offset `char`."""
        return min(bisect_right(self.starts, char) - 1, max(0, len(self.lines) - 1))

    def block(
        self,
        kind: BlockKind,
        first: int,
        end: int,
        level: int = 0,
        label: str | None = None,
        line_offset: int = 0,
    ) -> Block | None:
        """Block of the lines `[first, end)`, trimmed; None if they are blank.

        Args:
            line_offset: Lines of the original file before this text (cut-off front matter).
        """
        while first < end and not self.lines[first].strip():
            first += 1
        stop = min(self.starts[end], len(self.text)) if end < len(self.starts) else len(self.text)
        span = trimmed(self.text, self.starts[first], stop)
        if span is None:
            return None
        return Block(kind, span[0], span[1], level, label, None, first + 1 + line_offset)

    def blocks(self, of_line: Callable[[int], tuple[int, BlockKind, int, str | None]]) -> list[Block]:
        """Blocks of all lines, those that are blank between two of them left out.

        Args:
            of_line: For the line at which a block begins: the line after it, its kind, level and label.
        """
        found: list[Block] = []
        number = 0
        while number < len(self.lines):
            if not self.lines[number].strip():
                number += 1
                continue
            end, kind, level, label = of_line(number)
            block = self.block(kind, number, end, level, label)
            if block:
                found.append(block)
            number = end
        return found


def trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span `[start, end)` of `text` without surrounding white space; None if nothing is left."""
    piece = text[start:end]
    body = piece.strip()
    if not body:
        return None
    start += len(piece) - len(piece.lstrip())
    return start, start + len(body)
