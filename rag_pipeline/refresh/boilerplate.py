"""Bring silver/boilerplate up to date with silver/documents.

Belongs here: reading the wording of what is new there, committing.
Does not belong here: what counts as boilerplate (`transforms/boilerplate.py`).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from rag_pipeline.contracts.tables import BOILERPLATE, DOCUMENTS, DUPLICATES
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lake import BOILERPLATE_PATH, DOCUMENTS_PATH, DUPLICATES_PATH
from rag_pipeline.transforms.block_hashes import block_hash
from rag_pipeline.transforms.boilerplate import BoilerplateRule, find_boilerplate
from rag_pipeline.transforms.chunks import blocks_of

SHOWN_CHARS = 500
SHOWN_EXCERPT = 120
COLUMNS = ["document_id", "source", "uri", "principals_key", "block_hashes"]


def desired_boilerplate(workspace: Workspace) -> pl.DataFrame:
    """What silver/boilerplate should hold for the documents there are now, without the wording."""
    lake, settings = workspace.lake, workspace.settings.boilerplate
    if not settings.leave_out:
        return BOILERPLATE.empty().drop("text")
    duplicates = lake.read(DUPLICATES_PATH, DUPLICATES, ["document_id"])
    indexed = lake.read(DOCUMENTS_PATH, DOCUMENTS, COLUMNS).join(duplicates, on="document_id", how="anti")
    return find_boilerplate(indexed, BoilerplateRule(settings.min_documents, settings.min_share))


def refresh_boilerplate(workspace: Workspace) -> int:
    """Name the blocks that are left out, and say how many there are. Documents and duplicates come first."""
    lake = workspace.lake
    desired = desired_boilerplate(workspace)
    known = lake.read(BOILERPLATE_PATH, BOILERPLATE)
    columns = desired.columns
    changed = desired.join(known, on=columns, how="anti")
    gone = known.join(desired, on=BOILERPLATE.key, how="anti")
    if changed.is_empty() and gone.is_empty():
        return desired.height
    wording = known.select(*BOILERPLATE.key, "text")
    new = changed.join(wording, on=BOILERPLATE.key, how="anti")
    found = pl.concat([wording, _wording(workspace, new)])
    rows = changed.join(found, on=BOILERPLATE.key).select(list(BOILERPLATE.columns))
    lake.replace_where(BOILERPLATE_PATH, BOILERPLATE, rows, gone)
    return desired.height


def most_repeated(workspace: Workspace, limit: int = 20) -> list[dict[str, Any]]:
    """The blocks that stand in the most documents, for people: source, documents, of_documents, text."""
    rows = workspace.lake.read(BOILERPLATE_PATH, BOILERPLATE)
    first = rows.sort(["documents", "source", "block_hash"], descending=[True, False, False]).head(limit)
    return first.select("source", "documents", "of_documents", pl.col("text").str.slice(0, SHOWN_EXCERPT)).to_dicts()


def _wording(workspace: Workspace, new: pl.DataFrame) -> pl.DataFrame:
    """source, block_hash and text of blocks, from the documents that keep them."""
    wanted: dict[str, list[tuple[str, int]]] = {}
    for source, hashed, kept_in in new.select("source", "block_hash", "kept_in").iter_rows():
        wanted.setdefault(kept_in[0], []).append((source, hashed))
    rows = []
    columns = ["document_id", "text", "blocks"]
    for frame in workspace.lake.stream_where(DOCUMENTS_PATH, columns, "document_id", wanted):
        for document, text, blocks in frame.iter_rows():
            spans = (text[block.start_char : block.end_char] for block in blocks_of(blocks))
            by_hash = {block_hash(span): span for span in spans}
            rows += [(source, hashed, by_hash[hashed][:SHOWN_CHARS]) for source, hashed in wanted[document]]
    schema = {name: BOILERPLATE.schema[name] for name in (*BOILERPLATE.key, "text")}
    return pl.DataFrame(rows, schema=schema, orient="row")
