"""Walks an HTML tree and turns it into a flat list of typed text units.

Belongs here: which elements make headings, paragraphs, lists, tables, code and quotes, and how their
text is written. Does not belong here: which units are the page's content (`content`).

Text is written the way Markdown would: `- ` items and fenced code; tables as rows of tab-parted cells.
Emphasis, marks of inline code and link targets are left out, since they are noise to an embedding model
and to full-text search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import BlockKind
from rag_pipeline.parsing.tabular import table_lines
from rag_pipeline.parsing.web.inline import SPACES, inline_text, last_text
from rag_pipeline.parsing.web.tables import BLOCK_TAGS, is_layout_table, table_rows, taken_out

if TYPE_CHECKING:
    from lxml.html import HtmlElement

HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
LIST_TAGS = ("ul", "ol", "menu", "dir")
# Old mail and RFCs set whole pages as `pre`; code is shorter or has other marks.
PROSE_PRE_LINES = 12

_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight(?:-source)?|brush:?)[-\s]([\w+#.-]+)")
_NOT_LANGUAGES = frozenset({"text", "none", "default", "plaintext", "plain", "notranslate", "nohighlight"})


@dataclass(slots=True)
class Unit:
    """One block of the page before selection.

    Attributes:
        link_chars: How many of the text's characters stand inside links.
        anchor: Nearest own or enclosing-section `id`, for headings.
        group: Number of the outermost list an item belongs to; equal neighbours become one list block.
        is_picture: The text is what the page says for a picture, and nothing else.
        lines: For tables and lists, the line of the source that each line of the text begins in.
    """

    kind: BlockKind
    text: str
    element: HtmlElement
    level: int = 0
    label: str | None = None
    link_chars: int = 0
    anchor: str | None = None
    group: int = 0
    is_picture: bool = False
    lines: tuple[int, ...] = ()


@dataclass(slots=True)
class _Inline:
    """Text gathered since the last block boundary."""

    parts: list[str] = field(default_factory=list)
    link_chars: int = 0
    alt_chars: int = 0

    def take(self) -> tuple[list[str], int, bool]:
        """The paragraphs gathered (two line breaks part them), their link characters, and whether they are
        nothing but words for pictures; then empty."""
        if not self.parts:
            return [], 0, False
        text = "".join(self.parts)
        link_chars = self.link_chars
        is_picture = self.alt_chars > 0 and sum(len(part.strip()) for part in self.parts) <= self.alt_chars
        self.parts, self.link_chars, self.alt_chars = [], 0, 0
        paragraphs: list[list[str]] = [[]]
        for line in text.split("\n"):
            line = line.strip()
            if line:
                paragraphs[-1].append(line)
            elif paragraphs[-1]:
                paragraphs.append([])
        return ["\n".join(lines) for lines in paragraphs if lines], link_chars, is_picture


@dataclass(slots=True)
class _ListState:
    depth: int
    group: int
    is_ordered: bool
    number: int
    marker: str | None = None


class Walker:
    """Collects the units below one element, in document order.

    Args:
        root: Element to walk; it is not changed.
    """

    def __init__(self, root: HtmlElement) -> None:
        self.units: list[Unit] = []
        self._inline = _Inline()
        self._containers = _elements_with_blocks(root)
        self._lists: list[_ListState] = []
        self._groups = 0
        self._walk(root)
        self._flush(root)

    def _walk(self, element: HtmlElement) -> None:
        if element.text:
            self._add_text(element.text)
        # A foot may be written above the body, and stands below it all the same.
        for child in sorted(element, key=_is_foot) if element.tag == "table" else element:
            tag = child.tag
            if not isinstance(tag, str):
                pass
            elif tag in BLOCK_TAGS or child in self._containers:
                self._flush(element)
                self._block(child, tag)
                self._flush(child)
            else:
                self._add_inline(child, tag)
            if child.tail:
                self._add_text(child.tail)

    def _block(self, element: HtmlElement, tag: str) -> None:
        if tag in HEADINGS:
            self._heading(element, HEADINGS[tag])
        elif tag == "pre":
            self._preformatted(element)
        elif tag == "table":
            self._table(element)
        elif tag in LIST_TAGS:
            self._list(element, tag)
        elif tag == "li":
            self._item(element)
        elif tag == "dl":
            self._definitions(element)
        elif tag == "blockquote":
            self._quote(element)
        elif tag != "hr":
            self._walk(element)

    def _add_text(self, text: str) -> None:
        self._inline.parts.append(SPACES.sub(" ", text))

    def _add_inline(self, element: HtmlElement, tag: str) -> None:
        if tag == "br":
            self._inline.parts.append("\n")
            return
        text = inline_text(element, last_text(self._inline.parts))
        self._inline.parts.append(text)
        if tag == "img" or (text and len(element) and not element.text_content().strip()):
            self._inline.alt_chars += len(text.strip())
        if tag == "a":
            self._inline.link_chars += len(text)
        else:
            self._inline.link_chars += sum(len(inline_text(link)) for link in element.iter("a"))

    def _flush(self, element: HtmlElement) -> None:
        paragraphs, link_chars, is_picture = self._inline.take()
        if not paragraphs:
            return
        if self._lists:
            self._emit_item("\n".join(paragraphs), element, link_chars)
            return
        total = sum(len(text) for text in paragraphs)
        for text in paragraphs:
            share = link_chars * len(text) // total
            self.units.append(Unit("paragraph", text, element, link_chars=share, is_picture=is_picture))

    def _emit_item(self, text: str, element: HtmlElement, link_chars: int) -> None:
        state = self._lists[-1]
        indent = "  " * (state.depth - 1)
        if state.marker is None:
            first, hanging = indent + "  ", indent + "  "
        else:
            first, hanging = indent + state.marker, indent + " " * len(state.marker)
            state.marker = None
        lines = text.split("\n")
        body = "\n".join([first + lines[0], *(hanging + line for line in lines[1:])])
        places = (element.sourceline or 0,) * len(lines)
        self.units.append(Unit("list", body, element, link_chars=link_chars, group=state.group, lines=places))

    def _heading(self, element: HtmlElement, level: int) -> None:
        label = " ".join(inline_text(element).split()).rstrip("¶ ").strip()
        if not label:
            self._walk_outside_lists(element)
            return
        self.units.append(
            Unit(
                "heading",
                f"{'#' * level} {label}",
                element,
                level=level,
                label=label,
                link_chars=sum(len(inline_text(link)) for link in element.iter("a")),
                anchor=_anchor(element),
            )
        )

    def _walk_outside_lists(self, element: HtmlElement) -> None:
        lists, self._lists = self._lists, []
        self._walk(element)
        self._flush(element)
        self._lists = lists

    def _list(self, element: HtmlElement, tag: str) -> None:
        if self._lists:
            group = self._lists[-1].group
        else:
            self._groups += 1
            group = self._groups
        start = element.get("start", "1") if tag == "ol" else "1"
        number = int(start) if start.isdecimal() and len(start) < 9 else 1
        self._lists.append(_ListState(len(self._lists) + 1, group, tag == "ol", number))
        self._walk(element)
        self._flush(element)
        self._lists.pop()

    def _item(self, element: HtmlElement) -> None:
        if not self._lists:
            self._walk(element)
            return
        state = self._lists[-1]
        value = element.get("value", "")
        state.number = int(value) if value.isdecimal() and len(value) < 9 else state.number
        state.marker = f"{state.number}. " if state.is_ordered else "- "
        state.number += 1
        self._walk(element)
        self._flush(element)
        state.marker = None

    def _definitions(self, element: HtmlElement) -> None:
        """Terms become paragraphs; a description of inline text only joins its term."""
        self._walk_outside_lists(_joined_terms(element, self._containers))

    def _quote(self, element: HtmlElement) -> None:
        inner = [child for child in element.iter(*BLOCK_TAGS) if child is not element]
        if any(child.tag not in ("p", "div", "footer", "center", "figure", "figcaption") for child in inner):
            self._walk_outside_lists(element)
            return
        first = len(self.units)
        self._walk_outside_lists(element)
        texts = [unit.text for unit in self.units[first:]]
        links = sum(unit.link_chars for unit in self.units[first:])
        del self.units[first:]
        if texts:
            quoted = "\n>\n".join("\n".join(f"> {line}" for line in text.split("\n")) for text in texts)
            self.units.append(Unit("quote", quoted, element, link_chars=links))

    def _preformatted(self, element: HtmlElement) -> None:
        for line_break in element.iter("br"):
            line_break.tail = "\n" + (line_break.tail or "")
        code = "".join(element.itertext()).replace("\r\n", "\n").replace("\r", "\n")
        code = code.removeprefix("\n").rstrip()
        if not code.strip():
            return
        language = _language(element)
        links = sum(len(link.text_content()) for link in element.iter("a"))
        if _is_prose(element, code, language):
            for paragraph in re.split(r"\n[ \t]*\n", code):
                if paragraph.strip():
                    self.units.append(Unit("paragraph", paragraph.strip("\n").strip(), element))
            return
        fence = "```"
        while fence in code:
            fence += "`"
        self.units.append(Unit("code", f"{fence}{language}\n{code}\n{fence}", element, link_chars=links))

    def _table(self, element: HtmlElement) -> None:
        if is_layout_table(element):
            self._walk_outside_lists(element)
            return
        inner = taken_out(element)
        for caption in element.iterchildren("caption"):
            self._walk_outside_lists(caption)
        rows = table_rows(element)
        if rows and len(rows) > 1 and rows[0].is_title:
            self.units.append(Unit("paragraph", rows.pop(0).cells[0], element))
        lines = table_lines([row.cells for row in rows])
        if lines:
            links = sum(len(inline_text(link)) for link in element.iter("a"))
            places = tuple(row.line for row in rows if any(row.cells))
            self.units.append(Unit("table", "\n".join(lines), element, link_chars=links, lines=places))
        for table in inner:
            self._table(table)


def _is_foot(element: HtmlElement) -> bool:
    return bool(element.tag == "tfoot")


def merged_lists(units: list[Unit]) -> Iterator[Unit]:
    """The units with neighbouring items of one list joined into one list unit."""
    gathered: list[Unit] = []
    for unit in units:
        if gathered and not (unit.kind == "list" and unit.group == gathered[0].group):
            yield _one_list(gathered)
            gathered = []
        if unit.kind == "list":
            gathered.append(unit)
        else:
            yield unit
    if gathered:
        yield _one_list(gathered)


def _one_list(items: list[Unit]) -> Unit:
    return Unit(
        "list",
        "\n".join(item.text for item in items),
        items[0].element,
        link_chars=sum(item.link_chars for item in items),
        group=items[0].group,
        lines=tuple(line for item in items for line in item.lines),
    )


def _elements_with_blocks(root: HtmlElement) -> set[HtmlElement]:
    """Every element that holds a block element somewhere below."""
    found: set[HtmlElement] = set()
    for element in root.iter(*BLOCK_TAGS):
        parent = element.getparent()
        while parent is not None and parent not in found:
            found.add(parent)
            parent = parent.getparent()
    return found


def _anchor(element: HtmlElement) -> str | None:
    own = element.get("id")
    if own:
        return str(own)
    for child in element.iter("a", "span"):
        name = child.get("id") or child.get("name")
        if name:
            return str(name)
    parent = element.getparent()
    if parent is not None and parent.tag in ("section", "div") and parent.get("id"):
        return str(parent.get("id"))
    return None


def _joined_terms(element: HtmlElement, containers: set[HtmlElement]) -> HtmlElement:
    for term in list(element.iter("dt")):
        if term.getparent() is None or term in containers or not term.text_content().strip():
            continue
        # A `br` inside one block keeps terms and descriptions together as lines of one paragraph.
        for other in _same_entry(term, containers):
            separator = term.makeelement("br")
            separator.tail = other.text
            term.append(separator)
            term.extend(list(other))
            other.drop_tree()
    return element


def _same_entry(term: HtmlElement, containers: set[HtmlElement]) -> list[HtmlElement]:
    """The further terms and the descriptions of inline text that follow a term; none if it has no description."""
    found: list[HtmlElement] = []
    for other in term.itersiblings():
        is_description = bool(found) and found[-1].tag == "dd"
        if other in containers or other.tag not in ("dt", "dd") or (other.tag == "dt" and is_description):
            break
        found.append(other)
    return found if found and found[-1].tag == "dd" else []


def _language(element: HtmlElement) -> str:
    candidates = [element, *element.iterchildren("code")]
    parent = element.getparent()
    for _ in range(2):
        if parent is not None:
            candidates.append(parent)
            parent = parent.getparent()
    for candidate in candidates:
        match = _LANGUAGE.search(candidate.get("class") or "")
        name = match.group(1).lower() if match else (candidate.get("data-lang") or "").lower()
        if name and name not in _NOT_LANGUAGES and re.fullmatch(r"[\w+#.-]{1,20}", name):
            return str(name)
    return ""


def _is_prose(element: HtmlElement, text: str, language: str) -> bool:
    """Old pages put whole articles into `pre`; prose is told by long lines without code's signs."""
    if language or element.get("class") or element.find("code") is not None or element.find("span") is not None:
        return False
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < PROSE_PRE_LINES:
        return False
    letters = sum(character.isalpha() or character in " ,.'" for character in text)
    mean_chars = sum(len(line.strip()) for line in lines) / len(lines)
    return mean_chars > 40 and letters / len(text) > 0.9
