"""PowerPoint files (PPTX): one section a slide with its title, texts, tables, charts, notes and comments.

Belongs here: walking slides. Does not belong here: containers and relations (`containers/archives`).
The XML is walked directly, shape by shape, so that a kind of shape nobody knows costs only itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.containers.archives import (
    Archive,
    child,
    core_properties,
    local_name,
    refuse_pictures_only,
    related,
    relations,
)
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.office.drawings import add_drawing, drawn_paragraphs
from rag_pipeline.parsing.tabular import table_lines

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = "3"

_TITLES = frozenset({"title", "ctrTitle"})
_FURNITURE = frozenset({"dt", "ftr", "sldNum", "hdr", "sldImg"})
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
    hidden = 0
    for number, name in enumerate(slides, 1):
        slide = _Slide(archive, name, builder, number)
        hidden += not slide.add()
        title = title or slide.title
        check_count(builder.length_chars, context.limits.max_text_chars, "characters of text", context.address)
    if builder.is_empty and archive.unread:
        raise UnparsableDocument(
            f"{context.address}: no slide could be read. Open the file in its application and save it again.",
            address=context.address,
        )
    if slides:
        refuse_pictures_only(archive, not builder.is_empty, slides)
    metadata = {"slides": str(len(slides))} | ({"hidden_slide_count": str(hidden)} if hidden else {})
    if archive.unread:
        metadata["unread_parts"] = ", ".join(archive.unread)[:1000]
    facts = core_properties(archive)
    declared = clean_text(facts.get("title", ""))
    return [
        builder.build(
            title=declared if declared and declared.lower() not in _MADE_UP_TITLES else title,
            author=clean_text(facts.get("creator", "")) or None,
            metadata=metadata,
        )
    ]


def _slides(archive: Archive, main: str) -> list[str]:
    """Members that hold slides, in the presentation's order."""
    by_id = relations(archive, main)
    names: list[str] = []
    for element in archive.xml(main).iter("{*}sldId"):
        for key, value in element.attrib.items():
            kind, name = by_id.get(str(value), ("", ""))
            if str(key).endswith("}id") and kind == "slide" and name in archive.names:
                names.append(name)
    return names


class _Slide:
    """Adds one slide's blocks to the builder, its title first."""

    def __init__(self, archive: Archive, name: str, builder: TextBuilder, number: int) -> None:
        self.title: str | None = None
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
            self.title = " ".join(text for _, text in drawn_paragraphs(shape)).replace("\n", " ").strip() or None
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
            if _is_hidden(shape):
                continue
            if name in ("sp", "cxnSp") and shape is not title and _placeholder(shape) not in _FURNITURE:
                self._texts(drawn_paragraphs(shape))
            elif name == "graphicFrame":
                self._frame(shape)
            elif name == "AlternateContent":
                choice = child(shape, "Choice")
                fallback = child(shape, "Fallback")
                self._shapes(choice if choice is not None else fallback if fallback is not None else shape, title)
            elif name in ("grpSp", "Choice", "Fallback"):
                self._shapes(shape, title)

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
            rows = [
                [" ".join(text for _, text in drawn_paragraphs(cell)) for cell in row.iterchildren("{*}tc")]
                for row in table.iterchildren("{*}tr")
            ]
            self._builder.add("table", "\n".join(table_lines(rows)), page=self._number)
        for element in frame.iter():
            for key, value in element.attrib.items():
                kind, name = self._relations.get(str(value), ("", ""))
                if str(key).endswith(("}id", "}dm")) and name in self._archive.names:
                    add_drawing(self._builder, self._archive, kind, name, page=self._number)

    def _remarks(self) -> None:
        """Speaker's notes, then comments."""
        for name in related(self._archive, self._name, "notesSlide")[:1]:
            notes = self._archive.spare_xml(name)
            for shape in notes.iter("{*}sp") if notes is not None else ():
                if _placeholder(shape) not in _FURNITURE:
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
            return found is not None and found.get("hidden") in ("1", "true")
    return False


def _is_terse(paragraphs: list[tuple[int, str]]) -> bool:
    """Bullet points rather than prose: mostly short and without a full stop."""
    return sum(len(text) < 100 and not text.endswith(".") for _, text in paragraphs) * 2 > len(paragraphs)
