"""Word documents (DOCX): paragraphs, headings, lists, tables, charts, notes, text boxes, in reading order.

Belongs here: walking the document part. Does not belong here: styles and numbering (`docx_styles`), notes,
comments and running lines (`docx_stories`), charts (`drawings`), containers (`containers/archives`).

Elements are known by local name, because strict and transitional files use different namespaces.
Left out: what no reader sees (`docx_runs`) and field codes. Headers and footers come once,
last: first they would open every document of a template with the same words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from itertools import chain
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import UndecodableBytes, UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.containers.archives import (
    Archive,
    child,
    core_properties,
    local_attribute,
    local_name,
    refuse_pictures_only,
    related,
    relations,
)
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text, decode
from rag_pipeline.parsing.limits import ParseLimits, check_count
from rag_pipeline.parsing.office.docx_runs import GRAPHICS, Gathered, Runs, caption_of, is_hidden_row
from rag_pipeline.parsing.office.docx_stories import is_aside, running_lines, side_notes
from rag_pipeline.parsing.office.docx_styles import Numbering, Styles
from rag_pipeline.parsing.office.drawings import add_drawing
from rag_pipeline.parsing.office.embedded import embedded_files, with_embedded
from rag_pipeline.parsing.pictures import Gallery
from rag_pipeline.parsing.tabular import table_lines
from rag_pipeline.parsing.web.hidden import hidden_counts
from rag_pipeline.parsing.web.html import add_units, html_units
from rag_pipeline.parsing.web.tree import declared_encoding

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = "16"

# Columns that a person can see at once; larger numbers are damaged.
MAX_SPAN = 50
# A document in a document, and one more within it.
MAX_EMBEDDED_DEPTH = 2
# Names and two rows below them, of which tables within cells say the third at most.
MIN_DATA_ROWS, MOST_WITHIN = 3, 2
_TRANSPARENT = frozenset(
    ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag", "AlternateContent", "Choice", "body")
)


def parse_docx(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The document's main story, notes and comments beside the paragraph that refers to them; embedded files follow.

    Raises:
        EncryptedDocument, LimitExceeded, UnparsableDocument: From the container.
        NeedsOcr: Pictures and no text.
    """
    archive = Archive(raw, context.address, context.limits)
    hidden: Counter[str] = Counter()
    walker = _walked(archive, TextBuilder(), context.limits, context.gallery, 0, hidden)
    # What a picture is said to show does not stand for the words on it.
    has_text = walker.builder.length_chars > walker.runs.picture_chars
    files = embedded_files(archive, [walker.part], context.limits.max_attachments)
    if not context.reads_instead_of_text(has_text):
        refuse_pictures_only(archive, has_text or bool(files.found), [walker.part])
    facts = core_properties(archive)
    metadata: dict[str, str] = {
        name: facts[name] for name in ("subject", "keywords", "created", "modified") if name in facts
    }
    metadata |= hidden_counts(hidden)
    metadata |= archive.unread_facts()
    document = walker.builder.build(
        title=clean_text(facts.get("title", "")) or walker.title,
        author=clean_text(facts.get("creator", "")) or None,
        metadata=metadata,
    )
    return with_embedded(document, files, context)


def _walked(
    archive: Archive, builder: TextBuilder, limits: ParseLimits, gallery: Gallery, depth: int, hidden: Counter[str]
) -> _Walker:
    address = archive.address
    mains = related(archive, "", "officeDocument") or [n for n in ("word/document.xml",) if n in archive.names]
    if not mains:
        raise UnparsableDocument(f"{address}: the container holds no Word document.", address=address)
    root = archive.xml(mains[0])
    walker = _Walker(archive, mains[0], root, builder, limits, gallery, depth, hidden)
    walker.walk(root)
    walker.flush()
    check_count(builder.length_chars, limits.max_text_chars, "characters of text", address)
    for line in running_lines(archive, mains[0], root, set(builder.build().text.split("\n")), walker.runs):
        builder.add("paragraph", line)
    return walker


class _Walker:
    """Adds the blocks below an element to `builder`; runs of list items and code lines become one block.

    Args:
        hidden: Gets what no reader sees, by the way of hiding, also in documents within this one.
    """

    def __init__(
        self,
        archive: Archive,
        part: str,
        root: _Element,
        builder: TextBuilder,
        limits: ParseLimits,
        gallery: Gallery,
        depth: int,
        hidden: Counter[str],
    ) -> None:
        self.builder = builder
        self.title: str | None = None
        self.part = part
        self._archive = archive
        self._limits = limits
        self._gallery = gallery
        self._waiting: list[tuple[str, str]] = []
        self._depth = depth
        self._hidden = hidden
        self._styles = Styles(archive, part)
        self._numbering = Numbering(archive, part, self._styles)
        self.runs = Runs(self._styles.elements, root, hidden)
        self._notes = side_notes(archive, part, self.runs)
        self._relations = relations(archive, part)
        self._run_kind = ""
        self._run_lines: list[str] = []

    def walk(self, element: _Element) -> None:
        for item in element:
            name = local_name(item)
            if name == "p":
                self._paragraph(item)
            elif name == "tbl":
                self._table(item)
            elif name == "altChunk":
                self._chunk(item)
            elif name in _TRANSPARENT:
                self.walk(item)

    def flush(self) -> None:
        """Ends a run of list items or code lines, whose pictures stand below it."""
        if self._run_lines:
            kind = self._run_kind
            self.builder.add("code" if kind == "code" else "list", "\n".join(self._run_lines))
        self._run_kind, self._run_lines = "", []
        for name, caption in self._waiting:
            self._gallery.hang_member(self.builder, self._archive, name, caption)
        self._waiting = []

    def _paragraph(self, element: _Element) -> None:
        found = self.runs.read(element)
        text = clean_text(found.text)
        if text.strip():
            self._add(element, text)
        self._beside(found)

    def _beside(self, found: Gathered) -> None:
        """What hangs on the text just added: text boxes, charts, pictures, notes and comments."""
        for box in found.boxes:
            if local_name(box) in GRAPHICS:
                self._graphic(box)
                continue
            self.flush()
            if local_name(box) == "tbl":
                self._table(box)
            else:
                self.walk(box)
            self.flush()
        for note in found.notes:
            if self._notes.get(note):
                self.flush()
                self.builder.add("paragraph", self._notes[note])

    def _graphic(self, element: _Element) -> None:
        for value in element.attrib.values():
            kind, name = self._relations.get(str(value), ("", ""))
            if kind == "image":
                self._waiting.append((name, caption_of(element)))
            else:
                self.flush()
                add_drawing(self.builder, self._archive, kind, name)
        # A run of items goes on around a picture.
        if not self._run_lines:
            self.flush()

    def _chunk(self, element: _Element) -> None:
        """A whole document of another format that stands for a part of this one."""
        kind, name = self._relations.get(local_attribute(element, "id") or "", ("", ""))
        if kind != "aFChunk" or name not in self._archive.names:
            return
        self.flush()
        data = self._archive.read(name)
        try:
            if data.startswith(b"PK"):
                if self._depth < MAX_EMBEDDED_DEPTH:
                    inner = Archive(data, f"{self._archive.address} ({name[:200]})", self._limits)
                    _walked(inner, self.builder, self._limits, self._gallery, self._depth + 1, self._hidden)
            else:
                add_units(self.builder, html_units(_page(data), self._hidden))
        except (UndecodableBytes, UnparsableDocument):
            self._archive.note_unread(name)
        check_count(self.builder.length_chars, self._limits.max_text_chars, "characters of text", self._archive.address)

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
        before = self._hidden.copy(), self.runs.picture_chars
        beside = Gathered()
        rows = _rows(element, self.runs, beside)
        if max(map(len, rows), default=0) < 2 or _places_only(element, rows, beside):
            # One column, or tables that say most of it: a frame for text, not data, whose paragraphs are read anew.
            self._hidden.clear()
            self._hidden.update(before[0])
            self.runs.picture_chars = before[1]
            for row in _rows_of(element, self.runs):
                for cell in row.iter("{*}tc"):
                    if _row_of(cell) is row:
                        self.walk(cell)
                        self.flush()
            return
        self.builder.add("table", clean_text("\n".join(table_lines(rows))))
        self._beside(beside)


def _page(data: bytes) -> str:
    """The HTML of a chunk, which may come as a mail-like archive with its pictures."""
    message = message_from_bytes(data)
    if message.is_multipart() or message.get("MIME-Version"):
        for part in message.walk():
            payload = part.get_payload(decode=True)
            if part.get_content_type() == "text/html" and isinstance(payload, bytes):
                return decode(payload, part.get_content_charset())
    return decode(data, declared_encoding(data))


def _places_only(table: _Element, rows: list[list[str]], beside: Gathered) -> bool:
    """Whether a table with others in its cells only places them: no row of names, and many of its words theirs."""
    inner = [box for box in beside.boxes if local_name(box) == "tbl"]
    if not inner:
        return False
    first = next(table.iter("{*}tr"))
    properties = child(first, "trPr")
    if properties is not None and child(properties, "tblHeader") is not None and len(rows) > 1:
        return False
    # Few words of a table of data stand in tables within it.
    within = sum(len(text.text or "") for box in inner for text in box.iter("{*}t"))
    return len(rows) < MIN_DATA_ROWS or MOST_WITHIN * within > sum(map(len, chain.from_iterable(rows)))


def _row_of(element: _Element) -> _Element | None:
    parent = element.getparent()
    while parent is not None and local_name(parent) != "tr":
        parent = parent.getparent()
    return parent


def _cell_of(element: _Element) -> _Element | None:
    return next(element.iterancestors("{*}tc"), None)


def _rows_of(table: _Element, runs: Runs) -> Iterator[_Element]:
    """The table's own rows that a reader sees; the others are counted."""
    for row in table.iter("{*}tr"):
        owner = row.getparent()
        while owner is not None and local_name(owner) in _TRANSPARENT:
            owner = owner.getparent()
        if owner is table:
            if is_hidden_row(row):
                runs.hidden["row"] += 1
            else:
                yield row


def _rows(table: _Element, runs: Runs, beside: Gathered) -> list[list[str]]:
    """Cells as text; what stands beside it goes to `beside`.

    Spanning cells are padded, and repeated where they name the columns below them; vertically merged ones are
    repeated; a table within a cell goes to `beside`.
    """
    rows: list[list[str]] = []
    for row in _rows_of(table, runs):
        cells: list[str] = []
        for cell in row.iter("{*}tc"):
            if _row_of(cell) is row:
                _add_cell(cells, cell, rows[-1] if rows else [], runs, beside)
        rows.append(cells)
    return rows


def _add_cell(cells: list[str], cell: _Element, above: list[str], runs: Runs, beside: Gathered) -> None:
    properties = child(cell, "tcPr")
    merge = child(properties, "vMerge") if properties is not None else None
    span = child(properties, "gridSpan") if properties is not None else None
    value = (local_attribute(span, "val") if span is not None else None) or "1"
    if merge is not None and local_attribute(merge, "val") != "restart":
        text = above[len(cells)] if len(cells) < len(above) else ""
    else:
        text = _cell_text(cell, runs, beside)
    is_group = not above and bool(cells)
    cells.append(text)
    cells.extend([text if is_group else ""] * (min(int(value), MAX_SPAN) - 1 if value.isdecimal() else 0))


def _cell_text(cell: _Element, runs: Runs, beside: Gathered) -> str:
    texts: list[str] = []
    inner = [table for table in cell.iter("{*}tbl") if _cell_of(table) is cell]
    beside.boxes += inner
    for paragraph in cell.iter("{*}p"):
        if not is_aside(paragraph, cell) and (not inner or _cell_of(paragraph) is cell):
            found = runs.read(paragraph)
            beside.boxes += found.boxes
            beside.notes += found.notes
            texts.append(found.text)
    return " ".join(texts)
