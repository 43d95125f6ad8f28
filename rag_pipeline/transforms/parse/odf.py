"""OpenDocument texts and presentations (ODT, ODP): headings, paragraphs, lists, tables and notes.

Belongs here: walking `content.xml`. Does not belong here: spreadsheets (`xlsx`), containers (`archives`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EncryptedDocument
from rag_pipeline.transforms.parse.archives import Archive, child, local_attribute, local_name, xml_root
from rag_pipeline.transforms.parse.builder import TextBuilder
from rag_pipeline.transforms.parse.decode import clean_text
from rag_pipeline.transforms.parse.limits import ParseLimits
from rag_pipeline.transforms.parse.tabular import table_lines

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = "1"

MAX_REPEATED = 50
_SKIPPED = frozenset({"tracked-changes", "annotation", "annotation-end", "sequence-decls", "forms", "note-citation"})
_TITLE_STYLES = frozenset({"Title", "title"})


def parse_odf(raw: bytes, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    """The document; in presentations every block carries its slide's number, from 1, as page.

    Raises:
        EncryptedDocument, LimitExceeded, UnparsableDocument: From the container.
    """
    if raw.startswith(b"PK"):
        archive = Archive(raw, address, limits)
        manifest = archive.read_if_there("META-INF/manifest.xml") or b""
        if b"encryption-data" in manifest:
            raise EncryptedDocument(
                f"{address}: the document is protected by a password. Remove it or exclude the file.",
                address=address,
            )
        content = archive.xml("content.xml")
        meta = archive.xml_if_there("meta.xml")
    else:
        content = meta = xml_root(raw, address)
    walker = _Walker()
    for body in content.iter("{*}body"):
        walker.walk(body)
        walker.end_list()
    facts: dict[str, str] = {}
    if meta is not None:
        for element in meta.iter("{*}title", "{*}creator", "{*}initial-creator", "{*}language", "{*}subject"):
            facts.setdefault(local_name(element), clean_text(" ".join((element.text or "").split())))
    language = facts.get("language", "")[:2].lower()
    return [
        walker.builder.build(
            title=facts.get("title") or walker.title,
            author=facts.get("initial-creator") or facts.get("creator"),
            language=language if len(language) == 2 and language.isalpha() else None,
            metadata={"subject": facts["subject"]} if facts.get("subject") else None,
        )
    ]


class _Walker:
    """Adds blocks to `builder` in document order."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self.title: str | None = None
        self._page: int | None = None
        self._lines: list[str] = []

    def walk(self, element: _Element) -> None:
        for item in element:
            name = local_name(item)
            if name in _SKIPPED:
                continue
            if name == "h":
                self._heading(item)
            elif name == "p":
                self._paragraph(item)
            elif name == "list":
                self._list(item, 0)
                self.end_list()
            elif name == "table":
                self._table(item)
            else:
                if name == "page":
                    self._page = (self._page or 0) + 1
                self.walk(item)

    def end_list(self) -> None:
        """Adds the list gathered so far as one block."""
        if self._lines:
            self.builder.add("list", "\n".join(self._lines), page=self._page)
            self._lines = []

    def _heading(self, element: _Element) -> None:
        text, frames = _text(element)
        level = local_attribute(element, "outline-level") or "1"
        depth = min(int(level), 6) if level.isdecimal() and len(level) < 4 else 1
        if self.title is None and depth == 1:
            self.title = text
        self.builder.add("heading", text.replace("\n", " "), level=depth, page=self._page)
        self._frames(frames)

    def _paragraph(self, element: _Element) -> None:
        text, frames = _text(element)
        if local_attribute(element, "style-name") in _TITLE_STYLES and self.title is None:
            self.title = text
            self.builder.add("heading", text, level=1, page=self._page)
        else:
            self.builder.add("paragraph", text, page=self._page)
        self._frames(frames)

    def _frames(self, frames: list[_Element]) -> None:
        for frame in frames:
            self.walk(frame)

    def _list(self, element: _Element, depth: int) -> None:
        for item in element:
            if local_name(item) not in ("list-item", "list-header"):
                continue
            is_first = True
            for part in item:
                name = local_name(part)
                if name == "list":
                    self._list(part, min(depth + 1, 8))
                elif name in ("p", "h"):
                    text, frames = _text(part)
                    if text:
                        indent = "  " * depth
                        body = text.replace("\n", f"\n{indent}  ")
                        self._lines.append(f"{indent}{'- ' if is_first else '  '}{body}")
                        is_first = False
                    if frames:
                        self.end_list()
                        self._frames(frames)

    def _table(self, element: _Element) -> None:
        rows: list[list[str]] = []
        for row in element.iter("{*}table-row"):
            cells: list[str] = []
            for cell in row:
                if local_name(cell) not in ("table-cell", "covered-table-cell"):
                    continue
                repeated = local_attribute(cell, "number-columns-repeated") or "1"
                text = " ".join(_text(paragraph)[0] for paragraph in cell.iter("{*}p", "{*}h"))
                count = min(int(repeated), MAX_REPEATED) if repeated.isdecimal() and len(repeated) < 9 else 1
                cells.extend([text] * count)
            rows.append(cells)
        self.builder.add("table", "\n".join(table_lines(rows)), page=self._page)


def _text(element: _Element) -> tuple[str, list[_Element]]:
    """A paragraph's text, and the frames, notes and the like within it that make blocks of their own."""
    parts: list[str] = []
    frames: list[_Element] = []
    _gather(element, parts, frames)
    lines = [" ".join(line.split()) for line in clean_text("".join(parts)).split("\n")]
    return "\n".join(line for line in lines if line), frames


def _gather(element: _Element, parts: list[str], frames: list[_Element]) -> None:
    parts.append((element.text or "").replace("\n", " "))
    for item in element:
        name = local_name(item)
        if name == "line-break":
            parts.append("\n")
        elif name in ("s", "tab"):
            parts.append(" ")
        elif name == "note":
            body = child(item, "note-body")
            if body is not None:
                frames.append(body)
        elif name in ("frame", "text-box", "custom-shape", "g"):
            frames.append(item)
        elif name and name not in _SKIPPED:
            _gather(item, parts, frames)
        parts.append((item.tail or "").replace("\n", " "))
