"""Every text is in exactly one batch, and batches waste little on padding."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.embedding.batching import BatchLimits, padded, plan


@given(
    st.lists(st.integers(0, 600), max_size=300),
    st.integers(1, 2_000),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.05, 1.0]),
)
def test_a_plan_holds_every_row_once_within_its_limits(
    lengths: list[int], tokens: int, texts: int, slack: float
) -> None:
    batches = plan(lengths, BatchLimits(tokens, texts, slack))
    assert sorted(int(row) for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        inside = [lengths[row] for row in rows]
        assert len(rows) <= texts
        assert len(rows) == 1 or max(inside) * len(rows) <= tokens
        assert max(inside) <= max(1, min(inside) * (1 + slack))
    firsts = [lengths[rows[0]] for rows in batches]
    assert firsts == sorted(firsts, reverse=True)


def test_padding_is_masked_and_on_the_right() -> None:
    ids, mask = padded([np.array([5, 6, 7]), np.array([8])], np.array([1, 0]), pad_token_id=9)
    assert ids.tolist() == [[8, 9, 9], [5, 6, 7]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]
