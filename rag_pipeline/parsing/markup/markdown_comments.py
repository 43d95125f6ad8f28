"""Comments in Markdown, which no reader of the page sees: HTML's `<!-- … -->` and Obsidian's `%% … %%`.

Belongs here: finding them outside code, blanking them out so that every place in the text stays where it is, and
counting them.
Does not belong here: comments of MDX (`markdown.py`), whose module lines are code.
"""

from __future__ import annotations

import re

# What may not be looked into, or is looked for, whichever begins first; what is never closed is ordinary text.
_TOKEN = re.compile(
    r"^[ ]{0,3}(?P<fence>`{3,}|~{3,})|(?P<ticks>`+)|(?P<html><!--)|(?<![^\s])(?P<obsidian>%%)(?!%)", re.M
)
_NOT_LINE_END = re.compile(r"[^\n]")
_CLOSING_OBSIDIAN = re.compile(r"%%(?=\s|[.,;:!?)]|\Z)")
_LINE_OF_ITS_OWN = re.compile(r"^[ \t]*%%[ \t]*$", re.M)
# Indented by four columns after a blank line is code, and no comment begins there; looked for this far back.
_FAR = 500
# Longer code stands in a block.
_LONGEST_INLINE = 1_000
# Of a longer line only the beginning is looked through, at every mark in it.
_LONGEST_LINE = 2_000


def without_comments(text: str) -> tuple[str, int]:
    """`text` with its comments as spaces of the same length, line ends staying; and how many there were."""
    if "<!--" not in text and "%%" not in text:
        return text, 0
    count = 0
    pieces: list[str] = []
    kept = position = 0
    unclosed: set[str] = set()
    while token := _TOKEN.search(text, position):
        end = _end_of(text, token, unclosed)
        if end is None:
            position = token.end()
            continue
        if token.lastgroup in ("html", "obsidian") and not _is_indented_code(text, token.start()):
            pieces += (text[kept : token.start()], _NOT_LINE_END.sub(" ", text[token.start() : end]))
            kept = end
            count += 1
        position = end
    return "".join((*pieces, text[kept:])), count


def _end_of(text: str, token: re.Match[str], unclosed: set[str]) -> int | None:
    """Where what begins with `token` ends; None if it is never closed.

    Args:
        unclosed: Closings that are nowhere in the rest of the text: looked for once, not at every opening.
    """
    kind = str(token.lastgroup)
    if kind == "fence":
        return _end_of_fence(text, token)
    closing = "-->" if kind == "html" else token.group()
    if closing in unclosed:
        return None
    if kind == "obsidian":
        return _end_of_obsidian(text, token, unclosed)
    if kind == "html":
        at = text.find(closing, token.end())
        end = at + len(closing) if at >= 0 else None
    else:
        end = _end_of_ticks(text, token)
    if end is None and kind != "ticks":
        unclosed.add(closing)
    return end


def _end_of_obsidian(text: str, token: re.Match[str], unclosed: set[str]) -> int | None:
    """The end of `%% … %%`: in its line; or, where the marks stand in lines of their own, any number of lines on.

    Two percent signs are ordinary text elsewhere, and what stands between two of them must not vanish.
    """
    stop = text.find("\n", token.end(), token.end() + _LONGEST_LINE)
    stop = min(len(text), token.end() + _LONGEST_LINE) if stop < 0 else stop
    if text[token.end() : stop].strip():
        found = _CLOSING_OBSIDIAN.search(text, token.end(), stop)
        return found.end() if found else None
    begin = text.rfind("\n", max(0, token.start() - _FAR), token.start()) + 1
    if text[begin : token.start()].strip() or "block" in unclosed:
        return None
    found = _LINE_OF_ITS_OWN.search(text, stop)
    if found is None:
        unclosed.add("block")
    return found.end() if found else None


def _end_of_ticks(text: str, token: re.Match[str]) -> int | None:
    """The end of inline code; it ends with its paragraph and is not endless, so that a lone tick hides nothing."""
    stop = min(len(text), token.end() + _LONGEST_INLINE)
    at = text.find(token.group(), token.end(), stop)
    if at < 0 or text.find("\n\n", token.end(), at) >= 0:
        return None
    return at + len(token.group())


def _end_of_fence(text: str, token: re.Match[str]) -> int:
    """The end of a fenced block: its closing fence, or the end of the text."""
    fence = token.group("fence")
    closing = re.compile(rf"^[ ]{{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$", re.M)
    found = closing.search(text, token.end())
    return found.end() if found else len(text)


def _is_indented_code(text: str, start: int) -> bool:
    # Not further back than that: a comment at every tenth character of one long line must not cost its square.
    line = text.rfind("\n", max(0, start - _FAR), start) + 1
    if not text.startswith(("    ", "\t"), line):
        return False
    before = text.rfind("\n", max(0, line - 1 - _FAR), max(0, line - 1)) + 1
    return line > 0 and not text[before:line].strip()
