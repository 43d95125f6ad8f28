"""What a page's own style sheets hide or strike through, as far as classes, ids and tags of elements say it.

Belongs here: reading `style` elements. Does not belong here: styles of one element (`hidden`), style sheets elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
# Blocks whose rules hold for every reader: of screens, of features that all browsers have, of a layer.
_FOR_SCREENS = re.compile(
    r"@(?:media\s+(?:only\s+)?(?:screen|all)|supports\s*+(?!not\b)[^{};]{1,200}|layer\b[^{};]{0,100})\s*"
    r"\{((?>[^{}]*\{[^{}]*\})*)[^{}]*\}",
    re.I,
)
_STEP = re.compile(r"(\s*>\s*|\s+)")
_SIMPLE = re.compile(r"([a-z][\w-]*|\*)?((?:[.#][a-z_-][\w-]*|\[[^\[\]]*\])*)\Z", re.I)
_KEY = re.compile(r"[.#][a-z_-][\w-]*", re.I)
_ATTRIBUTE = re.compile(
    r"\[\s*([a-z_][\w:-]*)\s*(?:([~|^$*]?=)\s*(\"[^\"]*\"|'[^']*'|[^\"'\s\]]+)\s*(?:[is]\s*)?)?\]", re.I
)
_VARIABLE = re.compile(r"(--[\w-]+)\s*:\s*([^;{}]+)")
_USED = re.compile(r"var\(\s*(--[\w-]+)\s*(?:,\s*([^()]*))?\)")
_LAST_TAG = re.compile(r"(?:^|[\s>+~])([a-z][\w-]*)\Z", re.I)
_IMPORTANT = "!important"
# Variables that are made of others.
_MAX_DEPTH = 5
_SCREENS = frozenset({"", "all", "screen"})

Compound = tuple[str, frozenset[str], tuple[tuple[str, str, str], ...]]
"""Tag in lower case or "", the classes (".name"), ids ("#name") and attributes ("[name]") that an element must have,
and what attributes must say: name, comparison, value."""
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
    text = resolved("\n".join(sheets)[:SHEET_LIMIT_CHARS], {})
    if not _MAY_HIDE.search(text):
        return {}
    text = _FOR_SCREENS.sub(r"\1", _COMMENT.sub(" ", text))
    rules = list(islice(_rules(text), MAX_RULES))
    selectors_by_key: Selectors = {}
    named: list[set[str]] = []
    for cause in _SHOWS:
        hiding = list(_hiding(rules, cause))
        if not hiding:
            continue
        named = named or [_named_by(selectors) for selectors, _ in rules]
        wanted = {key for (last, _), _ in hiding for key in _keys(last)}
        blocks = [(names & wanted, block) for names, (_, block) in zip(named, rules, strict=True)]
        shown, shown_firmly = (_shown_again(blocks, cause, firmly=firmly) for firmly in (False, True))
        for (last, above), is_firm in hiding:
            keys = _keys(last)
            if keys.isdisjoint(shown_firmly if is_firm else shown):
                selectors_by_key.setdefault(min(keys), []).append(((last, above), cause))
    return selectors_by_key


def variables(text: str) -> dict[str, str]:
    """The variables that style sheets set, each by what is said of it last."""
    return {name: value.strip() for name, value in _VARIABLE.findall(text)}


def resolved(text: str, known: Mapping[str, str]) -> str:
    """`text` with what its variables stand for, those of `known` among them; one that is not known by its fallback."""
    if "var(" not in text:
        return text
    values = {**known, **variables(text)}
    for _ in range(_MAX_DEPTH):
        text, count = _USED.subn(lambda used: values.get(used[1], used[2] or ""), text)
        if not count:
            break
    return text


def resolve_variables(root: HtmlElement) -> None:
    """Writes what variables stand for into the styles of elements, in place."""
    users = [element for element in root.xpath(".//*[contains(@style, 'var(')]")]
    if users:
        known = variables("\n".join(sheet.text or "" for sheet in root.iter("style"))[:SHEET_LIMIT_CHARS])
        for element in users:
            element.set("style", resolved(element.get("style"), known))


def _keys(compound: Compound) -> frozenset[str]:
    """What an element that a selector takes is looked up by: its classes, ids and attributes, or its tag."""
    tag, keys, _ = compound
    return keys or frozenset({tag})


def _hiding(rules: list[tuple[str, str]], cause: str) -> Iterator[tuple[Selector, bool]]:
    """Selectors, each with whether only what is as important shows what they hide."""
    for selectors, block in rules:
        if not _MAY_HIDE.search(block) or not _is_caused(block, cause):
            continue
        for selector in selectors.split(",")[:MAX_RULES]:
            if (understood := _selector(selector.strip())) is not None:
                yield understood, _IMPORTANT in block


def _is_caused(block: str, cause: str) -> bool:
    said = declarations(block)
    if cause == "unreadable":
        return is_without_letters(said)
    return is_hiding(said) if cause == "style" else is_struck(said)


def _selector(text: str) -> Selector | None:
    """A selector of elements with a tag, class, id or attribute, below others or not; None for one of another kind."""
    compounds: list[Compound] = []
    pieces = _STEP.split(text[:MAX_SELECTOR_CHARS])
    for step in pieces[::2]:
        simple = _SIMPLE.match(step)
        said = [] if simple is None else _ATTRIBUTE.findall(simple[2])
        if simple is None or not step or len(said) < simple[2].count("["):
            return None
        tag = (simple[1] or "").lower().replace("*", "")
        said = [(name.lower(), sign, value.strip("\"'")) for name, sign, value in said]
        plain = _ATTRIBUTE.sub("", simple[2])
        keys = frozenset([*_KEY.findall(plain), *(f"[{name}]" for name, _, _ in said)])
        compounds.append((tag, keys, tuple(each for each in said if each[1])))
    directly = [">" in sign for sign in pieces[1::2]]
    last, *above = reversed(compounds)
    return (last, tuple(zip(above, reversed(directly), strict=True))) if last[0] or last[1] else None


def _rules(text: str) -> Iterator[tuple[str, str]]:
    """Selectors and properties of the rules that hold for every reader; blocks such as `@media` are passed over."""
    depth = 0
    for piece in text.split("}"):
        opened = piece.count("{")
        if depth == 0 and opened == 1 and not piece.lstrip().startswith("@"):
            selectors, _, block = piece.partition("{")
            yield selectors.rpartition(";")[2], block
        depth = max(0, depth + opened - 1)


def _shown_again(blocks: list[tuple[set[str], str]], cause: str, *, firmly: bool) -> set[str]:
    """The keys that some rule shows; firmly, by what goes before all that does not say so.

    Args:
        blocks: What each rule names of what is hidden, and what it says.
    """
    shown: set[str] = set()
    for named, block in blocks:
        if named and (not firmly or _IMPORTANT in block) and _SHOWS[cause].search(block):
            shown |= set() if _is_caused(block, cause) else named
    return shown


def _named_by(selectors: str) -> set[str]:
    """Classes, ids and attributes in a list of selectors, and the tags that it takes."""
    names = {*_KEY.findall(selectors), *(f"[{name.lower()}]" for name, _, _ in _ATTRIBUTE.findall(selectors))}
    tags = (_LAST_TAG.search(each.strip()) for each in selectors.split(","))
    return names | {tag[1].lower() for tag in tags if tag}


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
    names = [str(element.tag), *(f"[{name}]" for name in element.keys())]  # noqa: SIM118
    names += [f".{name}" for name in (element.get("class") or "").split()]
    if identity := element.get("id"):
        names.append(f"#{identity}")
    return names


def _is(element: HtmlElement, compound: Compound) -> bool:
    tag, keys, attributes = compound
    if tag not in ("", element.tag) or not keys.issubset(_names(element)):
        return False
    return all(_says(element.get(name) or "", sign, value) for name, sign, value in attributes)


def _says(said: str, sign: str, value: str) -> bool:
    """Whether an attribute says what a selector asks for."""
    if sign == "=":
        return said == value
    if sign == "~=":
        return value in said.split()
    if sign == "|=":
        return said == value or said.startswith(f"{value}-")
    return bool(value) and {"^=": said.startswith, "$=": said.endswith, "*=": said.__contains__}[sign](value)


def _stands_below(element: HtmlElement, above: tuple[tuple[Compound, bool], ...]) -> bool:
    ancestors = element.iterancestors()
    return all(
        any(_is(ancestor, compound) for ancestor in (islice(ancestors, 1) if directly else ancestors))
        for compound, directly in above
    )
