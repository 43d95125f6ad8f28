"""What no reader of a Markdown page sees: comments, what is struck through, and inline HTML that hides its words.

Belongs here: finding them outside code, blanking them out so that every place in the text stays where it is, and
counting them. Comments are HTML's `<!-- … -->`, Obsidian's `%% … %%`, and definitions of links that lead nowhere,
`[//]: # (…)`.
Does not belong here: comments of MDX (`markdown.py`), whose module lines are code; HTML blocks (`markdown_html`).
"""

from __future__ import annotations

import re
from collections import Counter

from rag_pipeline.parsing.web.hidden import hidden_cause

# What may not be looked into, or is looked for, whichever begins first; what is never closed is ordinary text.
_TOKEN = re.compile(
    r"^[ ]{0,3}(?P<fence>`{3,}|~{3,})|(?P<ticks>`+)|(?P<html><!--)|(?<![^\s])(?P<obsidian>%%)(?!%)"
    r"|(?<![~\\])(?P<struck>~~)(?=[^\s~])|(?P<tag><(?P<name>del|s|strike|span|font)(?:\s[^<>]{0,500})?>)"
    r"|^[ ]{0,3}(?P<note>\[[^\[\]\n]{1,50}\]:[ \t]*(?:#|<#?>)(?:[ \t]+|[ \t]*\n[ \t]*)"
    r"(?:\([^()]{0,1000}\)|\"[^\"]{0,1000}\"|'[^']{0,1000}')[ \t]*$)",
    re.M | re.I,
)
_MAY_HIDE = re.compile(r"<!--|%%|~~|<(?:del|s|strike|span|font)\b|\]:[ \t]*(?:#|<#?>)\s", re.I)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_HIDING = re.compile(r"\b(?:hidden|aria-hidden|style|class|color)\b", re.I)
_NOT_LINE_END = re.compile(r"[^\n]")
_CLOSING_OBSIDIAN = re.compile(r"%%(?=\s|[.,;:!?)]|\Z)")
_LINE_OF_ITS_OWN = re.compile(r"^[ \t]*%%[ \t]*$", re.M)
# Indented by four columns after a blank line is code, and no comment begins there; looked for this far back.
_FAR = 500
# Longer code stands in a block.
_LONGEST_INLINE = 1_000
# Of a longer line only the beginning is looked through, at every mark in it.
_LONGEST_LINE = 2_000
HELD = "\ufffc"
"""Stands at the head of a line whose beginning is not seen, where blocks are told apart."""


def without_unseen(text: str) -> tuple[str, Counter[str]]:
    """`text` with what no reader sees as spaces of the same length, line ends staying; and how much that was."""
    counts: Counter[str] = Counter()
    if not _MAY_HIDE.search(text):
        return text, counts
    pieces: list[str] = []
    kept = position = 0
    unclosed: set[str] = set()
    while token := _TOKEN.search(text, position):
        end = _end_of(text, token, unclosed)
        if end is None:
            position = token.end()
            continue
        cause = _cause(token)
        if cause and not _is_indented_code(text, token.start()):
            pieces += (text[kept : token.start()], _NOT_LINE_END.sub(" ", text[token.start() : end]))
            kept = end
            counts[cause] += 1
        # What an element that is seen holds is looked through as well.
        position = token.end() if not cause and token["tag"] else end
    return "".join((*pieces, text[kept:])), counts


def held_in_place(source: str, text: str) -> str:
    """`text` to tell blocks by: a line whose beginning is not seen would otherwise be indented, which makes it code."""
    lines = text.split("\n")
    for number, (before, line) in enumerate(zip(source.split("\n"), lines, strict=True)):
        is_indented = line.startswith("    ") and not line.isspace()
        if is_indented and line != before and not before.startswith(("    ", "\t", " \t", "  \t", "   \t")):
            lines[number] = HELD + line[1:]
    return "\n".join(lines)


def _cause(token: re.Match[str]) -> str:
    """Why what begins with `token` is not seen; "" for what is only passed over."""
    if token["html"] or token["obsidian"] or token["note"]:
        return "comment"
    if token["struck"] or (token["name"] or "").lower() in ("del", "s", "strike"):
        return "deletion"
    if token["tag"] and _HIDING.search(token["tag"]):
        from lxml.html import fragment_fromstring

        return hidden_cause(fragment_fromstring(f"{token['tag']}</{token['name']}>"), False) or ""
    return ""


def _end_of(text: str, token: re.Match[str], unclosed: set[str]) -> int | None:
    """Where what begins with `token` ends; None if it is never closed.

    Args:
        unclosed: Closings that are nowhere in the rest of the text: looked for once, not at every opening.
    """
    kind = "tag" if token["tag"] else str(token.lastgroup)
    if kind == "fence":
        return _end_of_fence(text, token)
    if kind == "note":
        return token.end() if _is_definition(text, token) else None
    if kind in ("struck", "tag"):
        return _end_in_paragraph(text, token, f"</{token['name']}>" if token["tag"] else "~~")
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


def _is_definition(text: str, token: re.Match[str]) -> bool:
    """Whether what looks like a definition of a link is one: no blank line is in it, and no paragraph before it."""
    before = text.rfind("\n", max(0, token.start() - _FAR), max(0, token.start() - 1)) + 1
    line = text[before : token.start()].strip()
    return not _BLANK_LINE.search(token["note"]) and (not line or line[0] in "[#" or line.endswith("-->"))


def _end_in_paragraph(text: str, token: re.Match[str], closing: str) -> int | None:
    """The end of an element or of struck text, which ends with its paragraph at the latest."""
    stop = min(len(text), token.end() + _LONGEST_INLINE)
    found = text[token.end() : stop].lower().find(closing.lower())
    at = token.end() + found
    if found < 0 or text.find("\n\n", token.end(), at) >= 0 or (closing == "~~" and text[at - 1].isspace()):
        return None
    return at + len(closing)


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
