"""Rich Text Format: paragraphs, headings, lists and tables out of control words.

Belongs here: what the tokens of RTF 1.9 (`rtf_tokens`) mean, as far as text and structure go. Pictures, objects and
every destination marked as optional are left out, comments excepted; what no reader sees is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import ParseLimits, check_count
from rag_pipeline.parsing.office.rtf_header import (
    decoded,
    font_encodings,
    is_codec,
    letter,
    style_levels,
    white_colours,
)
from rag_pipeline.parsing.office.rtf_tokens import tokens
from rag_pipeline.parsing.office.running_lines import saying_lines
from rag_pipeline.parsing.raised import Piece, Shift, joined
from rag_pipeline.parsing.tabular import table_lines
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "6"

# Word writes dozens; what is deeper is made to exhaust readers.
MAX_DEPTH = 2_000
# In half points: a point is too small to be read.
MAX_UNSEEN_SIZE = 2
_SKIPPED = frozenset(
    b"fonttbl colortbl stylesheet listtable listoverridetable rsidtbl generator info pict object "
    b"shprslt xmlnstbl themedata colorschememapping datastore "
    b"latentstyles fldinst nonshppict bkmkstart bkmkend pgdsctbl filetbl revtbl mmathPr atnid sp xe tc "
    b"atnauthor ftnsep ftnsepc aftnsep aftnsepc pntxta pntxtb htmltag mhtmltag".split()
)
_SIGNS = {
    b"tab": "\t",
    b"line": "\n",
    b"emdash": "—",
    b"endash": "\u2013",
    b"bullet": "•",
    b"lquote": "\u2018",
    b"rquote": "\u2019",
    b"ldblquote": "“",
    b"rdblquote": "”",
    b"emspace": " ",
    b"enspace": " ",
    b"qmspace": " ",
}
_MARGINS = frozenset(b"header footer headerl headerr headerf footerl footerr footerf".split())
_READ_THOUGH_OPTIONAL = frozenset({b"shppict", b"shptxt", b"shpinst", b"annotation", b"do"})
_LOOKS = frozenset(
    b"v deleted strike striked cf fs cb highlight chcbpat cbpat clcbpat super sub nosupersub up dn".split()
)
_MACHINES = {b"mac": "mac_roman", b"pc": "cp437", b"pca": "cp850"}
# All words that are looked at once a group has begun; four in five are others.
_KNOWN = _LOOKS.union(
    _SIGNS,
    _MACHINES,
    b"u uc ansicpg f plain par sect page column cell nestcell row nestrow".split(),
    b"pard s outlinelevel ls pn listtext pntext intbl".split(),
)  # fmt: skip
_TITLE = re.compile(rb"\{\\title ([^{}\\]{1,300})\}")
_AUTHOR = re.compile(rb"\{\\author ([^{}\\]{1,300})\}")


@dataclass(frozen=True, slots=True)
class _State:
    """What a group inherits and restores."""

    is_skipped: bool = False
    fallback_chars: int = 1
    encoding: str = "cp1252"
    shift: Shift = ""
    is_hidden: bool = False
    is_struck: bool = False
    is_white: bool = False
    is_tiny: bool = False
    is_shaded: bool = False

    @property
    def cause(self) -> str:
        """Why a reader does not see the text; "" for what is seen."""
        if self.is_hidden:
            return "run"
        return (
            "deletion" if self.is_struck else "style" if self.is_tiny or (self.is_white and not self.is_shaded) else ""
        )


def parse_rtf(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """As `rtf_document` gives it."""
    return [rtf_document(raw, context.address, context.limits)]


def rtf_document(raw: bytes, address: str, limits: ParseLimits) -> ParsedDocument:
    """The document's text.

    Raises:
        LimitExceeded: More text than allowed.
        UnparsableDocument: Not RTF, or its groups are nested absurdly.
    """
    if not raw.lstrip()[:5] == b"{\\rtf":
        raise UnparsableDocument(f"{address}: not Rich Text Format, whatever its name says.", address=address)
    reader = _Reader(raw, address)
    reader.run()
    check_count(reader.builder.length_chars, limits.max_text_chars, "characters of text", address)
    title, author = _TITLE.search(raw), _AUTHOR.search(raw)
    return reader.builder.build(
        title=(title.group(1).decode("cp1252", "replace") if title else None) or reader.title,
        author=author.group(1).decode("cp1252", "replace") if author else None,
        metadata=hidden_counts(reader.hidden),
    )


class _Reader:
    """Runs through the tokens and adds blocks to `builder`."""

    def __init__(self, raw: bytes, address: str) -> None:
        self.builder = TextBuilder()
        self.title: str | None = None
        self.hidden: Counter[str] = Counter()
        self._raw = raw
        self._address = address
        self._levels = style_levels(raw)
        self._fonts = font_encodings(raw)
        self._default_encoding = "cp1252"
        self._state = _State()
        self._stack: list[_State] = []
        self._text: list[Piece] = []
        self._whites = white_colours(raw)
        self._bytes = bytearray()
        self._to_skip = 0
        self._level = 0
        self._is_item = self._in_table = False
        self._row: list[str] = []
        self._rows: list[list[str]] = []
        self._items: list[str] = []
        # Depth of the note or comment being read, and the text it interrupts.
        self._note_depth = 0
        self._interrupted: list[Piece] = []
        self._notes: list[str] = []
        # Heads and feet, which come once, last.
        self._is_margin = False
        self._margins: list[str] = []

    def run(self) -> None:
        is_first = is_optional = False
        for word, number, code, symbol, brace, text in tokens(self._raw):
            if brace:
                self._brace(brace)
                is_first, is_optional = brace == b"{", False
                continue
            if symbol == b"*" and is_first:
                is_optional = True
                continue
            if word:
                if is_first:
                    self._destination(word, is_optional=is_optional)
                self._word(word, int(number) if number else None)
            elif code:
                self._byte(int(code, 16))
            elif symbol:
                self._symbol(symbol)
            elif text:
                self._plain(text)
            is_first = is_optional = False
        self._end_note()
        self._in_table = False
        self._end_paragraph()
        self._end_table()
        self._end_list()
        for line in saying_lines(self._margins):
            self.builder.add("paragraph", line)

    def _destination(self, word: bytes, *, is_optional: bool) -> None:
        """Takes in where the text of a group goes, by its first word."""
        if (is_optional or word in _SKIPPED) and word not in _READ_THOUGH_OPTIONAL:
            self._flush_bytes()
            self._set("is_skipped", True)
        elif word in (b"footnote", b"annotation"):
            self._begin_note(b"Comment: " if word == b"annotation" else b"")
        elif word in _MARGINS and not self._note_depth:
            self._begin_note(b"")
            self._is_margin = True

    def _begin_note(self, opening: bytes) -> None:
        if not self._note_depth and not self._state.is_skipped:
            self._flush_bytes()
            self._note_depth, self._interrupted, self._text = len(self._stack), self._text, []
            self._bytes += opening

    def _end_note(self) -> None:
        if self._note_depth:
            (self._margins if self._is_margin else self._notes).append(self._taken().replace("\n", " "))
            self._text, self._note_depth, self._is_margin = self._interrupted, 0, False

    def _brace(self, brace: bytes) -> None:
        self._flush_bytes()
        if brace == b"{":
            if len(self._stack) >= MAX_DEPTH:
                raise UnparsableDocument(f"{self._address}: groups nested too deeply.", address=self._address)
            self._stack.append(self._state)
        elif self._stack:
            if len(self._stack) == self._note_depth:
                self._end_note()
            self._state = self._stack.pop()
        self._to_skip = 0

    def _word(self, word: bytes, number: int | None) -> None:
        if word in _KNOWN:
            self._known_word(word, number)

    def _known_word(self, word: bytes, number: int | None) -> None:
        if word == b"u" and number is not None:
            self._flush_bytes()
            if not self._state.is_skipped:
                self._append(letter(number % 65536, self._state.encoding))
            self._to_skip = self._state.fallback_chars
        elif word == b"uc":
            self._set("fallback_chars", min(number or 0, 8))
        elif word == b"ansicpg":
            self._default_encoding = f"cp{number}" if is_codec(f"cp{number}") else "cp1252"
            self._set("encoding", self._default_encoding)
        elif word == b"f":
            self._flush_bytes()
            self._set("encoding", self._fonts.get(number or 0) or self._default_encoding)
        elif word in _LOOKS:
            self._flush_bytes()
            self._look(word, number)
        elif word == b"plain":
            self._flush_bytes()
            kept = self._state
            self._state = _State(kept.is_skipped, kept.fallback_chars, self._default_encoding)
        elif word in _MACHINES:
            self._default_encoding = _MACHINES[word]
            self._set("encoding", self._default_encoding)
        elif not self._state.is_skipped:
            self._flush_bytes()
            self._structure(word, number)

    def _set(self, name: str, value: bool | int | str) -> None:
        # Programs say again and again what is so already.
        if getattr(self._state, name) != value:
            self._state = replace(self._state, **{name: value})  # type: ignore[arg-type]

    def _look(self, word: bytes, number: int | None) -> None:
        """Takes in how text looks from here on."""
        is_on = number != 0
        if word == b"v":
            self._set("is_hidden", is_on)
        elif word in (b"deleted", b"strike", b"striked"):
            self._set("is_struck", is_on)
        elif word == b"cf":
            self._set("is_white", (number or 0) in self._whites)
        elif word == b"fs":
            self._set("is_tiny", (number or MAX_UNSEEN_SIZE + 1) <= MAX_UNSEEN_SIZE)
        elif word in (b"cb", b"highlight", b"chcbpat", b"cbpat", b"clcbpat"):
            self._set("is_shaded", bool(number))
        else:
            shift: Shift = "sup" if word in (b"super", b"up") else "sub" if word in (b"sub", b"dn") else ""
            self._set("shift", shift if is_on else "")

    def _structure(self, word: bytes, number: int | None) -> None:
        if word in _SIGNS:
            self._append(_SIGNS[word])
        elif self._note_depth:
            if word == b"par":
                self._append(" ")
        elif word in (b"par", b"sect", b"page", b"column"):
            self._end_paragraph()
        elif word in (b"cell", b"nestcell"):
            self._row.append(self._taken())
        elif word in (b"row", b"nestrow"):
            self._rows.append(self._row)
            self._row = []
        else:
            self._paragraph_property(word, number)

    def _paragraph_property(self, word: bytes, number: int | None) -> None:
        if word == b"pard":
            self._level, self._is_item, self._in_table = 0, False, False
        elif word == b"s":
            self._level = self._levels.get(number or 0, 0)
        elif word == b"outlinelevel":
            self._level = (number or 0) + 1 if (number or 0) < 6 else 0
        elif word in (b"ls", b"pn"):
            self._is_item = number != 0
        elif word in (b"listtext", b"pntext"):
            self._is_item = True
            self._set("is_skipped", True)
        elif word == b"intbl":
            self._in_table = True

    def _byte(self, value: int) -> None:
        if self._to_skip:
            self._to_skip -= 1
        elif not self._state.is_skipped:
            self._bytes.append(value)

    def _plain(self, text: bytes) -> None:
        if self._to_skip:
            skipped = min(self._to_skip, len(text))
            text, self._to_skip = text[skipped:], self._to_skip - skipped
        if not self._state.is_skipped:
            self._bytes += text

    def _symbol(self, symbol: bytes) -> None:
        if symbol in b"\\{}":
            self._plain(symbol)
        elif symbol == b"~":
            self._plain(b" ")
        elif symbol == b"_":
            self._plain(b"-")
        elif symbol in b"\r\n" and not self._state.is_skipped and not self._note_depth:
            self._flush_bytes()
            self._end_paragraph()

    def _flush_bytes(self) -> None:
        if self._bytes:
            self._append(decoded(bytes(self._bytes), self._state.encoding))
            self._bytes.clear()

    def _append(self, text: str) -> None:
        cause = self._state.cause
        if cause == "style" and self._in_table:
            # A cell may have a colour of its own.
            cause = ""
        if cause:
            self.hidden[cause] += bool(text.strip())
        else:
            self._text.append((text, self._state.shift))

    def _taken(self) -> str:
        self._flush_bytes()
        # Characters beyond the first plane are written as two halves.
        text = joined(self._text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self._text.clear()
        lines = (" ".join(line.split()) for line in clean_text(text).split("\n"))
        return "\n".join(line for line in lines if line)

    def _end_paragraph(self) -> None:
        if self._in_table:
            self._append(" ")
            return
        text = self._taken()
        self._end_table()
        if text:
            self._add(text)
        if self._notes:
            self._end_list()
            for note in self._notes:
                self.builder.add("paragraph", note)
            self._notes = []

    def _add(self, text: str) -> None:
        if self._level:
            self._end_list()
            self.title = self.title or (text.replace("\n", " ") if self._level == 1 else None)
            self.builder.add("heading", text.replace("\n", " "), level=self._level)
        elif self._is_item:
            self._items.append("- " + text.replace("\n", "\n  "))
        else:
            self._end_list()
            self.builder.add("paragraph", text)

    def _end_table(self) -> None:
        if self._row:
            self._rows.append(self._row)
        if self._rows:
            self._end_list()
            self.builder.add("table", "\n".join(table_lines(self._rows)))
        self._row, self._rows = [], []

    def _end_list(self) -> None:
        if self._items:
            self.builder.add("list", "\n".join(self._items))
            self._items = []
