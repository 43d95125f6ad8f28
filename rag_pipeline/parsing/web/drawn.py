"""Words of an HTML page that are drawn: in SVG pictures, and above other words as their reading.

Belongs here: putting these words, in place, where the walk over the page finds them.
Does not belong here: pictures in files of their own (`inline`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_pipeline.parsing.readings import in_brackets
from rag_pipeline.parsing.web.hidden import hidden_cause

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# A chart has a few dozen labels; a map with more is looked at, not read.
MAX_LABELS = 500
# What a drawing defines for later use, and what programs keep in it.
_NOT_DRAWN = frozenset({"defs", "symbol", "metadata", "clippath", "mask", "pattern", "marker", "style", "script"})
_READINGS = ("rt", "rp", "rtc")


def say_drawings(root: HtmlElement) -> None:
    """Puts what an SVG picture is called before it, and the words that it shows, a line each."""
    for drawing in list(root.iter("svg")):
        if next(drawing.iterancestors("svg"), None) is not None or hidden_cause(drawing, has_styles=True):
            continue
        if drawing.get("display") == "none":
            continue
        name = _name(drawing)
        labels = _labels(drawing)
        if labels:
            first, *others = [name, *labels] if name else labels
            words = drawing.makeelement("div")
            words.text = first
            for label in others:
                line_break = drawing.makeelement("br")
                line_break.tail = label
                words.append(line_break)
            drawing.addprevious(words)
        elif name:
            drawing.addprevious(drawing.makeelement("img", {"alt": name}))


def _labels(drawing: HtmlElement) -> list[str]:
    """The words of the picture, those of one `text` or foreign element together; none if there are no letters."""
    found: list[str] = []
    for element in drawing.iter("text", "foreignobject"):
        above = [str(each.tag) for each in element.iterancestors()]
        is_within = "text" in above or "foreignobject" in above
        if is_within or not _NOT_DRAWN.isdisjoint(above) or hidden_cause(element, has_styles=True):
            continue
        # Pieces of one label that are set apart stand in lines of their own.
        words = " ".join(" ".join(element.itertext()).split())
        if words:
            found.append(words)
    return found[:MAX_LABELS] if any(map(str.isalpha, "".join(found))) else []


def _name(drawing: HtmlElement) -> str:
    said = [drawing.get("aria-label"), *(element.text for element in drawing.iterchildren("title", "desc"))]
    return next((" ".join(name.split()) for name in said if name and name.strip()), "")


def say_readings(root: HtmlElement) -> None:
    """Puts the reading of ruby text behind the words that it stands above, in brackets."""
    for ruby in list(root.iter("ruby")):
        readings = [" ".join(reading.text_content().split()) for reading in ruby.iter("rt")]
        for element in list(ruby.iter(*_READINGS)):
            if element.getparent() is not None:
                element.drop_tree()
        said = in_brackets(readings)
        if not said:
            continue
        if len(ruby):
            ruby[-1].tail = f"{(ruby[-1].tail or '').rstrip()}{said}"
        else:
            ruby.text = f"{(ruby.text or '').rstrip()}{said}"
