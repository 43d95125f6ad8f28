"""`rag-pipeline inspect FILE`: what a file becomes, without a lake.

Belongs here: which settings hold for the file, and how documents, blocks, chunks and gaps look.
Does not belong here: parsing and cutting (`refresh/inspection.py`).
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import common_options, config_path, open_pipeline
from rag_pipeline.cli.rendering import clean, counted, emit, facts, show, table, talk
from rag_pipeline.contracts.documents import place_named

if TYPE_CHECKING:
    from rag_pipeline.contracts.documents import Block, Chunk, ParsedDocument
    from rag_pipeline.refresh.inspection import Inspected, Inspection
    from rag_pipeline.settings import Pipeline

# Two lines of a terminal, enough to know a block by.
SHOWN_CHARS = 160
WITHOUT_SETTINGS = "words"


@click.command("inspect")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", help="Whose limits and chunking of pipeline.yaml hold; else the first source's.")
@common_options
def inspect_file(file: Path, source: str | None, as_json: bool) -> None:
    """Show what a FILE becomes: metadata, blocks, chunks, and what was left out and why.

    Nothing is written and no lake is needed. Without a pipeline.yaml the defaults hold, and words are counted.

    Exit code 1: the file is refused.

    Example: rag-pipeline inspect report.pdf
    """
    from rag_pipeline.refresh.inspection import inspect_bytes
    from rag_pipeline.refresh.workspace import Workspace

    pipeline = _pipeline()
    names = list(pipeline.settings.sources)
    if source is not None and source not in names:
        raise click.BadParameter(f"there is no source {source}; there are {', '.join(names)}", param_hint="--source")
    with Workspace(pipeline, run_id="inspect") as workspace:
        found = inspect_bytes(workspace, source or names[0], file.read_bytes(), file.name)
    if as_json:
        _emit(file, found)
    else:
        _show(file, found)
    if found.refused is not None:
        click.get_current_context().exit(FOUND)


def _pipeline() -> Pipeline:
    from rag_pipeline.settings.load import Pipeline, find_config
    from rag_pipeline.settings.sections import Settings

    path = find_config(config_path(), os.environ)
    if config_path() or path.exists() or os.environ.get("RAG_PIPELINE_CONFIG"):
        return open_pipeline()
    words = {WITHOUT_SETTINGS: {"kind": "hashing", "model": "hashing", "dimension": 64}}
    files = {"files": {"location": ".", "allowed_principals": []}}
    settings = Settings.model_validate(
        {"lake": "lake", "sources": files, "embedding_models": words, "serve": WITHOUT_SETTINGS}
    )
    return Pipeline(settings, path, dict(os.environ))


def _emit(file: Path, found: Inspection) -> None:
    """One object for each document, or one that says why there is none."""
    common = {
        "file": str(file),
        "media_type": found.media_type,
        "size_bytes": found.size_bytes,
        "tokens_of": found.tokenizer,
    }
    if found.refused is not None:
        emit({**common, "refused": {"reason_code": found.refused.code, "detail": found.refused.message}})
        return
    for inspected in found.documents:
        document = inspected.document
        emit(
            {
                **common,
                "part": document.part,
                "title": document.title,
                "author": document.author,
                "language": document.language,
                "metadata": document.metadata,
                "quality": document.quality,
                "text_chars": len(document.text),
                "left_out": inspected.left_out,
                "pictures": [asdict(picture) for picture in document.pictures],
                "blocks": [
                    {**asdict(block), "text": document.text[block.start_char : block.end_char]}
                    for block in document.blocks
                ],
                "chunks": [
                    {**asdict(chunk), "text": document.text[chunk.start_char : chunk.end_char]}
                    for chunk in inspected.chunks
                ],
            }
        )


def _show(file: Path, found: Inspection) -> None:
    if found.refused is not None:
        show(facts([("File", str(file)), ("Media type", found.media_type), ("Size", found.size_bytes)]))
        talk(f"Refused ({found.refused.code}): {found.refused.message}", style="red")
        return
    for inspected in found.documents:
        _show_document(file, found, inspected)
    talk(
        f"{counted(len(found.documents), 'document')}, "
        f"{counted(sum(len(inspected.chunks) for inspected in found.documents), 'chunk')}; "
        f"tokens are those of the model {found.tokenizer}."
    )


def _show_document(file: Path, found: Inspection, inspected: Inspected) -> None:
    document = inspected.document
    known = [("Title", document.title), ("Author", document.author), ("Language", document.language)]
    pairs = [
        ("Media type", found.media_type),
        *((name, value) for name, value in known if value),
        ("Characters", len(document.text)),
        *sorted(document.metadata.items()),
    ]
    name = f"{file} # {document.part}" if document.part else str(file)
    show(facts([(label, _short(str(value))) for label, value in pairs], title=clean(name)), "")
    blocks = [
        (number, block.kind, _place(block), _of(document, block) or _short(block.label or ""))
        for number, block in enumerate(document.blocks)
    ]
    show(table("Blocks", [("No", "right"), "Kind", "Place", "Text"], blocks), "")
    chunks = [
        (number, chunk.token_count, _place(chunk), " > ".join(chunk.section_path), _of(document, chunk))
        for number, chunk in enumerate(inspected.chunks)
    ]
    show(table("Chunks", [("No", "right"), ("Tokens", "right"), "Place", "Section", "Text"], chunks), "")
    if inspected.left_out:
        gone = [(cause.replace("_", " "), count) for cause, count in inspected.left_out.items()]
        show(table("Left out", ["What", ("Count", "right")], gone), "")
    else:
        show(Text("Nothing was left out that the parser knows of.", style="dim"), "")


def _place(part: Block | Chunk) -> str:
    return place_named(part.page, part.line) or f"character {part.start_char}"


def _of(document: ParsedDocument, part: Block | Chunk) -> str:
    return _short(document.text[part.start_char : part.end_char])


def _short(text: str) -> str:
    flat = " ".join(clean(text[: 4 * SHOWN_CHARS]).split())
    return flat if len(flat) <= SHOWN_CHARS else f"{flat[:SHOWN_CHARS]} …"
