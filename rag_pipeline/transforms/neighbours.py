"""Whether the texts of a source lie as near to each other as they did.

Belongs here: which texts are looked at, how near they are, and what is unusual of that.
Does not belong here: reading vectors (`refresh/neighbours.py`), the direction of new ones (`directions.py`).

A source whose texts are half replaced by one template keeps its mean direction and its norms, and so does one whose
vectors lost what tells them apart. The nearest neighbours of its texts move in both cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.neighbours import SAMPLE_TEXTS, Nearness, Neighbours, of_space
from rag_pipeline.transforms.history import usual

# The median of a hundred distances moves by a tenth by chance, and as texts come and go by little more.
MOST_RATIO = 1.5
# Closer than two readings of one text in half precision, and than rounding.
LEAST_DISTANCE = 0.01
# Texts that say the same but for a number or a name.
SAME_DISTANCE = 0.05
# A fifth of a source does not become a template without anybody meaning it.
MOST_SAME_RISE = 0.2


def sampled(chunks: pl.DataFrame) -> dict[str, list[str]]:
    """Chunks to look at by source: of the hundred texts with the lowest hashes; of fewer texts, nothing.

    So a change of a source changes the sample by as much as it changes the source.

    Args:
        chunks: (chunk_id, source, text_hash).
    """
    texts = chunks.group_by("source", "text_hash").agg(pl.col("chunk_id").min()).sort("source", "text_hash")
    return {
        str(name): rows["chunk_id"].head(SAMPLE_TEXTS).to_list()
        for (name,), rows in texts.group_by(["source"], maintain_order=True)
        if rows.height >= SAMPLE_TEXTS
    }


def sample_name(chunk_ids: Sequence[str]) -> str:
    """Stands for a sample."""
    return fingerprint("neighbours", *chunk_ids)


def nearness_of(sample: str, vectors: np.ndarray) -> Nearness:
    """How near texts lie to each other.

    Args:
        vectors: Two at least.
    """
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    alike = units @ units.T
    np.fill_diagonal(alike, -1.0)
    nearest = np.clip(1.0 - alike.max(axis=1), 0.0, 2.0)
    return Nearness(sample, round(float(np.median(nearest)), 4), round(float(np.mean(nearest <= SAME_DISTANCE)), 4))


@dataclass(frozen=True, slots=True)
class Closer:
    """A source whose texts lie nearer to each other than usual, or further apart.

    Attributes:
        p50, usual_p50: Median distance to the nearest other text.
        same_share, usual_same_share: Texts that have nearly the vector of another one.
    """

    source: str
    p50: float
    usual_p50: float
    same_share: float
    usual_same_share: float


def moved_together(rows: Sequence[Neighbours], space: str, now: datetime) -> list[Closer]:
    """Sources of which that is unusual, by the last three weeks and by this weekday.

    Args:
        rows: Oldest first.
    """
    mine = of_space(rows, space)
    found = []
    for name, state in sorted(mine[-1].sources.items()) if mine else ():
        history = [(row.at, row.sources[name]) for row in mine if name in row.sources]
        medians = usual(history, now, lambda each: each.p50)
        shares = usual(history, now, lambda each: each.same_share)
        if not medians:
            continue
        is_far = all(_is_far(state.p50, before) for before in medians)
        is_same = all(state.same_share - before > MOST_SAME_RISE for before in shares)
        if is_far or is_same:
            found.append(Closer(name, state.p50, medians[0], state.same_share, shares[0]))
    return found


def _is_far(now: float, before: float) -> bool:
    low, high = sorted((max(now, LEAST_DISTANCE), max(before, LEAST_DISTANCE)))
    return high > MOST_RATIO * low
