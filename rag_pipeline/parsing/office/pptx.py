"""PowerPoint files (PPTX): one section a slide with its title, texts, tables, charts, notes and comments.

Belongs here: walking slides. Does not belong here: containers and relations (`containers/archives`).
The XML is walked directly, shape by shape, so that a kind of shape nobody knows costs only itself.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import UnparsableDocument
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
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.office.drawings import add_drawing, drawn_paragraphs
from rag_pipeline.parsing.office.embedded import embedded_files, with_embedded
from rag_pipeline.parsing.pictures import Gallery
from rag_pipeline.parsing.tabular import table_lines
from rag_pipeline.parsing.web.hidden import hidden_counts
from rag_pipeline.parsing.web.inline import picture_words

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = "9"

_ON = frozenset({"1", "true"})
_TITLES = frozenset({"title", "ctrTitle"})
_PAGE_CHROME = frozenset({"dt", "ftr", "sldNum", "hdr", "sldImg"})
_MADE_UP_TITLES = frozenset({"powerpoint presentation", "presentation", "slide 1", "untitled"})


def parse_pptx(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The presentation; every block carries its slide's number, from 1, as page.

    Notes and reviewers' comments follow the slide they belong to. A damaged slide is left out and named,
    a hidden one is left out and counted.

    Raises:
        EncryptedDocument, LimitExceeded, UnparsableDocument: From the container, or for more text than allowed.
        NeedsOcr: Pictures and no text.
    """
    archive = Archive(raw, context.address, context.limits)
    mains = related(archive, "", "officeDocument") or [n for n in ("ppt/presentation.xml",) if n in archive.names]
    if not mains:
        raise UnparsableDocument(f"{context.address}: the container holds no presentation.", address=context.address)
    slides = _slides(archive, mains[0])
    check_count(len(slides), context.limits.max_pages, "slides", context.address)
    builder = TextBuilder()
    title: str | None = None
    hidden: Counter[str] = Counter()
    size = _size(archive.xml(mains[0]))
    pictures = 0
    for number, name in enumerate(slides, 1):
        slide = _Slide(archive, name, builder, number, size, hidden, context.gallery)
        hidden["slide"] += not slide.add()
        pictures += slide.picture_chars
        title = title or slide.title
        check_count(builder.length_chars, context.limits.max_text_chars, "characters of text", context.address)
    if builder.is_empty and archive.unread:
        raise UnparsableDocument(
            f"{context.address}: no slide could be read. Open the file in its application and save it again.",
            address=context.address,
        )
    files = embedded_files(archive, slides, context.limits.max_attachments)
    # What a picture is said to show does not stand for the words on it.
    has_text = builder.length_chars > pictures
    if not context.reads_instead_of_text(has_text) and slides and not files.found:
        refuse_pictures_only(archive, has_text, slides)
    metadata = {"slides": str(len(slides))} | hidden_counts(hidden)
    metadata |= archive.unread_facts()
    facts = core_properties(archive)
    declared = clean_text(facts.get("title", ""))
    document = builder.build(
        title=declared if declared and declared.lower() not in _MADE_UP_TITLES else title,
        author=clean_text(facts.get("creator", "")) or None,
        metadata=metadata,
    )
    return with_embedded(document, files, context)


def _slides(archive: Archive, main: str) -> list[str]:
    """Members that hold slides, in the presentation's order."""
    by_id = relations(archive, main)
    names: list[str] = []
    for element in archive.xml(main).iter("{*}sldId"):
        for key, value in element.attrib.items():
            kind, name = by_id.get(str(value), ("", ""))
            if not str(key).endswith("}id") or kind not in ("slide", ""):
                continue
            if name in archive.names:
                names.append(name)
            else:
                archive.note_unread(name or f"{main} {value}")
    return names


class _Slide:
    """Adds one slide's blocks to the builder, its title first."""

    def __init__(
        self,
        archive: Archive,
        name: str,
        builder: TextBuilder,
        number: int,
        size: tuple[int, int] | None,
        hidden: Counter[str],
        gallery: Gallery,
    ) -> None:
        self.title: str | None = None
        self.picture_chars = 0
        self._gallery = gallery
        self._size = size
        self._hidden = hidden
        self._archive = archive
        self._name = name
        self._builder = builder
        self._number = number
        self._relations = relations(archive, name)

    def add(self) -> bool:
        """Adds what the slide shows; False for a slide that the show leaves out."""
        root = self._archive.spare_xml(self._name)
        if root is None:
            return True
        if root.get("show") in ("0", "false"):
            return False
        titles = [shape for shape in root.iter("{*}sp") if _placeholder(shape) in _TITLES]
        for shape in titles[:1]:
            self.title = (
                " ".join(text for _, text in drawn_paragraphs(shape, self._hidden)).replace("\n", " ").strip() or None
            )
        if self.title:
            self._builder.add("heading", self.title, level=1, page=self._number)
        tree = child(root, "cSld", "spTree")
        if tree is not None:
            self._shapes(tree, titles[0] if self.title else None)
        self._remarks()
        return True

    def _shapes(self, parent: _Element, title: _Element | None) -> None:
        for shape in parent:
            name = local_name(shape)
            if _is_hidden(shape) or self._is_beside_slide(shape):
                self._hidden["shape"] += next(shape.iter("{*}t"), None) is not None
                continue
            if name in ("sp", "cxnSp") and shape is not title and _placeholder(shape) not in _PAGE_CHROME:
                self._texts(paragraphs := drawn_paragraphs(shape, self._hidden))
                if not paragraphs:
                    self._describe(shape)
            elif name == "pic":
                self._describe(shape)
                self._hang(shape)
            elif name == "graphicFrame":
                self._describe(shape)
                self._frame(shape)
            elif name == "AlternateContent":
                choice = child(shape, "Choice")
                fallback = child(shape, "Fallback")
                self._shapes(choice if choice is not None else fallback if fallback is not None else shape, title)
            elif name in ("grpSp", "Choice", "Fallback"):
                self._describe(shape)
                self._shapes(shape, title)

    def _describe(self, shape: _Element) -> None:
        """What a picture, chart, group or shape without text is said to show."""
        words = _described(shape)
        self.picture_chars += len(words)
        self._builder.add("paragraph", words, page=self._number)

    def _hang(self, shape: _Element) -> None:
        picture = child(shape, "blipFill", "blip")
        relation = local_attribute(picture, "embed") if picture is not None else None
        kind, name = self._relations.get(relation or "", ("", ""))
        if kind == "image":
            self._gallery.hang_member(self._builder, self._archive, name, _described(shape), self._number)

    def _texts(self, paragraphs: list[tuple[int, str]]) -> None:
        """One block a shape: a list where there are several lines or depths, else a paragraph."""
        if len(paragraphs) > 1 and (any(depth for depth, _ in paragraphs) or _is_terse(paragraphs)):
            lines = [f"{'  ' * depth}- " + text.replace("\n", f"\n{'  ' * depth}  ") for depth, text in paragraphs]
            self._builder.add("list", "\n".join(lines), page=self._number)
            return
        for _, text in paragraphs:
            self._builder.add("paragraph", text, page=self._number)

    def _frame(self, frame: _Element) -> None:
        for table in frame.iter("{*}tbl"):
            rows = self._rows(table)
            self._builder.add("table", "\n".join(table_lines(rows)), page=self._number)
        for element in frame.iter():
            for key, value in element.attrib.items():
                kind, name = self._relations.get(str(value), ("", ""))
                if str(key).endswith(("}id", "}dm")):
                    add_drawing(self._builder, self._archive, kind, name, page=self._number)

    def _rows(self, table: _Element) -> list[list[str]]:
        """Cells as text; a merged one stands beside each of its rows, and above each column that it names."""
        rows: list[list[str]] = []
        for row in table.iterchildren("{*}tr"):
            cells: list[str] = []
            for cell in row.iterchildren("{*}tc"):
                text = " ".join(text for _, text in drawn_paragraphs(cell, self._hidden))
                if cell.get("vMerge") in _ON and rows and len(cells) < len(rows[-1]):
                    text = rows[-1][len(cells)]
                elif cell.get("hMerge") in _ON and not rows and len(cells) > 1:
                    text = cells[-1]
                cells.append(text)
            rows.append(cells)
        return rows

    def _is_beside_slide(self, shape: _Element) -> bool:
        """Whether a shape lies wholly off the slide, where no show gets to."""
        frame = child(shape, "spPr", "xfrm")
        at, extent = (child(frame, name) if frame is not None else None for name in ("off", "ext"))
        if self._size is None or at is None or extent is None:
            return False
        for size, position, length in zip(
            self._size, _numbers(at, "x", "y"), _numbers(extent, "cx", "cy"), strict=True
        ):
            if position + length < 0 or position > size:
                return True
        return False

    def _remarks(self) -> None:
        """Speaker's notes, then comments."""
        for name in related(self._archive, self._name, "notesSlide")[:1]:
            notes = self._archive.spare_xml(name)
            for shape in notes.iter("{*}sp") if notes is not None else ():
                if _placeholder(shape) not in _PAGE_CHROME:
                    for _, text in drawn_paragraphs(shape):
                        self._builder.add("paragraph", text, page=self._number)
        for name in related(self._archive, self._name, "comments"):
            comments = self._archive.spare_xml(name)
            for comment in comments.iter("{*}cm", "{*}reply") if comments is not None else ():
                texts = [clean_text(item.text or "") for item in comment.iterchildren("{*}text")]
                texts += [text for body in comment.iterchildren("{*}txBody") for _, text in drawn_paragraphs(body)]
                said = " ".join(" ".join(texts).split())
                if said:
                    self._builder.add("paragraph", f"Comment: {said}", page=self._number)


def _size(presentation: _Element) -> tuple[int, int] | None:
    """Width and height of the slides."""
    size = next(presentation.iter("{*}sldSz"), None)
    width, height = _numbers(size, "cx", "cy") if size is not None else (0, 0)
    return (width, height) if width and height else None


def _numbers(element: _Element, *names: str) -> tuple[int, ...]:
    values = [element.get(name) or "" for name in names]
    return tuple(int(value) if re.fullmatch(r"-?\d{1,12}", value) else 0 for value in values)


def _described(picture: _Element) -> str:
    for properties in picture:
        if local_name(properties).startswith("nv"):
            found = child(properties, "cNvPr")
            return picture_words(found.get("descr") or found.get("title")) if found is not None else ""
    return ""


def _placeholder(shape: _Element) -> str:
    """The placeholder type of a shape; "" for a shape that is none."""
    for properties in shape:
        if local_name(properties).startswith("nv"):
            found = child(properties, "nvPr", "ph")
            return (found.get("type") or "body") if found is not None else ""
    return ""


def _is_hidden(shape: _Element) -> bool:
    """Whether a shape is switched off in the list of what a slide holds."""
    for properties in shape:
        if local_name(properties).startswith("nv"):
            found = child(properties, "cNvPr")
            return found is not None and found.get("hidden") in _ON
    return False


def _is_terse(paragraphs: list[tuple[int, str]]) -> bool:
    """Bullet points rather than prose: mostly short and without a full stop."""
    return sum(len(text) < 100 and not text.endswith(".") for _, text in paragraphs) * 2 > len(paragraphs)
