"""Chunks as what an enrichment reads, and the lines that it writes in their headers.

Belongs here: keys of what a model is shown of each chunk, windows out of documents, writing lines onto chunks.
Does not belong here: windows and rows themselves (`transforms/contexts.py`), asking (`enrichment_readers.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from rag_pipeline.contracts.documents import embedded_text, own_header
from rag_pipeline.contracts.ids import text_hash
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lake import Lake
from rag_pipeline.transforms.contexts import Window, is_present, window_of, with_contexts
from rag_pipeline.transforms.sensitive import redact_text

# Chunks that are written together: some 40 MB of text, lost at most by a kill.
COMMIT_CHUNKS = 20_000
# What readings of chunks go by: within their documents, or alone, with lines in the header or without.
KEY_COLUMNS = ("context_key", "part_key", "text_hash")
_PARTS = ["document_id", "chunk_id", "header", "text", "context"]
_STATE = ["chunk_id", "document_id", "context", "context_key"]
_SPANS = ["chunk_id", "document_id", "section_path", "start_char", "end_char"]


def chunk_keys(lake: Lake) -> pl.Series:
    """All that readings of chunks may go by, as they are now."""
    chunks = lake.read(CHUNKS, list(KEY_COLUMNS))
    return pl.concat([chunks[column].alias("key") for column in KEY_COLUMNS]).drop_nulls().unique()


def part_inputs(workspace: Workspace, documents: pl.DataFrame) -> pl.DataFrame:
    """A row for each chunk of some documents: their columns, chunk_id, and the key of the chunk alone as content_hash.

    Args:
        documents: document_id, content_hash and any more.
    """
    chunks = workspace.lake.read(CHUNKS, ["chunk_id", "document_id", "text_hash", "part_key", "context"])
    chunks = chunks.join(documents.drop("content_hash"), on="document_id")
    bare = pl.when(pl.col("context").is_null()).then(pl.col("text_hash"))
    chunks = chunks.with_columns(pl.coalesce("part_key", bare).alias("content_hash"))
    # As an earlier version of this program wrote them.
    lacking = chunks.filter(pl.col("content_hash").is_null())["document_id"]
    found = {name: key for name, key, *_ in parts_of(workspace, lacking)} if len(lacking) else {}
    chunks = chunks.join(_by_chunk(found, "key"), on="chunk_id", how="left")
    chunks = chunks.with_columns(pl.coalesce("content_hash", "key").alias("content_hash"))
    return chunks.drop("text_hash", "part_key", "context", "key")


def parts_of(workspace: Workspace, documents: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
    """(chunk_id, key, header, text) of each chunk of some documents, as it was cut."""
    for frame in workspace.lake.stream_where(CHUNKS, _PARTS, "document_id", sorted(set(documents))):
        for name, header, text, context in frame.select(_PARTS[1:]).iter_rows():
            own = own_header(header) if context else header
            yield name, text_hash(embedded_text(own, text)), own, text


def window_inputs(workspace: Workspace, documents: pl.DataFrame) -> pl.DataFrame:
    """A row for each chunk of some documents: their columns, chunk_id, and the key of its window as content_hash.

    Args:
        documents: document_id, content_hash and any more.
    """
    chunks = workspace.lake.read(CHUNKS, ["chunk_id", "document_id", "context_key"])
    chunks = chunks.join(documents.drop("content_hash"), on="document_id")
    lacking = chunks.filter(~is_present(pl.col("context_key")))["document_id"]
    found = {name: window.key for _, name, window in windows(workspace, lacking)}
    chunks = chunks.join(_by_chunk(found, "content_hash"), on="chunk_id", how="left")
    return chunks.with_columns(pl.coalesce("content_hash", "context_key").alias("content_hash")).drop("context_key")


def windows(workspace: Workspace, documents: Iterable[str]) -> Iterator[tuple[str, str, Window]]:
    """(document_id, chunk_id, window) of each chunk of some documents."""
    wanted = sorted(set(documents))
    frames = [frame.select(_SPANS) for frame in workspace.lake.stream_where(CHUNKS, _SPANS, "document_id", wanted)]
    # A frame and no rows of it: there may be a million.
    spans = pl.concat([CHUNKS.empty().select(_SPANS), *frames]).sort("document_id")
    sizes = spans.group_by("document_id", maintain_order=True).len()
    sizes = sizes.with_columns(start=pl.col("len").cum_sum() - pl.col("len"))
    places = {document: (start, length) for document, length, start in sizes.iter_rows()}
    columns = ["document_id", "content_title", "text"]
    for frame in workspace.lake.stream_where(DOCUMENTS, columns, "document_id", wanted):
        for document, title, text in frame.select(columns).iter_rows():
            for name, _, *span in spans.slice(*places.get(document, (0, 0))).iter_rows():
                yield document, name, window_of(title, text, *span)


def on_chunks(workspace: Workspace, inputs: pl.DataFrame) -> pl.DataFrame:
    """A row for each chunk of what an enrichment reads, chunks or documents."""
    if "chunk_id" in inputs.columns:
        return inputs
    return workspace.lake.read(CHUNKS, ["chunk_id", "document_id"]).join(inputs, on="document_id")


def wanted_lines(inputs: pl.DataFrame, rows: pl.DataFrame, *, hiding: Iterable[str]) -> dict[str, list[str]]:
    """By chunk_id, the lines that an enrichment gives its header; of sources that hide secrets without any.

    Args:
        inputs: Of `on_chunks`, those that the enrichment concerns.
        rows: input_hash and value of its readings.
    """
    said = {hashed: json.loads(value) for hashed, value in rows["input_hash", "value"].drop_nulls().iter_rows()}
    hidden = set(hiding)
    found = {}
    for name, source, key in inputs["chunk_id", "source", "content_hash"].iter_rows():
        if lines := said.get(key):
            found[name] = [redact_text(line) for line in lines] if source in hidden else lines
    return found


def present_contexts(workspace: Workspace, inputs: pl.DataFrame, *, hiding: Iterable[str]) -> dict[str, str]:
    """By chunk_id, all lines that its header has, as `wanted_lines` gives them."""
    chunks = workspace.lake.read(CHUNKS, ["chunk_id", "context"], where=pl.col("context").is_not_null())
    hidden = set(hiding)
    rows = chunks.join(inputs, on="chunk_id")["chunk_id", "context", "source"]
    return {name: redact_text(said) if source in hidden else said for name, said, source in rows.iter_rows()}


def put_onto_chunks(workspace: Workspace, wanted: Mapping[str, str], keys: Mapping[str, str]) -> int:
    """Bring the sentences in headers up to date; how many chunks have another one now.

    Args:
        wanted: By chunk_id; what is not there gets none.
        keys: By chunk_id; what is not there keeps its own.
    """
    state = workspace.lake.read(CHUNKS, _STATE)
    state = state.join(_by_chunk(wanted, "sentence"), on="chunk_id", how="left")
    state = state.join(_by_chunk(keys, "key"), on="chunk_id", how="left")
    state = state.with_columns(pl.coalesce("key", "context_key").alias("key"))
    is_new = pl.col("sentence").ne_missing(pl.col("context"))
    stale = state.filter(is_new | pl.col("key").ne_missing(pl.col("context_key")))
    mine = state.join(stale, on="document_id", how="semi")
    after = {name: (sentence, key) for name, sentence, key in mine["chunk_id", "sentence", "key"].iter_rows()}
    sizes = dict(mine["document_id"].value_counts().iter_rows())
    for some in _portions(sorted(sizes), sizes):
        found = workspace.lake.stream_where(CHUNKS, list(CHUNKS.columns), "document_id", some)
        rows = pl.concat([CHUNKS.empty(), *(frame.select(list(CHUNKS.columns)) for frame in found)])
        done = [
            row
            for _, each in rows.sort("document_id").group_by("document_id", maintain_order=True)
            for row in with_contexts(each.to_dicts(), after, workspace.token_counter)
        ]
        workspace.lake.merge(CHUNKS, CHUNKS.frame(done), some, delete_column="document_id")
    return stale.filter(is_new).height


def forget_contexts(workspace: Workspace) -> None:
    """Take sentences out of headers, where no enrichment is configured any more."""
    has_any = workspace.lake.read(CHUNKS, ["chunk_id"], where=pl.col("context").is_not_null()).height
    if has_any and not workspace.settings.enrichments:
        put_onto_chunks(workspace, {}, {})


def _by_chunk(values: Mapping[str, str], name: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"chunk_id": list(values), name: list(values.values())}, schema={"chunk_id": pl.String(), name: pl.String()}
    )


def _portions(documents: list[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Documents whose chunks are written together."""
    some: list[str] = []
    count = 0
    for document in documents:
        some.append(document)
        count += sizes[document]
        if count >= COMMIT_CHUNKS:
            yield some
            some, count = [], 0
    if some:
        yield some
