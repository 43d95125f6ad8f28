"""OpenDocument texts and presentations (ODT, ODP): headings, paragraphs, lists, tables and notes.

Belongs here: walking `content.xml`. Does not belong here: spreadsheets (`xlsx`), containers (`containers/archives`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.containers.archives import (
    Archive,
    child,
    local_attribute,
    local_name,
    refuse_pictures_only,
    refuse_protected,
    xml_root,
)
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.tabular import table_lines

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = "2"

MAX_REPEATED = 50
_SKIPPED = frozenset({
    "tracked-changes", "annotation-end", "sequence-decls", "forms", "note-citation", "ruby-text", "hidden-text",
})  # fmt: skip
MAX_SPACES = 200
_TITLE_STYLES = frozenset({"Title", "title"})
_CODE_STYLE = re.compile(r"preformatted|source[_ ]|\bcode|verbatim|listing", re.I)


def parse_odf(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The document; in presentations every block carries its slide's number, from 1, as page.

    Raises:
        EncryptedDocument, LimitExceeded, UnparsableDocument: From the container.
    """
    archive: Archive | None = None
    if raw.startswith(b"PK"):
        archive = Archive(raw, context.address, context.limits)
        refuse_protected(archive)
        content = archive.xml("content.xml")
        meta = archive.spare_xml("meta.xml")
    else:
        content = meta = xml_root(raw, context.address)
    walker = _Walker(_parent_styles(content), archive)
    for body in content.iter("{*}body"):
        walker.walk(body)
        walker.end_run()
    if archive is not None:
        refuse_pictures_only(archive, not walker.builder.is_empty)
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

    def __init__(self, parent_styles: dict[str, str], archive: Archive | None) -> None:
        self.builder = TextBuilder()
        self.title: str | None = None
        self._parent_styles = parent_styles
        self._archive = archive
        self._page: int | None = None
        self._lines: list[str] = []
        self._code: list[str] = []

    def walk(self, element: _Element) -> None:
        for item in element:
            name = local_name(item)
            if name in _SKIPPED:
                continue
            if name == "p":
                self._paragraph(item)
                continue
            self.end_run()
            if name == "list":
                self._list(item, 0)
                self.end_run()
            elif name in ("h", "table", "object", "annotation"):
                self._block(item, name)
            else:
                if name == "page":
                    self._page = (self._page or 0) + 1
                self.walk(item)

    def _block(self, element: _Element, name: str) -> None:
        if name == "h":
            self._heading(element)
        elif name == "table":
            self._table(element)
        elif name == "object":
            self._formula(element)
        else:
            self.builder.add("paragraph", _comment(element), page=self._page)

    def end_run(self) -> None:
        """Adds the list items or code lines gathered so far as one block."""
        if self._code:
            self.builder.add("code", "\n".join(self._code), page=self._page)
            self._code = []
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
        own = local_attribute(element, "style-name") or ""
        style = self._parent_styles.get(own, own)
        if _CODE_STYLE.search(style) and not frames:
            self._code.append(_code_text(element))
            return
        self.end_run()
        if style in _TITLE_STYLES and self.title is None:
            self.title = text
            self.builder.add("heading", text, level=1, page=self._page)
        else:
            self.builder.add("paragraph", text, page=self._page)
        self._frames(frames)

    def _frames(self, frames: list[_Element]) -> None:
        for frame in frames:
            if local_name(frame) == "annotation":
                self._block(frame, "annotation")
            else:
                self.walk(frame)

    def _formula(self, element: _Element) -> None:
        """The signs of a formula, which is a part of its own; other embedded objects say nothing."""
        name = (local_attribute(element, "href") or "").removeprefix("./").rstrip("/") + "/content.xml"
        root = self._archive.spare_xml(name) if self._archive is not None else None
        if root is not None and local_name(root) == "math":
            signs = (
                sign for item in root.iter() if local_name(item) != "annotation" for sign in (item.text or "").split()
            )
            self.builder.add("paragraph", clean_text(" ".join(signs)), page=self._page)

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
                        self.end_run()
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


def _parent_styles(content: _Element) -> dict[str, str]:
    """Named style behind each automatic one, through which a program records what was done by hand."""
    parents: dict[str, str] = {}
    for style in content.iter("{*}style"):
        parent = local_attribute(style, "parent-style-name")
        if parent:
            parents[local_attribute(style, "name") or ""] = parent
    return parents


def _code_text(element: _Element) -> str:
    """A line, or several, of code with its spaces as they stand."""
    parts = [element.text or ""]
    for item in element:
        name = local_name(item)
        if name == "s":
            count = local_attribute(item, "c") or "1"
            parts.append(" " * (min(int(count), MAX_SPACES) if count.isdecimal() and len(count) < 9 else 1))
        elif name in ("line-break", "tab"):
            parts.append("\n" if name == "line-break" else "\t")
        elif name and name not in _SKIPPED:
            parts.append(_code_text(item))
        parts.append(item.tail or "")
    return clean_text("".join(parts)).rstrip()


def _comment(annotation: _Element) -> str:
    said = " ".join(_text(paragraph)[0] for paragraph in annotation.iter("{*}p", "{*}h"))
    author = next((" ".join((item.text or "").split())[:100] for item in annotation.iterchildren("{*}creator")), "")
    return f"Comment by {author}: {said}" if said and author else f"Comment: {said}" if said else ""


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
        elif name in ("frame", "text-box", "custom-shape", "g", "annotation"):
            frames.append(item)
        elif name and name not in _SKIPPED:
            _gather(item, parts, frames)
        parts.append((item.tail or "").replace("\n", " "))
