"""Older and newer versions of documents in one published table, as one caller may know them.

Belongs here: reading which documents take part, and putting the newer before the older.
Does not belong here: what makes a document a version of another (`transforms/supersession.py`).

A pair counts for a caller only if they may read both. So nothing is said, and nothing is moved, by a document that they
may not know of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from rag_pipeline.retrieval.hits import Version
from rag_pipeline.retrieval.plan import SourceRules
from rag_pipeline.retrieval.ranked import Ranked
from rag_pipeline.stores.selection import first_rows
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline.transforms.supersession import FIELDS, Member, addressed_pairs, declared_pairs, is_claim, newer_than

_COLUMNS = ["document_id", "source", "uri", "title", "facts", "allowed_principals"]
# Given documents, the best row of each that the caller may find.
BestRows = Callable[[Sequence[str]], Mapping[str, Ranked]]


@dataclass(frozen=True, slots=True)
class Successions:
    """All pairs of old and new in one table, whoever may read them.

    Attributes:
        members: Documents that are in a pair, by id.
        newer: By the old document, the new ones.
    """

    members: Mapping[str, Member] = field(default_factory=dict)
    newer: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def seen_by(self, principals: Iterable[str], closed: frozenset[str] = frozenset()) -> Versions:
        """The pairs whose documents the caller may both read.

        Args:
            closed: document_ids that the caller may not see, whatever the table says.
        """
        asker = frozenset(principals)
        seen = {name: member for name, member in self.members.items() if member.readers & asker and name not in closed}
        pairs = {old: frozenset(new & seen.keys()) for old, new in self.newer.items() if old in seen}
        return Versions(seen, {old: new for old, new in pairs.items() if new})


@dataclass(frozen=True, slots=True)
class Versions:
    """Pairs of old and new that one caller may know of."""

    members: Mapping[str, Member] = field(default_factory=dict)
    pairs: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def newer(self, document_id: str) -> frozenset[str]:
        """Documents that supersede one, directly or through others."""
        return newer_than(document_id, self.pairs) if document_id in self.pairs else frozenset()

    def newest(self, document_id: str) -> tuple[Version, ...]:
        """Those of them that nothing supersedes, by address."""
        last = [self.members[name] for name in self.newer(document_id) if not self.newer(name)]
        last.sort(key=lambda member: (member.uri, member.document_id))
        return tuple(Version(member.document_id, member.uri, member.title) for member in last)


def read_successions(table: VectorTable, rules: Iterable[SourceRules]) -> Successions:
    """The pairs of one table: as its documents say it, and as pipeline.yaml declares it."""
    claimants = first_rows(table, _COLUMNS, facts=FIELDS)
    claims = [fact for facts in claimants["facts"] for fact in facts if is_claim(fact)]
    rules = [rule for rule in rules if rule.version_pattern or rule.archive_folders]
    claiming = claimants["source"] if claims else ()
    sources = sorted({*claiming, *(rule.source for rule in rules)})
    if not sources:
        return Successions()
    members = _members(first_rows(table, _COLUMNS, sources=sources))
    pairs = declared_pairs(members) if claims else set()
    for rule in rules:
        mine = [member for member in members if member.source == rule.source]
        pairs |= addressed_pairs(mine, rule.version_pattern, rule.archive_folders)
    newer: dict[str, set[str]] = {}
    for old, new in pairs:
        newer.setdefault(old, set()).add(new)
    taking_part = {name for pair in pairs for name in pair}
    by_id = {member.document_id: member for member in members if member.document_id in taking_part}
    return Successions(by_id, {old: frozenset(new) for old, new in newer.items()})


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
    if not any(one.row["document_id"] in versions.pairs for one in kept):
        return list(kept)
    best: dict[str, Ranked] = {}
    for one in kept:
        best.setdefault(one.row["document_id"], one)
    shown = dict.fromkeys(one.row["document_id"] for one in kept[:k])
    wanted = dict.fromkeys(version.document_id for name in shown for version in versions.newest(name))
    missing = [name for name in wanted if name not in best]
    best |= best_rows(missing) if missing else {}
    emitted: dict[int, Ranked] = {}

    def emit(one: Ranked) -> None:
        if id(one) in emitted:
            return
        document = one.row["document_id"]
        newer = versions.newer(document)
        for name in sorted(newer & best.keys(), key=lambda other: (len(versions.newer(other)), other)):
            other = best[name]
            if id(other) not in emitted:
                other.score = max(other.score, one.score)
                other.raised_above = other.raised_above or document
                emit(other)
        one.superseded_by = versions.newest(document)
        emitted[id(one)] = one

    for one in kept:
        emit(one)
    return list(emitted.values())
