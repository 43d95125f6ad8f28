"""What a reader of an HTML page does not see, by the way in which it is hidden.

Belongs here: the judgement about one element, and counting.
Does not belong here: taking elements out of the tree (`tree`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# A style that is longer holds a picture.
STYLE_LIMIT_CHARS = 5_000
LARGEST_SHARE = 0.5
"""What a script fades in begins transparent: an element with more of the page's text than this is shown."""

_DECLARATION = re.compile(r"([a-z-]+)\s*:\s*([^;]+)")
_UNREADABLE = re.compile(r"(?:[-+]?0*\.?0*|0*1(?:\.0*)?|0*\.\d+)(?:px|pt)\Z")
_NO_FONT = re.compile(r"(?:\S+\s+)*0(?:px|pt|em)?(?:/\S+)?\s+\S")
_ZERO = re.compile(r"[-+]?0*\.?0*(?:px|em|rem|pt|%|ex|ch|vw|vh|cm|mm|in)?\Z")
_FAR = re.compile(r"-(?:\d{3,}(?:\.\d+)?(?:px|em|rem|pt|%|vw|vh)?|[5-9]\d(?:\.\d+)?r?em)\Z")
# Nobody sees the twentieth part of a colour.
_FAINT = re.compile(r"(?:0*\.?0*|0*\.0[0-4]\d*|[0-4](?:\.\d+)?%)\Z")
# Of 255: what differs less, no eye tells apart.
_ALIKE = 8
_CLIPPED = re.compile(
    r"rect\(\s*(?:[01](?:px)?[\s,]+){3}[01](?:px)?\s*\)|inset\(\s*(?:50|[6-9]\d|100)%|polygon\(0(?:px)? 0|"
    r"(?:circle|ellipse)\(\s*0(?:px|%)?(?:\s+0(?:px|%)?)?\s*(?:\)|at\b)"
)
_BEHIND = re.compile(r"-\d+\Z")
_SHRUNK = re.compile(r"scale[xy]?\(0(?:,0)?\)\Z")
_MOVED_FAR = re.compile(r"translate(?:3d|x|y)?\((?:0(?:px)?,)?-\d{3,}(?:\.\d+)?(?:px|em|rem|pt|vw|vh)\b")
_PROSE_TAGS = frozenset((
    "p", "li", "td", "th", "tr", "table", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "dd", "dt", "dl",
    "ul", "ol", "figure", "figcaption", "strong", "em", "b", "mark", "code",
))  # fmt: skip
_CLASS_NAMES = """
    sr-only visually-hidden visuallyhidden screen-reader-text screen-reader-only screenreader assistive-text
    element-invisible u-hidden is-hidden d-none display-none a11y-hidden hide-visually cdk-visually-hidden offscreen
    off-screen invisible"""
_CLASSES = frozenset(_CLASS_NAMES.split())
# A style without any of these hides nothing, and need not be read.
_MAY_HIDE = re.compile(
    r"none|hidden|collapse|opacity|font|line-through|clip|position|indent|margin-|color|transform|mso-hide|zoom|scale|translate|z-index",
    re.I,
)
_SHOWN_AGAIN = re.compile(
    r"(?:^|\s)d-(?:\w+-)?(?:block|inline|flex|grid|table)|sr-only-focusable|(?:^|\s)\w+:(?:block|inline|flex|grid|table|visible|not-sr-only)"
)
_BETWEEN = re.compile(r"(?<=[\d%g])\s+(?=[\d.])")
_NAMED = {"white": "#ffffff", "black": "#000000", "#fff": "#ffffff", "#000": "#000000"}
_RGB = re.compile(r"rgba?\((\d+),(\d+),(\d+)(?:[,/][\d.]+%?)?\)\Z")
_HEX = re.compile(r"#[0-9a-f]{6}\Z")
_WHITE = re.compile(r"hsla?\([\d.]+(?:deg)?,[\d.]+%,100%(?:[,/]1(?:\.0*)?|[,/]100%)?\)\Z")


def hidden_cause(element: HtmlElement, has_styles: bool) -> str | None:
    """How an element is hidden: `attribute`, `style`, `class` or `deletion`; None if a reader sees it.

    Args:
        has_styles: The page has a style sheet, so that what stands behind a text is not known from its own styles.
    """
    found = element.get
    if (said := found("hidden")) is not None and said.lower() != "until-found":
        return "attribute"
    # It is for programs that read aloud: signs, doubles and closed windows have it, and a reader sees what is prose.
    if found("aria-hidden", "").lower() == "true" and element.tag not in _PROSE_TAGS:
        return "attribute"
    if element.tag == "font" and _is_background(element, found("color", ""), has_styles):
        return "style"
    style = found("style")
    if style and "line-through" in style.lower() and is_struck(declarations(style)):
        return "deletion"
    if style and _MAY_HIDE.search(style) and _is_style_hidden(element, style, has_styles):
        return "style"
    classes = found("class")
    if classes and not _SHOWN_AGAIN.search(classes):
        names = classes.lower().split()
        # `hidden` alone is a name that scripts use as well; beside other utilities it is Tailwind's.
        if not _CLASSES.isdisjoint(names) or ("hidden" in names and not has_styles):
            return "class"
    return None


def is_transparent(element: HtmlElement) -> bool:
    """Whether an element is hidden only by being transparent, as what fades in is."""
    style = declarations(element.get("style") or "")
    return bool(_FAINT.match(style.get("opacity", "1")))


def declarations(style: str) -> dict[str, str]:
    """Properties of a `style` attribute, lower case, without `!important`."""
    found = _DECLARATION.findall(style[:STYLE_LIMIT_CHARS].lower())
    return {name: value.replace("!important", "").strip() for name, value in found}


def is_struck(said: dict[str, str]) -> bool:
    """Whether these properties strike text through."""
    return "line-through" in said.get("text-decoration", said.get("text-decoration-line", ""))


def is_hiding(said: dict[str, str]) -> bool:
    """Whether these properties alone take an element out of sight, colours and sizes of what is within aside."""
    if said.get("display") == "none" or said.get("visibility") in ("hidden", "collapse"):
        return True
    if said.get("content-visibility") == "hidden" or said.get("mso-hide") == "all":
        return True
    if said.get("filter", "").replace(" ", "") in ("opacity(0)", "opacity(0%)"):
        return True
    if _FAINT.match(said.get("opacity", "1")):
        return not ("transform" in said or "transition" in said or "animation" in said)
    return _is_out_of_sight(said)


def is_without_letters(said: dict[str, str]) -> bool:
    """Whether these properties leave an element's own words no size, or give them the colour of what is behind."""
    colour, behind = _colour(said.get("color", "")), said.get("background-color") or said.get("background") or ""
    return _is_unreadable(said) or bool(colour and behind and _are_alike(colour, _colour(behind)))


def _is_style_hidden(element: HtmlElement, style: str, has_styles: bool) -> bool:
    said = declarations(style)
    if is_hiding(said) or _is_behind(element, said):
        return True
    if _FAINT.match(said.get("opacity", "1")):
        return False
    if _is_unreadable(said) and not any("font" in (inner.get("style") or "") for inner in element.iterdescendants()):
        return True
    return _is_background(element, said.get("color", ""), has_styles)


def _is_unreadable(said: dict[str, str]) -> bool:
    """Whether letters have no size, or one that nobody can read."""
    size = said.get("font-size", "")
    return (
        bool(size and (_ZERO.match(size) or _UNREADABLE.match(size)))
        or _NO_FONT.match(said.get("font", "")) is not None
    )


def _is_out_of_sight(said: dict[str, str]) -> bool:
    is_clipping = said.get("overflow") in ("hidden", "clip") or said.get("overflow-y") == "hidden"
    small = [said.get(name, "auto") for name in ("width", "height", "max-height", "max-width")]
    if is_clipping and any(_ZERO.match(size) or size == "1px" for size in small):
        return True
    if _CLIPPED.match(said.get("clip", "")) or _CLIPPED.match(said.get("clip-path", "")):
        return True
    if said.get("position") in ("absolute", "fixed", "relative", "sticky") and _is_moved_far(said):
        return True
    if is_clipping and said.get("white-space") == "nowrap" and said.get("text-indent", "").startswith("100"):
        return True
    moved = said.get("transform", "").replace(" ", "")
    if _SHRUNK.match(moved) or _MOVED_FAR.match(moved) or _FAR.match(said.get("translate", "")):
        return True
    if said.get("zoom", "1") in ("0", "0%") or said.get("scale", "1") == "0":
        return True
    return any(_FAR.match(said.get(name, "")) for name in ("text-indent", "margin-left", "margin-top"))


def _is_moved_far(said: dict[str, str]) -> bool:
    """Whether an element stands far above or beside its page."""
    sides = [said.get(side, "") for side in ("left", "top", "right", "bottom")]
    return any(_FAR.match(side) for side in [*sides, *said.get("inset", "").split()])


def _is_behind(element: HtmlElement, said: dict[str, str]) -> bool:
    """Whether an element is painted behind another that it lies in; the page itself is behind all."""
    if said.get("position", "static") == "static" or not _BEHIND.match(said.get("z-index", "")):
        return False
    return any(
        _is_painted(declarations(above.get("style") or "")) or above.get("bgcolor")
        for above in element.iterancestors()
        if above.tag not in ("body", "html")
    )


def _is_painted(said: dict[str, str]) -> bool:
    behind = said.get("background-color") or said.get("background") or ""
    return behind not in ("", "none", "inherit", "initial", "unset") and _colour(behind) != "transparent"


def _is_background(element: HtmlElement, color: str, has_styles: bool) -> bool:
    """Whether text of this colour stands on the same colour."""
    wanted = _colour(color)
    if not wanted:
        return False
    if wanted == "transparent":
        return True
    holder = element
    while holder is not None:
        said = declarations(holder.get("style") or "")
        behind = said.get("background-color") or said.get("background") or holder.get("bgcolor") or ""
        if behind and _colour(behind) != "transparent":
            return _are_alike(_colour(behind), wanted)
        holder = holder.getparent()
    # Without a style sheet a page is white.
    return not has_styles and _are_alike(wanted, "#ffffff")


def _are_alike(one: str, other: str) -> bool:
    """Whether two colours are the same to a reader's eye."""
    if one == other:
        return True
    if not (_HEX.match(one) and _HEX.match(other)):
        return False
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return all(abs(first - second) < _ALIKE for first, second in pairs)


def _colour(value: str) -> str:
    # Colours are written with commas or with spaces.
    value = _BETWEEN.sub(",", value.strip().lower()).replace(" ", "")
    if _WHITE.match(value):
        return "#ffffff"
    match = _RGB.match(value)
    if match:
        if value.endswith((",0)", "/0)", "/0%)")) and value.count(",") + value.count("/") > 2:
            return "transparent"
        return "#" + "".join(f"{min(int(part), 255):02x}" for part in match.groups())
    if re.fullmatch(r"#[0-9a-f]{3}", value):
        return "#" + "".join(sign * 2 for sign in value[1:])
    return _NAMED.get(value, value)


def hidden_counts(counts: Mapping[str, int]) -> dict[str, str]:
    """What was left out, as metadata: `hidden_style_count` and the like."""
    return {f"hidden_{cause}_count": str(count) for cause, count in sorted(counts.items()) if count}
