"""Chooses which units of a web page are its content, and leaves navigation and page chrome out.

Belongs here: the judgement about content. Does not belong here: reading elements (`blocks`).

Trafilatura says which text is content, better than any rule of ours, but its own output damages code,
tables and headings. So its text serves only as an oracle: a unit counts as marked when its letters occur
there in order, and structure around marked units is kept from the page itself.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag_pipeline.parsing.web.blocks import Unit

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# Above this size trafilatura takes longer than a page is worth.
MAX_ORACLE_ELEMENTS = 60_000

CHROME_TAGS = ("nav", "aside", "footer", "form", "menu", "header")
_CHROME_ROLES = frozenset({"navigation", "banner", "contentinfo", "search", "complementary", "menu", "dialog"})
_CHROME_NAME = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|sidebar|breadcrumbs?|footer|masthead|cookies?|cookiebar|consent|toc|"
    r"newsletter|share|sharing|social|related|recommended|promo|advert|ads?|comments?|pagination|pager|"
    r"toolbar|menu|subscribe|signup|skip-?link)(?:$|[\s_-])",
    re.I,
)
_WORD_SIGNS = re.compile(r"[\W_]+")
_SCOPE_NAMES = frozenset({"content", "main-content", "maincontent", "document", "rst-content", "markdown-body", "body"})

# Above it a unit leads elsewhere and says little.
LINK_DENSE_SHARE = 0.6
# Prose with references stays below it.
CLEAN_LINK_SHARE = 0.2
# So many letters in a row are found once in a page.
PROBE_CHARS = 48
# Shorter units are labels, which stand on a page more than once.
SHORT_CHARS = 24
# Text that stands further on is another place with the same words.
FORWARD_WINDOW_CHARS = 600
# All of it but a bullet or a date is a link.
ALL_LINK_SHARE = 0.8
CAPTIONS = ("figcaption",)
_DOCUMENTATION_GENERATOR = re.compile(
    r"sphinx|docutils|mkdocs|docusaurus|hugo|asciidoctor|gitbook|jekyll|doxygen|javadoc|vuepress|vitepress|"
    r"mediawiki|pandoc|antora|nextra|eleventy|rustdoc|latex|confluence",
    re.I,
)
_LEGAL_LINE = re.compile(r"\W*(?:copyright|all rights reserved|©|ⓒ)", re.I)
# A container that holds nearly all of the content is its frame.
SCOPE_SHARE = 0.9
# More articles side by side are a list of teasers.
MAX_SIBLINGS = 5
MISSED_SHARE = 0.1
# A page of more links than this is one of news, or a front page.
MAX_LINK_SHARE = 0.3
# Headings, paragraphs, lists and tables; a page of a magazine has twice as many.
SIMPLE_UNITS = 30
# Trafilatura looks for anything at all when its first finds are shorter than about this.
DOUBTFUL_CHARS = 600
# Documentation writes footnotes and notes as `aside`, which elsewhere holds what only stands beside the text.
_NOTE_NAME = re.compile(
    r"(?:^|[\s_-])(?:footnote|citation|admonition|callout|note|warning|caution|tip|important)", re.I
)


def content_units(
    root: HtmlElement, units: Sequence[Unit], generator: str = "", is_article: bool = False
) -> list[Unit]:
    """The units that are the page's content, in order.

    Args:
        root: The page, already without scripts and hidden parts.
        units: All units of `root`.
        generator: The software that the page names as its maker.
        is_article: The page calls itself an article, as news and magazines do; their pages mix
            advertising and links into the very element that holds the text.
    """
    units = list(units)
    if is_plain_page(root, units):
        return units
    if not is_article and _is_simple(units):
        return _without_chrome(units, is_simple=True) or units
    oracle = oracle_text(root)
    marks = marked(units, oracle)
    clean = _without_chrome(units)
    if _has_missed(units, marks, clean):
        return clean or units
    scope = marked_scope(root, units, marks)
    inside = [_is_below(unit.element, scope) for unit in units]
    whole = _with_siblings(explicit_scope(scope), units)
    if (
        _DOCUMENTATION_GENERATOR.search(generator)
        or _has_code(units, inside)
        or (whole is not None and not is_article and _is_clean(whole, units))
    ):
        main = scope if whole is None else whole
        chosen = _all_of_scope(units, main)
        for sibling in _sibling_articles(main, units):
            chosen = [kept or more for kept, more in zip(chosen, _all_of_scope(units, sibling), strict=True)]
    else:
        chosen = _with_structure(units, _trusted(units, marks, inside), inside)
    # A page of nothing but links is still what its author wrote.
    return [unit for unit, keep in zip(units, chosen, strict=True) if keep] or units


def _is_simple(units: Sequence[Unit]) -> bool:
    """Whether a page is too short to hold advertising: of such a page the oracle finds the longest paragraph only."""
    links = sum(unit.link_chars for unit in units)
    return len(units) <= SIMPLE_UNITS and links < MAX_LINK_SHARE * sum(len(unit.text) for unit in units)


def _has_missed(units: Sequence[Unit], marks: Sequence[bool], clean: Sequence[Unit]) -> bool:
    """Whether the oracle is not to be trusted, as on short pages and on pages of many short texts.

    Then it found next to nothing of what cannot be page chrome, or little, and page chrome with it: of short pages it
    takes a menu for a list of the text.
    """
    found = [unit for unit, mark in zip(units, marks, strict=True) if mark]
    solid = sum(len(unit.text) for unit in found if len(unit.text) > SHORT_CHARS)
    if not found or solid < MISSED_SHARE * sum(len(unit.text) for unit in clean):
        return True
    total = sum(len(unit.text) for unit in found)
    chrome = sum(len(unit.text) for unit in found if in_chrome(unit.element))
    return total < DOUBTFUL_CHARS and chrome > 0


def _without_chrome(units: Sequence[Unit], *, is_simple: bool = False) -> list[Unit]:
    """All units but page chrome and lists of links; a heading that is a link stays with the text it leads.

    Args:
        is_simple: The name of a paragraph itself says nothing: only pages with much chrome have such of one paragraph.
    """
    kept: list[Unit] = []
    for unit in reversed(units):
        leads = unit.kind == "heading" and bool(kept) and kept[-1].kind != "heading"
        element = unit.element.getparent() if is_simple and unit.element.tag == "p" else unit.element
        if not (unit.is_picture or in_chrome(element)) and (leads or not is_link_dense(unit)):
            kept.append(unit)
    return kept[::-1]


def is_plain_page(root: HtmlElement, units: Sequence[Unit]) -> bool:
    """True for pages without page chrome, such as exported documents, where all text is content."""
    if next(root.iter(*CHROME_TAGS), None) is not None:
        return False
    for element in root.iter("div", "section", "ul", "table", "td", "p"):
        if is_chrome(element):
            return False
    chars = sum(len(unit.text) for unit in units)
    return sum(unit.link_chars for unit in units) < MAX_LINK_SHARE * max(chars, 1)


def oracle_text(root: HtmlElement) -> str:
    """What trafilatura takes for the page's content; empty if it finds none or the page is too big."""
    import logging

    from trafilatura import extract

    if sum(1 for _ in root.iter()) > MAX_ORACLE_ELEMENTS:
        return ""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    found = extract(copy.deepcopy(root), fast=True, favor_recall=True, include_comments=False, output_format="txt")
    return found or ""


def letters(text: str) -> str:
    """`text` without anything but letters and digits, lower case: equal whatever the markup between."""
    return _WORD_SIGNS.sub("", text).lower()


def marked(units: Sequence[Unit], oracle: str) -> list[bool]:
    """For each unit whether its text occurs in the oracle's, short ones only near the last one found."""
    haystack = letters(oracle)
    position = 0
    marks: list[bool] = []
    for unit in units:
        found = -1
        lines = unit.text.split("\n") if unit.kind in ("list", "table", "code") else [unit.text]
        needles = [needle for needle in map(letters, lines) if needle]
        hits = 0
        for needle in needles:
            at = _find(haystack, needle, position)
            if at >= 0:
                hits += len(needle)
                found = at + min(len(needle), PROBE_CHARS)
        is_marked = found >= 0 and hits * 2 >= sum(map(len, needles))
        if is_marked:
            position = found
        marks.append(is_marked)
    return marks


def _find(haystack: str, needle: str, position: int) -> int:
    if len(needle) < SHORT_CHARS:
        return haystack.find(needle, position, position + FORWARD_WINDOW_CHARS)
    if len(needle) <= PROBE_CHARS:
        probes = [needle]
    else:
        middle = len(needle) // 2
        probes = [needle[:PROBE_CHARS], needle[-PROBE_CHARS:], needle[middle : middle + PROBE_CHARS]]
    for probe in probes:
        at = haystack.find(probe, position)
        if at < 0:
            at = haystack.find(probe)
        if at >= 0:
            return at
    return -1


def marked_scope(root: HtmlElement, units: Sequence[Unit], marks: Sequence[bool]) -> HtmlElement:
    """The deepest element that holds nearly all marked text."""
    weight: dict[HtmlElement, int] = {}
    total = 0
    for unit, mark in zip(units, marks, strict=True):
        if not mark:
            continue
        total += len(unit.text)
        element = unit.element
        while element is not None:
            weight[element] = weight.get(element, 0) + len(unit.text)
            element = element.getparent()
    scope = root
    while True:
        inner = [child for child in scope if weight.get(child, 0) >= SCOPE_SHARE * total]
        if not inner:
            return scope
        scope = inner[0]


def is_link_dense(unit: Unit) -> bool:
    """True if most of the unit's characters stand inside links."""
    return unit.link_chars > LINK_DENSE_SHARE * len(unit.text)


def is_chrome(element: HtmlElement) -> bool:
    """True if the element's own tag, role, class or id says navigation, advertising or the like."""
    names = f"{element.get('class') or ''} {element.get('id') or ''}"
    if element.tag == "aside" and _NOTE_NAME.search(names):
        return False
    if element.tag in ("nav", "aside", "footer", "form", "menu"):
        return True
    if element.get("role") in _CHROME_ROLES:
        return True
    return len(names) > 1 and _CHROME_NAME.search(names) is not None


def in_chrome(element: HtmlElement, stop: HtmlElement | None = None) -> bool:
    """True if the element or one that holds it, below `stop` and the page's body, is page chrome."""
    while element is not None and element is not stop and element.tag not in ("body", "main", "article", "html"):
        if is_chrome(element):
            return True
        element = element.getparent()
    return False


def _is_below(element: HtmlElement, scope: HtmlElement) -> bool:
    while element is not None:
        if element is scope:
            return True
        element = element.getparent()
    return False


def _has_code(units: Sequence[Unit], inside: Sequence[bool]) -> bool:
    """Whether a missing block would cost more than one too many: pages that explain code."""
    return any(within and unit.kind == "code" for unit, within in zip(units, inside, strict=True))


def _is_clean(scope: HtmlElement, units: Sequence[Unit]) -> bool:
    """Whether what the page declares to be its content holds no page chrome and few links."""
    if any(is_chrome(element) for element in scope.iter("div", "section", "ul", *CHROME_TAGS)):
        return False
    inner = [unit for unit in units if _is_below(unit.element, scope)]
    return sum(unit.link_chars for unit in inner) < CLEAN_LINK_SHARE * sum(len(unit.text) for unit in inner)


def _all_of_scope(units: Sequence[Unit], scope: HtmlElement) -> list[bool]:
    """Everything in the scope but page chrome and lists of links."""
    return [
        _is_below(unit.element, scope) and not _is_menu(unit, before) and not in_chrome(unit.element, scope)
        for before, unit in zip([None, *units], units, strict=False)
    ]


def _with_siblings(scope: HtmlElement | None, units: Sequence[Unit]) -> HtmlElement | None:
    """The page's declared main part around an article in it, where that holds nothing but content."""
    for element in scope.iterancestors() if scope is not None else ():
        if (element.tag == "main" or element.get("role") == "main") and _is_clean(element, units):
            return element
    return scope


def _sibling_articles(scope: HtmlElement, units: Sequence[Unit]) -> list[HtmlElement]:
    """Further articles beside the one found that hold nothing but content."""
    parent = scope.getparent()
    if scope.tag != "article" or parent is None:
        return []
    others = [other for other in parent.iterchildren("article") if other is not scope and not is_chrome(other)]
    return [other for other in others if _is_clean(other, units)] if len(others) <= MAX_SIBLINGS else []


def _is_menu(unit: Unit, before: Unit | None) -> bool:
    """True for lists of links, except such as stand under a heading and lead to other pages."""
    if unit.kind not in ("list", "table") or not is_link_dense(unit):
        return False
    if before is None or before.kind != "heading":
        return True
    targets = [str(link.get("href") or "") for link in unit.element.getparent().iter("a")]
    return sum(target.startswith("#") for target in targets) * 2 > len(targets)


def explicit_scope(scope: HtmlElement) -> HtmlElement | None:
    """The nearest element around `scope`, or itself, that the page declares to be its main content."""
    element = scope
    while element is not None:
        if element.tag in ("main", "article") or element.get("role") == "main":
            return element
        if _SCOPE_NAMES & set(f"{element.get('id') or ''} {element.get('class') or ''}".lower().split()):
            return element
        element = element.getparent()
    return None


def _trusted(units: Sequence[Unit], marks: Sequence[bool], inside: Sequence[bool]) -> list[bool]:
    """Marks without those that news pages get by chance or by the oracle's generosity.

    Short texts outside the scope match some menu word; paragraphs that are one link lead elsewhere; the
    page's own title stands in the document's title.
    """
    trusted = []
    for unit, mark, within in zip(units, marks, inside, strict=True):
        if not mark or unit.is_picture:
            trusted.append(False)
        elif unit.kind == "heading":
            trusted.append(within and unit.level > 1)
        elif unit.kind == "paragraph":
            is_elsewhere = unit.link_chars > ALL_LINK_SHARE * len(unit.text) and len(unit.text) > 24
            is_legal = _LEGAL_LINE.match(unit.text) is not None and len(unit.text) < 300
            trusted.append(within and not (is_elsewhere or is_legal or unit.element.tag in CAPTIONS))
        else:
            trusted.append(within)
    return trusted


def _list_of(element: HtmlElement) -> HtmlElement:
    """The outermost list that the element stands in, or is."""
    above = [element, *element.iterancestors("ul", "ol", "dl")]
    return above[-1]


def _with_structure(units: Sequence[Unit], marks: Sequence[bool], inside: Sequence[bool]) -> list[bool]:
    """Marked units, plus code, tables and lists among them, plus headings that introduce a kept unit.

    A list counts only beside a marked unit: elsewhere magazines put what leads to other pages.
    """
    chosen = list(marks)
    if not any(marks):
        return chosen
    holders = {unit.element.getparent() for unit, mark in zip(units, marks, strict=True) if mark}
    first = marks.index(True)
    last = len(marks) - 1 - list(reversed(marks)).index(True)
    for index in range(first, min(last + 2, len(units))):
        unit = units[index]
        is_beside = unit.kind == "list" and _list_of(unit.element).getparent() in holders
        if (unit.kind in ("code", "table") or is_beside) and inside[index]:
            chosen[index] = chosen[index] or not (is_link_dense(unit) or in_chrome(unit.element))
    if not any(chosen):
        return list(marks)
    following = False
    for index in range(len(units) - 1, -1, -1):
        unit = units[index]
        if unit.kind != "heading":
            following = chosen[index]
        elif not chosen[index] and following and index > first and not is_link_dense(unit):
            chosen[index] = not in_chrome(unit.element)
    return chosen
