"""Bring the embeddings of one embedding space up to date with silver/chunks.

Belongs here: which texts have no vector yet, and committing vectors batch by batch while the next are computed.
Does not belong here: computing vectors (`embedding/`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from rag_pipeline.contracts.directions import Directions
from rag_pipeline.contracts.documents import embedded_text
from rag_pipeline.contracts.embedding import EmbeddingSpace
from rag_pipeline.contracts.tables import AUDITS, CHUNKS, DOCUMENTS, EMBEDDINGS, UNUSED_EMBEDDINGS
from rag_pipeline.errors import EmbeddingSpaceMismatch, StoreError
from rag_pipeline.refresh.costs import record_cost
from rag_pipeline.refresh.progress import progress
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.directions import add_directions
from rag_pipeline.transforms.directions import Sums

if TYPE_CHECKING:
    from rag_pipeline.endpoints.costs import CostEstimate

log = logging.getLogger(__name__)

# What a kill can lose: a few seconds of work on a slow model, well above the cost of a commit on a fast one.
BATCH_TEXTS = 512
# Half of it is being stored while the other half is being computed.
COMMIT_TEXTS = BATCH_TEXTS // 2
# Texts sorted by length together: neighbours of equal length need no padding, and some thousand texts are little.
WINDOW_TEXTS = 4_096


@dataclass(frozen=True, slots=True)
class EmbeddingsReport:
    """What one refresh of an embedding space's vectors did."""

    alias: str
    space_fingerprint: str
    texts: int
    computed: int
    kept: int
    commits: int
    seconds: float
    estimated_price: float | None = None


@step("gold/embeddings")
def refresh_embeddings(workspace: Workspace, alias: str) -> EmbeddingsReport:
    """Embed every text that has no vector in the model's space; each batch is committed as it is ready.

    Raises:
        EmbeddingSpaceMismatch: The alias now names another embedding space than before.
        ModelUnavailable: The model's files are nowhere to be found.
    """
    lake = workspace.lake
    space = workspace.space(alias)
    check_alias(workspace, alias, space)
    started = time.monotonic()
    with lake.writing():
        first_commit = lake.commits
        wanted, known, to_compute = embeddings_due(workspace, space)
        _forget_disuse(workspace, space, wanted)
        missing = to_compute["text_hash"]
        price = _announce_cost(workspace, alias, to_compute["token_count"].to_list())
        batch = -1 if known.is_empty() else int(known["batch"].max())  # type: ignore[arg-type]
        if len(missing):
            _compute_and_record(workspace, alias, space, to_compute, batch + 1)
    return EmbeddingsReport(
        alias=alias,
        space_fingerprint=space.fingerprint,
        texts=wanted.height,
        computed=len(missing),
        kept=wanted.height - len(missing),
        commits=lake.commits - first_commit,
        seconds=time.monotonic() - started,
        estimated_price=price,
    )


def embeddings_due(workspace: Workspace, space: EmbeddingSpace) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """What a refresh embeds: each text of silver/chunks once, those that have a vector, and those that lack one.

    Returns:
        (text_hash, token_count) of all; (text_hash, batch) of those with a vector; (text_hash, token_count) to compute.
    """
    wanted = workspace.lake.read(CHUNKS, ["text_hash", "token_count"]).unique("text_hash")
    known = workspace.lake.embedded_hashes(space.fingerprint)
    return wanted, known, wanted.join(known, on="text_hash", how="anti")


def _forget_disuse(workspace: Workspace, space: EmbeddingSpace, wanted: pl.DataFrame) -> None:
    """Take back the note that a vector is unused where its text is wanted again, so that its retention starts anew."""
    mine = pl.col("space_fingerprint") == space.fingerprint
    noted = workspace.lake.read(UNUSED_EMBEDDINGS, where=mine)
    again = noted.join(wanted, on="text_hash", how="semi")
    workspace.lake.replace_where(UNUSED_EMBEDDINGS, UNUSED_EMBEDDINGS.empty(), again)


def estimated_cost(workspace: Workspace, alias: str, tokens: list[int]) -> CostEstimate | None:
    """What embedding texts of these lengths costs at a paid endpoint; None: the model runs on this machine."""
    spec = workspace.pipeline.model_spec(alias)
    if spec.kind != "endpoint":
        return None
    from rag_pipeline.embedding.endpoint_backend import endpoint_of
    from rag_pipeline.endpoints.costs import estimate_cost

    return estimate_cost(endpoint_of(spec), tokens, spec.batch_texts)


def _announce_cost(workspace: Workspace, alias: str, tokens: list[int]) -> float | None:
    """Say what embedding at a paid endpoint will cost, before it starts."""
    cost = estimated_cost(workspace, alias, tokens) if tokens else None
    if cost is None:
        return None
    model = workspace.pipeline.model_spec(alias).model
    log.warning(
        "embedding at an endpoint model=%s texts=%d tokens=%d requests=%d price=%s minimum_seconds=%s",
        *(model, cost.texts, cost.tokens, cost.requests, cost.price, cost.minimum_seconds),
    )
    return cost.price


def check_alias(workspace: Workspace, alias: str, space: EmbeddingSpace) -> None:
    audits = workspace.lake.read(AUDITS, ["alias", "space_fingerprint", "sequence"])
    before = audits.filter(pl.col("alias") == alias).sort("sequence")
    if before.height and before["space_fingerprint"][-1] != space.fingerprint:
        found = before["space_fingerprint"][-1]
        raise EmbeddingSpaceMismatch(
            f"embedding model {alias} used to be embedding space {found} and is now {space.fingerprint}: its weights, "
            f"prompts, limits or precision changed. Vectors of the two do not compare, so nothing was read or "
            f"written. Give the changed model a new alias in pipeline.yaml beside the old one, or restore the old one.",
            alias=alias,
            found=found,
            configured=space.fingerprint,
        )


def _compute_and_record(
    workspace: Workspace, alias: str, space: EmbeddingSpace, to_compute: pl.DataFrame, batch: int
) -> None:
    """Embed, and record what that cost, also where it stopped halfway: what was computed by then was paid for."""
    tokens_of = dict(to_compute.select("text_hash", "token_count").iter_rows())
    source_of = _sources_of(workspace, to_compute["text_hash"])
    computed: dict[str, list[int]] = {}
    sums = Sums(source_of)
    started = last = time.monotonic()
    try:
        for hashes, vectors, lengths in _compute(workspace, alias, space, set(tokens_of), batch):
            sums.add(hashes, vectors, lengths)
            for hashed in hashes:
                computed.setdefault(source_of.get(hashed, ""), []).append(tokens_of[hashed])
            # Waiting for what then failed says nothing of the model's pace.
            last = time.monotonic()
    finally:
        if computed:
            _record_costs(workspace, alias, space, computed, last - started)
            _record_directions(workspace, space, sums)


def _record_costs(
    workspace: Workspace, alias: str, space: EmbeddingSpace, computed: dict[str, list[int]], seconds: float
) -> None:
    """A row for each source; the time of batches that hold texts of several is shared out by tokens."""
    total = max(1, sum(map(sum, computed.values())))
    for source, tokens in sorted(computed.items()):
        cost = estimated_cost(workspace, alias, tokens)
        record_cost(
            workspace,
            "embed",
            alias,
            space=space.fingerprint,
            source=source,
            texts=len(tokens),
            tokens=sum(tokens),
            seconds=seconds * sum(tokens) / total,
            price=0.0 if cost is None else cost.price,
        )


def _sources_of(workspace: Workspace, hashes: pl.Series) -> dict[str, str]:
    """The source of each text; of one that several have, the first by name."""
    documents = workspace.lake.read(DOCUMENTS, ["document_id", "source"])
    chunks = workspace.lake.read(CHUNKS, ["document_id", "text_hash"]).join(
        hashes.to_frame(), on="text_hash", how="semi"
    )
    rows = chunks.join(documents, on="document_id").group_by("text_hash").agg(pl.col("source").min())
    return dict(rows.iter_rows())


def _record_directions(workspace: Workspace, space: EmbeddingSpace, sums: Sums) -> None:
    found = sums.directions()
    if not found:
        return
    try:
        add_directions(workspace.lake, Directions(workspace.now(), workspace.run_id, space.fingerprint, found))
    except StoreError as error:
        log.warning("where the vectors of this run point was not recorded: %s", error.message)


def _compute(
    workspace: Workspace, alias: str, space: EmbeddingSpace, missing: set[str], batch: int
) -> Iterator[tuple[list[str], np.ndarray, np.ndarray | None]]:
    """Embed and commit batch by batch; yields the hashes of each, their vectors, and how long the model had these.

    They come once it has answered; a model of other hands may not say how long they were.
    """
    model = workspace.model_on_workers(alias)
    table = EMBEDDINGS.of(space.fingerprint)
    with progress(f"embed with {alias}", len(missing)) as bar:
        embedded = workspace.engine.embed_stream(model, _batches(workspace, missing))
        # The model computes the next batch while this one is stored.
        for number, answer in enumerate(embedded, start=batch):
            hashes, vectors = answer
            yield hashes, vectors, getattr(answer, "lengths", None)
            workspace.lake.append(table, _frame(workspace, hashes, vectors, number))
            bar.advance(len(hashes))


def _batches(workspace: Workspace, missing: set[str]) -> Iterator[list[tuple[str, str]]]:
    """Texts to embed, each once, in batches of about equal length."""
    remaining = set(missing)
    window: list[tuple[int, str, str]] = []
    columns = ["text_hash", "header", "text", "token_count"]
    for frame in workspace.lake.stream_where(CHUNKS, columns, "text_hash", missing):
        for hashed, header, text, token_count in frame.iter_rows():
            if hashed in remaining:
                remaining.remove(hashed)
                window.append((token_count, hashed, embedded_text(header, text)))
        if len(window) >= WINDOW_TEXTS:
            yield from _by_length(window)
            window = []
    yield from _by_length(window)


def _by_length(window: list[tuple[int, str, str]]) -> Iterator[list[tuple[str, str]]]:
    window.sort()
    for start in range(0, len(window), COMMIT_TEXTS):
        yield [(hashed, text) for _, hashed, text in window[start : start + COMMIT_TEXTS]]


def _frame(workspace: Workspace, hashes: list[str], vectors: np.ndarray, batch: int) -> pl.DataFrame:
    width = vectors.shape[1]
    return pl.DataFrame(
        {
            "text_hash": hashes,
            "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, width)).arr.to_list(),
            "batch": batch,
            "embedded_at": workspace.now(),
            "run_id": workspace.run_id,
        },
        schema=EMBEDDINGS.schema,
    )
