"""What a page's own style sheets hide, as far as single classes, ids and tags say it.

Belongs here: reading `style` elements. Does not belong here: styles of one element (`hidden`), style sheets elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from rag_pipeline.parsing.web.hidden import declarations, is_hiding

if TYPE_CHECKING:
    from lxml.html import HtmlElement

SHEET_LIMIT_CHARS = 300_000
MAX_RULES = 5_000

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.S)
_MAY_HIDE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0|clip|:\s*-\d{3}|mso-hide|"
    r"content-visibility|scale[xy]?\(0|overflow",
    re.I,
)
_SHOWS = re.compile(r"display|visibility|opacity|clip|left|top|height|width|transform|indent", re.I)
_SIMPLE = re.compile(r"([a-z][\w-]*)?((?:[.#][a-z_-][\w-]*)*)\Z", re.I)
_KEY = re.compile(r"[.#][a-z_-][\w-]*", re.I)
_SCREENS = frozenset({"", "all", "screen"})

Selector = tuple[str, frozenset[str]]
"""Tag in lower case or "", and the classes (".name") and ids ("#name") that an element must have."""
Selectors = dict[str, list[Selector]]


def hiding_selectors(root: HtmlElement) -> Selectors:
    """Selectors of what the page's style sheets hide for good, by one class or id that each of them asks for.

    What another rule shows again, as a menu that opens, can be seen by a reader, and is not among them.
    """
    sheets = [sheet.text or "" for sheet in root.iter("style") if sheet.get("media", "all").lower() in _SCREENS]
    text = "\n".join(sheets)[:SHEET_LIMIT_CHARS]
    if not _MAY_HIDE.search(text):
        return {}
    rules = list(islice(_rules(_COMMENT.sub(" ", text)), MAX_RULES))
    hiding: list[Selector] = []
    for selectors, block in rules:
        if not _MAY_HIDE.search(block) or not is_hiding(declarations(block)):
            continue
        for selector in selectors.split(",")[:MAX_RULES]:
            simple = _SIMPLE.match(selector.strip())
            if simple and simple[2]:
                hiding.append(((simple[1] or "").lower(), frozenset(_KEY.findall(simple[2]))))
    wanted = {key for _, keys in hiding for key in keys}
    shown = _shown_again(rules, wanted) if wanted else set()
    found: Selectors = {}
    for tag, keys in hiding:
        if not keys & shown:
            found.setdefault(min(keys), []).append((tag, keys))
    return found


def _rules(text: str) -> Iterator[tuple[str, str]]:
    """Selectors and properties of the rules that hold for every reader; blocks such as `@media` are passed over."""
    depth = 0
    for piece in text.split("}"):
        opened = piece.count("{")
        if depth == 0 and opened == 1 and not piece.lstrip().startswith("@"):
            selectors, _, block = piece.partition("{")
            yield selectors.rpartition(";")[2], block
        depth = max(0, depth + opened - 1)


def _shown_again(rules: list[tuple[str, str]], keys: set[str]) -> set[str]:
    """The keys that some rule shows."""
    shown: set[str] = set()
    for selectors, block in rules:
        named = keys.intersection(_KEY.findall(selectors))
        if named and _SHOWS.search(block) and not is_hiding(declarations(block)):
            shown |= named
    return shown


def is_selected(element: HtmlElement, selectors: Selectors) -> bool:
    """Whether one of the selectors takes the element."""
    names = [f".{name}" for name in (element.get("class") or "").split()]
    if identity := element.get("id"):
        names.append(f"#{identity}")
    return any(
        keys.issubset(names) and tag in ("", element.tag) for name in names for tag, keys in selectors.get(name, ())
    )
