"""The order of addresses, in which listings are compared.

Belongs here: what a look at sources needs of it, so that no library of tables is imported to find that nothing changed.
Does not belong here: listings that are held as columns (`listings.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Protocol, TypeVar


class HasAddress(Protocol):
    @property
    def address(self) -> str: ...


Item = TypeVar("Item", bound=HasAddress)


class InOrder(Sequence[Item]):
    """Values that lie in the order of their addresses already."""


def in_order(items: Iterable[Item]) -> Sequence[Item]:
    """The values in the order of their addresses; equal ones stay in theirs."""
    return items if isinstance(items, InOrder) else sorted(items, key=attrgetter("address"))
