"""Who may read what before and after a change: each permission that opens or closes, by name.

Belongs here: comparing the two, and which of them a person has to allow.
Does not belong here: where either is read from (`refresh/plan.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rag_pipeline.contracts.sources import PUBLIC


@dataclass(frozen=True, slots=True)
class Shown:
    """One document as readers see it."""

    source: str
    uri: str
    principals: frozenset[str]


@dataclass(frozen=True, slots=True, order=True)
class ReaderChange:
    """One principal who may read a document, or no longer may.

    Attributes:
        is_new: Nobody could read the document before; of one that closes: nobody can afterwards.
    """

    source: str
    uri: str
    principal: str
    document_id: str
    is_new: bool


def changed_readers(
    before: Mapping[str, Shown], after: Mapping[str, Shown]
) -> tuple[list[ReaderChange], list[ReaderChange]]:
    """What opens and what closes, by document_id: what is open to everybody first."""
    return _gained(before, after), _gained(after, before)


def _gained(before: Mapping[str, Shown], after: Mapping[str, Shown]) -> list[ReaderChange]:
    found = []
    for document, shown in after.items():
        known = before.get(document)
        principals = shown.principals - (known.principals if known is not None else frozenset())
        is_new = known is None or not known.principals
        found += [ReaderChange(shown.source, shown.uri, name, document, is_new) for name in principals]
    return sorted(found, key=lambda each: (each.principal != PUBLIC, each))


def opened_to_public(opens: Iterable[ReaderChange], before: Mapping[str, Shown]) -> list[ReaderChange]:
    """What a person has to allow: documents that readers have and everybody will, and sources that begin to show some.

    A new document of a source that shows some to everybody already is what every night brings.
    """
    known = {shown.source for shown in before.values() if PUBLIC in shown.principals}
    return [each for each in opens if each.principal == PUBLIC and not (each.is_new and each.source in known)]
