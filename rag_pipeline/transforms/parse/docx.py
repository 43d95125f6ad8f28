"""Word documents (DOCX): paragraphs, headings, lists, tables, notes and text boxes, in reading order.

Belongs here: walking the document part. Does not belong here: styles and numbering (`docx_styles`),
containers (`archives`).

Elements are known by local name, because strict and transitional files use different namespaces.
Left out: deleted and moved-away text, field codes, headers and footers, comments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.transforms.parse.archives import (
    Archive,
    child,
    core_properties,
    local_attribute,
    local_name,
    related,
)
from rag_pipeline.transforms.parse.builder import TextBuilder
from rag_pipeline.transforms.parse.decode import clean_text
from rag_pipeline.transforms.parse.docx_styles import Numbering, Styles
from rag_pipeline.transforms.parse.limits import ParseLimits, check_count
from rag_pipeline.transforms.parse.tabular import table_lines

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = "1"

MAX_SPAN = 50
_SKIPPED = frozenset((
    "del", "moveFrom", "instrText", "delText", "delInstrText", "Fallback", "pPr", "rPr", "tblPr", "tblGrid",
    "trPr", "tcPr", "sectPr", "fldData", "binData", "proofErr", "commentRangeStart", "commentRangeEnd",
    "annotationRef",
))  # fmt: skip
_TRANSPARENT = frozenset(
    ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag", "AlternateContent", "Choice", "body")
)
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}


def parse_docx(raw: bytes, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    """The document's main story, notes beside the paragraph that refers to them.

    Raises:
        EncryptedDocument, LimitExceeded, UnparsableDocument: From the container.
    """
    archive = Archive(raw, address, limits)
    mains = related(archive, "", "officeDocument") or [n for n in ("word/document.xml",) if n in archive.names]
    if not mains:
        raise UnparsableDocument(f"{address}: the container holds no Word document.", address=address)
    walker = _Walker(archive, mains[0])
    walker.walk(archive.xml(mains[0]))
    walker.flush()
    check_count(walker.builder.length_chars, limits.max_text_chars, "characters of text", address)
    facts = core_properties(archive)
    metadata: dict[str, str] = {
        name: facts[name] for name in ("subject", "keywords", "created", "modified") if name in facts
    }
    return [
        walker.builder.build(
            title=clean_text(facts.get("title", "")) or walker.title,
            author=clean_text(facts.get("creator", "")) or None,
            metadata=metadata,
        )
    ]


class _Walker:
    """Adds the blocks below an element to `builder`; runs of list items and code lines become one block."""

    def __init__(self, archive: Archive, part: str) -> None:
        self.builder = TextBuilder()
        self.title: str | None = None
        self._styles = Styles(archive, part)
        self._numbering = Numbering(archive, part, self._styles)
        self._notes = _notes(archive, part, "footnotes") | _notes(archive, part, "endnotes")
        self._run_kind = ""
        self._run_lines: list[str] = []

    def walk(self, element: _Element) -> None:
        for item in element:
            name = local_name(item)
            if name == "p":
                self._paragraph(item)
            elif name == "tbl":
                self._table(item)
            elif name in _TRANSPARENT:
                self.walk(item)

    def flush(self) -> None:
        """Ends a run of list items or code lines."""
        if self._run_lines:
            kind = self._run_kind
            self.builder.add("code" if kind == "code" else "list", "\n".join(self._run_lines))
        self._run_kind, self._run_lines = "", []

    def _paragraph(self, element: _Element) -> None:
        parts: list[str] = []
        boxes: list[_Element] = []
        notes: list[str] = []
        _gather(element, parts, boxes, notes)
        text = clean_text("".join(parts))
        if text.strip():
            self._add(element, text)
        for box in boxes:
            self.flush()
            self.walk(box)
            self.flush()
        for note in notes:
            if self._notes.get(note):
                self.flush()
                self.builder.add("paragraph", self._notes[note])

    def _add(self, element: _Element, text: str) -> None:
        style = self._styles.of(element)
        if style.is_code:
            self._extend("code", text.rstrip())
            return
        if style.level:
            self.flush()
            label = " ".join(text.split())
            if style.level == 1 and self.title is None:
                self.title = label
            self.builder.add("heading", label, level=style.level)
            return
        marker = self._numbering.marker(element, style)
        body = "\n".join(line.strip() for line in text.replace("\t", " ").split("\n") if line.strip())
        if marker is not None:
            indent, sign = marker
            self._extend("list", f"{'  ' * indent}{sign} " + body.replace("\n", f"\n{'  ' * (indent + 1)}"))
            return
        self.flush()
        if style.is_quote:
            self.builder.add("quote", "\n".join(f"> {line}" for line in body.split("\n")))
        else:
            self.builder.add("paragraph", body)

    def _extend(self, kind: str, line: str) -> None:
        if self._run_kind != kind:
            self.flush()
            self._run_kind = kind
        self._run_lines.append(line)

    def _table(self, element: _Element) -> None:
        self.flush()
        rows = _rows(element)
        if max(map(len, rows), default=0) < 2 or any("\0" in cell for row in rows for cell in row):
            # One column or tables within cells: a frame for text, not data.
            for row in element.iter("{*}tr"):
                if row.getparent() is element or local_name(row.getparent()) in _TRANSPARENT:
                    for cell in row.iter("{*}tc"):
                        if _row_of(cell) is row:
                            self.walk(cell)
                            self.flush()
            return
        self.builder.add("table", clean_text("\n".join(table_lines(rows))))


def _gather(element: _Element, parts: list[str], boxes: list[_Element], notes: list[str]) -> None:
    """Text of a paragraph in order; text boxes and ids of notes apart."""
    for item in element:
        name = local_name(item)
        if name == "t":
            parts.append(item.text or "")
        elif name in _SIGNS:
            if name != "br" or local_attribute(item, "type") not in ("page", "column"):
                parts.append(_SIGNS[name])
        elif name == "txbxContent":
            boxes.append(item)
        elif name in ("footnoteReference", "endnoteReference"):
            notes.append(f"{name[:-9]}s:{local_attribute(item, 'id')}")
        elif name == "AlternateContent":
            # The fallback says the same for older programs; it is read only where nothing else is.
            choice = child(item, "Choice")
            fallback = child(item, "Fallback")
            _gather(choice if choice is not None else fallback if fallback is not None else item, parts, boxes, notes)
        elif name and name not in _SKIPPED:
            _gather(item, parts, boxes, notes)


def _row_of(element: _Element) -> _Element | None:
    parent = element.getparent()
    while parent is not None and local_name(parent) != "tr":
        parent = parent.getparent()
    return parent


def _rows(table: _Element) -> list[list[str]]:
    """Cells as text; spanning cells padded, vertically merged ones repeated; a NUL marks a nested table."""
    rows: list[list[str]] = []
    for row in table.iter("{*}tr"):
        owner = row.getparent()
        while owner is not None and local_name(owner) in _TRANSPARENT:
            owner = owner.getparent()
        if owner is not table:
            continue
        cells: list[str] = []
        for cell in row.iter("{*}tc"):
            if _row_of(cell) is row:
                _add_cell(cells, cell, rows[-1] if rows else [])
        rows.append(cells)
    return rows


def _add_cell(cells: list[str], cell: _Element, above: list[str]) -> None:
    properties = child(cell, "tcPr")
    merge = child(properties, "vMerge") if properties is not None else None
    span = child(properties, "gridSpan") if properties is not None else None
    value = (local_attribute(span, "val") if span is not None else None) or "1"
    if merge is not None and local_attribute(merge, "val") != "restart":
        text = above[len(cells)] if len(cells) < len(above) else ""
    else:
        text = _cell_text(cell)
    cells.append(text)
    cells.extend([""] * (min(int(value), MAX_SPAN) - 1 if value.isdecimal() else 0))


def _cell_text(cell: _Element) -> str:
    if next(cell.iter("{*}tbl"), None) is not None:
        return "\0"
    texts: list[str] = []
    for paragraph in cell.iter("{*}p"):
        if any(local_name(ancestor) == "Fallback" for ancestor in paragraph.iterancestors()):
            continue
        parts: list[str] = []
        boxes: list[_Element] = []
        _gather(paragraph, parts, boxes, [])
        texts.append("".join(parts))
    return " ".join(texts)


def _notes(archive: Archive, part: str, kind: str) -> dict[str, str]:
    """Text of foot- or endnotes by "kind:id"."""
    found: dict[str, str] = {}
    for name in related(archive, part, kind):
        for note in archive.xml(name):
            if local_attribute(note, "type") in ("separator", "continuationSeparator", "continuationNotice"):
                continue
            parts: list[str] = []
            for paragraph in note.iter("{*}p"):
                _gather(paragraph, parts, [], [])
                parts.append(" ")
            found[f"{kind}:{local_attribute(note, 'id')}"] = clean_text(" ".join("".join(parts).split()))
    return found
