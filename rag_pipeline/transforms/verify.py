"""The promises between layers as pure comparisons.

Belongs here: what must hold between two layers, and what to say when it does not.
Does not belong here: reading tables (`refresh/verify.py`), running as Dagster checks (`defs/checks.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from rag_pipeline.transforms.documents import HELD

# Enough to look into.
SAMPLE = 5
Kind = Literal["ghost", "missing", "mismatched", "held", "damaged"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise.

    Attributes:
        code: Stable name of the promise that is broken.
        kind: Something that should not be there, is not there, differs, stays until a person decides, or cannot be
            read.
        count: Exact number.
        sample: At most five ids.
        next_step: A command that helps.
    """

    code: str
    kind: Kind
    count: int
    sample: tuple[str, ...]
    next_step: str = "rag-pipeline run"


def finding(code: str, kind: Kind, ids: pl.Series) -> list[Finding]:
    """One finding about `ids`, or none if there are none."""
    if ids.is_empty():
        return []
    names = ids.unique().sort()
    return [Finding(code, kind, len(names), tuple(str(name) for name in names.head(SAMPLE)))]


def documents_account_for_origins(
    origins: pl.DataFrame, documents: pl.DataFrame, quarantine: pl.DataFrame, *, keep_last_good: bool = False
) -> list[Finding]:
    """Every live object is a document or in quarantine, as it is now, with the permissions it has now.

    Args:
        origins: Live objects of all sources: document_id, input_key, metadata_hash, allowed_principals.
        documents: silver/documents: document_id, origin_id, input_key, origin_metadata_hash, allowed_principals.
        quarantine: silver/quarantine: document_id, stage.
    """
    accounted = pl.concat([documents.select(document_id="origin_id"), quarantine.select("document_id")])
    lost = origins.join(accounted, on="document_id", how="anti")["document_id"]
    ghosts = documents.join(origins, left_on="origin_id", right_on="document_id", how="anti")["document_id"]
    both = documents.join(origins, left_on="origin_id", right_on="document_id", suffix="_now")
    if keep_last_good:
        both = both.join(quarantine, left_on="origin_id", right_on="document_id", how="anti")
    # What the deletion guard holds is in quarantine and shown as it last was, with the permissions of now all the same.
    held = quarantine.filter(pl.col("stage") == HELD)
    stale = both.join(held, left_on="origin_id", right_on="document_id", how="anti").filter(
        (pl.col("input_key") != pl.col("input_key_now")) | (pl.col("origin_metadata_hash") != pl.col("metadata_hash"))
    )["document_id"]
    permissions = pl.col("allowed_principals").list.sort() != pl.col("allowed_principals_now").list.sort()
    refused = quarantine.filter(pl.col("stage") != HELD)
    twice = documents.join(refused, left_on="origin_id", right_on="document_id", how="semi")["document_id"]
    released = quarantine.join(origins, on="document_id", how="anti")["document_id"]
    return [
        *finding("object_without_document", "missing", lost),
        *finding("document_without_object", "ghost", ghosts),
        *finding("document_is_stale", "mismatched", stale),
        *finding("document_permissions_differ", "mismatched", both.filter(permissions)["document_id"]),
        *finding("quarantined_without_object", "ghost", released),
        *([] if keep_last_good else finding("quarantined_and_indexed", "ghost", twice)),
    ]


def chunks_cover_documents(documents: pl.DataFrame, duplicates: pl.DataFrame, chunks: pl.DataFrame) -> list[Finding]:
    """Every document that is no duplicate has chunks of its present text, less what is left out, and nothing else has.

    Args:
        documents: document_id, content_hash, left_out_hash.
        duplicates: document_id, duplicate_of.
        chunks: chunk_id, document_id, content_hash, left_out_hash.
    """
    indexed = documents.join(duplicates, on="document_id", how="anti")
    uncut = indexed.join(chunks, on="document_id", how="anti")["document_id"]
    ghosts = chunks.join(indexed, on="document_id", how="anti")["chunk_id"]
    stale = chunks.join(indexed, on="document_id", suffix="_now").filter(
        (pl.col("content_hash") != pl.col("content_hash_now"))
        | (pl.col("left_out_hash") != pl.col("left_out_hash_now"))
    )["chunk_id"]
    unnamed = duplicates.join(indexed, left_on="duplicate_of", right_on="document_id", how="anti")["document_id"]
    return [
        *finding("document_without_chunk", "missing", uncut),
        *finding("chunk_without_document", "ghost", ghosts),
        *finding("chunk_is_stale", "mismatched", stale),
        *finding("duplicate_of_nothing", "missing", unnamed),
    ]


def boilerplate_is_current(desired: pl.DataFrame, actual: pl.DataFrame) -> list[Finding]:
    """What is named boilerplate follows from the documents there are.

    Args:
        desired: From `find_boilerplate`.
        actual: silver/boilerplate.
    """
    columns = desired.columns
    differing = [
        desired.join(actual, on=columns, how="anti").select("source", "block_hash"),
        actual.join(desired, on=columns, how="anti").select("source", "block_hash"),
    ]
    names = pl.concat(differing).select(pl.concat_str("source", "block_hash", separator=":")).to_series()
    return finding("boilerplate_differs", "mismatched", names)


def wrong_spans(texts: pl.DataFrame, chunks: pl.DataFrame) -> pl.Series:
    """chunk_ids whose text is not the document's text at their span.

    Args:
        texts: document_id, text.
        chunks: chunk_id, document_id, start_char, end_char, text.
    """
    both = chunks.join(texts, on="document_id", suffix="_whole")
    span = pl.col("text_whole").str.slice(pl.col("start_char"), pl.col("end_char") - pl.col("start_char"))
    return both.filter(span != pl.col("text"))["chunk_id"]
