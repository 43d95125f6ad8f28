"""Blocks of Notion as its API gives them: one JSON value after another, a page and the blocks below it in order.

Belongs here: what a block says, and how deep it lies. Does not belong here: asking Notion (`sources/rest`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rag_pipeline.contracts.documents import BlockKind, ParsedDocument
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text, read_text
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "2"

# Of a page's properties, and of blocks that this program does not know: so deep their texts are looked for.
_MOST_DEPTH = 20
_LIST_MARKS = {"bulleted_list_item": "- ", "numbered_list_item": "1. ", "to_do": "- [ ] ", "toggle": "- "}
_KINDS: Mapping[str, BlockKind] = {"quote": "quote", "callout": "quote", "code": "code", "equation": "code"}
_STRUCK = re.compile(r'"strikethrough"\s*:\s*true')
# They say nothing of their own.
_SILENT = frozenset({"divider", "breadcrumb", "table_of_contents", "column_list", "column", "synced_block", "table"})
# Keys that name things for machines.
_FACTS = frozenset({"id", "object", "type", "color", "icon", "parent", "created_by", "last_edited_by", "request_id"})


def parse_notion(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """One document. What a page or a block of an unknown type says is text, too.

    Raises:
        LimitExceeded: There are more blocks than records are allowed.
        UndecodableBytes: It is no text.
        UnparsableDocument: It holds something else than JSON values.
    """
    builder = TextBuilder()
    title = ""
    depths: dict[str, int] = {}
    run = _Run(builder)
    text = read_text(raw)
    has_struck = _STRUCK.search(text) is not None
    struck = 0
    for number, value in enumerate(_values(text, context), 1):
        check_count(number, context.limits.max_records, "blocks", context.address)
        struck += _drop_struck(value, 0) if has_struck else 0
        if value.get("object") == "page":
            run.end()
            title = title or _add_page(builder, value)
            continue
        parent = value.get("parent")
        above = depths.get(str(parent.get("block_id")), -1) if isinstance(parent, dict) else -1
        depths[str(value.get("id"))] = above + 1
        run.add(value, max(0, above + 1))
    run.end()
    return [builder.build(title=title or None, metadata=hidden_counts({"deletion": struck}))]


def _drop_struck(value: Any, depth: int) -> int:
    """Takes pieces of rich text that are struck through out of the value. Returns how many."""
    if depth > _MOST_DEPTH or not isinstance(value, (dict, list)):
        return 0
    count = 0
    if isinstance(value, list):
        kept = [each for each in value if not _is_struck(each)]
        count = len(value) - len(kept)
        value[:] = kept
    return count + sum(_drop_struck(each, depth + 1) for each in (value.values() if isinstance(value, dict) else value))


def _is_struck(piece: Any) -> bool:
    looks = piece.get("annotations") if isinstance(piece, dict) and "plain_text" in piece else None
    return isinstance(looks, dict) and looks.get("strikethrough") is True


def _values(text: str, context: ParseContext) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError as error:
            raise UnparsableDocument(
                f"{context.address}: these are no blocks of Notion, one JSON value after another.",
                address=context.address,
            ) from error
        for each in value if isinstance(value, list) else [value]:
            yield each if isinstance(each, dict) else {"type": "unknown", "unknown": {"text": each}}


class _Run:
    """Blocks that go on in one block of the document: items of a list, rows of a table."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._kind: BlockKind | None = None
        self._lines: list[str] = []

    def add(self, block: Mapping[str, Any], depth: int) -> None:
        name = str(block.get("type") or "")
        content = block.get(name)
        content = content if isinstance(content, dict) else {}
        if name.startswith("heading_") and name[8:9].isdigit():
            self.end()
            self._builder.add("heading", _rich(content), level=int(name[8]))
        elif name in _LIST_MARKS:
            mark = "- [x] " if content.get("checked") is True else _LIST_MARKS[name]
            self._goes_on("list", f"{'  ' * min(depth, _MOST_DEPTH)}{mark}{_rich(content)}")
        elif name == "table_row":
            cells = content.get("cells")
            self._goes_on("table", "\t".join(_joined(cell) for cell in cells) if isinstance(cells, list) else "")
        elif name not in _SILENT:
            said = _said(content)
            # What belongs to an item stands below it in the list.
            if self._kind == "list" and depth > 0 and name == "paragraph":
                self._goes_on("list", "  " * min(depth, _MOST_DEPTH) + said)
                return
            self.end()
            self._builder.add(_KINDS.get(name, "paragraph"), said)
            if "rich_text" in content:
                self._builder.add("paragraph", _joined(content.get("caption")))

    def _goes_on(self, kind: BlockKind, line: str) -> None:
        if kind != self._kind:
            self.end()
        self._kind = kind
        self._lines.append(line)

    def end(self) -> None:
        if self._kind is not None:
            self._builder.add(self._kind, "\n".join(line for line in self._lines if line.strip()))
        self._kind, self._lines = None, []


def _add_page(builder: TextBuilder, page: Mapping[str, Any]) -> str:
    """Adds a page's title and what its properties say. Returns the title."""
    properties = page.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    title = ""
    fields: list[str] = []
    for name, value in properties.items():
        if isinstance(value, dict) and value.get("type") == "title":
            title = title or _joined(value.get("title"))
            continue
        said = _ticked(value) or ", ".join(_leaves(value, 0))
        fields += [f"{clean_text(str(name))}: {said}"] if said else []
    builder.add("heading", title, level=1)
    builder.add("field", "\n".join(fields))
    return title


def _ticked(value: Any) -> str:
    """What a property says that is ticked or not, or a formula of one; empty for every other."""
    if isinstance(value, dict) and value.get("type") == "formula" and isinstance(value.get("formula"), dict):
        value = value["formula"]
    kind = value.get("type") if isinstance(value, dict) else None
    found = value.get(kind) if kind in ("checkbox", "boolean") else None
    return ("yes" if found else "no") if isinstance(found, bool) else ""


def _said(content: Mapping[str, Any]) -> str:
    if "rich_text" in content:
        return _rich(content)
    # A file, a bookmark, a page below, or what this program does not know.
    return "\n".join(_leaves(content, 0))


def _rich(content: Mapping[str, Any]) -> str:
    return _joined(content.get("rich_text"))


def _joined(pieces: Any) -> str:
    """Text of pieces of rich text, links with their addresses."""
    return "".join(map(_piece, pieces)) if isinstance(pieces, list) else ""


def _piece(piece: Any) -> str:
    if not isinstance(piece, dict):
        return clean_text(str(piece)) if isinstance(piece, str) else ""
    text = clean_text(str(piece.get("plain_text") or ""))
    href = piece.get("href")
    return f"{text} ({clean_text(href)})" if isinstance(href, str) and href.strip() not in ("", text) else text


def _leaves(value: Any, depth: int) -> Iterator[str]:
    """Texts and numbers within a value, without what names things for machines; rich text as one."""
    if depth > _MOST_DEPTH:
        # However deep, it is said.
        yield clean_text(json.dumps(value, ensure_ascii=False))
    elif isinstance(value, dict):
        yield from _of_object(value, depth)
    elif isinstance(value, list):
        if value and all(isinstance(each, dict) and "plain_text" in each for each in value):
            yield _joined(value)
            return
        for each in value:
            yield from _leaves(each, depth + 1)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value).strip():
        yield clean_text(str(value))


def _of_object(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    if "plain_text" in value:
        yield _piece(value)
    # The address of a file at Notion opens it for an hour, to anybody.
    elif "expiry_time" not in value:
        for name, each in value.items():
            if name not in _FACTS:
                yield from _leaves(each, depth + 1)
