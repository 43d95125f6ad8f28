"""Comments in Markdown, which no reader of the page sees: HTML's `<!-- … -->` and Obsidian's `%% … %%`.

Belongs here: finding them outside code, and blanking them out so that every place in the text stays where it is.
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
# Indented by four columns after a blank line is code, and no comment begins there; looked for this far back.
_FAR = 500
# Longer code stands in a block.
_LONGEST_INLINE = 1_000


def without_comments(text: str) -> str:
    """`text` with its comments as spaces of the same length; line ends stay."""
    if "<!--" not in text and "%%" not in text:
        return text
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
        position = end
    return "".join((*pieces, text[kept:]))


def _end_of(text: str, token: re.Match[str], unclosed: set[str]) -> int | None:
    """Where what begins with `token` ends; None if it is never closed.

    Args:
        unclosed: Closings that are nowhere in the rest of the text: looked for once, not at every opening.
    """
    kind = str(token.lastgroup)
    if kind == "fence":
        return _end_of_fence(text, token)
    closing = {"html": "-->", "obsidian": "%%"}.get(kind, token.group())
    if closing in unclosed:
        return None
    if kind == "obsidian":
        found = _CLOSING_OBSIDIAN.search(text, token.end())
        end = found.end() if found else None
    elif kind == "html":
        at = text.find(closing, token.end())
        end = at + len(closing) if at >= 0 else None
    else:
        end = _end_of_ticks(text, token)
    if end is None and kind != "ticks":
        unclosed.add(closing)
    return end


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
