"""Slack's markup of messages: people, channels and links by name, code, quotes and lists.

Belongs here: `mrkdwn`, as messages hold it. Does not belong here: asking Slack who somebody is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag_pipeline.contracts.documents import BlockKind, ParsedDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "3"

_FENCE = "```"
# A control sequence: what it is, and after a bar how it is shown.
_SPECIAL = re.compile(r"<([@#!]?)([^<>|\n]{1,3000})(?:\|([^<>\n]{0,3000}))?>")
# Homes within paths are no marks: `~/a.txt host:~/b`.
_STRUCK = re.compile(r"`[^`\n]++`|(?<![\w~/])(?P<struck>~(?=[^\s~])[^~\n]++(?<=\S)~)(?![\w~/])")
_ITEM = re.compile(r"[ \t]*(?:[•◦▪*-]|\d{1,4}[.)])[ \t]+\S")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
_ENTITY = re.compile("|".join(_ENTITIES))


def parse_slack(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document whose text is what readers see; links keep their addresses.

    Raises UndecodableBytes.
    """
    builder = TextBuilder()
    struck = 0
    pieces = read_text(raw).split(_FENCE)
    for number, piece in enumerate(pieces):
        # Between two marks; one that nothing follows is text.
        if number % 2 and number + 1 < len(pieces):
            builder.add("code", _shown(piece).strip("\n"))
            continue
        said = piece if number % 2 == 0 else f"{_FENCE}{piece}"
        said, count = _without_struck(said)
        struck += count
        for kind, text in _blocks(said):
            builder.add(kind, text)
    return [builder.build(metadata=hidden_counts({"deletion": struck}))]


def _without_struck(text: str) -> tuple[str, int]:
    """`text` without what is struck through, and how much that was; code within a line stays as it is."""
    count = 0

    def kept(match: re.Match[str]) -> str:
        nonlocal count
        count += match["struck"] is not None
        return "" if match["struck"] else match[0]

    return _STRUCK.sub(kept, text), count


def _blocks(text: str) -> Iterator[tuple[BlockKind, str]]:
    """Runs of lines of one kind, each as it is shown."""
    run: list[str] = []
    before: BlockKind | None = None
    for line in text.split("\n"):
        kind = _kind_of(line)
        # Below an item stands what goes on in it.
        if kind == "paragraph" and before == "list" and line[:1] in (" ", "\t"):
            kind = "list"
        if kind != before and run and before is not None:
            yield before, "\n".join(run)
            run = []
        if kind is not None:
            run.append(_shown(line))
        before = kind
    if run and before is not None:
        yield before, "\n".join(run)


def _kind_of(line: str) -> BlockKind | None:
    if not line.strip():
        return None
    if line.startswith((">", "&gt;")):
        return "quote"
    return "list" if _ITEM.match(line) else "paragraph"


def _shown(text: str) -> str:
    # Entities last: what somebody typed as such a sequence is none.
    return _ENTITY.sub(lambda match: _ENTITIES[match[0]], _SPECIAL.sub(_name_of, text))


def _name_of(special: re.Match[str]) -> str:
    mark, what, label = special[1], special[2], special[3]
    if mark == "@" or mark == "#":
        return f"{mark}{(label or what).removeprefix(mark)}"
    if mark == "!":
        # `!here`, a group of people, or a moment, each with how it is shown if need be.
        return label or f"@{what.partition('^')[0]}"
    address = what.removeprefix("mailto:")
    return address if label in (None, "", address, what) else f"{label} ({address})"
