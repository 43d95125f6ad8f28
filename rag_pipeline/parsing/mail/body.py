"""The text of mail bodies: paragraphs, lists, and quoted replies kept apart as quotes.

Belongs here: telling new text from quoted text, in plain text and HTML.
Does not belong here: headers, parts and attachments (`mail`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from rag_pipeline.contracts.documents import BlockKind
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.web.blocks import Unit
from rag_pipeline.parsing.web.html import html_units

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# Words that the other form of a mail may lack and still say the same: a footer, a link's label.
COVERED_SHARE = 0.95
# Pieces of text in which the mark of a message that is passed on stands, blanks of the page among them.
_MARK_PIECES = 8

_WORD = re.compile(r"\w+")
_ATTRIBUTION = re.compile(
    r"^(?:On|Am|Le|El|Il|Op|Em|W dniu|Den)\b.{4,300}?(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|"
    r"napisał|skrev)[^\n]{0,40}:\s*$",
    re.S,
)
# From here on the rest is a message of before. A line alone may part anything: the head of a message follows it.
_HISTORY = re.compile(
    r"^\s*(?:-{2,}\s*(?:Original Message|Ursprüngliche Nachricht|Message d'origine)\s*-{2,}|"
    r"_{10,}\s+\W{0,3}(?:From|Von|De|Da|Van|Od|Från|Fra)\W{0,5}:)",
    re.I,
)
# What is passed on may stand nowhere else.
_PASSED_ON = re.compile(r"^\s*(?:-{2,}\s*Forwarded message\s*-{2,}|Begin forwarded message:)", re.I)
_LIST_LINE = re.compile(r"\s*(?:[-*•+]|\d{1,3}[.)])\s+\S")
_QUOTE_CLASSES = re.compile(r"gmail_quote|moz-cite-prefix|yahoo_quoted|protonmail_quote|OutlookMessageHeader")
_HEAD_CLASSES = re.compile(r"gmail_attr|moz-cite-prefix|OutlookMessageHeader")


def add_body(builder: TextBuilder, plain: str, html: str, hidden: Counter[str], *, keep_quotes: bool = True) -> int:
    """Adds the body once, from whichever form says more.

    Senders put the same words into both forms. Plain text is taken first; paragraphs of the HTML whose words
    it does not hold follow. HTML with structure that plain text loses (tables, headings) goes first.

    Args:
        hidden: Gets what the HTML hides, by cause.
        keep_quotes: Else what is quoted is left out, unless nothing else is said.

    Returns:
        How many blocks were left out as quotes, of the form that has more of them.
    """
    units = html_units(html, hidden) if html.strip() else []
    skipped = 0
    if not keep_quotes:
        look = _Look()
        own_units = [unit for unit in units if not look.is_history(unit)]
        blocks = list(_plain_blocks(plain))
        own_blocks = [block.paragraph for block in blocks if not block.is_history]
        if own_units or own_blocks:
            skipped = max(len(units) - len(own_units), len(blocks) - len(own_blocks))
            units, plain = own_units, "\n\n".join(own_blocks)
    _add_both(builder, units, plain)
    return skipped


def _add_both(builder: TextBuilder, units: list[Unit], plain: str) -> None:
    if not plain.strip():
        _add_units(builder, units)
        return
    if any(unit.kind in ("heading", "code") for unit in units) or not _is_covered(_joined(units), plain, 0.5):
        _add_units(builder, units)
        words = set(_WORD.findall(_joined(units).casefold()))
        if units and all(_share(paragraph, words) >= COVERED_SHARE for paragraph in plain.split("\n\n")):
            return
        if units and _is_covered(plain, _joined(units), COVERED_SHARE):
            return
        add_plain(builder, plain)
        return
    add_plain(builder, plain)
    words = set(_WORD.findall(plain.casefold()))
    _add_units(builder, [unit for unit in units if _share(unit.text, words) < COVERED_SHARE])


def add_plain(builder: TextBuilder, text: str) -> None:
    """Paragraphs, lists and quotes of a plain text body."""
    for block in _plain_blocks(text):
        builder.add(block.kind, block.shown)


class _PlainBlock(NamedTuple):
    """One block of a plain text body.

    Attributes:
        paragraph: As it stands.
        is_history: Of the thread, so that it stands in another message.
    """

    kind: BlockKind
    paragraph: str
    is_history: bool = False

    @property
    def shown(self) -> str:
        if self.kind != "quote":
            return self.paragraph
        return "\n".join(line if line.startswith(">") else f"> {line}" for line in self.paragraph.split("\n"))


def _plain_blocks(text: str) -> Iterator[_PlainBlock]:
    """Blocks of a plain text body.

    What nobody marked as quoted is own text: an answer may stand anywhere between quotes. Only below a mark that a
    message of before follows, and up to the first line that is marked, all counts as quoted.
    """
    paragraphs = _plain_paragraphs(text.replace("\r\n", "\n"))
    is_history = is_passed_on = False
    for number, paragraph in enumerate(paragraphs):
        lines = paragraph.split("\n")
        following = paragraphs[number + 1] if number + 1 < len(paragraphs) else ""
        is_marked = _is_marked(paragraph)
        if _HISTORY.match(f"{paragraph}\n{following}"):
            is_history, is_passed_on = True, False
        elif _PASSED_ON.match(paragraph):
            is_history, is_passed_on = False, True
        elif is_marked:
            is_history = False
        is_attribution = _ATTRIBUTION.match(paragraph) is not None
        if is_history or is_passed_on or is_marked or is_attribution:
            before_quote = is_attribution and (not following or _is_marked(following))
            is_left = is_history or (not is_passed_on and (is_marked or before_quote))
            yield _PlainBlock("quote", paragraph, is_left)
        elif all(_LIST_LINE.match(line) or line.startswith("  ") for line in lines) and _LIST_LINE.match(lines[0]):
            yield _PlainBlock("list", paragraph)
        else:
            yield _PlainBlock("paragraph", paragraph)


def _is_marked(line: str) -> bool:
    # Mailboxes escape so a line that begins with the word.
    return line.startswith(">") and not line.startswith(">From ")


def _plain_paragraphs(text: str) -> list[str]:
    """Runs of lines parted by blank lines or by a change between quoted and own text."""
    paragraphs: list[list[str]] = []
    previous = ""
    for line in text.split("\n"):
        line = line.rstrip()
        is_new = not previous.strip(" >") or _is_marked(line) != _is_marked(previous)
        if line.strip(" >"):
            if is_new or not paragraphs:
                paragraphs.append([])
            paragraphs[-1].append(line)
        previous = line
    return ["\n".join(lines) for lines in paragraphs]


def _add_units(builder: TextBuilder, units: list[Unit]) -> None:
    for unit in units:
        text = clean_text(unit.text)
        if unit.kind != "quote" and _is_quoted(unit.element):
            builder.add("quote", "\n".join(f"> {line}" for line in text.split("\n")))
        else:
            label = clean_text(unit.label) if unit.label else None
            builder.add(unit.kind, text, level=unit.level, label=label)


def _is_quoted(element: HtmlElement | None) -> bool:
    while element is not None:
        if element.tag == "blockquote" or _QUOTE_CLASSES.search(element.get("class") or ""):
            return True
        element = element.getparent()
    return False


class _Look:
    """Which units are what a message of before says. Programs put answers between quotes into one element with them."""

    def __init__(self) -> None:
        # Of elements that hold many units: what is found out once.
        self._quotes_whole: dict[HtmlElement, bool] = {}
        self._passes_on: dict[HtmlElement, bool] = {}

    def is_history(self, unit: Unit) -> bool:
        is_quote = unit.kind == "quote" or _ATTRIBUTION.match(clean_text(unit.text).strip()) is not None
        element = unit.element
        while element is not None:
            classes = element.get("class") or ""
            if _QUOTE_CLASSES.search(classes):
                if self._is_passed_on(element):
                    return False
                is_quote = is_quote or self._is_whole(element)
            is_quote = is_quote or element.tag == "blockquote" or _HEAD_CLASSES.search(classes) is not None
            element = element.getparent()
        return is_quote

    def _is_whole(self, element: HtmlElement) -> bool:
        """Whether all in it is quoted: where quotes are marked in it, what lies between them is an answer."""
        if element not in self._quotes_whole:
            self._quotes_whole[element] = element.find(".//blockquote") is None
        return self._quotes_whole[element]

    def _is_passed_on(self, element: HtmlElement) -> bool:
        if element not in self._passes_on:
            # The mark is the first line.
            begin = "".join(islice(element.itertext(), _MARK_PIECES)).strip()
            self._passes_on[element] = _PASSED_ON.match(begin) is not None
        return self._passes_on[element]


def _joined(units: list[Unit]) -> str:
    return "\n".join(unit.text for unit in units)


def _is_covered(text: str, by: str, share: float) -> bool:
    return _share(text, set(_WORD.findall(by.casefold()))) >= share


def _share(text: str, words: set[str]) -> float:
    """Share of the words of `text` that are in `words`; 1 for no words."""
    own = _WORD.findall(text.casefold())
    return sum(word in words for word in own) / len(own) if own else 1.0
