"""The last step of every model: the right width, unit length, and proof that the numbers are numbers.

Belongs here: truncation, normalisation and the checks on raw model output.
Does not belong here: checks on stored vectors (the index audit).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rag_pipeline.errors import VectorInvalid

Vectors = npt.NDArray[np.float32]
Key = TypeVar("Key")


class Embedded(tuple[list[Key], Vectors]):
    """One batch: keys and unit vectors, as a pair.

    Attributes:
        lengths: Of the vectors before they were made unit vectors, [n].
    """

    lengths: Vectors

    @classmethod
    def of(cls, keys: list[Key], vectors: Vectors, lengths: Vectors) -> Embedded[Key]:
        batch = cls((keys, vectors))
        batch.lengths = lengths
        return batch


def finished(raw: npt.NDArray[np.floating], dimension: int, model: str) -> Vectors:
    """Unit vectors of `dimension` values from raw output of at least that width, shape [n, width].

    Raises:
        VectorInvalid: Too narrow, not finite, or without direction.
    """
    return finished_with_lengths(raw, dimension, model)[0]


def finished_with_lengths(raw: npt.NDArray[np.floating], dimension: int, model: str) -> tuple[Vectors, Vectors]:
    """The same, and how long they were, [n].

    Raises:
        VectorInvalid: Too narrow, not finite, or without direction.
    """
    if raw.ndim != 2 or raw.shape[1] < dimension:
        raise VectorInvalid(
            f"model {model} gave output of shape {raw.shape}, expected at least {dimension} values a text. Nothing of "
            f"this batch was kept. Correct `dimension` of the embedding model, or restore its files.",
            model=model,
            shape=list(raw.shape),
            dimension=dimension,
        )
    vectors: Vectors = np.array(raw[:, :dimension], dtype=np.float32)
    # Squares of large but finite values overflow to infinity and are then refused below.
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    bad = ~np.isfinite(lengths) | (lengths < np.float32(1e-12))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise VectorInvalid(
            f"model {model} gave a vector that is not finite or has no length ({int(bad.sum())} of {len(bad)} texts, "
            f"first at position {row} of its batch). Nothing of this batch was kept. Check the model's files; on a "
            f"lower precision try `precision: fp32`.",
            model=model,
            row=row,
            texts=int(bad.sum()),
        )
    vectors /= lengths[:, None]
    return vectors, lengths
