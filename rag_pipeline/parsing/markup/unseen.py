"""What no reader of rendered plain-text markup sees: comments of reStructuredText, AsciiDoc, Org and LaTeX.

Belongs here: finding them outside code and blanking them out, so that every place in the text stays where it is.
Does not belong here: comments and deletions of Markdown (`markdown_comments`), structure of any format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_NOT_LINE_END = re.compile(r"[^\n]")
_RST_COMMENT = re.compile(r"([ \t]*)\.\.(?:[ \t]+(?!\[|_|__|\||[\w:+.-]+?::)\S|[ \t]*$)")
_ADOC_FENCE = re.compile(r"(-{4,}|\.{4,}|\+{4,}|/{4,}|```+\w*)[ \t]*$")
_ORG_BEGIN = re.compile(r"[ \t]*#\+begin_(\w+)", re.I)
_ORG_LINE = re.compile(r"[ \t]*#(?:[ \t]|$)")
_ORG_HEADLINE = re.compile(r"(\*+)[ \t]+(?:(?:TODO|DONE|NEXT|WAITING)[ \t]+)?(?:\[#\w\][ \t]+)?(COMMENT(?:[ \t]|$))?")

Span = tuple[int, int]
"""First line of something left out, and the line after it, from 0."""


def without_unseen(text: str, find: Callable[[list[str]], Iterable[Span]], hint: str) -> tuple[str, int]:
    """`text` with what `find` gives as spaces of the same length, and how many there were.

    Args:
        hint: What every text with comments holds.
    """
    if hint not in text:
        return text, 0
    lines = text.split("\n")
    count = 0
    for first, end in find(lines):
        count += any(map(str.isalnum, "".join(lines[first:end])))
        for number in range(first, end):
            lines[number] = _NOT_LINE_END.sub(" ", lines[number])
    return "\n".join(lines), count


def rst_comments(lines: list[str]) -> Iterable[Span]:
    """Explicit markup that is no directive, target, note or substitution; literal blocks are looked at by no one."""
    found: list[Span] = []
    literal: int | None = None
    number = 0
    while number < len(lines):
        line = lines[number]
        indent = len(line) - len(line.lstrip())
        if line.strip():
            if literal is not None and indent > literal:
                number += 1
                continue
            literal = None
            match = _RST_COMMENT.match(line)
            if match:
                end = _indented_end(lines, number, indent)
                found.append((number, end))
                number = end
                continue
            if line.rstrip().endswith("::") or re.match(r"[ \t]*\.\.[ \t]+[\w:+.-]*code[\w-]*::", line):
                literal = indent
        number += 1
    return found


def _indented_end(lines: list[str], number: int, indent: int) -> int:
    """The line after a comment: it holds what is indented below it, unless two dots alone stand above a blank line."""
    end = number + 1
    if lines[number].strip() == ".." and (end >= len(lines) or not lines[end].strip()):
        return end
    for position in range(number + 1, len(lines)):
        line = lines[position]
        if line.strip():
            if len(line) - len(line.lstrip()) <= indent:
                break
            end = position + 1
    return end


def adoc_comments(lines: list[str]) -> Iterable[Span]:
    """Lines after `//`, and what stands between two lines of four slashes or more."""
    found: list[Span] = []
    closings = {line.rstrip(): number for number, line in enumerate(lines) if _ADOC_FENCE.match(line)}
    number = 0
    while number < len(lines):
        line = lines[number].rstrip()
        fence = _ADOC_FENCE.match(line)
        closing = re.sub(r"\w+$", "", line) if line.startswith("```") else line
        if fence and closings.get(closing, -1) > number:
            end = next(at for at in range(number + 1, len(lines)) if lines[at].rstrip() == closing) + 1
            if line.startswith("////"):
                found.append((number, end))
            number = end
            continue
        if line.startswith("//") and not line.startswith("///"):
            found.append((number, number + 1))
        number += 1
    return found


def org_comments(lines: list[str]) -> Iterable[Span]:
    """Lines after `#`, blocks of comments, and headlines marked as comments with all below them."""
    found: list[Span] = []
    closings = {
        line.strip().lower(): number for number, line in enumerate(lines) if line.lstrip()[:6].lower() == "#+end_"
    }
    number = 0
    while number < len(lines):
        line = lines[number]
        begin = _ORG_BEGIN.match(line)
        headline = _ORG_HEADLINE.match(line)
        closing = f"#+end_{begin.group(1)}".lower() if begin else ""
        end = number + 1
        if begin and closings.get(closing, -1) > number:
            end = next(at for at in range(number + 1, len(lines)) if lines[at].strip().lower() == closing) + 1
            if closing == "#+end_comment":
                found.append((number, end))
        elif headline and headline.group(2):
            depth = len(headline.group(1))
            while end < len(lines) and not (
                (below := _ORG_HEADLINE.match(lines[end])) and len(below.group(1)) <= depth
            ):
                end += 1
            found.append((number, end))
        elif _ORG_LINE.match(line):
            found.append((number, end))
        number = end
    return found
