"""Find documents that vanished from a source but stand at a new address with small edits.

Belongs here: getting signatures of both sides: stored ones of what readers have, new ones of what was just added.
Does not belong here: what counts as the same document (`transforms/edited_moves.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

import polars as pl

from rag_pipeline.contracts.tables import DOCUMENTS, SIGNATURES
from rag_pipeline.refresh.duplicates import BATCH_CHARS, texts_of
from rag_pipeline.refresh.parsing import parsed_objects
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.transforms.documents import origins_of
from rag_pipeline.transforms.edited_moves import SIGNED, match_edited
from rag_pipeline.transforms.near_duplicates import sign, signature_recipe


def edited_moves(workspace: Workspace, source: str, vanished: Mapping[str, str], added: Set[str]) -> set[str]:
    """Documents of `vanished` whose text, with small edits, is that of a document added in the same run.

    Only asked when the deletion guard would close otherwise: the new objects are parsed for it, and once more by the
    next step.

    Args:
        vanished: Address by document_id, of documents that readers have.
        added: document_ids whose first row was committed by this run.
    """
    if not vanished or not added:
        return set()
    before = _known(workspace, vanished)
    if before.is_empty():
        return set()
    return set(match_edited(before, _appeared(workspace, source, added)))


def _known(workspace: Workspace, vanished: Mapping[str, str]) -> pl.DataFrame:
    """Signatures of documents in silver, one for each object: that of its longest part."""
    lake = workspace.lake
    columns = ["document_id", "origin_id", "content_hash", "text_chars"]
    rows = lake.read(DOCUMENTS, columns, where=pl.col("origin_id").is_in(list(vanished)))
    rows = rows.sort("text_chars", "document_id", descending=[True, False]).unique("origin_id", keep="first")
    hashes = rows["content_hash"].unique().implode()
    stored = lake.read(SIGNATURES, where=pl.col("content_hash").is_in(hashes))
    stored = stored.filter(pl.col("recipe_fingerprint") == signature_recipe())
    unsigned = rows.join(stored, on="content_hash", how="anti").unique("content_hash")
    found = [stored]
    if unsigned.height:
        found += [sign(texts["content_hash"].to_list(), texts["text"]) for texts in texts_of(lake, unsigned)]
    signatures = pl.concat(found).unique("content_hash").select("content_hash", "words", "minhash")
    address = pl.col("origin_id").replace_strict(dict(vanished), return_dtype=pl.String)
    signed = rows.join(signatures, on="content_hash").with_columns(address=address)
    return signed.select("words", "minhash", "address", document_id="origin_id").select(list(SIGNED))


def _appeared(workspace: Workspace, source: str, added: Set[str]) -> pl.DataFrame:
    """Signatures of objects that silver has not seen yet; what cannot be parsed has none."""
    origins = origins_of({source: workspace.lake.bronze_state(source)})
    origins = origins.filter(pl.col("document_id").is_in(list(added)) & pl.col("problem_code").is_null())
    frames = [SIGNED.to_frame()]
    for batch in _batches(workspace, origins):
        ids = list(batch)
        texts = pl.Series([text for _, text in batch.values()], dtype=pl.String)
        addresses = pl.Series("address", [address for address, _ in batch.values()], dtype=pl.String)
        signed = sign(ids, texts).rename({"content_hash": "document_id"}).with_columns(addresses)
        frames.append(signed.select(list(SIGNED)))
    return pl.concat(frames)


def _batches(workspace: Workspace, origins: pl.DataFrame) -> Iterator[dict[str, tuple[str, str]]]:
    """Address and text by document_id, a few megabytes at a time."""
    batch: dict[str, tuple[str, str]] = {}
    size = 0
    for parsed in parsed_objects(workspace, origins):
        if not isinstance(parsed.result, list):
            continue
        text = max((document.text for document in parsed.result), key=len)
        batch[parsed.origin["document_id"]] = (parsed.origin["address"], text)
        size += len(text)
        if size >= BATCH_CHARS:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch
