"""Which objects are as bronze has them, told by columns: no value of Python is made for any of them.

Belongs here: what is certain of two rows side by side; whatever is not is left to be compared as values.
Does not belong here: what a difference means (`listing.py`), columns of listings (`contracts/listings.py`).

A row of bronze holds all that its `metadata_hash` is made of, so that equal columns are equal metadata.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from rag_pipeline.contracts.sources import DeclaredMetadata, SourceSpec
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE
from rag_pipeline.transforms.listing import RACY_WINDOW
from rag_pipeline.transforms.permissions import allowed_principals

# Without any of these texts in it, metadata says nothing of readers.
_TELLS_READERS = ('"allowed_principals"', '"link_target')
_NOTHING = DeclaredMetadata()


def same_places(
    known: pl.DataFrame, listed: pl.DataFrame, whole: pl.Series, spec: SourceSpec
) -> tuple[pl.Series, pl.Series]:
    """Places of known objects, rising, and of the listed ones that are certainly just what is known of them.

    Args:
        known: Last rows of bronze, by address; all that there are of each address.
        listed: By address, too.
        whole: Addresses of listed ones that columns do not tell all of.
    """
    live = _once(known["address"], (known["change"] != "deleted") & known["problem_code"].is_null())
    other = _once(listed["address"], ~listed["address"].is_in(whole.implode()))
    both = _met(known["address"], live, listed["address"], other)
    found = both.filter(_are_same(known[both["known"]], listed[both["listed"]], spec))
    return found["known"], found["listed"]


def are_read_by_others(known: pl.DataFrame, spec: SourceSpec) -> pl.Series:
    """Whether each is live and could be read, and others may read it under the settings of now."""
    return (known["change"] != "deleted") & known["problem_code"].is_null() & ~_readers_are(known, spec)


def _once(addresses: pl.Series, wanted: pl.Series) -> pl.Series:
    """Places of wanted addresses, which are in order; none of those that come twice, wanted or not."""
    alone = (addresses != addresses.shift(1)).fill_null(value=True)
    alone &= (addresses != addresses.shift(-1)).fill_null(value=True)
    return (alone & wanted).arg_true()


def _met(known: pl.Series, live: pl.Series, listed: pl.Series, other: pl.Series) -> pl.DataFrame:
    """Places of equal addresses on both sides."""
    left, right = known[live], listed[other]
    if len(left) == len(right) and (left == right).all():
        return pl.DataFrame({"known": live, "listed": other})
    mine, its = pl.DataFrame({"address": left, "known": live}), pl.DataFrame({"address": right, "listed": other})
    return mine.join(its, on="address").select("known", "listed").sort("known")


def _are_same(known: pl.DataFrame, listed: pl.DataFrame, spec: SourceSpec) -> pl.Series:
    age = known["observed_at"] - listed["modified_at"]
    is_racy = ((age >= -CLOCK_TOLERANCE) & (age < RACY_WINDOW)).fill_null(value=False)
    same = (known["stamp"] == listed["stamp"]) & (known["uri"] == listed["uri"]) & ~is_racy
    same &= known["source_modified_at"].eq_missing(listed["modified_at"])
    # What listing does not tell is what was last read.
    same &= listed["declared"].is_null() | (known["declared"] == listed["declared"])
    same = same.fill_null(value=False)
    return same & _readers_are(known, spec) if same.any() else same


def _readers_are(known: pl.DataFrame, spec: SourceSpec) -> pl.Series:
    """Whether the readers of each are those of now; the rows hold what is declared now."""
    return pl.Series(_each_is_read_as_now(known, spec), dtype=pl.Boolean)


def _each_is_read_as_now(known: pl.DataFrame, spec: SourceSpec) -> Iterator[bool]:
    for address, said, readers in known.select("address", "declared", "allowed_principals").iter_rows():
        tells = any(text in said for text in _TELLS_READERS)
        declared = DeclaredMetadata.from_json(said) if tells else _NOTHING
        yield allowed_principals(address, declared, spec) == tuple(readers)
