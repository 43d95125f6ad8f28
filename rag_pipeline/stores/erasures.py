"""What was erased from a lake, read from wherever the lake lies.

Belongs here: reading the small files of erasures.
Does not belong here: what stands in them (`contracts/erasures.py`), erasing (`refresh/erase.py`).
"""

from __future__ import annotations

from rag_pipeline.contracts.erasures import (
    CERTIFICATES,
    Erased,
    Erasure,
    erased_of,
    pending_of,
    read_erased,
    read_pending,
)
from rag_pipeline.stores.lake import Lake


def erased_from(lake: Lake) -> Erased:
    """Tombstones of a lake.

    Raises:
        LakeDamaged: They cannot be told: to go on would bring back what was erased.
        StoreError: The object store did not answer.
    """
    if lake.is_local:
        return read_erased(lake.root)
    return erased_of(lake.root, lambda name: _content(lake, name), lambda: _certificates(lake))


def pending_erasure(lake: Lake) -> Erasure | None:
    """The erasure that was begun and is not done; None: there is none.

    Raises:
        LakeDamaged: There is one, and its plan cannot be read.
        StoreError: The object store did not answer.
    """
    return read_pending(lake.root) if lake.is_local else pending_of(lake.root, lambda name: _content(lake, name))


def _content(lake: Lake, name: str) -> bytes:
    found = lake.objects.read(name)
    if found is None:
        raise FileNotFoundError(name)
    return found[0]


def _certificates(lake: Lake) -> list[str]:
    return sorted(name for name in lake.objects.entries(CERTIFICATES) if name.endswith(".json"))
