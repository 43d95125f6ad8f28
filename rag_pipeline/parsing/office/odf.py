"""OpenDocument texts and presentations (ODT, ODP): headings, paragraphs, lists, tables and notes.

Belongs here: walking `content.xml`. Does not belong here: what text looks like (`odf_looks`), cells (`odf_tables`),
spreadsheets (`xlsx`), containers (`containers/archives`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.containers.archives import (
    Archive,
    local_attribute,
    local_name,
    refuse_pictures_only,
    refuse_protected,
    xml_root,
)
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.formulas import formula_text
from rag_pipeline.parsing.office.embedded import Embedded, named_files, with_embedded
from rag_pipeline.parsing.office.odf_looks import SKIPPED, Looks, is_presentation
from rag_pipeline.parsing.office.odf_pictures import hang_picture
from rag_pipeline.parsing.office.odf_styles import common_styles
from rag_pipeline.parsing.office.odf_tables import Tables, places_only
from rag_pipeline.parsing.office.running_lines import open_document_lines, saying_lines
from rag_pipeline.parsing.pictures import Gallery
from rag_pipeline.parsing.tabular import table_lines
from rag_pipeline.parsing.web.hidden import hidden_counts
from rag_pipeline.parsing.web.inline import picture_words

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = "12"

# No line is wider.
MAX_SPACES = 200
# Shapes that are no frames and hold no paragraphs of the text around them.
_DRAWN = frozenset({
    "g", "custom-shape", "rect", "line", "polyline", "polygon", "regular-polygon", "path", "circle", "ellipse",
    "connector", "caption", "measure",
})  # fmt: skip
_TITLE_STYLES = frozenset({"Title", "title"})
_CODE_STYLE = re.compile(r"preformatted|source[_ ]|\bcode|verbatim|listing", re.I)


def parse_odf(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The document; in presentations every block carries its slide's number, from 1, as page.

    Raises:
        EncryptedDocument, LimitExceeded, UnparsableDocument: From the container.
    """
    archive: Archive | None = None
    files = Embedded()
    if raw.startswith(b"PK"):
        archive = Archive(raw, context.address, context.limits)
        refuse_protected(archive)
        written = archive.read("content.xml")
        content = archive.xml_of("content.xml", written)
        meta = archive.spare_xml("meta.xml")
    else:
        written = raw
        content = meta = xml_root(raw, context.address)
    is_text = archive is not None and not is_presentation(content)
    pages = written if archive is None else (archive.read_if_there("styles.xml") or b"") if is_text else b""
    looks = Looks(content, common_styles(archive, content, written, pages))
    walker = _Walker(looks, archive, context.gallery)
    for body in content.iter("{*}body"):
        walker.walk(body)
        walker.end_run()
    if archive is not None:
        # What a picture is said to show does not stand for the words on it.
        files = named_files(archive, walker.files, context.limits.max_attachments)
        has_text = walker.builder.length_chars > walker.picture_chars
        if not context.reads_instead_of_text(has_text):
            refuse_pictures_only(archive, has_text or bool(files.found))
    for line in saying_lines(open_document_lines(pages)):
        walker.builder.add("paragraph", line)
    facts: dict[str, str] = {}
    if meta is not None:
        for element in meta.iter("{*}title", "{*}creator", "{*}initial-creator", "{*}language", "{*}subject"):
            facts.setdefault(local_name(element), clean_text(" ".join((element.text or "").split())))
    language = facts.get("language", "")[:2].lower()
    document = walker.builder.build(
        title=facts.get("title") or walker.title,
        author=facts.get("initial-creator") or facts.get("creator"),
        language=language if len(language) == 2 and language.isalpha() else None,
        metadata=({"subject": facts["subject"]} if facts.get("subject") else {}) | hidden_counts(looks.hidden),
    )
    if archive is not None:
        document.metadata.update(archive.unread_facts())
    return with_embedded(document, files, context)


class _Walker:
    """Adds blocks to `builder` in document order."""

    def __init__(self, looks: Looks, archive: Archive | None, gallery: Gallery) -> None:
        self.builder = TextBuilder()
        self._gallery = gallery
        self.title: str | None = None
        self.picture_chars = 0
        self._looks = looks
        self._tables = Tables(looks)
        self._archive = archive
        self._page: int | None = None
        self.files: list[str] = []
        self._opened: set[str] = set()
        self._lines: list[str] = []
        self._code: list[str] = []

    def walk(self, element: _Element) -> None:
        for item in element:
            name = local_name(item)
            if name == "page":
                self._page = (self._page or 0) + 1
            if name == "tracked-changes":
                for change in item.iter("{*}deletion"):
                    self._looks.is_left_out(change, "deletion")
            if name in SKIPPED or (name in self._looks.may_hide and self._looks.is_left_out(item, name)):
                continue
            if name == "p":
                self._paragraph(item)
                continue
            self.end_run()
            if name == "list":
                self._list(item, 0)
                self.end_run()
            elif name in ("h", "table", "object", "object-ole", "annotation"):
                self._block(item, name)
            elif name == "frame":
                self._frame(item)
            else:
                self._within(item, name)

    def _within(self, element: _Element, name: str) -> None:
        if name in _DRAWN:
            self._describe(element)
        self.walk(element)

    def _frame(self, frame: _Element) -> None:
        """A picture by what it shows; the title of a slide as its heading; else what is within."""
        if local_attribute(frame, "class") == "title":
            title = " ".join(self._looks.text(paragraph)[0] for paragraph in frame.iter("{*}p")).replace("\n", " ")
            self.title = self.title or title or None
            self.builder.add("heading", title, level=1, page=self._page)
            return
        caption = self._describe(frame)
        hang_picture(self._gallery, self.builder, self._archive, frame, caption, self._page)
        self.walk(frame)

    def _describe(self, shape: _Element) -> str:
        """Adds, and gives, what a picture, group or shape is said to show."""
        said = [(name, item.text) for item in shape if (name := local_name(item)) in ("desc", "title")]
        for _, text in sorted(said, key=itemgetter(0)):
            words = picture_words(text)
            if words:
                self.picture_chars += len(words)
                self.builder.add("paragraph", words, page=self._page)
                return words
        return ""

    def _block(self, element: _Element, name: str) -> None:
        if name == "h":
            self._heading(element)
        elif name == "table":
            self._table(element)
        elif name in ("object", "object-ole"):
            self._object(element)
        else:
            self.builder.add("paragraph", self._comment(element), page=self._page)

    def end_run(self) -> None:
        """Adds the list items or code lines gathered so far as one block."""
        if self._code:
            self.builder.add("code", "\n".join(self._code), page=self._page)
            self._code = []
        if self._lines:
            self.builder.add("list", "\n".join(self._lines), page=self._page)
            self._lines = []

    def _heading(self, element: _Element) -> None:
        text, frames = self._looks.text(element)
        level = local_attribute(element, "outline-level") or "1"
        depth = min(int(level), 6) if level.isdecimal() and len(level) < 4 else 1
        if self.title is None and depth == 1:
            self.title = text
        self.builder.add("heading", text.replace("\n", " "), level=depth, page=self._page)
        self._frames(frames)

    def _paragraph(self, element: _Element) -> None:
        text, frames = self._looks.text(element)
        own = self._looks.style_name(element) or ""
        style = self._looks.parents.get(own, own)
        if _is_code(style) and not frames:
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
            if (name := local_name(frame)) in ("annotation", "table"):
                self._block(frame, name)
            elif name == "frame":
                self._frame(frame)
            else:
                self._describe(frame)
                self.walk(frame)

    def _comment(self, annotation: _Element) -> str:
        said = " ".join(self._looks.text(paragraph)[0] for paragraph in annotation.iter("{*}p", "{*}h"))
        author = next((" ".join((item.text or "").split())[:100] for item in annotation.iterchildren("{*}creator")), "")
        return f"Comment by {author}: {said}" if said and author else f"Comment: {said}" if said else ""

    def _object(self, element: _Element) -> None:
        """What an embedded part of its own holds: a formula, or the words and cells of another document.

        A part that is a file is a document of its own.
        """
        said = local_attribute(element, "href") or ""
        place = said.removeprefix("./").rstrip("/")
        name = f"{place}/content.xml"
        if self._archive is not None and place in self._archive.names:
            self.files.append(place)
            return
        root = None
        if self._archive is not None:
            # What is not named so lies elsewhere.
            root = self._archive.text_xml(name) if said.startswith("./") else self._archive.spare_xml(name)
        if root is not None and local_name(root) == "math":
            self.builder.add("paragraph", clean_text(formula_text(root)), page=self._page)
        elif root is not None and name not in self._opened:
            self._opened.add(name)
            for body in root.iter("{*}body"):
                self.walk(body)
                self.end_run()

    def _list(self, element: _Element, depth: int) -> None:
        for item in element:
            if local_name(item) not in ("list-item", "list-header"):
                continue
            is_first = True
            for part in item:
                name = local_name(part)
                if name == "list":
                    self._list(part, min(depth + 1, 8))
                elif name in ("p", "h") and not (name in self._looks.may_hide and self._looks.is_left_out(part, name)):
                    text, frames = self._looks.text(part)
                    if text:
                        indent = "  " * depth
                        body = text.replace("\n", f"\n{indent}  ")
                        self._lines.append(f"{indent}{'- ' if is_first else '  '}{body}")
                        is_first = False
                    if frames:
                        self.end_run()
                        self._frames(frames)

    def _table(self, element: _Element) -> None:
        self._describe(element)
        if places_only(element):
            for row in self._tables.seen_rows(element):
                for cell in row:
                    self.walk(cell)
                    self.end_run()
            return
        rows, beside = self._tables.rows(element)
        self.builder.add("table", "\n".join(table_lines(rows)), page=self._page)
        self._frames(beside)


# A document has few styles, a hostile one any number.
@lru_cache(maxsize=1024)
def _is_code(style: str) -> bool:
    return _CODE_STYLE.search(style) is not None


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
        elif name == "ruby-text":
            parts.append(f"({_code_text(item)})")
        elif name and name not in SKIPPED:
            parts.append(_code_text(item))
        parts.append(item.tail or "")
    return clean_text("".join(parts)).rstrip()
