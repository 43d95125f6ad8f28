"""Documents whose wording is nearly the same: signatures, similarity, and which of them stands. Pure.

Belongs here: words and shingles of a text, MinHash signatures, exact similarity of two texts, the choice.
Does not belong here: equal documents (`documents.py`), reading or writing tables (`refresh/duplicates.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rensa import RMinHash

from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.tables import DUPLICATES, SIGNATURES
from rag_pipeline.parsing.registry import FORMATS

Hashes = NDArray[np.uint64]
Pair = tuple[str, str]

# Five words in a row are said twice by copying, four by habit.
SHINGLE_WORDS = 5
# The estimate is then within 0.09 of the similarity in 95 of 100 pairs.
PERMUTATIONS = 128
# Two texts of similarity 0.8 share no band once in 20 million times, of 0.6 once in 85 times.
BANDS = 32
# Of documents alike but not similar enough, so many are kept by band, and compared with one new document.
CROWD = 32
VERSION = "1"
_SEED = 20_240_229
# Scripts that put no spaces between words: there a character counts as a word.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_UNSPACED}]|[\p{{L}}\p{{M}}\p{{N}}--[{_UNSPACED}]]+"
# Formats in which one other value makes another document, however much of the rest is the same.
_EXACT_FORMATS = frozenset({"code", "json", "ndjson", "csv", "xlsx", "yaml", "toml", "ini"})
_EXACT_MEDIA_TYPES = sorted(name for name, form in FORMATS.items() if form.name in _EXACT_FORMATS)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MIX_AGAIN = np.uint64(0xBF58476D1CE4E5B9)
_HALF = np.uint64(32)


def signature_recipe() -> str:
    """Everything that decides a signature and the similarity of two texts."""
    algorithm = str(RMinHash.ALGORITHM_VERSION)
    return fingerprint("signature", VERSION, algorithm, str(SHINGLE_WORDS), str(PERMUTATIONS), str(_SEED))


def is_prose() -> pl.Expr:
    """Rows of silver/documents that may be near duplicates: neither code nor data."""
    types = [pl.col(name).is_in(_EXACT_MEDIA_TYPES) for name in ("media_type", "origin_media_type")]
    return ~pl.any_horizontal(types)


@dataclass(frozen=True, slots=True)
class Shingles:
    """Hashes of the word shingles of some texts.

    Attributes:
        words: Number of words of each text.
        hashes: Of all texts, one after the other; a shingle that comes twice in a text is there twice.
        offsets: Where each text's hashes begin, and the end; one more than texts.
    """

    words: NDArray[np.int64]
    hashes: Hashes
    offsets: NDArray[np.int64]

    def sets(self) -> list[Hashes]:
        """The distinct hashes of each text, sorted."""
        return [np.unique(self.hashes[a:b]) for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]


def shingles(texts: pl.Series) -> Shingles:
    """Cut texts into words, without case and punctuation, and hash every five in a row.

    The hashes are the same in every process and on every platform.
    """
    lists = texts.str.to_lowercase().str.extract_all(_WORD)
    words = lists.list.len().cast(pl.Int64).to_numpy()
    hashed = _word_hashes(lists.explode(empty_as_null=False))
    counts = np.maximum(words - SHINGLE_WORDS + 1, 0)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    first_words = np.cumsum(words) - words
    starts = np.arange(offsets[-1]) + np.repeat(first_words - offsets[:-1], counts)
    rolled = np.zeros(len(starts), np.uint64)
    for place in range(SHINGLE_WORDS):
        rolled = _mixed(rolled + hashed[starts + place])
    return Shingles(words, rolled, offsets)


def _word_hashes(words: pl.Series) -> Hashes:
    distinct = words.unique()
    digests = [int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little") for word in distinct]
    known = pl.DataFrame({"word": distinct, "hash": pl.Series(digests, dtype=pl.UInt64)})
    joined = words.alias("word").to_frame().join(known, on="word", how="left", maintain_order="left")
    hashes: Hashes = joined["hash"].to_numpy()
    return hashes


def _mixed(values: Hashes) -> Hashes:
    """Spread every bit over all of the number (after SplitMix64's finaliser)."""
    values = values * _MIX
    values = (values ^ (values >> _HALF)) * _MIX_AGAIN
    return values ^ (values >> _HALF)


def sign(content_hashes: Sequence[str], texts: pl.Series) -> pl.DataFrame:
    """Rows of silver/signatures for some texts."""
    found = shingles(texts)
    counts = np.diff(found.offsets)
    owners = pl.DataFrame({"owner": np.repeat(np.arange(len(texts)), counts), "hash": found.hashes})
    distinct = np.zeros(len(texts), np.int64)
    sizes = owners.group_by("owner").agg(pl.col("hash").n_unique())
    distinct[sizes["owner"].to_numpy()] = sizes["hash"].to_numpy()
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        found.hashes, found.offsets.astype(np.uint64), PERMUTATIONS, _SEED
    )
    rows = np.array(matrix.to_rows(), dtype="<u4").reshape(len(texts), PERMUTATIONS)
    return pl.DataFrame(
        {
            "content_hash": list(content_hashes),
            "words": found.words,
            "shingles": distinct,
            "minhash": [row.tobytes() for row in rows],
            "recipe_fingerprint": [signature_recipe()] * len(texts),
        },
        schema=SIGNATURES.schema,
    )


def jaccard(left: Hashes, right: Hashes) -> float:
    """Shared part of two sets of shingles, 0 to 1; each sorted and without repeats."""
    shared = len(np.intersect1d(left, right, assume_unique=True))
    either = len(left) + len(right) - shared
    return shared / either if either else 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Which documents stand, as far as the known similarities tell.

    Attributes:
        near: document_id, duplicate_of, uri of that document, similarity.
        unknown: Pairs of content hashes whose similarity has to be known first, the lesser hash first. While
            there are any, `near` is not final.
    """

    near: list[tuple[str, str, str, float]]
    unknown: list[Pair]


def choose(documents: pl.DataFrame, known: Mapping[Pair, float], similarity: float) -> Choice:
    """Walk the documents by source and address; one that is similar to an earlier one that stands is left out.

    The outcome follows from what there is now: the order is fixed, and so are the texts that share a band of their
    signatures. A pair is asked for only if an answer may matter, so a thousand copies ask a thousand questions and
    not half a million. The estimate by signature is four standard deviations below `similarity` at most, else a
    pair counts as different.

    Args:
        documents: document_id, source, uri, content_hash, principals_key, shingles, minhash; equal content with
            equal principals once.
        known: Exact similarity by pair of content hashes, the lesser hash first.
        similarity: From which on two documents count as the same, 0 to 1.
    """
    ordered = documents.sort("source", "uri", "document_id")
    if ordered.height < 2:
        return Choice([], [])
    matrix = matrix_of(ordered["minhash"])
    ids, uris, hashes = (ordered[name].to_list() for name in ("document_id", "uri", "content_hash"))
    sizes = ordered["shingles"].to_numpy()
    standing: dict[int, list[int]] = {}
    near: list[tuple[str, str, str, float]] = []
    unknown: list[Pair] = []
    for index, keys in _collisions(matrix, ordered["principals_key"]):
        others = np.array(sorted({other for key in keys for other in standing.get(key, ())}), np.int64)
        is_left_out = False
        for other, estimate in _promising(index, others, matrix, sizes, similarity):
            pair = (min(hashes[index], hashes[other]), max(hashes[index], hashes[other]))
            found = known.get(pair)
            if found is None:
                unknown.append(pair)
            elif found >= similarity:
                near.append((ids[index], ids[other], uris[other], found))
            is_left_out = (estimate if found is None else found) >= similarity
            if is_left_out:
                break
        if not is_left_out:
            for key in keys:
                sharing = standing.setdefault(key, [])
                if len(sharing) < CROWD:
                    sharing.append(index)
    return Choice(near, unknown)


def _promising(
    index: int, others: NDArray[np.int64], matrix: NDArray[np.uint32], sizes: NDArray[np.int64], similarity: float
) -> list[tuple[int, float]]:
    """Of some earlier documents those that may be similar to this one, in their order, with the estimate."""
    fits = np.minimum(sizes[others], sizes[index]) >= similarity * np.maximum(sizes[others], sizes[index])
    others = others[fits]
    estimates = (matrix[others] == matrix[index]).mean(axis=1)
    least = similarity - 4 * (similarity * (1 - similarity) / PERMUTATIONS) ** 0.5
    best = np.sort(np.argsort(-estimates, kind="stable")[:CROWD])
    return [(int(others[n]), float(estimates[n])) for n in best if estimates[n] >= least]


def matrix_of(minhashes: pl.Series) -> NDArray[np.uint32]:
    """Signatures as numbers, one row each; the share of equal ones estimates the similarity of two texts."""
    raw = np.frombuffer(b"".join(minhashes.to_list()), dtype="<u4")
    return raw.reshape(len(minhashes), PERMUTATIONS)


def _collisions(matrix: NDArray[np.uint32], principals: pl.Series) -> list[tuple[int, list[int]]]:
    """Rows that share a band with another row of equal principals, in order, with the bands they share."""
    rows = len(matrix)
    group = principals.rank("dense").cast(pl.UInt64).to_numpy()
    parts = matrix.reshape(rows, BANDS, PERMUTATIONS // BANDS).astype(np.uint64)
    bands: Hashes = np.arange(BANDS, dtype=np.uint64)
    keys: Hashes = np.add(_mixed(group)[:, None], bands)
    for part in range(parts.shape[2]):
        keys = _mixed(keys + parts[:, :, part])
    flat = pl.DataFrame({"row": np.repeat(np.arange(rows), BANDS), "key": keys.ravel()})
    shared = flat.filter(pl.col("key").is_duplicated()).group_by("row").agg("key").sort("row")
    return list(zip(shared["row"].to_list(), shared["key"].to_list(), strict=True))


def with_near_duplicates(exact: pl.DataFrame, near: Sequence[tuple[str, str, str, float]]) -> pl.DataFrame:
    """Rows of silver/duplicates for equal and nearly equal documents together.

    A document equal to one that is left out is left out for the same reason, so all name a document that stands.

    Args:
        exact: From `exact_duplicates`.
        near: `Choice.near`.
    """
    rows: list[dict[str, Any]] = [
        {
            "document_id": document,
            "duplicate_of": stands,
            "reason": f"{int(similarity * 1000) / 10:.1f} % of the five-word sequences are shared with {uri}, which "
            "has the same permissions and comes first by source and address",
            "similarity": similarity,
        }
        for document, stands, uri, similarity in near
    ]
    direct = pl.DataFrame(rows, schema=DUPLICATES.schema)
    copies = exact.select("document_id", "duplicate_of").join(
        direct, left_on="duplicate_of", right_on="document_id", suffix="_near"
    )
    moved = copies.select("document_id", duplicate_of="duplicate_of_near", reason="reason", similarity="similarity")
    kept = exact.join(moved, on="document_id", how="anti")
    return pl.concat([frame.select(list(DUPLICATES.columns)) for frame in (kept, direct, moved)])
