"""What is published, as it is delivered to a store beside the lake.

Belongs here: the published version as values, what a delivery changed, and what a place of delivery can do.
Does not belong here: PostgreSQL, which is the first (`stores/postgres/`); when it is delivered (`refresh/deliver.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from rag_pipeline.contracts.sink import Readable, Sink


@dataclass(frozen=True, slots=True)
class Withheld:
    """What some rows show that nobody, or fewer people, may read by now.

    Attributes:
        gone: chunk_ids.
        narrowed: chunk_id and allowed_principals of those that fewer may read.
    """

    gone: tuple[str, ...]
    narrowed: pl.DataFrame

    @property
    def is_empty(self) -> bool:
        """Whether all of it may be read."""
        return not self.gone and self.narrowed.is_empty()


# What rows that readers are shown have to lose.
Withholding = Callable[[Readable], Withheld]


@dataclass(frozen=True, slots=True)
class Published:
    """The version that readers are pointed to, whole.

    Attributes:
        name: Tells the publication from every other one.
        lake: Address of the lake; one place holds what one lake published.
        table: The index, opened at that version.
        rows: That it has.
        searched: How it is searched and when it was published, for searches that do not know the lake.
        groups: Groups of each principal that has any, groups of groups included.
        withheld: What a table of rows shows that nobody may read by now; asked where a place lost rows by itself, since
            the index may still hold them.
        earlier: Columns of the index as an earlier publication of that name showed it; None: it is not kept, cannot be
            read, or there was none.
    """

    name: str
    sequence: int
    alias: str
    lake: str
    table: Sink
    rows: int
    searched: Mapping[str, Any]
    groups: Mapping[str, tuple[str, ...]]
    withheld: Withholding
    earlier: Callable[[str, Sequence[str]], pl.DataFrame | None]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one delivery changed, in one transaction.

    Attributes:
        texts: Rows of text that were added or changed.
        vectors: That were written; what only other people may read now writes none.
        permissions: Rows that other people may read now, new ones included.
        removed: Rows that are gone.
        healed: Why everything was compared anew; empty: nobody else had touched it.
    """

    texts: int = 0
    vectors: int = 0
    permissions: int = 0
    removed: int = 0
    healed: str = ""

    @property
    def is_nothing(self) -> bool:
        """Whether the place held all of it already."""
        return self == Delivered()


@dataclass(frozen=True, slots=True)
class Compared:
    """How a place differs from what is published, by chunk_id.

    Attributes:
        reasons: What else is not as it was delivered, in words.
    """

    ghosts: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """How one delivery came out.

    Attributes:
        fault: Why what is published is not there; empty: it is.
        is_withdrawn: Whether all the same nothing is there that may not be read by now.
    """

    delivered: Delivered
    seconds: float = 0.0
    rows: int = 0
    fault: str = ""
    is_withdrawn: bool = False


class Target(Protocol):
    """A place that what is published is delivered to."""

    def deliver(self, published: Published, still_published: Callable[[], None]) -> Delivered:
        """Bring it from whatever whole version it holds to this one, in one transaction, by difference.

        Args:
            still_published: Called before the commit; it raises where readers of the lake are on another version or in
                other groups. Whoever did that delivers it, after this: a place takes one delivery at a time.

        Raises:
            DeliveryFailed: Nothing was changed.
        """
        ...

    def withdraw(self, lake: str, withheld: Withholding, groups: Mapping[str, tuple[str, ...]]) -> int:
        """Take away what may not be read by now, by the rows that stand there; nothing is added.

        For when what is published cannot be delivered: nobody has to read or write the lake's index for it. The place
        remembers it, so that a delivery of the same publication does not bring any of it back.

        Args:
            lake: Address of the lake; what another one delivered is left alone.
            groups: Groups of each principal now; who is in fewer loses the others.

        Returns:
            How many rows are gone or for fewer people.

        Raises:
            DeliveryFailed: It is all still there.
        """
        ...

    def compare(self, published: Published) -> Compared:
        """Hold every row against this version; whatever differs is brought by the next delivery.

        Raises:
            DeliveryFailed: It could not be read.
        """
        ...

    def clean(self) -> None:
        """Let go of what was removed, as far as the place can.

        Raises:
            DeliveryFailed: It could not.
        """
        ...
