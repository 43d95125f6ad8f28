"""Bring silver/boilerplate up to date with silver/documents.

Belongs here: reading the wording of what is new there, committing.
Does not belong here: what counts as boilerplate (`transforms/boilerplate.py`).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.contracts.tables import BOILERPLATE, DOCUMENTS, DUPLICATES
from rag_pipeline.errors import ContractViolation
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.block_hashes import repeatable_wordings, wording_hash
from rag_pipeline.transforms.boilerplate import BoilerplateRule, find_boilerplate
from rag_pipeline.transforms.worker_tasks import blocks_of

# To know the passage by; its hash stands for the whole.
STORED_CHARS = 500
# One line of a table.
SHOWN_CHARS = 120
COLUMNS = ["document_id", "source", "uri", "principals_key", "rank_weight", "block_hashes"]


def desired_boilerplate(workspace: Workspace) -> pl.DataFrame:
    """What silver/boilerplate should hold for the documents there are now, without the wording."""
    lake, settings = workspace.lake, workspace.settings.boilerplate
    if not settings.leave_out:
        return BOILERPLATE.empty().drop("text")
    duplicates = lake.read(DUPLICATES, ["document_id"])
    indexed = lake.read(DOCUMENTS, COLUMNS).join(duplicates, on="document_id", how="anti")
    return find_boilerplate(indexed, BoilerplateRule(settings.min_documents, settings.min_share))


def refresh_boilerplate(workspace: Workspace) -> int:
    """Name the blocks that are left out, and say how many there are. Documents and duplicates come first."""
    lake = workspace.lake
    desired = desired_boilerplate(workspace)
    known = lake.read(BOILERPLATE)
    changed = desired.join(known, on=desired.columns, how="anti")
    gone = known.join(desired, on=BOILERPLATE.key, how="anti")
    if changed.is_empty() and gone.is_empty():
        return desired.height
    # A hash stands for its normal wording, so what is stored never says more than a document that is there.
    wording = known.select(*BOILERPLATE.key, "text")
    new = changed.join(wording, on=BOILERPLATE.key, how="anti")
    found = pl.concat([wording, _wording(workspace, new)])
    rows = changed.join(found, on=BOILERPLATE.key).select(list(BOILERPLATE.columns))
    lake.replace_where(BOILERPLATE, rows, gone)
    return desired.height


def most_repeated(workspace: Workspace, limit: int = 20) -> list[dict[str, Any]]:
    """What stands in the most documents, for the records of a run: source, documents, of_documents, text.

    Records of runs are kept for long and read by many, so wording is shown only where everybody may read it.
    """
    rows = workspace.lake.read(BOILERPLATE)
    first = rows.sort(["documents", "source", "block_hash"], descending=[True, False, False]).head(limit)
    wanted = first["kept_in"].explode().unique()
    columns = ["document_id", "allowed_principals"]
    canonical = workspace.lake.read(DOCUMENTS, columns, where=pl.col("document_id").is_in(wanted.implode()))
    public = set(canonical.filter(pl.col("allowed_principals").list.contains(PUBLIC))["document_id"])
    return [
        {
            "source": row["source"],
            "documents": row["documents"],
            "of_documents": row["of_documents"],
            "text": row["text"][:SHOWN_CHARS] if public & set(row["kept_in"]) else "not public; see silver.boilerplate",
        }
        for row in first.iter_rows(named=True)
    ]


def _wording(workspace: Workspace, new: pl.DataFrame) -> pl.DataFrame:
    """source, block_hash and text of blocks, from the documents that keep them."""
    wanted: dict[str, list[tuple[str, int]]] = {}
    for source, hashed, kept_in in new.select("source", "block_hash", "kept_in").iter_rows():
        wanted.setdefault(kept_in[0], []).append((source, hashed))
    rows = []
    columns = ["document_id", "text", "blocks"]
    for frame in workspace.lake.stream_where(DOCUMENTS, columns, "document_id", wanted):
        for document, text, blocks in frame.select(columns).iter_rows():
            said = {wording_hash(wording): wording for wording in repeatable_wordings(text, blocks_of(blocks))}
            for source, hashed in wanted[document]:
                if hashed not in said:
                    raise ContractViolation(
                        f"document {document} does not say what its block_hashes name; nothing was written to "
                        f"silver/boilerplate. This is a fault of the program; please report it.",
                        document_id=document,
                    )
                rows.append((source, hashed, said[hashed][:STORED_CHARS]))
    schema = {name: BOILERPLATE.schema[name] for name in (*BOILERPLATE.key, "text")}
    return pl.DataFrame(rows, schema=schema, orient="row")
