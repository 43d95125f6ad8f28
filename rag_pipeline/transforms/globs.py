"""Globs on addresses, as include, exclude and permission rules use them.

Belongs here: turning patterns into one regular expression.
Does not belong here: which patterns a source uses (`sources/selection.py`).

A pattern must match the whole address. `**` as a whole segment is any number of folders, none included,
so `**/*.md` also matches `a.md`; `*` and `?` stay within a segment; `[a-z]` and `[!a-z]` are classes.
A trailing slash means everything below the folder. A leading `/` or `./` is ignored. Case counts. How a letter is
composed, and what nobody sees, does not: patterns and addresses are compared in one form (`contracts/names.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rag_pipeline.contracts.names import comparable


@dataclass(frozen=True, slots=True)
class Globs:
    """Some patterns, compiled."""

    expression: re.Pattern[str]

    def match(self, address: str) -> bool:
        """Whether any of the patterns matches the whole address."""
        return self.expression.fullmatch(comparable(address)) is not None


def compile_globs(patterns: Iterable[str], *, match_hidden: bool, ignore_case: bool = False) -> Globs:
    """The patterns as one expression.

    Args:
        match_hidden: Whether wildcards match a leading dot. If not, a pattern must spell the dot out.
    """
    translated = "|".join(f"(?:{_translated(pattern, match_hidden)})" for pattern in patterns)
    return Globs(re.compile(translated or r"(?!)", re.IGNORECASE if ignore_case else 0))


def segments_of(pattern: str) -> list[str]:
    """The pattern's segments as they are compared, without a leading `/` or `./`, a trailing slash spelt out."""
    pattern = comparable(pattern).removeprefix("./").lstrip("/")
    return (pattern + "**" if pattern.endswith("/") else pattern).split("/")


def _translated(pattern: str, match_hidden: bool) -> str:
    """The pattern as an expression that takes time in proportion to the address.

    A wildcard takes as little as lets what follows it match, up to the next wildcard, and never tries again: another
    choice would leave less for the rest. So nothing is gone through twice, however many wildcards there are.
    """
    guard = "" if match_hidden else r"(?!\.)"
    folders = f"(?:{guard}[^/]+/)*"
    runs = _runs_of_segments(segments_of(pattern))
    parts = []
    for position, run in enumerate(runs):
        translated = [_translated_segment(segment, guard) for segment in run]
        if position == len(runs) - 1:
            text = "/".join(translated) if run else f"{guard}[^/]+"
            parts.append(folders + text if position else text)
        elif position == 0:
            parts.append("".join(f"{segment}/" for segment in translated))
        else:
            parts.append(f"(?>{folders}?{''.join(f'{segment}/' for segment in translated)})")
    return "".join(parts)


def _runs_of_segments(segments: list[str]) -> list[list[str]]:
    """The segments between the segments `**`; an empty run first or last stands for a `**` there."""
    runs: list[list[str]] = [[]]
    for segment in segments:
        if segment != "**":
            runs[-1].append(segment)
        elif runs[-1] or len(runs) == 1:
            runs.append([])
    return runs


def _translated_segment(segment: str, guard: str) -> str:
    result = guard if segment[:1] in ("*", "?", "[") else ""
    # What stands before the first star, between two, and after the last: each matches so many characters exactly.
    first, *between = _fixed_parts(segment)
    if not between:
        return result + first
    middle = "".join(f"(?>[^/]*?{part})" for part in between[:-1])
    return f"{result}{first}{middle}[^/]*{between[-1]}"


def _fixed_parts(segment: str) -> list[str]:
    parts = [""]
    position = 0
    while position < len(segment):
        character = segment[position]
        position += 1
        if character == "*":
            # A run of stars inside a segment is one.
            if parts[-1] or len(parts) == 1:
                parts.append("")
        elif character == "?":
            parts[-1] += "[^/]"
        elif character == "[" and (end := _end_of_class(segment, position)) is not None:
            parts[-1] += _character_class(segment[position:end])
            position = end + 1
        else:
            parts[-1] += re.escape(character)
    return parts


def _end_of_class(segment: str, start: int) -> int | None:
    # A closing bracket in first place is a member.
    first = start + 1 if segment[start : start + 1] == "!" else start
    end = segment.find("]", first + 1)
    return end if end >= 0 else None


def _character_class(members: str) -> str:
    negated = members.startswith("!")
    body = members[1:] if negated else members
    pieces = []
    position = 0
    while position < len(body):
        if body[position + 1 : position + 2] == "-" and position + 2 < len(body):
            low, high = body[position], body[position + 2]
            if low <= high:
                pieces.append(f"{re.escape(low)}-{re.escape(high)}")
            position += 3
        else:
            pieces.append(re.escape(body[position]))
            position += 1
    if not pieces:
        return "[^/]" if negated else "(?!)"
    return f"[^/{''.join(pieces)}]" if negated else f"(?!/)[{''.join(pieces)}]"
