"""Raised and lowered text, so that no figure runs into the one before it: `10^6`, `H2O`, `1990[3]`.

Belongs here: how such text is written in plain characters, the same for every format that knows it.
Does not belong here: finding out what is raised, which each format says in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Literal

Shift = Literal["", "sup", "sub"]
Piece = tuple[str, Shift]
"""Text of a line, and whether it stands on the line, above or below it."""

_ORDINAL = re.compile(r"(?:st|nd|rd|th|er|re|e|ème|eme|o|a|º|ª)\Z", re.I)


def shifted(text: str, shift: Shift, before: str, is_link: bool = False) -> str:
    """A raised or lowered text as it follows `before`.

    Args:
        is_link: It leads somewhere, as the mark of a note does.
    """
    words = text.strip()
    last = before[-1:]
    if not shift or not words or not last.strip():
        return text
    if shift == "sub":
        return f"_{words}" if last.isdigit() and words[0].isdigit() else text
    if is_link:
        return words if words[0] in "[(" else f"[{words}]"
    if words[0].isdigit() or words[0] in "-+\u2212\u2013":
        is_number = last.isalnum() or last in ")]"
        return f"^{words}" if is_number else f"[{words}]"
    is_power = len(words) == 1 and words.isalpha() and last.isalnum() and not (last.isdigit() and _ORDINAL.match(words))
    return f"^{words}" if is_power else text


def joined(pieces: Iterable[Piece]) -> str:
    """The text of a line; pieces side by side that stand alike are one raised or lowered text."""
    pieces = list(pieces)
    # Most lines are one piece, with nothing before it to be raised above.
    if len(pieces) == 1:
        return pieces[0][0]
    if not any([shift for _, shift in pieces]):
        return "".join([piece for piece, _ in pieces])
    parts: list[str] = []
    for shift, group in groupby(pieces, key=itemgetter(1)):
        run = "".join(piece for piece, _ in group)
        if run:
            parts.append(shifted(run, shift, parts[-1] if parts else ""))
    return "".join(parts)
