"""Documents that show what their source wants redacted or refused, and that no run has taken in like that yet.

Belongs here: reading which ones nothing vouches for, in an index and in silver, and looking at their texts.
Does not belong here: what counts as sensitive (`transforms/sensitive.py`), closing them (`revoke.py`).

`sensitive: redact` or `quarantine` in pipeline.yaml is a wish about what readers see now, and parsing may fail or take
hours. So their texts are looked at as readers see them, which needs no parser, and not even silver.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import polars as pl

from rag_pipeline.contracts.sink import Readable
from rag_pipeline.contracts.sources import DeclaredMetadata
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.selection import rows_with
from rag_pipeline.transforms.documents import unvouched
from rag_pipeline.transforms.sensitive import find_sensitive

log = logging.getLogger(__name__)

# What is shown of a document, its text and what stands beside it.
STATE_COLUMNS = ["content_hash", "metadata_hash"]
KNOWN_COLUMNS = ["document_id", "source", "origin_media_type", "recipe_fingerprint", *STATE_COLUMNS]
INDEXED_TEXTS = ("title", "author", "section_path", "facts", "embedded_text", "body")
# Their texts are held at once.
BATCH_DOCUMENTS = 1_000
SILVER_TEXTS = ("title", "author", "metadata", "declared", "enriched", "text")
# Whatever letters stood there, filters look at small ones.
_FOLDED = "facts"


def exposed_documents(workspace: Workspace, table: Readable) -> set[str]:
    """document_ids of an index whose rows show anything that their source wants hidden.

    Only rows are read that silver does not vouch for, as parsed like that; where it cannot be read those are all. Where
    the texts cannot be read, every document of such a source counts: what else has to go must not wait for them.

    Raises:
        RagPipelineError: The ids of the index cannot be read.
    """
    hiding = workspace.hiding_sources
    if not hiding:
        return set()
    try:
        return _exposed(workspace, table, hiding)
    except FAULTS as error:
        log.error("what readers see of %s cannot be looked at, so it is closed: %s", ", ".join(hiding), error)
    rows = table.read(["document_id", "source"])
    return set(rows.filter(pl.col("source").is_in(hiding))["document_id"])


def _exposed(workspace: Workspace, table: Readable, hiding: Sequence[str]) -> set[str]:
    rows = rows_with(table, "source", hiding, ["document_id", *STATE_COLUMNS]).unique()
    try:
        documents = workspace.lake.read(DOCUMENTS, KNOWN_COLUMNS)
        stale = unvouched(documents, workspace.parse_recipes)
        vouched = documents.join(stale, on="document_id", how="anti").select("document_id", *STATE_COLUMNS)
        rows = rows.join(vouched, on=["document_id", *STATE_COLUMNS], how="anti")
    except FAULTS as error:
        log.error("silver does not say what has been redacted, so all that readers see is looked at: %s", error)
    chosen = sorted(rows["document_id"].unique())
    columns = ["document_id", "start_char", "end_char", "header_chars", *INDEXED_TEXTS[:-1]]
    found: set[str] = set()
    for start in range(0, len(chosen), BATCH_DOCUMENTS):
        texts = rows_with(table, "document_id", chosen[start : start + BATCH_DOCUMENTS], columns)
        found |= _showing(texts.join(_bodies(texts), on="document_id"), INDEXED_TEXTS)
    return found


def exposed_origins(workspace: Workspace, origins: Collection[str]) -> set[str]:
    """origin_ids, of some, whose texts in silver show anything that their source wants hidden.

    Raises:
        RagPipelineError: Silver cannot be read.
    """
    if not origins or not workspace.hiding_sources:
        return set()
    mine = pl.col("origin_id").is_in(pl.Series(sorted(origins), dtype=pl.String).implode())
    documents = workspace.lake.read(DOCUMENTS, [*KNOWN_COLUMNS, "origin_id", *SILVER_TEXTS], where=mine)
    stale = unvouched(documents, workspace.parse_recipes)
    # Who may read is declared as well, and a name like that of a mailbox is shown to nobody.
    declared = pl.Series("declared", [_shown_of(text) for text in stale["declared"]], dtype=pl.List(pl.String))
    showing = _showing(stale.with_columns(declared), SILVER_TEXTS)
    return {origin for document, origin in stale.select("document_id", "origin_id").iter_rows() if document in showing}


def _shown_of(declared: str) -> list[str]:
    """What of a sidecar or front matter is shown or filtered by."""
    said = DeclaredMetadata.from_json(declared)
    return [text for text in (said.title, said.author, *said.extra.values()) if text]


def _bodies(rows: pl.DataFrame) -> pl.DataFrame:
    """document_id and `body`: the chunks of each document in their order, as one text without their headers.

    The end of a chunk may cut a value in two.
    """
    bodies: dict[str, list[str]] = {}
    ends: dict[str, int] = {}
    columns = ("document_id", "start_char", "end_char", "header_chars", "embedded_text")
    for document, start, end, header_chars, text in rows.sort(columns[:2]).select(columns).iter_rows():
        gap = "" if ends.get(document) == start else " "
        bodies.setdefault(document, []).append(f"{gap}{text[header_chars:]}")
        ends[document] = end
    return pl.DataFrame(
        {"document_id": list(bodies), "body": ["".join(pieces) for pieces in bodies.values()]},
        schema={"document_id": pl.String(), "body": pl.String()},
    )


def _showing(rows: pl.DataFrame, columns: Sequence[str]) -> set[str]:
    """document_ids whose rows hold a sensitive value.

    Args:
        rows: `document_id` and the columns, texts or lists of texts.
    """
    found: set[str] = set()
    for (document,), mine in rows.group_by("document_id"):
        for name in columns:
            values = mine[name].drop_nulls()
            texts = (values.explode().drop_nulls() if values.dtype == pl.List else values).unique()
            if any(find_sensitive(text, is_folded=name == _FOLDED) for text in texts):
                found.add(str(document))
                break
    return found
