"""The context put before a chunk's text: title and section path.

Belongs here: which parts a header has, how it is shortened, and what it costs in tokens.
Does not belong here: the file name or address (a rename must change nothing that is embedded).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_pipeline.contracts.documents import HEADER_SEPARATOR
from rag_pipeline.contracts.tokens import TokenCounter
from rag_pipeline.transforms.chunk.context import shortened
from rag_pipeline.transforms.chunk.params import ChunkParams

PART_SEPARATOR = " > "
# Enough to know a heading by, where the whole does not fit.
SHORT_LINE_CHARS = 60
# Enough to know a column by, where the whole does not fit.
BRIEF_CELL_CHARS = 12


@dataclass(frozen=True, slots=True)
class Header:
    """A header and the tokens it takes with the separator behind it."""

    text: str
    token_count: int


NO_HEADER = Header("", 0)


class Headers:
    """Builds and remembers the headers of one document."""

    def __init__(self, title: str | None, params: ChunkParams, counter: TokenCounter) -> None:
        self._title = " ".join((title or "").split())
        self._params = params
        self._counter = counter
        self._known: dict[str, int] = {}

    def of(self, path: tuple[str, ...], *, without_own: bool = False) -> Header:
        """Title (unless the path begins with it) and path, within the header's limit.

        The oldest middle parts go first, then the title; a last part too long by itself is cut at a word.

        Args:
            without_own: Leave out the last part of the path, because the text itself begins with it.
        """
        if not self._params.with_header:
            return NO_HEADER
        parts = self._parts(path, without_own)
        while parts:
            text = PART_SEPARATOR.join(parts)
            token_count = self._count(text)
            if token_count <= self._params.header_max_tokens:
                return Header(text, token_count)
            if len(parts) > 1:
                del parts[1 if len(parts) > 2 else 0]
            else:
                parts = self._shortened(parts[0])
        return NO_HEADER

    def with_lines(self, header: Header, lines: Sequence[str]) -> Header:
        """The header with what a part of a list or table has to be told below it, outermost first.

        Too long together, the lines are shortened, then the middle ones go, then title and path before the
        nearest line; unchanged if that alone is too long.
        """
        if not lines or not self._params.with_header:
            return header
        above = [header.text] if header.text else []
        nearest = header.text.rpartition(PART_SEPARATOR)[2]
        few = [lines[0], lines[-1]] if len(lines) > 2 else [*lines]
        shorter = [shortened(line, SHORT_LINE_CHARS) for line in few]
        brief = [_brief_row(line) for line in few]
        variants = [[*above, *lines], [*above, *few], few, [nearest, *brief], brief]
        variants += [[*above, *shorter], [nearest, *shorter], shorter]
        for variant in [*variants, [lines[-1]], [shorter[-1]]]:
            text = "\n".join(line for line in variant if line)
            token_count = self._count(text)
            if token_count <= self._params.header_max_tokens:
                return Header(text, token_count)
        return header

    def prepare(self, paths: Iterable[tuple[str, ...]]) -> None:
        """Count the headers of many paths, with and without the last part, in one call."""
        if not self._params.with_header:
            return
        variants = {(path, without_own) for path in paths for without_own in (False, True)}
        texts = {PART_SEPARATOR.join(self._parts(*variant)) for variant in variants}
        unknown = sorted(text for text in texts if text and text not in self._known)
        counts = self._counter.token_counts([text + HEADER_SEPARATOR for text in unknown])
        self._known.update(zip(unknown, counts, strict=True))

    def _parts(self, path: tuple[str, ...], without_own: bool) -> list[str]:
        is_titled = not self._title or (path and path[0].casefold() == self._title.casefold())
        parts = [*path] if is_titled else [self._title, *path]
        return parts[:-1] if without_own else parts

    def _count(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = self._counter.token_counts([text + HEADER_SEPARATOR])[0]
        return self._known[text]

    def _shortened(self, part: str) -> list[str]:
        spans = self._counter.token_spans(part)
        room = min(self._params.header_max_tokens, len(spans) - 1)
        if room <= 0:
            return []
        cut = part[: spans[room][0]]
        at_word = cut.rstrip() if cut[-1:].isspace() else cut.rpartition(" ")[0].rstrip()
        return [shorter] if (shorter := at_word or cut) and len(shorter) < len(part) else []


def _brief_row(line: str) -> str:
    """A row of cells with each of them cut short; any other line as it is."""
    mark = "\t" if "\t" in line else " | "
    if mark not in line:
        return line
    return mark.join(shortened(cell, BRIEF_CELL_CHARS) for cell in line.split(mark))
