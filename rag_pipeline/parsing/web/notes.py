"""Footnotes of an HTML page, put beside what they explain.

Belongs here: which element is a note, and moving it below the block that refers to it.
Does not belong here: how its sign is written (`inline`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_NOTES = 2_000
"""More notes than this stay where they are."""

_NOTE_ID = re.compile(r"_?(?:user-content-)?(?:fn|ftn|ftnt|footnote|endnote|note)[-_:.]?\d+[a-z]?\Z", re.I)
_BACK_SIGNS = re.compile(r"(?:[\s\u21a9\u21b5\ufe0e\ufe0f^\u2191\[\]()\d.]|back|return|zur\u00fcck|retour)*\Z", re.I)
_NOTE_TAGS = ("li", "p", "div", "aside")
_BLOCKS = frozenset({"p", "li", "dd", "blockquote"})


def place_notes(root: HtmlElement) -> None:
    """Moves each note, in place, below the paragraph or item that first refers to it."""
    notes = {
        str(element.get("id")): element
        for element in root.xpath(".//*[@id]")
        if _NOTE_ID.match(element.get("id")) and element.tag in _NOTE_TAGS
    }
    if not 0 < len(notes) <= MAX_NOTES:
        return
    last: dict[HtmlElement, HtmlElement] = {}
    for link in list(root.iter("a")):
        note = notes.get((link.get("href") or "#").rpartition("#")[2])
        block = next((above for above in link.iterancestors() if above.tag in _BLOCKS), None)
        if note is None or block is None or note is block or any(above is note for above in link.iterancestors()):
            continue
        if any(above is block for above in note.iterancestors()):
            continue
        del notes[str(note.get("id"))]
        _drop_back_links(note)
        _move(note, block, last, " ".join(link.text_content().split()).strip("[]()"))


def _drop_back_links(note: HtmlElement) -> None:
    for link in list(note.iter("a")):
        if (link.get("href") or "").startswith("#") and _BACK_SIGNS.match(link.text_content()):
            link.drop_tree()


def _move(note: HtmlElement, block: HtmlElement, last: dict[HtmlElement, HtmlElement], sign: str) -> None:
    moved = note.makeelement("div")
    moved.text = f"[{sign}] {(note.text or '').lstrip()}"
    first = note[0] if len(note) and not (note.text or "").strip() else None
    if first is not None and first.tag == "p":
        moved.text = None
        first.text = f"[{sign}] {(first.text or '').lstrip()}"
    moved.extend(list(note))
    note.drop_tree()
    if block.tag == "p":
        place = last.get(block, block)
        moved.tail, place.tail = place.tail, None
        place.addnext(moved)
        last[block] = moved
    else:
        block.append(moved)
