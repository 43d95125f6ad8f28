"""What a Word paragraph's style and numbering make of it: heading, list item, code or quote.

Belongs here: the style table with its inheritance, and list counters.
Does not belong here: text (`docx`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_pipeline.parsing.containers.archives import Archive, child, local_attribute, local_name, related

if TYPE_CHECKING:
    from lxml.etree import _Element

# As in HTML and Markdown; Word has nine, which are all of this level from here on.
MAX_HEADING_LEVEL = 6
# Word numbers levels 0 to 8.
MAX_LIST_LEVEL = 8
_HEADING_NAME = re.compile(r"heading (\d)$", re.I)
_HEADING_ID = re.compile(r"(?:heading ?([1-9])|title)$", re.I)
_CODE_NAME = re.compile(
    r"\b(?:code|source|preformatted|verbatim|listing)\b|^plain text$|(?:code|source)(?:block|text)", re.I
)
_QUOTE_NAME = re.compile(r"\bquot(?:e|ation)s?\b", re.I)


@dataclass(frozen=True, slots=True)
class Style:
    """What a style says, inherited properties included.

    Attributes:
        level: Heading depth from 1, or 0.
        number_id: Numbering the style brings, or None.
        number_level: Its list depth from 0.
    """

    level: int = 0
    is_code: bool = False
    is_quote: bool = False
    number_id: str | None = None
    number_level: int = 0
    is_list: bool = False


class Styles:
    """The document's paragraph styles by id.

    Attributes:
        elements: All styles by id, those of characters included.
    """

    def __init__(self, archive: Archive, part: str) -> None:
        self.elements: dict[str, _Element] = {}
        self._elements: dict[str, _Element] = {}
        self._known: dict[str, Style] = {}
        self._default = ""
        for name in related(archive, part, "styles")[:1]:
            for element in _children(archive, name):
                if local_name(element) != "style":
                    continue
                style_id = local_attribute(element, "styleId") or ""
                self.elements[style_id] = element
                if local_attribute(element, "type") in ("paragraph", None):
                    self._elements[style_id] = element
                    if local_attribute(element, "default") in ("1", "true"):
                        self._default = style_id

    def of(self, paragraph: _Element) -> Style:
        """The style of a paragraph, its own outline level counted in."""
        properties = child(paragraph, "pPr")
        named = child(properties, "pStyle") if properties is not None else None
        style = self._style((local_attribute(named, "val") or "") if named is not None else self._default)
        own = _outline_level(properties)
        if own and not style.level:
            return Style(own, style.is_code, style.is_quote, style.number_id, style.number_level, style.is_list)
        return style

    def _style(self, style_id: str) -> Style:
        if style_id not in self._known:
            self._known[style_id] = self._resolved(style_id)
        return self._known[style_id]

    def _resolved(self, style_id: str) -> Style:
        if style_id not in self._elements:
            # Programs that write no style table still name the built-in styles.
            match = _HEADING_ID.match(style_id)
            return Style(min(int(match.group(1) or 1), MAX_HEADING_LEVEL) if match else 0)
        level, number_id, number_level = 0, None, 0
        is_code = is_quote = is_list = False
        seen: set[str] = set()
        current = style_id
        while current in self._elements and current not in seen:
            seen.add(current)
            element = self._elements[current]
            named = child(element, "name")
            name = (local_attribute(named, "val") or "") if named is not None else ""
            properties = child(element, "pPr")
            match = _HEADING_NAME.match(name)
            level = level or (int(match.group(1)) if match else 1 if name.lower() == "title" else 0)
            level = level or _outline_level(properties)
            is_code = is_code or _CODE_NAME.search(name) is not None
            is_quote = is_quote or _QUOTE_NAME.search(name) is not None
            is_list = is_list or name.lower().startswith(("list bullet", "list number"))
            numbering = child(properties, "numPr") if properties is not None else None
            if numbering is not None and number_id is None:
                number_id, number_level = number_of(numbering)
            based = child(element, "basedOn")
            current = (local_attribute(based, "val") or "") if based is not None else ""
        return Style(min(level, MAX_HEADING_LEVEL), is_code, is_quote, number_id, number_level, is_list)


class Numbering:
    """List markers with their counters, which run through the document in order."""

    def __init__(self, archive: Archive, part: str, styles: Styles) -> None:
        self._styles = styles
        self._formats: dict[str, dict[int, tuple[str, int]]] = {}
        self._counters: dict[str, dict[int, int]] = {}
        self._abstract_of: dict[str, str] = {}
        for name in related(archive, part, "numbering")[:1]:
            self._read(_children(archive, name))

    def marker(self, paragraph: _Element, style: Style) -> tuple[int, str] | None:
        """(depth from 0, "-" or "3.") of a list item; None for what is no list item."""
        properties = child(paragraph, "pPr")
        numbering = child(properties, "numPr") if properties is not None else None
        number_id, level = number_of(numbering) if numbering is not None else (None, 0)
        if number_id is None:
            number_id, level = style.number_id, style.number_level
        if number_id is None:
            return (0, "-") if style.is_list else None
        if number_id == "0":
            return None
        abstract = self._abstract_of.get(number_id, number_id)
        kind, start = self._formats.get(abstract, {}).get(level, ("bullet", 1))
        if kind == "none":
            return None
        counters = self._counters.setdefault(number_id, {})
        counters[level] = counters.get(level, start - 1) + 1
        for deeper in [known for known in counters if known > level]:
            del counters[deeper]
        return level, "-" if kind == "bullet" else f"{_numeral(counters[level], kind)}."

    def _read(self, root: Iterable[_Element]) -> None:
        for element in root:
            if local_name(element) == "abstractNum":
                levels: dict[int, tuple[str, int]] = {}
                for item in element:
                    if local_name(item) == "lvl":
                        levels[_number(local_attribute(item, "ilvl"))] = _level_format(item)
                self._formats[local_attribute(element, "abstractNumId") or ""] = levels
            elif local_name(element) == "num":
                target = child(element, "abstractNumId")
                if target is not None:
                    number_id = local_attribute(element, "numId") or ""
                    self._abstract_of[number_id] = local_attribute(target, "val") or ""


def number_of(numbering: _Element) -> tuple[str | None, int]:
    """(numbering id, depth from 0) of a `numPr` element."""
    number_id, level = child(numbering, "numId"), child(numbering, "ilvl")
    depth = _number(local_attribute(level, "val")) if level is not None else 0
    return (local_attribute(number_id, "val") if number_id is not None else None), min(depth, MAX_LIST_LEVEL)


def _children(archive: Archive, name: str) -> Iterable[_Element]:
    root = archive.spare_xml(name)
    return root if root is not None else ()


def _level_format(level: _Element) -> tuple[str, int]:
    kind, start = child(level, "numFmt"), child(level, "start")
    name = (local_attribute(kind, "val") or "decimal") if kind is not None else "decimal"
    return name, _number(local_attribute(start, "val")) if start is not None else 1


def _outline_level(properties: _Element | None) -> int:
    level = child(properties, "outlineLvl") if properties is not None else None
    if level is None:
        return 0
    number = _number(local_attribute(level, "val"), 9)
    return number + 1 if number < MAX_HEADING_LEVEL else 0


def _number(value: str | None, default: int = 0) -> int:
    return int(value) if value and value.isdecimal() and len(value) < 7 else default


def _numeral(number: int, kind: str) -> str:
    if kind in ("lowerLetter", "upperLetter") and 0 < number <= 26:
        return chr((96 if kind == "lowerLetter" else 64) + number)
    if kind in ("lowerRoman", "upperRoman") and 0 < number < 40:
        text = "x" * (number // 10) + ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")[number % 10]
        return text if kind == "lowerRoman" else text.upper()
    return str(number)
