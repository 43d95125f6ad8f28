"""Which documents that vanished stand at a new address with small edits: pure.

Belongs here: comparing signatures of texts, and pairing each text at most once.
Does not belong here: moves of equal bytes (`listing.py`), getting the texts (`refresh/edited_moves.py`).
"""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import polars as pl

from rag_pipeline.transforms.near_duplicates import PERMUTATIONS, SHINGLE_WORDS, matrix_of

# Half of the five-word sequences are still there. One other word changes five of them, so this is some small edits to a
# page, and no other page on the same subject, which shares next to none. Git takes the same share for its renames.
SIMILARITY = 0.5
# Comparing so many pairs takes some seconds; above it only documents of the same file name are compared.
MOST_PAIRS = 30_000_000
SIGNED = pl.Schema({"document_id": pl.String(), "address": pl.String(), "words": pl.Int64(), "minhash": pl.Binary()})


def match_edited(vanished: pl.DataFrame, appeared: pl.DataFrame) -> dict[str, str]:
    """Pair documents that vanished with the ones that appeared and say nearly the same.

    Args:
        vanished: Rows of `SIGNED`, one a document.
        appeared: The same, of the documents that were added at new addresses meanwhile.

    Returns:
        The document that appeared by the one that vanished; the most similar first, the same file name before others.
    """
    # A text that is shorter than one sequence has a signature of nothing, which is like any other such.
    old, new = (frame.filter(pl.col("words") >= SHINGLE_WORDS).sort("address") for frame in (vanished, appeared))
    if old.is_empty() or new.is_empty():
        return {}
    names_old, names_new = ([PurePosixPath(text).name for text in frame["address"]] for frame in (old, new))
    by_name: dict[str, list[int]] = {}
    for index, name in enumerate(names_new):
        by_name.setdefault(name, []).append(index)
    few = old.height * new.height <= MOST_PAIRS
    matrix_old, matrix_new = matrix_of(old["minhash"]), matrix_of(new["minhash"])
    everything = np.arange(new.height)
    found: list[tuple[float, bool, int, int]] = []
    for index, name in enumerate(names_old):
        others = everything if few else np.array(by_name.get(name, []), np.int64)
        equal = (matrix_new[others] == matrix_old[index]).sum(axis=1)
        for place in np.flatnonzero(equal >= SIMILARITY * PERMUTATIONS):
            other = int(others[place])
            found.append((-float(equal[place]), names_new[other] != name, index, other))
    ids_old, ids_new = old["document_id"].to_list(), new["document_id"].to_list()
    pairs: dict[str, str] = {}
    used: set[int] = set()
    for _, _, index, other in sorted(found):
        if ids_old[index] not in pairs and other not in used:
            pairs[ids_old[index]] = ids_new[other]
            used.add(other)
    return pairs
