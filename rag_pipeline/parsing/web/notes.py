"""Footnotes of an HTML page, put beside what they explain.

Belongs here: which element is a note, and moving it below the block that refers to it.
Does not belong here: how its sign is written (`inline`).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from rag_pipeline.parsing.web.inline import NOTE_SIGN, says_note

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_NOTES = 2_000
"""More notes than this stay where they are."""

_NOTE_ID = re.compile(
    r"_?(?:user-content-)?(?:fn|ftn|ftnt|footnote|endnote|note|cite_note)[-_:.]?(?:[\w.]*[-_:.])?\d+[a-z]?\Z", re.I
)
_NOTE_KIND = re.compile(r"(?:^|[\s-])(?:foot|end|rear)notes?\b|(?:^|\s)note\b", re.I)
_NOTES_KIND = re.compile(r"(?:foot|end|rear)notes\b", re.I)
_BACK_SIGNS = re.compile(
    r"(?:[\s\u21a9\u21b5\ufe0e\ufe0f^\u2191\[\]()\d.*\u2020\u2021]|back|return|zur\u00fcck|retour)*\Z", re.I
)
_NOTE_TAGS = ("li", "p", "div", "aside", "dd", "section")
_BLOCKS = frozenset({"p", "li", "dd", "blockquote"})
# A note is a few paragraphs.
_MOST_LINKS = 20


def place_notes(root: HtmlElement) -> None:
    """Moves each note, in place, below the paragraph or item that first refers to it.

    A note is what its id says, its type or role, or what a sign leads to that it leads back to.
    """
    places = {str(element.get("id")): element for element in root.iter(*_NOTE_TAGS) if element.get("id")}
    if not places:
        return
    links = [link for link in root.iter("a") if "#" in (link.get("href") or "")]
    notes = {name: element for name, element in places.items() if _says_note(element, name)}
    for link in links if len(notes) < len(places) else ():
        name = _target(link)
        if name not in notes and (note := places.get(name)) is not None and _leads_back(link, note):
            notes[name] = note
    if not 0 < len(notes) <= MAX_NOTES:
        return
    last: dict[HtmlElement, HtmlElement] = {}
    for link in links:
        note = notes.get(_target(link))
        block = next((above for above in link.iterancestors() if above.tag in _BLOCKS), None)
        if note is None or block is None or note is block or any(above is note for above in link.iterancestors()):
            continue
        if any(above is block for above in note.iterancestors()):
            continue
        del notes[str(note.get("id"))]
        _drop_back_links(note)
        _move(note, block, last, " ".join(link.text_content().split()).strip("[]()"))


def may_lead_to_note(link: HtmlElement, name: str) -> bool:
    """Whether a link to an element of this id can be the sign of a note, as far as that is seen without the element."""
    return says_note(link) or _NOTE_ID.match(name) is not None or NOTE_SIGN.match(_sign(link)) is not None


def is_note_of(link: HtmlElement, note: HtmlElement, name: str) -> bool:
    """Whether an element of this id, which a link leads to, is a note."""
    return note.tag in _NOTE_TAGS and (_says_note(note, name) or _leads_back(link, note))


def _target(link: HtmlElement) -> str:
    return str(link.get("href") or "#").rpartition("#")[2]


def _says_note(element: HtmlElement, name: str) -> bool:
    kind = f"{element.get('epub:type') or ''} {element.get('role') or ''}"
    if _NOTES_KIND.search(kind):
        # What holds all of them is none.
        return False
    return _NOTE_ID.match(name) is not None or _NOTE_KIND.search(kind) is not None


def _leads_back(link: HtmlElement, note: HtmlElement) -> bool:
    """Whether a sign and what it leads to lead to one another, or that begins with the same sign as a link."""
    sign = _sign(link)
    if not (NOTE_SIGN.match(sign) or says_note(link)):
        return False
    holder = link.getparent()
    names = {link.get("name"), *(element.get("id") for element in (link, holder) if element is not None)} - {None, ""}
    backs = [back for back in islice(note.iter("a"), _MOST_LINKS) if "#" in (back.get("href") or "")]
    if any(_target(back) in names for back in backs):
        return True
    return bool(backs) and _sign(backs[0]) == sign and note.text_content().lstrip(" \n\t[(").startswith(sign)


def _sign(link: HtmlElement) -> str:
    return str(link.text_content()).strip(" \n\t[]().")


def _drop_back_links(note: HtmlElement) -> None:
    for link in list(note.iter("a")):
        if "#" in (link.get("href") or "") and _BACK_SIGNS.match(link.text_content()):
            link.drop_tree()


def _move(note: HtmlElement, block: HtmlElement, last: dict[HtmlElement, HtmlElement], sign: str) -> None:
    moved = note.makeelement("div")
    # Its own sign stood before a dot.
    moved.text = f"[{sign}] {(note.text or '').lstrip(' .:)')}"
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
