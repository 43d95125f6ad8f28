"""Word and PowerPoint files of 1997 to 2003 (DOC, PPT): their text, headings and slides.

Belongs here: the two binary formats, as far as text goes. Does not belong here: the container (`ole`).
Sources: Microsoft's [MS-DOC] (piece table, paragraph properties) and [MS-PPT] (records, persist directory).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EncryptedDocument, UnparsableDocument, UnsupportedMediaType
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.legacy.ole import OleFile
from rag_pipeline.parsing.legacy.word97_looks import PAGE_BYTES, CharacterLooks, readable
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.office.running_lines import saying_lines
from rag_pipeline.parsing.tabular import table_lines
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "5"

# What stands for cells, fields and pictures is no character that anybody wrote.
_OWN_MARKS = re.compile("[\x00-\x08\x0e-\x1f]")
_FIELD_CODE = re.compile(r"\x13[^\x13\x14\x15]*(?:\x14|(?=\x15))")
_MARKS = re.compile(r"[\x01-\x06\x08\x14\x15\x1f\xad]|\x13")


def parse_doc(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The text of a DOC or PPT file.

    Raises:
        EncryptedDocument: A password is needed.
        LimitExceeded: More text than allowed.
        UnparsableDocument: The file is damaged.
        UnsupportedMediaType: Neither Word nor PowerPoint, or older than 1997.
    """
    container = OleFile(raw, context.address)
    try:
        if "WordDocument" in container.streams:
            document = _word(container, context.address)
        elif "PowerPoint Document" in container.streams:
            document = _presentation(container, context.address)
        else:
            raise UnsupportedMediaType(
                f"{context.address}: neither a Word nor a PowerPoint file. Save it in a current format.",
                address=context.address,
            )
    except (struct.error, IndexError):
        raise UnparsableDocument(
            f"{context.address}: the file is damaged. Open it in its application and save it in the current format.",
            address=context.address,
        ) from None
    check_count(len(document.text), context.limits.max_text_chars, "characters of text", context.address)
    return [document]


def _refuse_encrypted(address: str) -> EncryptedDocument:
    return EncryptedDocument(
        f"{address}: the document is protected by a password. Remove the password or exclude it.", address=address
    )


def _word(container: OleFile, address: str) -> ParsedDocument:
    main = container.read("WordDocument")
    version, flags = struct.unpack_from("<H", main, 2)[0], struct.unpack_from("<H", main, 10)[0]
    if flags & 0x0100:
        raise _refuse_encrypted(address)
    if version < 0xC1:
        raise UnsupportedMediaType(
            f"{address}: a Word file from before 1997. Save it in a current format.", address=address
        )
    table = container.read("1Table" if flags & 0x0200 else "0Table")
    looks = CharacterLooks(main, table)
    whole, offsets = _pieces(main, table, looks)
    text, asides, margins = _stories(whole, main)
    styles = _ParagraphStyles(main, table)
    builder = TextBuilder()
    title: str | None = None
    row: list[str] = []
    rows: list[list[str]] = []
    for paragraph, position in _paragraphs(text):
        body = _body(paragraph)
        if paragraph.endswith("\x07"):
            # A cell ends with this mark; an empty one right after the last cell ends the row.
            if len(paragraph) > 1 or not row:
                row.append(body)
            else:
                rows.append(row)
                row = []
            continue
        if rows:
            builder.add("table", "\n".join(table_lines(rows)))
            rows = []
        level = styles.heading_level(offsets.file_offset(position))
        if level and body:
            title = title or (body if level == 1 else None)
            builder.add("heading", " ".join(body.split()), level=level)
        else:
            builder.add("paragraph", body)
    rows += [row] if row else []
    builder.add("table", "\n".join(table_lines(rows)))
    for paragraph, _ in _paragraphs(asides):
        builder.add("paragraph", _body(paragraph))
    # Once, last, as in newer files.
    for line in saying_lines(_body(paragraph) for paragraph, _ in _paragraphs(margins)):
        builder.add("paragraph", line)
    return builder.build(title=title, metadata=hidden_counts(looks.hidden))


def _body(paragraph: str) -> str:
    text = readable(_MARKS.sub("", _FIELD_CODE.sub("", paragraph)))
    if not text.isprintable():
        text = _OWN_MARKS.sub("", text)
    return clean_text(text).strip().rstrip("\x07").strip()


def _stories(whole: str, main: bytes) -> tuple[str, str, str]:
    """The main story; footnotes, comments, endnotes and text boxes, which follow it in the file; heads and feet."""
    lengths = struct.unpack_from("<8I", main, 0x4C)
    starts = [sum(lengths[:index]) for index in range(len(lengths) + 1)]
    # 2 and 7 are headers and footers with their text boxes, 3 holds macros of old.
    asides, margins = (
        "\r".join(whole[starts[index] : starts[index + 1]] for index in group) for group in ((1, 4, 5, 6), (2, 7))
    )
    return whole[: starts[1]], asides, margins


def _paragraphs(text: str) -> Iterator[tuple[str, int]]:
    """(paragraph without its line end, position of its last character)."""
    for match in re.finditer(r"[^\r\x07\x0c]*(?:\x07|[\r\x0c]|$)", text):
        if match.group():
            yield match.group().rstrip("\r\x0c").replace("\x0b", "\n").replace("\x1e", "-"), match.end() - 1


@dataclass(slots=True)
class _Offsets:
    """Where in the file the characters of the text stand."""

    starts: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)

    def file_offset(self, position: int) -> int:
        index = max(0, bisect_right(self.starts, position) - 1)
        return self.files[index] + (position - self.starts[index]) * self.widths[index] if self.files else 0


def _pieces(main: bytes, table: bytes, looks: CharacterLooks) -> tuple[str, _Offsets]:
    """The document's whole text by its piece table, as a reader sees it."""
    start, size = struct.unpack_from("<II", main, 0x01A2)
    clx = table[start : start + size]
    position = 0
    while position < len(clx) and clx[position] == 1:
        position += 3 + struct.unpack_from("<H", clx, position + 1)[0]
    if position >= len(clx) or clx[position] != 2:
        raise IndexError
    pieces = clx[position + 5 :]
    count = (len(pieces) - 4) // 12
    bounds = struct.unpack_from(f"<{count + 1}I", pieces)
    all_chars = sum(struct.unpack_from("<8I", main, 0x4C))
    parts: list[str] = []
    offsets = _Offsets()
    length = 0
    for index in range(count):
        chars = min(bounds[index + 1], all_chars) - bounds[index]
        if chars <= 0:
            continue
        packed = struct.unpack_from("<I", pieces, 4 * (count + 1) + 8 * index + 2)[0]
        is_narrow = bool(packed & 0x40000000)
        offset = packed & 0x3FFFFFFF
        if is_narrow:
            part = main[offset // 2 : offset // 2 + chars].decode("cp1252", "replace")
        else:
            part = main[offset : offset + 2 * chars].decode("utf-16-le", "replace")
        offsets.starts.append(length)
        offsets.files.append(offset // 2 if is_narrow else offset)
        offsets.widths.append(1 if is_narrow else 2)
        parts.append(looks.seen(part, offsets.files[-1], offsets.widths[-1]))
        length += len(part)
    return "".join(parts), offsets


class _ParagraphStyles:
    """Style numbers of paragraphs by file offset; the first nine are the built-in headings."""

    def __init__(self, main: bytes, table: bytes) -> None:
        self._ends: list[int] = []
        self._styles: list[int] = []
        start, size = struct.unpack_from("<II", main, 0x0102)
        count = max(0, (size - 4) // 8)
        if start + 4 * (2 * count + 1) > len(table):
            return
        for number in struct.unpack_from(f"<{count}I", table, start + 4 * (count + 1)):
            page = main[(number & 0x3FFFFF) * PAGE_BYTES :][:PAGE_BYTES]
            if len(page) == PAGE_BYTES:
                self._read_page(page)

    def heading_level(self, offset: int) -> int:
        """Heading depth, from 1, of the paragraph that holds the byte at `offset`; 0 for none."""
        index = bisect_right(self._ends, offset)
        style = self._styles[index] if index < len(self._styles) else 0
        return min(style, 6) if 1 <= style <= 9 else 0

    def _read_page(self, page: bytes) -> None:
        runs = page[-1]
        if 4 * (runs + 1) + 13 * runs > PAGE_BYTES:
            return
        ends = struct.unpack_from(f"<{runs}I", page, 4)
        for index in range(runs):
            at = 2 * page[4 * (runs + 1) + 13 * index]
            style = 0
            if at and at + 4 <= PAGE_BYTES:
                at += 1 if page[at] else 2
                style = struct.unpack_from("<H", page, at)[0]
            if not self._ends or ends[index] > self._ends[-1]:
                self._ends.append(ends[index])
                self._styles.append(style)


_SLIDE_LIST, _SLIDE_PERSIST, _TEXT_TYPE, _WIDE_TEXT, _NARROW_TEXT = 4080, 1011, 3999, 4000, 4008
_SLIDE_INFO, _IS_HIDDEN = 1017, 0x4
_OUTLINE_REFERENCE, _PERSIST_DIRECTORY, _NOTES_ATOM, _USER_EDIT = 3998, 6002, 1009, 4085
_TITLE_TYPES = frozenset({0, 6})
# TextTypeEnum of notes ([MS-PPT] 2.13.33).
_NOTES_TYPE = 2
# Containers within containers; a circle ends here.
MAX_RECORD_DEPTH = 40
_RECORD_HEAD = struct.Struct("<HHI")


def _records(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(type, instance, start, end) of all records below, containers before their members."""
    # Where to go on behind each container that is open: generators within generators take several times as long.
    waiting: list[tuple[int, int]] = []
    while True:
        if start + 8 > end:
            if not waiting:
                return
            start, end = waiting.pop()
            continue
        head, kind, size = _RECORD_HEAD.unpack_from(data, start)
        first = start + 8
        stop = min(first + size, end)
        yield kind, head >> 4, first, stop
        if head & 0xF == 0xF and len(waiting) < MAX_RECORD_DEPTH:
            waiting.append((stop, end))
            start, end = first, stop
        else:
            start = stop


def _texts(data: bytes, start: int, end: int, outline: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """(text type, text) of the texts in a record, those of the outline looked up."""
    found: list[tuple[int, str]] = []
    text_type = -1
    for kind, _, first, stop in _records(data, start, end):
        if kind == _TEXT_TYPE:
            text_type = struct.unpack_from("<I", data, first)[0]
        elif kind in (_WIDE_TEXT, _NARROW_TEXT):
            encoding = "utf-16-le" if kind == _WIDE_TEXT else "latin-1"
            found.append((text_type, data[first:stop].decode(encoding, "replace")))
        elif kind == _OUTLINE_REFERENCE:
            index = struct.unpack_from("<I", data, first)[0]
            if index < len(outline):
                found.append(outline[index])
    return found


@dataclass(slots=True)
class _SlideEntry:
    persist_id: int
    slide_id: int
    outline: list[tuple[int, str]] = field(default_factory=list)


def _presentation(container: OleFile, address: str) -> ParsedDocument:
    if b"\xdf\xc4\xd1\xf3" in container.read("Current User")[:24]:
        raise _refuse_encrypted(address)
    data = container.read("PowerPoint Document")
    offsets: dict[int, int] = {}
    slides: list[_SlideEntry] = []
    notes: dict[int, list[tuple[int, str]]] = {}
    for kind, instance, start, end in _records(data, 0, len(data)):
        if kind == _PERSIST_DIRECTORY:
            offsets.update(_persisted(data, start, end))
        elif kind == _SLIDE_LIST and instance == 0:
            slides = list(_listed(data, start, end))
        elif kind == _NOTES_ATOM:
            # The atom opens its container, so the container's other records follow it.
            slide_id = struct.unpack_from("<I", data, start)[0]
            size = struct.unpack_from("<I", data, start - 12)[0]
            notes[slide_id] = _texts(data, end, min(start - 8 + size, len(data)), [])
    builder = TextBuilder()
    title: str | None = None
    hidden: Counter[str] = Counter()
    for number, slide in enumerate(slides, 1):
        texts = slide.outline
        at = offsets.get(slide.persist_id)
        if at is not None and at + 8 <= len(data):
            size = struct.unpack_from("<I", data, at + 4)[0]
            if _is_left_out(data, at + 8, min(at + 8 + size, len(data))):
                hidden["slide"] += 1
                continue
            # Older files keep the outline's texts only in the list, newer ones refer to it.
            own = _texts(data, at + 8, min(at + 8 + size, len(data)), slide.outline)
            texts = [text for text in slide.outline if text not in own] + own
        texts = texts + [text for text in notes.get(slide.slide_id, []) if text[0] == _NOTES_TYPE]
        title = title or next((_lines(text)[0] for kind, text in texts if kind in _TITLE_TYPES and _lines(text)), None)
        _add_slide(builder, texts, number)
    return builder.build(title=title, metadata={"slides": str(len(slides))} | hidden_counts(hidden))


def _is_left_out(data: bytes, start: int, end: int) -> bool:
    """Whether the show leaves a slide out."""
    for kind, _, first, stop in _records(data, start, end):
        if kind == _SLIDE_INFO and stop - first >= 12:
            return bool(struct.unpack_from("<H", data, first + 10)[0] & _IS_HIDDEN)
    return False


def _add_slide(builder: TextBuilder, texts: list[tuple[int, str]], number: int) -> None:
    for kind, text in sorted(texts, key=lambda item: item[0] not in _TITLE_TYPES):
        lines = _lines(text)
        if not lines or lines == ["*"]:
            continue
        if kind in _TITLE_TYPES:
            builder.add("heading", " ".join(lines), level=1, page=number)
        elif len(lines) > 1:
            builder.add("list", "\n".join(f"- {line}" for line in lines), page=number)
        else:
            builder.add("paragraph", lines[0], page=number)


def _lines(text: str) -> list[str]:
    lines = (" ".join(clean_text(line).split()) for line in re.split(r"[\r\n\x0b]", text))
    return [line for line in lines if line]


def _persisted(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start + 4 <= end:
        packed = struct.unpack_from("<I", data, start)[0]
        first, count = packed & 0xFFFFF, packed >> 20
        start += 4
        for index in range(count):
            if start + 4 > end:
                return
            yield first + index, struct.unpack_from("<I", data, start)[0]
            start += 4


def _listed(data: bytes, start: int, end: int) -> Iterator[_SlideEntry]:
    """The slides of the document's list, with the texts that stand there."""
    entry: _SlideEntry | None = None
    text_type = -1
    for kind, _, first, stop in _records(data, start, end):
        if kind == _SLIDE_PERSIST:
            if entry is not None:
                yield entry
            persist_id, _, _, slide_id = struct.unpack_from("<IIiI", data, first)
            entry = _SlideEntry(persist_id, slide_id)
        elif kind == _TEXT_TYPE:
            text_type = struct.unpack_from("<I", data, first)[0]
        elif kind in (_WIDE_TEXT, _NARROW_TEXT) and entry is not None:
            encoding = "utf-16-le" if kind == _WIDE_TEXT else "latin-1"
            entry.outline.append((text_type, data[first:stop].decode(encoding, "replace")))
    if entry is not None:
        yield entry
