"""Text of what stands in a line of an HTML page: raised and lowered figures, formulas, pictures.

Belongs here: what the words and signs of inline elements are.
Does not belong here: blocks (`blocks`) and tables (`tables`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag_pipeline.parsing.formulas import formula_text
from rag_pipeline.parsing.raised import shifted

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# Authoring guides ask for 150; longer ones are texts by mistake.
MAX_ALT_CHARS = 500

SPACES = re.compile(r"[ \t\r\n\f\v]+")
NOTE_SIGN = re.compile(r"\s*(?:\d{1,3}|[a-z]|[*\u2020\u2021\u00a7\u00b6#]{1,3})\s*\Z", re.I)
"""What is written at a word to name its note, without brackets."""
_NOTE_LINK = re.compile(r"(?:^|[\s-])(?:note-?ref|(?:foot|end)note-?(?:ref|link|anchor)|fnref)\b", re.I)
_NO_WORDS = re.compile(
    r"\W*(?:(?:image|img|picture|photo|logo|icon|avatar|spacer|placeholder|thumbnail|figure)\W*\d*|"
    r"\S+\.(?:png|jpe?g|gif|svg|webp|bmp|tiff?|ico))?\W*\Z",
    re.I,
)
_BY_MACHINE = re.compile(r"\s*(?:Description automatically generated|AI-generated content may be incorrect\.?).*", re.I)


def inline_text(element: HtmlElement, before: str = "") -> str:
    """Text of an inline element: white space collapsed, `br` as line break, formulas as TeX, pictures by their `alt`.

    Args:
        before: The text that the element follows; a raised figure is told from a power by it.
    """
    tag = element.tag
    if tag == "br":
        return "\n"
    if tag == "img":
        return alt_text(element)
    if tag == "math":
        said = element.get("alttext") or element.xpath("string(.//*[local-name()='annotation'])")
        return str(said) if said else formula_text(element)
    if not len(element):
        text = SPACES.sub(" ", element.text) if element.text else ""
    else:
        parts = [SPACES.sub(" ", element.text or "")]
        for child in element:
            if isinstance(child.tag, str):
                parts.append(inline_text(child, last_text(parts) or before))
            parts.append(SPACES.sub(" ", child.tail or ""))
        text = "".join(parts)
    if tag not in ("sup", "sub"):
        return f"[{text.strip()}]" if tag == "a" and is_note_link(element, text, before) else text
    is_link = element.find(".//a") is not None or (element.getparent() is not None and element.getparent().tag == "a")
    return shifted(text, tag, before, is_link)


def is_note_link(link: HtmlElement, text: str, before: str) -> bool:
    """Whether a link is the sign of a note: it says so, or leads to a place and runs into the word that it follows."""
    if not NOTE_SIGN.match(text) or (link.getparent() is not None and link.getparent().tag in ("sup", "sub")):
        return False
    return says_note(link) or ("#" in (link.get("href") or "") and before[-1:] not in "[( \n")


def says_note(link: HtmlElement) -> bool:
    """Whether a link is marked as leading to a note."""
    found = link.get
    return _NOTE_LINK.search(f"{found('epub:type') or ''} {found('role') or ''} {found('class') or ''}") is not None


def last_text(parts: list[str]) -> str:
    """The last of the texts gathered that is not empty."""
    return next((part for part in reversed(parts) if part), "")


def alt_text(image: HtmlElement) -> str:
    """What a picture says to those who do not see it; empty for ornaments and names of files."""
    return "" if image.get("role") in ("presentation", "none") else picture_words(image.get("alt"))


def picture_words(said: str | None) -> str:
    """The description of a picture; empty for none, names of files and words that say nothing."""
    text = _BY_MACHINE.sub("", " ".join((said or "").split()))
    return "" if _NO_WORDS.match(text) else text[:MAX_ALT_CHARS]
