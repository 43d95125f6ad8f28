"""What a reader of an OpenDocument file sees of its text: styles as they look, and what they hide.

Belongs here: how spans, paragraphs, sections, rows and slides look, and the text of one paragraph.
Does not belong here: headings, lists and tables (`odf`).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag_pipeline.parsing.containers.archives import child, local_attribute, local_name
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.raised import Piece, Shift, joined

if TYPE_CHECKING:
    from lxml.etree import _Element

# Elements of the text's structure that may be hidden.
MAY_HIDE = frozenset({"page", "section", "p", "h", "table-row", "deletion"})
SKIPPED = frozenset({
    "tracked-changes", "annotation-end", "sequence-decls", "forms", "note-citation", "ruby-text", "hidden-text",
    "hidden-paragraph", "title", "desc",
})  # fmt: skip
FRAMES = frozenset({"frame", "text-box", "custom-shape", "g", "annotation"})
# Attributes, as they are written, without which styles change nothing that is noticed here, each with letters that it
# holds: most documents have none of these, and a search for plain letters takes half the time of a pattern.
_TELLING = tuple(
    (letters, re.compile(pattern))
    for letters, pattern in (
        (b'display="none', rb'display="none'),
        (b'text-position="', rb'text-position="(?!0%)'),
        (b"line-through-", rb'line-through-(?:style|type)="(?!none)'),
        (b'="#ffffff"', rb':color="#ffffff'),
        (b'="#FFFFFF"', rb':color="#FFFFFF'),
        (b'size="0', rb'font-size="0(?:pt|px|%)'),
        (b'size="1p', rb'font-size="1(?:pt|px)'),
    )
)
# A style rests on a few others; a circle ends here.
MAX_PARENTS = 30
_TEXT_NAMESPACE = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_SPACES = {"line-break": "\n", "s": " ", "tab": " "}
_TINY = frozenset({"0pt", "1pt", "0%", "1px"})
# Of the properties of text, those that `Look` is made of.
_NOTICED = frozenset({
    "display", "color", "font-size", "text-position", "text-line-through-style", "text-line-through-type",
})  # fmt: skip
_SHADES = ("background-color", "fill-color", "fill-image-name")
_READ_OF_STYLES = tuple(f"}}{name}" for name in (*_NOTICED, *_SHADES))


@dataclass(frozen=True, slots=True)
class Look:
    """How text is formatted, as far as a reader notices; None where nothing is said."""

    shift: Shift | None = None
    is_hidden: bool | None = None
    is_struck: bool | None = None
    is_white: bool | None = None
    is_tiny: bool | None = None
    is_shaded: bool = False

    def over(self, below: Look) -> Look:
        """This look, with what it leaves open from `below`."""
        if below is _PLAIN or self is _PLAIN:
            return self if below is _PLAIN else below
        return Look(
            below.shift if self.shift is None else self.shift,
            below.is_hidden if self.is_hidden is None else self.is_hidden,
            below.is_struck if self.is_struck is None else self.is_struck,
            below.is_white if self.is_white is None else self.is_white,
            below.is_tiny if self.is_tiny is None else self.is_tiny,
            self.is_shaded or below.is_shaded,
        )

    def cause(self, is_on_white: bool) -> str:
        """Why a reader does not see the text; "" for what is seen."""
        if self.is_hidden:
            return "run"
        if self.is_struck:
            return "deletion"
        return "style" if self.is_tiny or (self.is_white and is_on_white and not self.is_shaded) else ""


_PLAIN = Look()


class Looks:
    """Reads text as it looks, by the styles of a document.

    Args:
        written: The content as it is written; where nothing in it tells, nothing is looked up.
        content: Its root.
        common: The root of the styles shared with others, where the text uses one that tells.

    Attributes:
        hidden: What was left out, by the way of hiding.
        parents: Named style behind each automatic one, through which a program records what was done by hand.
    """

    def __init__(self, written: bytes, content: _Element, common: _Element | None) -> None:
        self.hidden: Counter[str] = Counter()
        self._has_looks = common is not None or is_telling(written)
        self._has_fields = b"hidden-paragraph" in written
        self._has_hidden_pages = b"hidden" in written
        # Asked of each piece of text, and so not by its local name.
        self._style_key = f"{{{content.nsmap.get('text', _TEXT_NAMESPACE)}}}style-name"
        self._styles: dict[str, _Element] = {}
        self._known: dict[str, Look] = {}
        self._hidden_pages: set[str] = set()
        if common is not None:
            self._styles.update(_styles_of(common))
        own = _styles_of(content)
        self._styles.update(own)
        self.parents = {name: based for name, style in own.items() if (based := _parent(style))}
        for name, style in self._styles.items() if self._has_hidden_pages else ():
            drawn = next(style.iterchildren("{*}drawing-page-properties"), None)
            if drawn is not None and local_attribute(drawn, "visibility") == "hidden":
                self._hidden_pages.add(name)

    def style_name(self, element: _Element) -> str | None:
        """The style of a paragraph, heading or span."""
        found = element.get(self._style_key)
        return None if found is None else str(found)

    def is_left_out(self, element: _Element, name: str) -> bool:
        """Whether an element of the text's structure is not shown; it is counted then."""
        cause = ""
        if name == "page":
            is_off = bool(self._hidden_pages) and local_attribute(element, "style-name") in self._hidden_pages
            cause = "slide" if is_off else ""
        elif name == "section":
            shown = local_attribute(element, "display")
            is_off = shown == "condition" and local_attribute(element, "is-hidden") == "true"
            cause = "section" if shown == "none" or is_off else ""
        elif name in ("p", "h"):
            field = next(element.iter("{*}hidden-paragraph"), None) if self._has_fields else None
            is_off = field is not None and local_attribute(field, "is-hidden") != "false"
            cause = "paragraph" if is_off else ""
        elif name == "table-row":
            cause = "row" if local_attribute(element, "visibility") in ("collapse", "filter") else ""
        elif name == "deletion":
            cause = "deletion"
        if cause:
            self.hidden[cause] += any("".join(item.itertext()).strip() for item in element)
        return bool(cause)

    def text(self, element: _Element) -> tuple[str, list[_Element]]:
        """A paragraph's text, and the frames, notes and the like within it that make blocks of their own."""
        pieces: list[Piece] = []
        frames: list[_Element] = []
        self._gather(element, pieces, frames, _PLAIN)
        said = clean_text(joined(pieces))
        if "\n" not in said:
            return " ".join(said.split()), frames
        lines = [" ".join(line.split()) for line in said.split("\n")]
        return "\n".join(line for line in lines if line), frames

    def _gather(self, element: _Element, pieces: list[Piece], frames: list[_Element], below: Look) -> None:
        own = self.style_name(element) if self._has_looks else None
        look = self._style(own).over(below) if own else below
        cause = look.cause(look.is_white is True and _stands_on_page(element)) if look is not _PLAIN else ""
        shift = look.shift or ""
        if cause:
            self.hidden[cause] += bool((element.text or "").strip())
        else:
            pieces.append(((element.text or "").replace("\n", " "), shift))
        for item in element:
            self._inner(item, pieces, frames, look)
            if not cause:
                pieces.append(((item.tail or "").replace("\n", " "), shift))

    def _inner(self, item: _Element, pieces: list[Piece], frames: list[_Element], look: Look) -> None:
        """Takes in what stands within a paragraph or span."""
        name = local_name(item)
        if name in _SPACES:
            pieces.append((_SPACES[name], look.shift or ""))
        elif name == "note":
            body = child(item, "note-body")
            if body is not None:
                frames.append(body)
        elif name in FRAMES:
            frames.append(item)
        elif name == "hidden-text" and local_attribute(item, "is-hidden") == "false":
            pieces.append((local_attribute(item, "string-value") or "", look.shift or ""))
        elif name and name not in SKIPPED:
            self._gather(item, pieces, frames, look)

    def _style(self, name: str, seen: int = 0) -> Look:
        look = self._known.get(name)
        if look is None:
            style = self._styles.get(name) if seen < MAX_PARENTS else None
            look = _PLAIN
            if style is not None:
                below = _parent(style)
                look = _look(style).over(self._style(below, seen + 1) if below else _PLAIN)
            self._known[name] = look
        return look


def is_telling(written: bytes) -> bool:
    """Whether something in these styles, as they are written, changes what is seen."""
    return any(letters in written and pattern.search(written) for letters, pattern in _TELLING)


def _styles_of(root: _Element) -> dict[str, _Element]:
    """The styles that a file defines, by name; they stand before its body, where there is anything before it."""
    parts = [part for part in root if local_name(part) != "body"] or [root]
    return {_said(style, "name") or "": style for part in parts for style in part.iter("{*}style")}


def _parent(style: _Element) -> str | None:
    return _said(style, "parent-style-name")


def _said(style: _Element, name: str) -> str | None:
    """An attribute of a style, which mostly is of the style's own namespace."""
    said = style.get(f"{str(style.tag).removesuffix('style')}{name}")
    return str(said) if said is not None else local_attribute(style, name)


def _stands_on_page(element: _Element) -> bool:
    """Whether nothing but the page itself can be behind a text: no cell, frame, shape or slide."""
    return not any("drawing:" in ancestor.tag or "table:" in ancestor.tag for ancestor in element.iterancestors())


def _look(style: _Element) -> Look:
    """How one style says that text looks."""
    look = _PLAIN
    for properties in style:
        name = local_name(properties)
        if not name.endswith("-properties"):
            continue
        # Most attributes are about fonts and languages, and say nothing here.
        noticed = [key for key in properties.keys() if key.endswith(_READ_OF_STYLES)]  # noqa: SIM118
        said = {key.rpartition("}")[2]: str(properties.get(key)) for key in noticed}
        if not said:
            continue
        if any(said.get(shade, "transparent") != "transparent" for shade in _SHADES):
            look = replace(look, is_shaded=True)
        if name == "text-properties" and not _NOTICED.isdisjoint(said):
            look = _of_text(said).over(look)
    return look


def _of_text(said: dict[str, str]) -> Look:
    display, colour, size = said.get("display"), said.get("color"), said.get("font-size")
    struck = said.get("text-line-through-style") or said.get("text-line-through-type")
    return Look(
        _shift(said.get("text-position")),
        None if display is None else display == "none",
        None if struck is None else struck != "none",
        None if colour is None else colour.lower() == "#ffffff",
        None if size is None else size in _TINY,
    )


def _shift(position: str | None) -> Shift | None:
    """What a place such as `super 58%` or `-33% 58%` makes of a text."""
    if not position:
        return None
    height = position.split()[0]
    if height in ("super", "sub"):
        return "sup" if height == "super" else "sub"
    if height.strip("-0.%") == "":
        return ""
    return "sub" if height.startswith("-") else "sup"
