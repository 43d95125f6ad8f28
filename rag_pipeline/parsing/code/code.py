"""Source code, cut on definitions: each function, method and type head is one block with its qualified name.

Belongs here: turning a syntax tree into blocks that cover the file without overlap.
Does not belong here: what counts as a definition in a language (`languages.py`).

The text is the source itself. tree-sitter recovers from syntax errors, so a broken file still gives the
definitions around the damage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import Block, BlockKind, ParsedDocument
from rag_pipeline.parsing.builder import LineTable, one_line, trimmed
from rag_pipeline.parsing.code.languages import LANGUAGES, Language, parser_for
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.media_type import media_type_of

if TYPE_CHECKING:
    from tree_sitter import Node

VERSION = "2"

# Deeper nesting of definitions is generated code, and recursion has to end.
_MAX_DEPTH = 24
# A function longer than this with functions inside it is cut like a class.
_LONG_FUNCTION_BYTES = 4_000
_CPLUSPLUS = re.compile(rb"^[ \t]*+(?:class\s+\w+|namespace\s+\w*|template\s*<|public:|private:)", re.M)
_LINE_TAIL = re.compile(r"[ \t]*+[;,)\]}]*+[ \t]*+(?://[^\n]*|#[^\n]*|--[^\n]*|/\*[^\n]*\*/[ \t]*)?(?=\n|\Z)")
_WORD = re.compile(r"\w")
_DOCSTRING = re.compile(r"(?>(?:#[^\n]*+\n|\s++)*)[rRuU]{0,2}(\"\"\"|''')\\?\s*+(\S[^\n]*)")
_MAX_TITLE_CHARS = 120
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_BEYOND_BASIC_PLANE = re.compile(rb"(?:[\xf0-\xf4][\x80-\xbf]{3})+")
# Grammars that cannot tell `a < b` from `a<b>` keep every reading of an open bracket: memory by the square.
_OPEN_BRACKETS = re.compile(r"(?:[\w.$:]{0,60}+[ \t\n]{0,4}+[<(\[{]){2000}")


@dataclass(slots=True)
class _Definition:
    start: int
    end: int
    name: str
    is_container: bool
    members: list[_Definition] = field(default_factory=list)


def parse_code(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """One document whose text is the source, in definition and code blocks. Raises UndecodableBytes.

    The first line of a Python module's docstring is the title; other languages have none.
    """
    media_type = media_type_of(context.address, raw[:4096])
    if media_type == "text/x-c" and context.address.casefold().endswith(".h") and _CPLUSPLUS.search(raw):
        media_type = "text/x-c++"
    language = LANGUAGES.get(media_type, LANGUAGES["text/x-shellscript"])
    text = read_text(raw)
    blocks = tuple(_Cutter(text, language).blocks())
    title = _docstring_title(text) if language.name == "python" else None
    return [ParsedDocument(text, blocks, title, metadata={"language": language.name})]


class _Cutter:
    """Walks the definitions of one file and the regions between them, in order."""

    def __init__(self, text: str, language: Language) -> None:
        self.text = text
        self.language = language
        self.table = LineTable(text)
        self._encoded = text.encode()
        self._is_ascii = text.isascii()

    def blocks(self) -> list[Block]:
        found: list[_Definition] = []
        if not _OPEN_BRACKETS.search(self.text):
            tree = parser_for(self.language).parse(_harmless(self._encoded, self.language))
            found = self._collect(tree.root_node, 0)
        blocks: list[Block] = []
        position = self._emit(found, 0, len(self.text), "", 1, blocks)
        self._add(blocks, "code", position, len(self.text), 0, None)
        return blocks

    def _emit(
        self, found: list[_Definition], position: int, stop: int, prefix: str, level: int, blocks: list[Block]
    ) -> int:
        """Blocks for `found` and what lies between them from `position`; returns where the rest begins."""
        for definition in found:
            start, end = definition.start, min(definition.end, stop)
            if start < position:
                continue
            self._add(blocks, "code", position, start, 0, None)
            name = f"{prefix}.{definition.name}" if prefix else definition.name
            if definition.members:
                first = definition.members[0].start
                self._add(blocks, "definition", start, first, level, name)
                rest = self._emit(definition.members, first, end, name, level + 1, blocks)
                if _WORD.search(self.text, rest, end):
                    self._add(blocks, "code", rest, end, 0, None)
            else:
                self._add(blocks, "definition", start, end, level, name)
            position = end
        return position

    def _add(self, blocks: list[Block], kind: BlockKind, start: int, end: int, level: int, label: str | None) -> None:
        span = trimmed(self.text, start, end) if start < end else None
        if span is None or (kind == "code" and not _WORD.search(self.text, *span)):
            return
        line = self.table.line_of(span[0]) + 1
        blocks.append(Block(kind, *span, level, one_line(label) if label else None, None, line))

    def _collect(self, node: Node, depth: int) -> list[_Definition]:
        """Definitions among the children of `node`, each with the comments directly above it."""
        language = self.language
        found: list[_Definition] = []
        lead: Node | None = None
        row = -1
        if depth > _MAX_DEPTH:
            return found
        for child in node.children:
            if child.type in language.leading:
                if lead is None or child.start_point[0] > row + 1:
                    lead = child
                # A line comment may end at the start of the next line.
                row = child.end_point[0] - (child.end_point[1] == 0)
                continue
            start = lead if lead is not None and child.start_point[0] <= row + 1 else child
            lead = None
            if not child.is_named:
                continue
            inner = self._unwrapped(child)
            if inner is not None:
                found.append(self._definition(start, child, inner, depth))
            elif child.type in language.transparent or child.type in language.wrappers:
                nested = self._collect(child, depth + 1)
                if nested and start is not child:
                    nested[0].start = min(nested[0].start, self._char(start))
                found += nested
        return found

    def _unwrapped(self, node: Node) -> Node | None:
        """The definition that `node` is, or that it wraps with a decorator, a template or an export."""
        for _ in range(3):
            if node.type in self.language.definitions:
                return node if self.language.is_definition(node) else None
            if node.type not in self.language.wrappers:
                return None
            inner = [
                child
                for child in node.named_children
                if child.type in self.language.definitions or child.type in self.language.wrappers
            ]
            if not inner:
                return None
            node = inner[-1]
        return None

    def _definition(self, start: Node, outer: Node, inner: Node, depth: int) -> _Definition:
        is_container = inner.type in self.language.containers
        end = self._char(outer, at_end=True)
        tail = _LINE_TAIL.match(self.text, end)
        definition = _Definition(
            self._char(start), tail.end() if tail else end, self.language.name_of(inner) or inner.type, is_container
        )
        if is_container or inner.end_byte - inner.start_byte > _LONG_FUNCTION_BYTES:
            for body in self._bodies(inner):
                definition.members += self._collect(body, depth + 1)
        return definition

    def _bodies(self, node: Node) -> Iterator[Node]:
        """Where members can be: the body field, or for `const f = ...` the bodies of its values."""
        body = node.child_by_field_name("body")
        if body is not None:
            yield body
            return
        for declarator in node.named_children:
            value = declarator.child_by_field_name("value")
            inner = value.child_by_field_name("body") if value is not None else None
            if inner is not None:
                yield inner

    def _char(self, node: Node, at_end: bool = False) -> int:
        """Character offset of a node's start or end; the tree counts UTF-8 bytes."""
        offset = node.end_byte if at_end else node.start_byte
        if self._is_ascii:
            return offset
        row, column = node.end_point if at_end else node.start_point
        line_start = self.table.starts[min(row, len(self.table.starts) - 1)]
        return line_start + len(self._encoded[offset - column : offset].decode("utf-8", "replace"))


def _harmless(encoded: bytes, language: Language) -> bytes:
    """The source for the grammar's scanner, of the same length in bytes.

    Scanners written in C look characters up in tables of 256 and end the process for high ones: the shell's does
    so for any, others may beyond the basic plane. A letter in their place changes no structure.
    """
    pattern = _NOT_ASCII if language.name == "shell" else _BEYOND_BASIC_PLANE
    return pattern.sub(lambda match: b"x" * len(match.group()), encoded)


def _docstring_title(text: str) -> str | None:
    match = _DOCSTRING.match(text[:20_000])
    if match is None:
        return None
    title = one_line(match.group(2).partition(match.group(1))[0])
    return title if 0 < len(title) <= _MAX_TITLE_CHARS else None
