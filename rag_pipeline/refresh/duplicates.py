"""Bring silver/duplicates up to date with silver/documents, and what it needs: silver/signatures and similar_pairs.

Belongs here: reading the texts that have no signature and those to compare, committing.
Does not belong here: what counts as a duplicate and which one stands (`transforms/`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from rag_pipeline.contracts.tables import DOCUMENTS, DUPLICATES, SIGNATURES, SIMILAR_PAIRS
from rag_pipeline.refresh.progress import progress
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lake import (
    Lake,
)
from rag_pipeline.transforms.documents import exact_duplicates
from rag_pipeline.transforms.near_duplicates import (
    Hashes,
    Pair,
    choose,
    is_prose,
    jaccard,
    shingles,
    sign,
    signature_recipe,
    with_near_duplicates,
)

# Cutting a text into words takes many times its memory, so only so much of it is taken at once.
BATCH_CHARS = 4 * 2**20
# Hashes of shingles take about as much memory as the text; larger batches read the table less often.
COMPARED_CHARS = 32 * 2**20


@dataclass(frozen=True, slots=True)
class DuplicatesReport:
    """What one refresh of the duplicates did.

    Attributes:
        duplicates: Documents left out, equal and nearly equal.
        near: Those of them that are nearly equal.
        signed: Texts that got a signature.
        compared: Pairs of texts that were compared.
    """

    duplicates: int
    near: int
    signed: int
    compared: int


def refresh_duplicates(workspace: Workspace, documents: pl.DataFrame) -> DuplicatesReport:
    """Name the documents that are left out, and the one that stands for each.

    Args:
        documents: silver/documents without text and blocks.
    """
    lake, settings = workspace.lake, workspace.settings.deduplication
    exact = exact_duplicates(documents)
    single = documents.join(exact, on="document_id", how="anti")
    # A word has at least one character, so the texts of short documents need not be read to know that they are short.
    prose = single.filter(is_prose() & (pl.col("text_chars") >= settings.min_words))
    if not settings.near:
        prose = prose.clear()
    signatures, signed = _refresh_signatures(lake, prose)
    long_enough = prose.join(signatures.filter(pl.col("words") >= settings.min_words), on="content_hash")
    near, compared = _near_duplicates(lake, long_enough, settings.similarity)
    desired = with_near_duplicates(exact, near)
    actual = lake.read(DUPLICATES)
    changed = desired.join(actual, on=list(DUPLICATES.columns), how="anti")
    gone = actual.join(desired, on="document_id", how="anti")
    lake.merge(DUPLICATES, changed, gone["document_id"].to_list())
    return DuplicatesReport(desired.height, desired.height - exact.height, signed, compared)


def _refresh_signatures(lake: Lake, documents: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """silver/signatures as it is to be, and how many were computed."""
    known = lake.read(SIGNATURES)
    current = known.filter(pl.col("recipe_fingerprint") == signature_recipe())
    wanted = documents.unique("content_hash").sort("document_id")
    missing = wanted.join(current, on="content_hash", how="anti")
    gone = known.join(wanted, on="content_hash", how="anti")
    new = [SIGNATURES.empty()]
    if missing.height:
        with progress("signatures", missing.height) as bar:
            for texts in texts_of(lake, missing):
                new.append(sign(texts["content_hash"].to_list(), texts["text"]))
                bar.advance(texts.height)
    computed = pl.concat(new)
    _write_signatures(lake, known, computed, gone)
    kept = current.join(gone, on="content_hash", how="anti")
    return pl.concat([kept, computed]), computed.height


def _write_signatures(lake: Lake, known: pl.DataFrame, computed: pl.DataFrame, gone: pl.DataFrame) -> None:
    replaced = computed.join(known, on="content_hash", how="semi")
    if replaced.height or gone.height:
        lake.merge(SIGNATURES, computed, gone["content_hash"])
    elif computed.height:
        lake.append(SIGNATURES, computed)


def _near_duplicates(
    lake: Lake, documents: pl.DataFrame, similarity: float
) -> tuple[list[tuple[str, str, str, float]], int]:
    """Near duplicates by `choose`, and how many pairs had to be compared for it.

    Every round compares the pairs the one before asked for, so the last is certain of all it used.
    """
    stored = lake.read(SIMILAR_PAIRS)
    recipe = signature_recipe()
    current = stored.filter(pl.col("recipe_fingerprint") == recipe)
    known = {(left, right): found for left, right, found, _ in current.iter_rows()}
    new: dict[Pair, float] = {}
    choice = choose(documents, known, similarity)
    while choice.unknown:
        found = _compare(lake, documents, choice.unknown)
        new |= found
        known |= found
        choice = choose(documents, known, similarity)
    present = documents["content_hash"].unique().implode()
    both = pl.col("left_hash").is_in(present) & pl.col("right_hash").is_in(present)
    rows = [(left, right, found, recipe) for (left, right), found in new.items()]
    upserts = pl.DataFrame(rows, schema=SIMILAR_PAIRS.schema, orient="row")
    doomed = stored.filter(~both | (pl.col("recipe_fingerprint") != recipe))
    lake.replace_where(SIMILAR_PAIRS, upserts, doomed)
    return choice.near, len(new)


def _compare(lake: Lake, documents: pl.DataFrame, pairs: list[Pair]) -> dict[Pair, float]:
    """Exact similarity of pairs of texts; pairs that share a text are compared together."""
    chars = dict(documents.select("content_hash", "text_chars").iter_rows())
    found: dict[Pair, float] = {}
    with progress("compare", len(pairs)) as bar:
        for batch in _batches(_neighbours(pairs), chars):
            wanted = {content_hash for pair in batch for content_hash in pair}
            chosen = documents.filter(pl.col("content_hash").is_in(wanted)).unique("content_hash")
            sets: dict[str, Hashes] = {}
            for texts in texts_of(lake, chosen):
                sets |= dict(zip(texts["content_hash"].to_list(), shingles(texts["text"]).sets(), strict=True))
            found |= {pair: jaccard(sets[pair[0]], sets[pair[1]]) for pair in batch}
            bar.advance(len(batch))
    return found


def _neighbours(pairs: Iterable[Pair]) -> list[Pair]:
    """Pairs in an order in which those with a much compared text follow each other, so that it is read once."""
    pairs = set(pairs)
    times = Counter(content_hash for pair in pairs for content_hash in pair)
    return sorted(pairs, key=lambda pair: (max((times[content_hash], content_hash) for content_hash in pair), pair))


def _batches(pairs: list[Pair], chars: dict[str, int]) -> Iterator[list[Pair]]:
    batch: list[Pair] = []
    held: set[str] = set()
    size = 0
    for pair in pairs:
        new = set(pair) - held
        more = sum(chars[content_hash] for content_hash in new)
        if batch and size + more > COMPARED_CHARS:
            yield batch
            batch, held, size, new = [], set(), 0, set(pair)
            more = sum(chars[content_hash] for content_hash in new)
        batch.append(pair)
        held |= new
        size += more
    if batch:
        yield batch


def texts_of(lake: Lake, documents: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """content_hash and text of some documents, a few megabytes at a time."""
    columns = ["document_id", "content_hash", "text"]
    ids = documents["document_id"]
    if documents["text_chars"].sum() <= BATCH_CHARS:
        frame = lake.read(DOCUMENTS, columns, where=pl.col("document_id").is_in(ids.implode()))
        if frame.height:
            yield frame
        return
    for frame in lake.stream_where(DOCUMENTS, columns, "document_id", ids):
        sizes = frame["text"].str.len_chars().cum_sum() // BATCH_CHARS
        yield from frame.with_columns(_part=sizes).partition_by("_part", include_key=False, maintain_order=True)
