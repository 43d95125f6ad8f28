"""What a page's own style sheets hide or strike through, as far as classes, ids and tags of elements say it.

Belongs here: reading `style` elements. Does not belong here: styles of one element (`hidden`), style sheets elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from rag_pipeline.parsing.web.hidden import declarations, is_hiding, is_struck, is_without_letters

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# Sheets of frameworks within a page; their rules for hiding stand first.
SHEET_LIMIT_CHARS = 300_000
# Each is matched with the elements of a page.
MAX_RULES = 5_000
MAX_SELECTOR_CHARS = 500

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)
_MAY_HIDE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*\.?0|clip|:\s*-\d{3}|mso-hide|"
    r"content-visibility|scale[xy]?\(0|translate\w*\(|zoom|overflow|line-through|font(?:-size)?\s*:\s*0|"
    # Whether it is one colour for words and what is behind them, is seen then.
    r"(?<!-)color\s*:[^{}]{1,200}background|background[^{}]{1,200}[^{}-]color\s*:",
    re.I,
)
# What may take back what another rule said, by cause.
_SHOWS = {
    "style": re.compile(r"display|visibility|opacity|clip|left|top|height|width|transform|indent", re.I),
    "deletion": re.compile(r"text-decoration", re.I),
    "unreadable": re.compile(r"font|color|background", re.I),
}
_FOR_SCREENS = re.compile(r"@media\s+(?:only\s+)?(?:screen|all)\s*\{((?>[^{}]*\{[^{}]*\})*)[^{}]*\}", re.I)
_STEP = re.compile(r"(\s*>\s*|\s+)")
_SIMPLE = re.compile(r"([a-z][\w-]*)?((?:[.#][a-z_-][\w-]*)*)\Z", re.I)
_KEY = re.compile(r"[.#][a-z_-][\w-]*", re.I)
_SCREENS = frozenset({"", "all", "screen"})

Compound = tuple[str, frozenset[str]]
"""Tag in lower case or "", and the classes (".name") and ids ("#name") that an element must have."""
Selector = tuple[Compound, tuple[tuple[Compound, bool], ...]]
"""What an element must be, and what it must stand below, the nearest first, each with whether directly."""
Selectors = dict[str, list[tuple[Selector, str]]]
"""Selectors with the cause why what they take is not read, by one class or id that each of them asks for."""


def hiding_selectors(root: HtmlElement) -> Selectors:
    """Selectors of what the page's style sheets hide for good (`style`), strike through (`deletion`) or leave no
    letters to read (`unreadable`).

    What another rule shows again, as a menu that opens, can be seen by a reader, and is not among them.
    """
    sheets = [sheet.text or "" for sheet in root.iter("style") if sheet.get("media", "all").lower() in _SCREENS]
    text = "\n".join(sheets)[:SHEET_LIMIT_CHARS]
    if not _MAY_HIDE.search(text):
        return {}
    text = _FOR_SCREENS.sub(r"\1", _COMMENT.sub(" ", text))
    rules = list(islice(_rules(text), MAX_RULES))
    selectors_by_key: Selectors = {}
    for cause in _SHOWS:
        hiding = list(_hiding(rules, cause))
        wanted = {key for (_, keys), _ in hiding for key in keys}
        shown = _shown_again(rules, wanted, cause) if wanted else set()
        for (tag, keys), above in hiding:
            if not keys & shown:
                selectors_by_key.setdefault(min(keys), []).append((((tag, keys), above), cause))
    return selectors_by_key


def _hiding(rules: list[tuple[str, str]], cause: str) -> Iterator[Selector]:
    for selectors, block in rules:
        if not _MAY_HIDE.search(block) or not _is_caused(block, cause):
            continue
        for selector in selectors.split(",")[:MAX_RULES]:
            if (understood := _selector(selector.strip())) is not None:
                yield understood


def _is_caused(block: str, cause: str) -> bool:
    said = declarations(block)
    if cause == "unreadable":
        return is_without_letters(said)
    return is_hiding(said) if cause == "style" else is_struck(said)


def _selector(text: str) -> Selector | None:
    """A selector of elements with a class or id, below others or not; None for what is not understood."""
    compounds: list[Compound] = []
    pieces = _STEP.split(text[:MAX_SELECTOR_CHARS])
    for step in pieces[::2]:
        simple = _SIMPLE.match(step)
        if simple is None or not step:
            return None
        compounds.append(((simple[1] or "").lower(), frozenset(_KEY.findall(simple[2]))))
    directly = [">" in sign for sign in pieces[1::2]]
    last, *above = reversed(compounds)
    return (last, tuple(zip(above, reversed(directly), strict=True))) if last[1] else None


def _rules(text: str) -> Iterator[tuple[str, str]]:
    """Selectors and properties of the rules that hold for every reader; blocks such as `@media` are passed over."""
    depth = 0
    for piece in text.split("}"):
        opened = piece.count("{")
        if depth == 0 and opened == 1 and not piece.lstrip().startswith("@"):
            selectors, _, block = piece.partition("{")
            yield selectors.rpartition(";")[2], block
        depth = max(0, depth + opened - 1)


def _shown_again(rules: list[tuple[str, str]], keys: set[str], cause: str) -> set[str]:
    """The keys that some rule shows."""
    shown: set[str] = set()
    for selectors, block in rules:
        named = keys.intersection(_KEY.findall(selectors))
        if named and _SHOWS[cause].search(block) and not _is_caused(block, cause):
            shown |= named
    return shown


def selected_cause(element: HtmlElement, selectors: Selectors) -> str | None:
    """Why one of the selectors takes the element; None if none does."""
    found = (
        "style" if cause == "unreadable" else cause
        for name in _names(element)
        for (last, above), cause in selectors.get(name, ())
        # What is within may have a size and colours of its own.
        if (cause != "unreadable" or not len(element)) and _is(element, last) and _stands_below(element, above)
    )
    return next(found, None)


def _names(element: HtmlElement) -> list[str]:
    names = [f".{name}" for name in (element.get("class") or "").split()]
    if identity := element.get("id"):
        names.append(f"#{identity}")
    return names


def _is(element: HtmlElement, compound: Compound) -> bool:
    tag, keys = compound
    return tag in ("", element.tag) and keys.issubset(_names(element))


def _stands_below(element: HtmlElement, above: tuple[tuple[Compound, bool], ...]) -> bool:
    ancestors = element.iterancestors()
    return all(
        any(_is(ancestor, compound) for ancestor in (islice(ancestors, 1) if directly else ancestors))
        for compound, directly in above
    )
