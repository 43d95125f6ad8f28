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
# Of so many texts of a source and run, which is chance enough: lengths of one model lie close together.
LENGTHS_SAMPLED = 1_000
MOST_LENGTH_RATIO = 1.5
# Ends of a distribution move further by chance than its middle.
MOST_END_RATIO = 2.0
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
        self._lengths: dict[str, list[tuple[str, float]]] = {}

    def add(self, hashes: Sequence[str], vectors: np.ndarray, lengths: np.ndarray | None = None) -> None:
        """Count some texts and their vectors.

        Args:
            lengths: Of the vectors as the model gave them.
        """
        for row, (hashed, vector) in enumerate(zip(hashes, vectors, strict=True)):
            source = self._sources.get(hashed)
            if source is None:
                continue
            self._sums[source] = self._sums.get(source, 0) + vector.astype(np.float64)
            self._counts[source] = self._counts.get(source, 0) + 1
            if lengths is not None:
                sample = self._lengths.setdefault(source, [])
                sample.append((hashed, float(lengths[row])))
                if len(sample) >= 2 * LENGTHS_SAMPLED:
                    self._lengths[source] = sorted(sample)[:LENGTHS_SAMPLED]

    def directions(self) -> dict[str, Direction]:
        """The mean of each source of which there were enough texts."""
        return {
            name: Direction(count, (self._sums[name] / count).astype(np.float32), self._spread(name))
            for name, count in sorted(self._counts.items())
            if count >= LEAST_TEXTS
        }

    def _spread(self, name: str) -> tuple[float, float, float] | None:
        """What 5, 50 and 95 % of the texts with the lowest hashes are no longer than; None where not all are known."""
        sample = [length for _, length in sorted(self._lengths.get(name, ()))[:LENGTHS_SAMPLED]]
        if len(sample) < min(self._counts[name], LENGTHS_SAMPLED):
            return None
        p5, p50, p95 = (round(float(each), 6) for each in np.percentile(sample, (5, 50, 95)))
        return (p5, p50, p95) if p5 > 0 else None


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
    found = []
    for name, known in sorted(_by_source(rows, space).items()):
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


@dataclass(frozen=True, slots=True)
class Stretched:
    """A source whose new vectors the model gave longer or shorter than those before.

    Attributes:
        lengths, usual: What 5, 50 and 95 % of them are no longer than, now and in the median of all runs before.
    """

    source: str
    texts: int
    lengths: tuple[float, float, float]
    usual: tuple[float, float, float]


def stretched(rows: Sequence[Directions], space: str, now: datetime) -> list[Stretched]:
    """Sources whose newest vectors of a model have other lengths than usual, before they are made unit vectors.

    No search shows that: all that is stored is of unit length. A model that is fed or computes otherwise shows it.

    Args:
        rows: Oldest first.
    """
    found = []
    for name, known in sorted(_by_source(rows, space).items()):
        at, direction = known[-1]
        earlier = [each.lengths for _, each in known[:-1] if each.lengths is not None]
        if now - at > REMEMBERED or direction.lengths is None or not earlier:
            continue
        p5, p50, p95 = (float(each) for each in np.median(np.asarray(earlier), axis=0))
        limits = (MOST_END_RATIO, MOST_LENGTH_RATIO, MOST_END_RATIO)
        ratios = [one / other for one, other in zip(direction.lengths, (p5, p50, p95), strict=True)]
        if any(max(ratio, 1 / ratio) > most for ratio, most in zip(ratios, limits, strict=True)):
            found.append(Stretched(name, direction.texts, direction.lengths, (p5, p50, p95)))
    return found


def _by_source(rows: Sequence[Directions], space: str) -> dict[str, list[tuple[datetime, Direction]]]:
    mine: dict[str, list[tuple[datetime, Direction]]] = {}
    for row in rows:
        for name, direction in row.sources.items() if row.space == space else ():
            mine.setdefault(name, []).append((row.at, direction))
    return mine
