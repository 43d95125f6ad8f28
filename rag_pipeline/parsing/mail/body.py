"""The text of mail bodies: paragraphs, lists, and quoted replies kept apart as quotes.

Belongs here: telling new text from quoted text, in plain text and HTML.
Does not belong here: headers, parts and attachments (`mail`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import BlockKind
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.web.blocks import Unit
from rag_pipeline.parsing.web.html import html_units

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# Words that the other form of a mail may lack and still say the same: a footer, a link's label.
COVERED_SHARE = 0.95

_WORD = re.compile(r"\w+")
_ATTRIBUTION = re.compile(
    r"^(?:On|Am|Le|El|Il|Op|Em|W dniu|Den)\b.{4,300}?(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|"
    r"napisał|skrev)[^\n]{0,40}:\s*$",
    re.S,
)
_FORWARDED = re.compile(
    r"^\s*(?:-{2,}\s*(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Message d'origine)\s*-{2,}|"
    r"_{10,}\s*$|Begin forwarded message:)",
    re.I,
)
_LIST_LINE = re.compile(r"\s*(?:[-*•+]|\d{1,3}[.)])\s+\S")
_QUOTE_CLASSES = re.compile(r"gmail_quote|moz-cite-prefix|yahoo_quoted|protonmail_quote|OutlookMessageHeader")


def add_body(builder: TextBuilder, plain: str, html: str, hidden: Counter[str], *, keep_quotes: bool = True) -> None:
    """Adds the body once, from whichever form says more.

    Senders put the same words into both forms. Plain text is taken first; paragraphs of the HTML whose words
    it does not hold follow. HTML with structure that plain text loses (tables, headings) goes first.

    Args:
        hidden: Gets what the HTML hides, by cause.
        keep_quotes: Else what is quoted is left out, unless nothing else is said.
    """
    units = html_units(html, hidden) if html.strip() else []
    if not keep_quotes:
        own_units = [unit for unit in units if unit.kind != "quote" and not _is_quoted(unit.element)]
        own_plain = "\n\n".join(text for kind, text in _plain_blocks(plain) if kind != "quote")
        if own_units or own_plain:
            units, plain = own_units, own_plain
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
    for kind, block in _plain_blocks(text):
        builder.add(kind, block)


def _plain_blocks(text: str) -> Iterator[tuple[BlockKind, str]]:
    quoted_rest = False
    for paragraph in _plain_paragraphs(text.replace("\r\n", "\n")):
        lines = paragraph.split("\n")
        is_forward = _FORWARDED.match(paragraph) is not None
        quoted_rest = quoted_rest or is_forward
        if quoted_rest or lines[0].startswith(">") or _ATTRIBUTION.match(paragraph):
            yield "quote", "\n".join(line if line.startswith(">") else f"> {line}" for line in lines)
        elif all(_LIST_LINE.match(line) or line.startswith("  ") for line in lines) and _LIST_LINE.match(lines[0]):
            yield "list", paragraph
        else:
            yield "paragraph", paragraph


def _plain_paragraphs(text: str) -> list[str]:
    """Runs of lines parted by blank lines or by a change between quoted and own text."""
    paragraphs: list[list[str]] = []
    previous = ""
    for line in text.split("\n"):
        line = line.rstrip()
        is_new = not previous.strip(" >") or line.startswith(">") != previous.startswith(">")
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


def _joined(units: list[Unit]) -> str:
    return "\n".join(unit.text for unit in units)


def _is_covered(text: str, by: str, share: float) -> bool:
    return _share(text, set(_WORD.findall(by.casefold()))) >= share


def _share(text: str, words: set[str]) -> float:
    """Share of the words of `text` that are in `words`; 1 for no words."""
    own = _WORD.findall(text.casefold())
    return sum(word in words for word in own) / len(own) if own else 1.0
