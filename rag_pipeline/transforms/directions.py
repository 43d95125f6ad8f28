"""Whether what a run embedded points where the vectors of its source pointed before.

Belongs here: adding vectors up by source, and what is unusual of their mean.
Does not belong here: whether a model still is what it was, by texts that never change (`embedding/canary.py`).

A model may pass every canary and be fed something else: texts decoded wrongly, an empty template, one page a thousand
times. Their vectors are of unit length, and point elsewhere or all in one direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from rag_pipeline.contracts.directions import LEAST_TEXTS, Direction, Directions

# Measured with all-MiniLM-L6-v2 on paragraphs of this project: two halves of one source 0.84 to 0.87, one page
# against another of a manual 0.59 to 0.75, two packages of one program 0.56; text decoded wrongly 0.33 at most.
LEAST_COSINE = 0.4
# In the same measurement 0.40 to 0.66; text that is decoded wrongly 0.91, one template with another number each 0.94.
MOST_ALIKE = 0.85
# What was that much alike before is so by nature, like lines of a log.
USUALLY_ALIKE = 0.75
# Then it has been seen, or will not be.
REMEMBERED = timedelta(days=1)


class Sums:
    """Vectors of one run added up by source.

    Args:
        sources: Source by text_hash.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._sums: dict[str, np.ndarray] = {}
        self._counts: dict[str, int] = {}

    def add(self, hashes: Sequence[str], vectors: np.ndarray) -> None:
        """Count some texts and their vectors."""
        for hashed, vector in zip(hashes, vectors, strict=True):
            source = self._sources.get(hashed)
            if source is not None:
                self._sums[source] = self._sums.get(source, 0) + vector.astype(np.float64)
                self._counts[source] = self._counts.get(source, 0) + 1

    def directions(self) -> dict[str, Direction]:
        """The mean of each source of which there were enough texts."""
        return {
            name: Direction(count, (self._sums[name] / count).astype(np.float32))
            for name, count in sorted(self._counts.items())
            if count >= LEAST_TEXTS
        }


@dataclass(frozen=True, slots=True)
class Turned:
    """A source whose new vectors point elsewhere, or all in one direction.

    Attributes:
        cosine: Between the means of now and of before.
        alike: Length of the mean of now: 1 where all vectors are the same.
    """

    source: str
    texts: int
    cosine: float
    alike: float


def turned(rows: Sequence[Directions], space: str, now: datetime) -> list[Turned]:
    """Sources whose newest vectors of a model are unusual by those of all runs before.

    Args:
        rows: Oldest first.
    """
    mine: dict[str, list[tuple[datetime, Direction]]] = {}
    for row in rows:
        for name, direction in row.sources.items() if row.space == space else ():
            mine.setdefault(name, []).append((row.at, direction))
    found = []
    for name, known in sorted(mine.items()):
        at, direction = known[-1]
        if now - at > REMEMBERED:
            continue
        earlier = [each for _, each in known[:-1]]
        same = [each for each in earlier if each.mean.shape == direction.mean.shape]
        if same:
            weights = [each.texts for each in same]
            before = np.average([each.mean for each in same], axis=0, weights=weights)
            turn = _turned(name, direction, before)
            found += [turn] if turn is not None else []
    return found


def _turned(name: str, direction: Direction, before: np.ndarray) -> Turned | None:
    alike, usually = float(np.linalg.norm(direction.mean)), float(np.linalg.norm(before))
    cosine = float(direction.mean @ before) / max(alike * usually, 1e-9)
    if cosine >= LEAST_COSINE and (alike <= MOST_ALIKE or usually > USUALLY_ALIKE):
        return None
    return Turned(name, direction.texts, round(cosine, 3), round(alike, 3))
