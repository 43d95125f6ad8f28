"""Charts and diagrams that office files keep in parts of their own: their words and numbers as blocks.

Belongs here: chart and diagram parts, the same in Word, PowerPoint and Excel files.
Does not belong here: the documents that refer to them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.containers.archives import Archive, child, local_attribute, local_name
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.formulas import formula_text
from rag_pipeline.parsing.raised import Piece, Shift, joined
from rag_pipeline.parsing.tabular import table_lines

if TYPE_CHECKING:
    from lxml.etree import _Element

# A chart of more is a cloud, whose points nobody looks up.
MAX_POINTS = 100_000


def add_drawing(builder: TextBuilder, archive: Archive, kind: str, name: str, page: int | None = None) -> None:
    """Appends the text of the part `name`; a part that is no chart or diagram, or is damaged, adds nothing.

    Args:
        kind: Last word of the type of the relation that leads to the part.
    """
    if kind not in ("chart", "chartEx", "diagramData"):
        return
    root = archive.text_xml(name)
    if root is None:
        return
    if kind == "diagramData":
        lines = [f"- {text}" for point in root.iter("{*}pt") for _, text in drawn_paragraphs(point)]
        builder.add("list", "\n".join(lines), page=page)
    else:
        _add_chart(builder, root, page)


def drawn_paragraphs(shape: _Element, hidden: Counter[str] | None = None) -> list[tuple[int, str]]:
    """(depth, text) of the DrawingML paragraphs in a shape, blank ones and what is struck through left out.

    Args:
        hidden: Gets what was left out.
    """
    found: list[tuple[int, str]] = []
    for paragraph in shape.iter("{*}p"):
        pieces: list[Piece] = []
        for element in paragraph.iter("{*}t", "{*}br", "{*}tab", "{*}oMath"):
            _add_piece(pieces, element, hidden)
        lines = [" ".join(line.split()) for line in clean_text(joined(pieces)).split("\n")]
        text = "\n".join(line for line in lines if line)
        properties = child(paragraph, "pPr")
        level = local_attribute(properties, "lvl") if properties is not None else None
        if text:
            found.append((int(level) if level and level.isdecimal() and len(level) == 1 else 0, text))
    return found


def _add_piece(pieces: list[Piece], element: _Element, hidden: Counter[str] | None) -> None:
    name = local_name(element)
    if name == "oMath":
        pieces.append((formula_text(element), ""))
        return
    if name != "t":
        pieces.append(("\n" if name == "br" else " ", ""))
        return
    if "/math}" in element.tag:
        return
    run = element.getparent()
    properties = child(run, "rPr") if run is not None else None
    strike = properties.get("strike", "noStrike") if properties is not None else "noStrike"
    if strike != "noStrike":
        if hidden is not None:
            hidden["deletion"] += 1
        return
    pieces.append((element.text or "", _shift(properties.get("baseline")) if properties is not None else ""))


def _shift(baseline: str | None) -> Shift:
    """What a distance from the line, in thousandths of the letters' height, makes of a text."""
    if not baseline or baseline.strip("-0%") == "":
        return ""
    return "sub" if baseline.startswith("-") else "sup"


def _add_chart(builder: TextBuilder, root: _Element, page: int | None) -> None:
    for title in root.iter("{*}title"):
        for _, text in drawn_paragraphs(title):
            builder.add("paragraph", text, page=page)
    series = list(root.iter("{*}ser"))
    names = [_points(item, "tx") for item in series]
    categories = next((points for item in series if (points := _points(item, "cat", "xVal"))), {})
    values = [_points(item, "val", "yVal") for item in series]
    rows = [["", *(" ".join(name.values()) for name in names)]]
    for index in sorted(set(categories).union(*values)):
        rows.append([categories.get(index, ""), *(value.get(index, "") for value in values)])
    builder.add("table", "\n".join(table_lines(rows)), page=page)


def _points(series: _Element, *names: str) -> dict[int, str]:
    """Cached values of a chart's series part, by index; categories of several levels outermost first."""
    points: dict[int, str] = {}
    for element in series:
        if local_name(element) not in names:
            continue
        levels = list(element.iter("{*}lvl")) or [element]
        for level in reversed(levels):
            for point in level.iter("{*}pt"):
                index = point.get("idx") or ""
                value = child(point, "v")
                if index.isdecimal() and len(index) < 7 and value is not None and value.text:
                    text = clean_text(value.text)
                    points[int(index)] = f"{points[int(index)]} {text}" if int(index) in points else text
                if len(points) >= MAX_POINTS:
                    return points
        if not points:
            literal = child(element, "v")
            points = {0: clean_text(literal.text)} if literal is not None and literal.text else {}
        break
    return points
