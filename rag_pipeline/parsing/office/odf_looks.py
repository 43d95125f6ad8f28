"""What a reader of an OpenDocument file sees of its text: styles as they look, and what they hide.

Belongs here: how spans, paragraphs, sections, rows and slides look, and the text of one paragraph.
Does not belong here: headings, lists and tables (`odf`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag_pipeline.parsing.containers.archives import child, local_attribute, local_name
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.raised import Piece, Shift, joined
from rag_pipeline.parsing.readings import BASE, END, READING, with_readings

if TYPE_CHECKING:
    from lxml.etree import _Element

SKIPPED = frozenset({
    "tracked-changes", "annotation-end", "sequence-decls", "forms", "note-citation", "hidden-text",
    "hidden-paragraph", "title", "desc",
})  # fmt: skip
# What stands around words and their reading.
RUBY = {"ruby": (BASE, END), "ruby-text": (READING, "")}
FRAMES = frozenset({"frame", "text-box", "custom-shape", "g", "annotation"})
# Attributes, as they are written, without which styles change nothing that is noticed here, and what they may say all
# the same: most templates have none of these, and to count plain letters takes a tenth of the time of a pattern.
_TELLING: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b'display="none', ()),
    (b'text-position="', (b'text-position="0%',)),
    (b'line-through-style="', (b'line-through-style="none',)),
    (b'line-through-type="', (b'line-through-type="none',)),
    (b'font-size="0', ()),
    (b'font-size="1p', ()),
    (b':color="#ffffff', ()),
    (b':color="#FFFFFF', ()),
)
# A style rests on a few others; a circle ends here.
MAX_PARENTS = 30
_ASIDE = FRAMES | {"note"}
_SPACES = {"line-break": "\n", "s": " ", "tab": " "}
_TINY = frozenset({"0pt", "1pt", "0%", "1px"})
_COLOUR, _SIZE, _POSITION, _DISPLAY = "fo:color", "fo:font-size", "style:text-position", "text:display"
_STRUCK = ("style:text-line-through-style", "style:text-line-through-type")
# Of the properties of text, those that `Look` is made of, and when one of them changes what is seen.
_NOTICED: dict[str, Callable[[str], bool]] = {
    _DISPLAY: lambda said: said == "none",
    _POSITION: lambda said: bool(_shift(said)),
    _STRUCK[0]: lambda said: said != "none",
    _STRUCK[1]: lambda said: said != "none",
    _SIZE: lambda said: said in _TINY,
    _COLOUR: lambda said: said.lower() == "#ffffff",
}
_SHADES = ("fo:background-color", "draw:fill-color", "draw:fill-image-name")
_NAMESPACES = {
    prefix: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"
    for prefix, name in (("text", "text"), ("style", "style"), ("draw", "drawing"), ("fo", "xsl-fo-compatible"))
}


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

    @property
    def may_hide(self) -> bool:
        return bool(self.is_hidden or self.is_struck or self.is_tiny or self.is_white)

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
        content: The root of a document.
        common: The root of the styles shared with others, where the text uses one that tells.

    Attributes:
        hidden: What was left out, by the way of hiding.
        parents: Named style behind each automatic one, through which a program records what was done by hand.
        may_hide: Elements of the text's structure of which this document may hide some.
    """

    def __init__(self, content: _Element, common: _Element | None = None) -> None:
        self.hidden: Counter[str] = Counter()
        self._prefixes = _NAMESPACES | content.nsmap
        # Asked of each piece of text, and so not by its local name.
        self._style_key = self._key("text:style-name")
        own = _style_parts(content)
        first = next((style for part in own for style in part.iter("{*}style")), None)
        if first is not None:
            self._prefixes["style"] = str(first.tag)[1:].rpartition("}")[0]
        self._name_key, self._parent_key = self._key("style:name"), self._key("style:parent-style-name")
        self._overs: dict[tuple[str, int], Look] = {}
        self._unlike = {_PLAIN: _PLAIN}
        self._known: dict[str, Look] = {}
        styles = self._styles_of(own)
        self.parents = {name: based for name, style in styles.items() if (based := style.get(self._parent_key))}
        is_show = is_presentation(content)
        self._hidden_pages = set(self._pages_off(own)) if is_show else set()
        shared = _style_parts(common) if common is not None else []
        self._styles = self._styles_of(shared) | styles
        tells = self._telling([*shared, *own])
        if is_show:
            # White is what stands on the page itself, which on slides is nothing.
            tells.discard(_COLOUR)
        if not tells.isdisjoint(_STRUCK):
            # The first says more than the second.
            tells.update(_STRUCK)
        self._has_looks = bool(tells)
        # A look that no style has is not taken away by any either.
        self._noticed = {self._key(name): name for name in tells}
        self._shades = [self._key(name) for name in _SHADES] if _COLOUR in tells else []
        self.may_hide = {"section", "table-row", "deletion"}
        if self._hidden_pages:
            self.may_hide.add("page")
        if next(content.iter("{*}hidden-paragraph"), None) is not None:
            self.may_hide |= {"p", "h"}

    def _key(self, name: str) -> str:
        """An element or attribute as it is looked up, in the namespace that the file has for it."""
        prefix, _, local = name.partition(":")
        return f"{{{self._prefixes[prefix]}}}{local}"

    def _styles_of(self, parts: list[_Element]) -> dict[str, _Element]:
        tag = self._key("style:style")
        return {style.get(self._name_key) or "": style for part in parts for style in part.iter(tag)}

    def _pages_off(self, parts: list[_Element]) -> Iterator[str]:
        """Styles of slides that a show leaves out."""
        for part in parts:
            for drawn in part.iter("{*}drawing-page-properties"):
                style = drawn.getparent()
                if style is not None and local_attribute(drawn, "visibility") == "hidden":
                    yield style.get(self._name_key) or ""

    def _telling(self, parts: list[_Element]) -> set[str]:
        """Properties by which some style changes what is seen."""
        noticed = [(self._key(name), name, tells) for name, tells in _NOTICED.items()]
        found: set[str] = set()
        tag = self._key("style:text-properties")
        for properties in (item for part in parts for item in part.iter(tag)):
            for key, name, tells in noticed:
                said = properties.get(key)
                if said is not None and name not in found and tells(said):
                    found.add(name)
        return found

    def style_name(self, element: _Element) -> str | None:
        """The style of a paragraph, heading or span."""
        found = element.get(self._style_key)
        return None if found is None else str(found)

    def is_left_out(self, element: _Element, name: str) -> bool:
        """Whether an element of the text's structure is not shown; it is counted then."""
        cause = ""
        if name == "page":
            cause = "slide" if local_attribute(element, "style-name") in self._hidden_pages else ""
        elif name == "section":
            shown = local_attribute(element, "display")
            is_off = shown == "condition" and local_attribute(element, "is-hidden") == "true"
            cause = "section" if shown == "none" or is_off else ""
        elif name in ("p", "h"):
            field = next(element.iter("{*}hidden-paragraph"), None)
            is_off = field is not None and local_attribute(field, "is-hidden") != "false"
            cause = "paragraph" if is_off else ""
        elif name == "table-row":
            cause = "row" if local_attribute(element, "visibility") in ("collapse", "filter") else ""
        elif name == "deletion":
            cause = "deletion"
        if cause:
            self.hidden[cause] += any(map(str.strip, element.itertext()))
        return bool(cause)

    def text(self, element: _Element) -> tuple[str, list[_Element]]:
        """A paragraph's text, and the frames, notes and the like within it that make blocks of their own."""
        frames: list[_Element] = []
        if self._has_looks:
            pieces: list[Piece] = []
            self._gather(element, pieces, frames, _PLAIN)
            written = joined(pieces)
        else:
            parts: list[str] = []
            _gather_plain(element, parts, frames)
            written = "".join(parts)
        said = clean_text(with_readings(written))
        if "\n" not in said:
            return " ".join(said.split()), frames
        lines = [" ".join(line.split()) for line in said.split("\n")]
        return "\n".join(line for line in lines if line), frames

    def _gather(self, element: _Element, pieces: list[Piece], frames: list[_Element], below: Look) -> None:
        own = element.get(self._style_key)
        look = below if own is None else self._overs.get((own, id(below))) or self._over(own, below)
        cause = look.cause(look.is_white is True and _stands_on_page(element)) if look.may_hide else ""
        shift = look.shift or ""
        text = element.text
        if cause:
            self.hidden[cause] += bool((text or "").strip())
        elif text:
            pieces.append((text.replace("\n", " "), shift))
        for item in element:
            self._inner(item, pieces, frames, look)
            if item.tail and not cause:
                pieces.append((item.tail.replace("\n", " "), shift))

    def _over(self, name: str, below: Look) -> Look:
        """What text of a style looks like in what looks like `below`; equal looks are one object, which is kept."""
        look = self._style(name).over(below)
        look = self._overs[name, id(below)] = self._unlike.setdefault(look, look)
        return look

    def _inner(self, item: _Element, pieces: list[Piece], frames: list[_Element], look: Look) -> None:
        """Takes in what stands within a paragraph or span."""
        name = local_name(item)
        if name in _SPACES:
            pieces.append((_SPACES[name], look.shift or ""))
        elif name in _ASIDE:
            frames += _aside(item, name)
        elif name == "hidden-text" and local_attribute(item, "is-hidden") == "false":
            pieces.append((local_attribute(item, "string-value") or "", look.shift or ""))
        elif name in RUBY:
            before, after = RUBY[name]
            pieces.append((before, ""))
            self._gather(item, pieces, frames, look)
            pieces.append((after, ""))
        elif name and name not in SKIPPED:
            self._gather(item, pieces, frames, look)

    def _style(self, name: str, seen: int = 0) -> Look:
        look = self._known.get(name)
        if look is None:
            style = self._styles.get(name) if seen < MAX_PARENTS else None
            look = _PLAIN
            if style is not None:
                below = style.get(self._parent_key)
                look = self._look(style).over(self._style(below, seen + 1) if below else _PLAIN)
            self._known[name] = look
        return look

    def _look(self, style: _Element) -> Look:
        """How one style says that text looks."""
        look = _PLAIN
        for properties in style:
            if any([properties.get(key, "transparent") != "transparent" for key in self._shades]):
                look = replace(look, is_shaded=True)
            if local_name(properties) == "text-properties":
                said = {name: properties.get(key) for key, name in self._noticed.items() if key in properties.attrib}
                look = _of_text(said).over(look) if said else look
        return look


def _gather_plain(element: _Element, parts: list[str], frames: list[_Element]) -> None:
    """`Looks._gather` where no style changes what is seen: `parts` gets the text."""
    if element.text:
        parts.append(element.text.replace("\n", " "))
    for item in element:
        name = local_name(item)
        if name in _SPACES:
            parts.append(_SPACES[name])
        elif name in _ASIDE:
            frames += _aside(item, name)
        elif name == "hidden-text" and local_attribute(item, "is-hidden") == "false":
            parts.append(local_attribute(item, "string-value") or "")
        elif name in RUBY:
            before, after = RUBY[name]
            parts.append(before)
            _gather_plain(item, parts, frames)
            parts.append(after)
        elif name and name not in SKIPPED:
            _gather_plain(item, parts, frames)
        if item.tail:
            parts.append(item.tail.replace("\n", " "))


def _aside(item: _Element, name: str) -> list[_Element]:
    """What makes blocks of its own within a paragraph."""
    if name != "note":
        return [item]
    body = child(item, "note-body")
    return [] if body is None else [body]


def is_telling(written: bytes) -> bool:
    """Whether something in these styles, as they are written, may change what is seen."""
    return any(written.count(letters) > sum(map(written.count, harmless)) for letters, harmless in _TELLING)


def is_presentation(content: _Element) -> bool:
    return any(local_name(item) == "presentation" for body in content.iterchildren("{*}body") for item in body)


def _style_parts(root: _Element) -> list[_Element]:
    """The parts of a file that define styles; they stand before its body, where there is anything before it."""
    return [part for part in root if local_name(part) != "body"] or [root]


def _stands_on_page(element: _Element) -> bool:
    """Whether nothing but the page itself can be behind a text: no cell, frame, shape or slide."""
    return not any("drawing:" in ancestor.tag or "table:" in ancestor.tag for ancestor in element.iterancestors())


def _of_text(said: dict[str, str]) -> Look:
    display, colour, size = said.get(_DISPLAY), said.get(_COLOUR), said.get(_SIZE)
    struck = said.get(_STRUCK[0]) or said.get(_STRUCK[1])
    return Look(
        _shift(said.get(_POSITION)),
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
