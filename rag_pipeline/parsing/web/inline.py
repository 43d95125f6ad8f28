"""Text of what stands in a line of an HTML page: raised and lowered figures, formulas, pictures.

Belongs here: what the words and signs of inline elements are.
Does not belong here: blocks (`blocks`) and tables (`tables`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_ALT_CHARS = 500

SPACES = re.compile(r"[ \t\r\n\f\v]+")
_ORDINAL = re.compile(r"(?:st|nd|rd|th|er|re|e|ème|eme|o|a|º|ª)\Z", re.I)
_NO_WORDS = re.compile(
    r"\W*(?:(?:image|img|picture|photo|logo|icon|avatar|spacer|placeholder|thumbnail|figure)\W*\d*|"
    r"\S+\.(?:png|jpe?g|gif|svg|webp|bmp|tiff?|ico))?\W*\Z",
    re.I,
)


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
        return str(element.get("alttext") or element.xpath("string(.//*[local-name()='annotation'])") or "") or (
            SPACES.sub(" ", element.text_content())
        )
    if not len(element):
        text = SPACES.sub(" ", element.text) if element.text else ""
    else:
        parts = [SPACES.sub(" ", element.text or "")]
        for child in element:
            if isinstance(child.tag, str):
                parts.append(inline_text(child, last_text(parts) or before))
            parts.append(SPACES.sub(" ", child.tail or ""))
        text = "".join(parts)
    return _shifted(element, text, before) if tag in ("sup", "sub") else text


def last_text(parts: list[str]) -> str:
    """The last of the texts gathered that is not empty."""
    return next((part for part in reversed(parts) if part), "")


def alt_text(image: HtmlElement) -> str:
    """What a picture says to those who do not see it; empty for ornaments and names of files."""
    text = " ".join((image.get("alt") or "").split())
    if not text or image.get("role") in ("presentation", "none") or _NO_WORDS.match(text):
        return ""
    return text[:MAX_ALT_CHARS]


def _shifted(element: HtmlElement, text: str, before: str) -> str:
    """A raised or lowered text so that it does not run into a figure before it: `10^6`, `H2O`, `1990[3]`."""
    words = text.strip()
    last = before[-1:]
    if not words or not last.strip():
        return text
    if element.tag == "sub":
        return f"_{words}" if last.isdigit() and words[0].isdigit() else text
    if element.find(".//a") is not None or (element.getparent() is not None and element.getparent().tag == "a"):
        return words if words[0] in "[(" else f"[{words}]"
    if words[0].isdigit() or words[0] in "-+\u2212\u2013":
        is_number = last.isalnum() or last in ")]"
        return f"^{words}" if is_number else f"[{words}]"
    is_power = len(words) == 1 and words.isalpha() and last.isalnum() and not (last.isdigit() and _ORDINAL.match(words))
    return f"^{words}" if is_power else text
