"""PowerPoint files (PPTX): one section a slide with its title, texts, tables, charts and notes.

Belongs here: walking slides. Does not belong here: containers and relations (`archives`).
The XML is walked directly, shape by shape, so that a kind of shape nobody knows costs only itself.
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
    relations,
)
from rag_pipeline.transforms.parse.builder import TextBuilder
from rag_pipeline.transforms.parse.decode import clean_text
from rag_pipeline.transforms.parse.limits import ParseLimits, check_count
from rag_pipeline.transforms.parse.tabular import table_lines

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = "1"

_TITLES = frozenset({"title", "ctrTitle"})
_FURNITURE = frozenset({"dt", "ftr", "sldNum", "hdr", "sldImg"})
_MADE_UP_TITLES = frozenset({"powerpoint presentation", "presentation", "slide 1", "untitled"})


def parse_pptx(raw: bytes, address: str, limits: ParseLimits) -> list[ParsedDocument]:
    """The presentation; every block carries its slide's number, from 1, as page.

    Raises:
        EncryptedDocument, LimitExceeded, UnparsableDocument: From the container.
    """
    archive = Archive(raw, address, limits)
    mains = related(archive, "", "officeDocument") or [n for n in ("ppt/presentation.xml",) if n in archive.names]
    if not mains:
        raise UnparsableDocument(f"{address}: the container holds no presentation.", address=address)
    slides = _slides(archive, mains[0])
    check_count(len(slides), limits.max_pages, "slides", address)
    builder = TextBuilder()
    title: str | None = None
    for number, name in enumerate(slides, 1):
        slide = _Slide(archive, name, builder, number)
        slide.add()
        title = title or slide.title
    facts = core_properties(archive)
    declared = clean_text(facts.get("title", ""))
    return [
        builder.build(
            title=declared if declared and declared.lower() not in _MADE_UP_TITLES else title,
            author=clean_text(facts.get("creator", "")) or None,
            metadata={"slides": str(len(slides))},
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

    def add(self) -> None:
        root = self._archive.xml(self._name)
        titles = [shape for shape in root.iter("{*}sp") if _placeholder(shape) in _TITLES]
        for shape in titles[:1]:
            self.title = " ".join(text for _, text in _paragraphs(shape)).replace("\n", " ").strip() or None
        if self.title:
            self._builder.add("heading", self.title, level=1, page=self._number)
        tree = child(root, "cSld", "spTree")
        if tree is not None:
            self._shapes(tree, titles[0] if self.title else None)
        self._notes()

    def _shapes(self, parent: _Element, title: _Element | None) -> None:
        for shape in parent:
            name = local_name(shape)
            if name in ("sp", "cxnSp") and shape is not title and _placeholder(shape) not in _FURNITURE:
                self._texts(_paragraphs(shape))
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
                [" ".join(text for _, text in _paragraphs(cell)) for cell in row.iterchildren("{*}tc")]
                for row in table.iterchildren("{*}tr")
            ]
            self._builder.add("table", "\n".join(table_lines(rows)), page=self._number)
        for element in frame.iter():
            for key, value in element.attrib.items():
                kind, name = self._relations.get(str(value), ("", ""))
                if str(key).endswith(("}id", "}dm")) and name in self._archive.names:
                    self._graphic(kind, name)

    def _graphic(self, kind: str, name: str) -> None:
        if kind == "chart":
            self._chart(self._archive.xml(name))
        elif kind == "diagramData":
            lines: list[str] = []
            for point in self._archive.xml(name).iter("{*}pt"):
                lines.extend(f"- {text}" for _, text in _paragraphs(point))
            self._builder.add("list", "\n".join(lines), page=self._number)

    def _chart(self, chart: _Element) -> None:
        title = child(chart, "chart", "title")
        if title is not None:
            self._texts(_paragraphs(title))
        series = list(chart.iter("{*}ser"))
        names = [_points(item, "tx") for item in series]
        categories = next((points for item in series if (points := _points(item, "cat", "xVal"))), {})
        values = [_points(item, "val", "yVal") for item in series]
        rows = [["", *(" ".join(name.values()) for name in names)]]
        for index in sorted(set(categories).union(*values)):
            rows.append([categories.get(index, ""), *(value.get(index, "") for value in values)])
        self._builder.add("table", "\n".join(table_lines(rows)), page=self._number)

    def _notes(self) -> None:
        for name in related(self._archive, self._name, "notesSlide")[:1]:
            for shape in self._archive.xml(name).iter("{*}sp"):
                if _placeholder(shape) not in _FURNITURE:
                    for _, text in _paragraphs(shape):
                        self._builder.add("paragraph", text, page=self._number)


def _placeholder(shape: _Element) -> str:
    """The placeholder type of a shape; "" for a shape that is none."""
    for properties in shape:
        if local_name(properties).startswith("nv"):
            found = child(properties, "nvPr", "ph")
            return (found.get("type") or "body") if found is not None else ""
    return ""


def _paragraphs(shape: _Element) -> list[tuple[int, str]]:
    """(depth, text) of the paragraphs in a shape, blank ones left out."""
    found: list[tuple[int, str]] = []
    for paragraph in shape.iter("{*}p"):
        parts: list[str] = []
        for element in paragraph.iter("{*}t", "{*}br", "{*}tab"):
            name = local_name(element)
            parts.append((element.text or "") if name == "t" else "\n" if name == "br" else " ")
        lines = [" ".join(line.split()) for line in clean_text("".join(parts)).split("\n")]
        text = "\n".join(line for line in lines if line)
        properties = child(paragraph, "pPr")
        level = local_attribute(properties, "lvl") if properties is not None else None
        if text:
            found.append((int(level) if level and level.isdecimal() and len(level) == 1 else 0, text))
    return found


def _is_terse(paragraphs: list[tuple[int, str]]) -> bool:
    """Bullet points rather than prose: mostly short and without a full stop."""
    return sum(len(text) < 100 and not text.endswith(".") for _, text in paragraphs) * 2 > len(paragraphs)


def _points(series: _Element, *names: str) -> dict[int, str]:
    """Cached values of a chart's series part, by index."""
    for element in series:
        if local_name(element) in names:
            points: dict[int, str] = {}
            for point in element.iter("{*}pt"):
                index = point.get("idx") or ""
                value = child(point, "v")
                if index.isdecimal() and len(index) < 7 and value is not None and value.text:
                    points[int(index)] = clean_text(value.text)
            return points
    return {}
