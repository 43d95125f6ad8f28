"""Which texts are computed together, and how they are laid out.

Belongs here: pure planning over token counts, and padding.
Does not belong here: running anything (`model.py`).

On a CPU the arithmetic is the same whatever the batch, so what a batch costs beyond it is padding: rows of
nearly equal length waste about one percent, and a thousand tokens are enough to keep one core busy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
TokenIds = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may be.

    Attributes:
        tokens: Of all rows together, padding included; a single longer text is a batch of its own.
        texts: Rows.
        slack: How much longer the longest row may be than the shortest, as a share.
    """

    tokens: int
    texts: int
    slack: float


def plan(lengths: Sequence[int], limits: BatchLimits) -> list[Rows]:
    """Row numbers of each batch, longest texts first, so that the last batches to finish are short ones."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    batches: list[Rows] = []
    first = 0
    for position in range(1, len(order) + 1):
        longest = max(1, lengths[order[first]])
        rows = position - first
        if position < len(order):
            fits = (rows + 1) * longest <= limits.tokens and rows < limits.texts
            if fits and lengths[order[position]] * (1 + limits.slack) >= longest:
                continue
        batches.append(order[first:position])
        first = position
    return batches


def padded(token_ids: Sequence[TokenIds], rows: Rows, pad_token_id: int) -> tuple[TokenIds, TokenIds]:
    """Token ids and attention mask of these rows, int64 [rows, longest], padded on the right."""
    width = max(len(token_ids[row]) for row in rows)
    ids = np.full((len(rows), width), pad_token_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for position, row in enumerate(rows):
        ids[position, : len(token_ids[row])] = token_ids[row]
        mask[position, : len(token_ids[row])] = 1
    return ids, mask
