"""Questions whose first hits moved although nothing in them changed.

Belongs here: which documents a question gained and lost, and whether one of them explains it.
Does not belong here: which documents changed (`refresh/moved_hits.py`), how good the hits are (`metrics.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

# What readers look at. Further down, the words of one new document elsewhere change places by their frequency alone.
FIRST_HITS = 3
# One of three may change its place with the fourth for a reason that nobody need look for; most of them may not.
LEAST_MOVED = 2


@dataclass(frozen=True, slots=True)
class MovedHits:
    """A question whose first hits are mostly others than before.

    Attributes:
        lost, gained: Addresses of documents.
    """

    question_id: str
    lost: tuple[str, ...]
    gained: tuple[str, ...]


def moved_without_cause(
    before: Mapping[str, Sequence[str]],
    now: Mapping[str, Sequence[str]],
    changed: Callable[[Collection[str]], Collection[str]],
) -> list[MovedHits]:
    """Questions whose first hits moved, and of whose documents that came or went none was changed, new or removed.

    Args:
        before, now: Addresses of the documents found, best first, by question.
        changed: Those of some addresses that changed meanwhile; asked once, and only where something moved.
    """
    moved = []
    for question in sorted(before.keys() & now.keys()):
        was, is_now = before[question][:FIRST_HITS], now[question][:FIRST_HITS]
        lost = tuple(uri for uri in was if uri not in is_now)
        gained = tuple(uri for uri in is_now if uri not in was)
        if max(len(lost), len(gained)) >= LEAST_MOVED:
            moved.append(MovedHits(question, lost, gained))
    if not moved:
        return []
    causes = set(changed({uri for each in moved for uri in (*each.lost, *each.gained)}))
    return [each for each in moved if not causes.intersection((*each.lost, *each.gained))]
