"""When an index table is indexed, compacted and thinned: each costs far more than the change of one row.

Belongs here: which indexes a table of a size has, how many rows may wait beside one, what is due.
Does not belong here: the calls themselves (`vectors.py`).

Measured with 9,000 rows: the change of a row writes 7 KB, the text index 1.5 MB, compaction the whole table, 17 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from lancedb.index import FTS, Bitmap, BTree, LabelList

# Below this many rows a scan takes under 10 ms and is exact; above, the indexes of vectors and of filters pay.
INDEXED_ABOVE_ROWS = 10_000
# Search goes through rows beside an index: 2,000 in one piece are 25 ms more, 1,000 pieces of a row 100 ms.
LEAST_UNINDEXED = 1_000
UNINDEXED_SHARE = 0.01
MAX_FRAGMENTS = 32
# Lance itself compacts a fragment from a tenth of deleted rows on.
DELETED_SHARE = 0.08
# A run makes three versions; those that nobody needs, and the files that only they need, go once there are so many.
MAX_OUTDATED = 16

MARGIN = timedelta(seconds=10)

# Words of every script, none dropped: `icu/split` drops the stop words of all languages at once, and nothing is found
# for "war", "die" or "man" in an English index; words of 40 characters and more are digests and addresses.
_ALL_WORDS: Mapping[str, Any] = {
    "with_position": False,
    "language": "English",
    "stem": True,
    "remove_stop_words": False,
    "max_token_length": None,
    "ascii_folding": True,
}
TEXT_INDEX: Mapping[str, Callable[[], Any]] = {
    "embedded_text": lambda: FTS(base_tokenizer="icu/split", **_ALL_WORDS),
    "word_forms": lambda: FTS(base_tokenizer="whitespace", **_ALL_WORDS),
}
FILTER_INDEXES: Mapping[str, Callable[[], Any]] = {
    "allowed_principals": LabelList,
    "source": Bitmap,
    "document_id": BTree,
    "chunk_id": BTree,
}


def is_small(rows: int) -> bool:
    """Whether a table is searched by scanning it, but for its words."""
    return rows < INDEXED_ABOVE_ROWS


def needed_indexes(rows: int) -> dict[str, Callable[[], Any]]:
    """Configuration by column of the indexes that a table of so many rows has, the one of vectors apart."""
    return dict(TEXT_INDEX) if is_small(rows) else {**TEXT_INDEX, **FILTER_INDEXES}


def may_wait(rows: int) -> int:
    """How many rows may wait beside an index of a table of so many rows.

    None in a small table: BM25 counts deleted rows, and not waiting ones, until its index is made anew, and the scores
    of a small table are those of a rebuild.
    """
    return 0 if is_small(rows) else max(LEAST_UNINDEXED, int(rows * UNINDEXED_SHARE))


def is_compaction_due(rows: int, unindexed: int, versions: Sequence[Mapping[str, Any]], outdated: int) -> bool:
    """Whether a table is to be compacted and its old versions thinned.

    Args:
        unindexed: Rows that wait beside the index that lacks most of them.
        versions: As Lance lists them, oldest first.
        outdated: How many of them thinning would remove.
    """
    newest = versions[-1]["metadata"]
    stored = int(newest.get("total_data_file_rows", rows))
    deleted = int(newest.get("total_deletion_file_rows", 0))
    return (
        outdated > MAX_OUTDATED
        or unindexed > may_wait(rows)
        or int(newest.get("total_fragments", 1)) > MAX_FRAGMENTS
        or deleted > DELETED_SHARE * max(1, stored)
    )


def older_than(age: timedelta, versions: Sequence[Mapping[str, Any]], now: datetime) -> int:
    """How many versions are older than that."""
    return sum(now - version["timestamp"] > age for version in versions)


def age_beyond(oldest_kept: int, versions: Sequence[Mapping[str, Any]], now: datetime) -> timedelta:
    """How old a version has to be to go, when the one named and all younger ones are to stay.

    Lance counts from when it comes to thinning, after it has compacted, so some time is allowed for that.

    Args:
        oldest_kept: A version that is listed, or was before it was thinned out.
    """
    # The clock may have been set back in between: then the oldest of them is none of the first ones.
    made_at: datetime = min(v["timestamp"] for v in versions if int(v["version"]) >= oldest_kept)
    return max(timedelta(0), now - made_at) + MARGIN
