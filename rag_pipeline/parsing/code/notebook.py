"""Jupyter notebooks: Markdown cells as Markdown, code cells as code, and what they printed in short.

Belongs here: the nbformat JSON, versions 3 and 4. Does not belong here: pictures and rich output.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text, decode
from rag_pipeline.parsing.markup.front_matter import split_front_matter
from rag_pipeline.parsing.markup.markdown import seen_markdown
from rag_pipeline.parsing.records.json_values import load_json
from rag_pipeline.parsing.web.hidden import hidden_counts
from rag_pipeline.parsing.web.html import html_units

_TEXT_FORMS = ("text/plain", "text/markdown", "text/latex")
VERSION = "10"

# What a cell printed is read for its beginning; logs and dumps would bury the notebook.
_MAX_OUTPUT_CHARS = 1_000
# No parenthesis inside: what is never closed is then looked at once.
_EMBEDDED = re.compile(r"\(data:[^()]*\)|(?<=[\"'])data:[^\"']*")


def parse_notebook(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """One document. Raises UnparsableDocument for anything but a notebook's JSON, and UndecodableBytes."""
    try:
        notebook = load_json(decode(raw))
    except json.JSONDecodeError as error:
        raise UnparsableDocument(
            f"{context.address}: the notebook is not valid JSON at line {error.lineno}. Save it again in Jupyter.",
            address=context.address,
            line=error.lineno,
        ) from None
    if not isinstance(notebook, Mapping) or not _cells(notebook):
        raise UnparsableDocument(f"{context.address}: the file has no notebook cells.", address=context.address)
    return [notebook_document(notebook)]


def notebook_document(notebook: Mapping[str, Any]) -> ParsedDocument:
    """The document of a loaded notebook; `page` of a block is its cell's number from 1."""
    builder = TextBuilder()
    hidden: Counter[str] = Counter()
    for cell in _cells(notebook):
        source = clean_text(_joined(cell.get("source", cell.get("input"))))
        kind = cell.get("cell_type")
        if kind == "code":
            builder.add("code", source)
            builder.add("code", _outputs(cell.get("outputs")))
        elif kind == "heading":
            level = cell.get("level")
            builder.add("heading", source, level=min(max(level, 1), 6) if isinstance(level, int) else 1)
        elif kind == "markdown":
            _add_markdown(builder, _EMBEDDED.sub("(embedded)", source), hidden)
        else:
            builder.add("paragraph", source)
    metadata = notebook.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    title = metadata.get("title") if isinstance(metadata.get("title"), str) else None
    headings = (block.label for block in builder.blocks if block.kind == "heading" and block.level == 1)
    return builder.build(title=title or next(headings, None), metadata=_language(metadata) | hidden_counts(hidden))


def _cells(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    cells = notebook.get("cells")
    if cells is None:
        # nbformat 3 had worksheets.
        sheets = notebook.get("worksheets")
        found = [sheet.get("cells") for sheet in _mappings(sheets)]
        cells = [cell for sheet in found if isinstance(sheet, list) for cell in sheet]
    return _mappings(cells)


def _mappings(items: Any) -> list[Mapping[str, Any]]:
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _joined(source: Any) -> str:
    if isinstance(source, list):
        return "".join(piece for piece in source if isinstance(piece, str))
    return source if isinstance(source, str) else ""


def _outputs(outputs: Any) -> str:
    texts: list[str] = []
    for output in outputs if isinstance(outputs, list) else []:
        if not isinstance(output, Mapping):
            continue
        data = output.get("data")
        found = _shown(data) if isinstance(data, Mapping) else output.get("text")
        if output.get("output_type") in ("error", "pyerr"):
            found = f"{output.get('ename', 'error')}: {output.get('evalue', '')}"
        texts.append(clean_text(_joined(found)).strip())
    text = "\n".join(text for text in texts if text)
    return text if len(text) <= _MAX_OUTPUT_CHARS else text[:_MAX_OUTPUT_CHARS].rstrip() + " …"


def _shown(data: Mapping[str, Any]) -> str:
    """The first of the forms of an output that is text; programs mostly give a plain one beside the others."""
    for kind in _TEXT_FORMS:
        if text := _joined(data.get(kind)).strip():
            return text
    page = _joined(data.get("text/html"))
    return "\n".join(unit.text for unit in html_units(page)) if page.strip() else ""


def _add_markdown(builder: TextBuilder, source: str, hidden: Counter[str]) -> None:
    front = split_front_matter(source) if builder.is_empty else None
    text, blocks = seen_markdown(source[front.end_char :] if front else source, hidden)
    for number, block in enumerate(blocks):
        stop = blocks[number + 1].start_char if number + 1 < len(blocks) else len(text)
        start = block.start_char if number else 0
        builder.add(block.kind, text[start:stop], level=block.level, label=block.label)


def _language(metadata: Mapping[str, Any]) -> dict[str, str]:
    for name in ("language_info", "kernelspec"):
        info = metadata.get(name)
        found = info.get("language") or info.get("name") if isinstance(info, Mapping) else None
        if isinstance(found, str):
            return {"language": found}
    return {}
