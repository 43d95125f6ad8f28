"""Older and newer versions of documents in one published table, as one caller may know them.

Belongs here: reading which documents take part, and putting the newer before the older.
Does not belong here: what makes a document a version of another (`transforms/supersession.py`).

Pairs follow, for each caller, from the documents that they may read. So nothing is said, moved or decided by a document
that they may not know of: it is for them as in a lake that lacks it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from rag_pipeline.retrieval.hits import Version
from rag_pipeline.retrieval.plan import SourceRules
from rag_pipeline.retrieval.ranked import Ranked
from rag_pipeline.stores.selection import SearchedTable, first_rows
from rag_pipeline.transforms.lineage import Lineage
from rag_pipeline.transforms.references import Member
from rag_pipeline.transforms.supersession import (
    FIELDS,
    Seen,
    Series,
    Statements,
    archived,
    declared,
    is_claim,
    versioned,
)

_COLUMNS = ["document_id", "source", "uri", "title", "facts", "allowed_principals"]
# Given documents, the best row of each that the caller may find.
BestRows = Callable[[Sequence[str]], Mapping[str, Ranked]]


@dataclass(frozen=True, slots=True)
class Successions:
    """All that documents of one table say of older and newer versions, whoever may read them."""

    statements: Statements = field(default_factory=Statements)

    def seen_by(self, principals: Iterable[str], closed: frozenset[str] = frozenset()) -> Versions:
        """What follows for a caller; only what is asked for is looked at.

        Args:
            closed: document_ids that the caller may not see, whatever the table says.
        """
        asker = frozenset(principals)
        members = self.statements.members

        def may_read(name: str) -> bool:
            return name in members and name not in closed and not asker.isdisjoint(members[name].readers)

        return Versions(members, Seen(self.statements, may_read).newer)


class Versions:
    """Older and newer versions that one caller may know of; for one search, in one thread.

    Args:
        members: Documents that may be old or new, by id.
        newer: Documents that supersede one directly.
    """

    def __init__(
        self,
        members: Mapping[str, Member] | None = None,
        newer: Callable[[str], Collection[str]] = lambda _: frozenset(),
    ) -> None:
        self._members = members or {}
        self._lineage = Lineage(newer)
        self._newest: dict[str, tuple[Version, ...]] = {}

    def newer(self, document_id: str) -> list[str]:
        """Documents that supersede one, directly or through others, the newest first.

        Of those between which nothing is said, the order is that of their addresses: a document that moved keeps its
        id, and one that is taken in anew does not.
        """
        if document_id not in self._members:
            return []
        found = self._lineage.newer(document_id)
        return sorted(found, key=lambda name: (self._lineage.count(name), self._members[name].uri, name))

    def is_newer(self, other: str, document_id: str) -> bool:
        """Whether the other document is one of them."""
        return document_id in self._members and self._lineage.is_newer(other, document_id)

    def newest(self, document_id: str) -> tuple[Version, ...]:
        """Those of them that nothing supersedes, by address."""
        if document_id not in self._members:
            return ()
        if document_id not in self._newest:
            last = [self._members[name] for name in self._lineage.newest(document_id)]
            last.sort(key=lambda member: (member.uri, member.document_id))
            self._newest[document_id] = tuple(Version(one.document_id, one.uri, one.title) for one in last)
        return self._newest[document_id]


def read_successions(table: SearchedTable, rules: Iterable[SourceRules]) -> Successions:
    """What the documents of one table say, and what pipeline.yaml declares of their addresses."""
    claimants = first_rows(table, _COLUMNS, facts=FIELDS)
    claims = [fact for facts in claimants["facts"] for fact in facts if is_claim(fact)]
    rules = [rule for rule in rules if rule.version_pattern or rule.archive_folders]
    claiming = claimants["source"] if claims else ()
    sources = sorted({*claiming, *(rule.source for rule in rules)})
    return successions_of(_members(first_rows(table, _COLUMNS, sources=sources)), rules) if sources else Successions()


def successions_of(members: Sequence[Member], rules: Iterable[SourceRules]) -> Successions:
    """What documents say, and what rules say of where they lie."""
    claims = list(declared(members))
    series: list[Series] = []
    for rule in rules:
        mine = [member for member in members if member.source == rule.source]
        claims.extend(archived(mine, rule.archive_folders))
        series.extend(versioned(mine, rule.version_pattern) if rule.version_pattern else ())
    return Successions(Statements(members, claims, series))


def _members(rows: pl.DataFrame) -> list[Member]:
    return [
        Member(document_id, source, uri, title, tuple(facts or ()), frozenset(principals or ()))
        for document_id, source, uri, title, facts, principals in rows.select(_COLUMNS).iter_rows()
    ]


def newer_first(kept: Sequence[Ranked], versions: Versions, best_rows: BestRows, k: int) -> list[Ranked]:
    """The ranking with every newer version before the older ones, which say what supersedes them.

    A newer version that stands further down comes up to the older one, and gets its score. One that is not among the
    rows at all is looked for, where the older one is among the first `k`.
    """
    if not any(versions.newest(one.row["document_id"]) for one in kept):
        return list(kept)
    best: dict[str, Ranked] = {}
    for one in kept:
        best.setdefault(one.row["document_id"], one)
    shown = dict.fromkeys(one.row["document_id"] for one in kept[:k])
    wanted = dict.fromkeys(version.document_id for name in shown for version in versions.newest(name))
    missing = [name for name in wanted if name not in best]
    best |= best_rows(missing) if missing else {}
    emitted: dict[int, Ranked] = {}
    # Documents whose newer versions all stand before them; before a newer one stand those that are newer still.
    preceded: set[str] = set()
    for one in kept:
        document = one.row["document_id"]
        for name in versions.newer(document) if document not in preceded else ():
            other = best.get(name)
            if other is not None and id(other) not in emitted:
                other.score = max(other.score, one.score)
                other.raised_above = other.raised_above or document
                emitted[id(other)] = other
            preceded.add(name)
        preceded.add(document)
        emitted.setdefault(id(one), one)
    for one in emitted.values():
        one.superseded_by = versions.newest(one.row["document_id"])
    return list(emitted.values())
