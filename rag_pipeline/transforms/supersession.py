"""Which documents are older versions of which, by what they say of themselves and by where they lie.

Belongs here: what documents say, and which pairs of old and new follow from that for one asker.
Does not belong here: what a reference may mean (`references.py`), following pairs (`lineage.py`), reading the documents
(`retrieval/supersession.py`).

A pair is known from a field of either side (`Superseded-By`, `Replaces` ...), from versions in addresses, or from a
folder of archives. What a field names must be one document of the same source; what could be two is nobody's version.
`Updates` is no such field: a text that is amended still holds.

A document that the asker may not read decides nothing for them: neither what a field names, nor which versions are
the last. So all that a field may name is kept, and it is decided for each asker among what they may read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from rag_pipeline.transforms.globs import compile_globs
from rag_pipeline.transforms.references import Key, Member, Tries, address_key, keys_of, parts_of, tries_of

SAYS_NEWER = ("superseded_by", "replaced_by", "obsoleted_by")
SAYS_OLDER = ("supersedes", "replaces", "obsoletes")
# Fields that say it in words: `status: superseded by ADR-12`, `withdrawal-reason: Replaced by EIP-3860.`
IN_WORDS = ("status", "withdrawal_reason", "deprecated", "deprecation", "note")
FIELDS = (*SAYS_NEWER, *SAYS_OLDER, *IN_WORDS)
# So many newer versions of one address are followed; of what is older still, nobody asks for the way.
MAX_NEWER = 20
VERSION = "{version}"
# Stands for the version while a pattern is turned into an expression; no address holds it.
_MARK = "\ue000"
_VERSION_TEXT = r"(?P<version>[0-9][0-9A-Za-z._-]*)"
_BY = re.compile(r"\b(?:superseded|replaced|obsoleted) by|\bin favou?r of")
# A link, a file, or a number with the name of its series: what the words after `_BY` may name.
_NAMED = re.compile(r"\[[^\]]*\]\([^)\s]+[^)]*\)|[\w./-]+\.[a-z]{1,5}\b|\b[a-z]+[ -]?\d+\b|\b\d+\b")
_DIGITS = re.compile(r"(\d+)")
Order = list[tuple[int, int, str]]
# Documents by what names them: a key, or a key with the folder that they lie in.
_Place = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """That one document is older, or newer, than those which a reference names.

    Attributes:
        by: document_id of the one that says it.
        folder: Where it lies: of several documents the one that lies beside it is meant.
        is_older: Whether `by` is the older one.
        whole: What the reference names as it is.
        parts: What its parts name, where the whole is none.
    """

    by: str
    folder: str
    is_older: bool
    whole: Tries
    parts: tuple[Tries, ...] = ()

    def names(self) -> Iterator[Key]:
        """All names that it may mean."""
        return (key for tries in (self.whole, *self.parts) for keys in tries for key in keys)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Documents whose addresses differ in a version alone, by order and document_id, the newest first."""

    newest_first: tuple[tuple[Order, str], ...]


def declared(members: Iterable[Member]) -> Iterator[Claim]:
    """What fields of documents say."""
    for member in members:
        for fact in member.facts:
            name, equals, value = fact.partition("=")
            for says, reference in _said(name, value) if equals and name in FIELDS else ():
                parts = tuple(tries_of(part, member) for part in parts_of(reference))
                yield Claim(member.document_id, member.folder, says in SAYS_NEWER, tries_of(reference, member), parts)


def is_claim(fact: str) -> bool:
    """Whether a fact names an older or a newer version, if there is such a document."""
    name, equals, value = fact.partition("=")
    return bool(equals) and name in FIELDS and (name not in IN_WORDS or _BY.search(value) is not None)


def _said(name: str, value: str) -> Iterator[tuple[str, str]]:
    """A field as it is, or what words in one of free text name as newer."""
    if name not in IN_WORDS:
        yield name, value
    elif by := _BY.search(value):
        # What comes after the sentence is about something else; a dot inside a name ends none.
        sentence = re.split(r"[.;](?:\s|$)", value[by.end() :], maxsplit=1)[0]
        yield from ((SAYS_NEWER[0], reference) for reference in _NAMED.findall(sentence))


def archived(members: Iterable[Member], archive_folders: Collection[str]) -> Iterator[Claim]:
    """What lies in a folder of archives is older than what lies at the same address without it."""
    closed = {folder.casefold() for folder in archive_folders}
    for member in members:
        *folders, name = member.uri.split("/")
        left = [folder for folder in folders if folder.casefold() not in closed]
        if len(left) < len(folders):
            tries = ((address_key(member.source, "/".join([*left, name])),),)
            yield Claim(member.document_id, member.folder, is_older=True, whole=tries)


def version_expression(pattern: str) -> re.Pattern[str]:
    """A pattern with `{version}` as an expression with the group `version`.

    Raises:
        ValueError: `{version}` does not stand in it exactly once.
    """
    if pattern.count(VERSION) != 1:
        raise ValueError(f"{pattern!r} must hold {VERSION} once, like guides/v{VERSION}/**")
    glob = compile_globs([pattern.replace(VERSION, _MARK)], match_hidden=True).expression.pattern
    return re.compile(rf"(?:.*/)?{glob.replace(re.escape(_MARK), _VERSION_TEXT)}")


def versioned(members: Iterable[Member], pattern: str) -> Iterator[Series]:
    """Series of the documents of one source.

    Args:
        pattern: A glob on the end of an address with `{version}` in it.
    """
    expression = version_expression(pattern)
    groups: dict[tuple[str, str], list[tuple[Order, str]]] = {}
    for member in members:
        match = expression.fullmatch(member.uri)
        if match is not None:
            start, end = match.span("version")
            key = member.uri[:start], member.uri[end:]
            groups.setdefault(key, []).append((_ordered(match["version"]), member.document_id))
    return (Series(tuple(sorted(group, reverse=True))) for group in groups.values() if len(group) > 1)


def _ordered(version: str) -> Order:
    """Numbers by their value, and letters below any number: 1.10 comes after 1.9, and 2.0 after 2.0rc1."""
    parts: Order = []
    for part in _DIGITS.split(version):
        if part.isdigit():
            parts.append((2, int(part), ""))
        elif letters := part.strip("._-").casefold():
            parts.append((0, 0, letters))
    return [*parts, (1, 0, "")]


class Statements:
    """All that documents say of older and newer versions, whoever may read them.

    Attributes:
        members: The documents that take part, without their facts.
    """

    def __init__(
        self, members: Iterable[Member] = (), claims: Iterable[Claim] = (), series: Iterable[Series] = ()
    ) -> None:
        claims = list(claims)
        wanted = {key for claim in claims for key in claim.names()}
        by = {claim.by for claim in claims}
        self.series: dict[str, list[tuple[Order, Series]]] = {}
        for one in series:
            for order, name in one.newest_first:
                self.series.setdefault(name, []).append((order, one))
        self.members: dict[str, Member] = {}
        self.candidates: dict[_Place, list[str]] = {}
        self.keys: dict[str, tuple[Key, ...]] = {}
        for member in members:
            name = member.document_id
            keys = {key for key in keys_of(member) if key in wanted} if wanted else set()
            if keys or name in by or name in self.series:
                self.members[name] = replace(member, facts=())
            if keys:
                self.keys[name] = tuple(keys)
            for key in keys:
                self.candidates.setdefault(key, []).append(name)
                self.candidates.setdefault((*key, member.folder), []).append(name)
        self.by_old: dict[str, list[Claim]] = {}
        self.on_old: dict[Key, list[Claim]] = {}
        for claim in claims:
            if claim.is_older:
                self.by_old.setdefault(claim.by, []).append(claim)
            else:
                for key in {key for key in claim.names() if key in self.candidates}:
                    self.on_old.setdefault(key, []).append(claim)


class Seen:
    """Pairs of old and new that follow for one asker, from documents that they may read, and only when asked for.

    Args:
        may_read: Whether they may read a document.
    """

    def __init__(self, statements: Statements, may_read: Callable[[str], bool]) -> None:
        self._statements = statements
        self._may_read = may_read
        self._meant: dict[Claim, frozenset[str]] = {}
        self._some: dict[_Place, tuple[str, ...]] = {}
        self._last: dict[Series, list[tuple[Order, str]]] = {}

    def newer(self, document_id: str) -> frozenset[str]:
        """Documents that supersede one directly."""
        all_said = self._statements
        if not self._may_read(document_id):
            return frozenset()
        found = {name for claim in all_said.by_old.get(document_id, ()) for name in self._named(claim)}
        for key in all_said.keys.get(document_id, ()):
            for claim in all_said.on_old.get(key, ()):
                if self._may_read(claim.by) and document_id in self._named(claim):
                    found.add(claim.by)
        for order, series in all_said.series.get(document_id, ()):
            found |= {name for other, name in self._newest(series) if other > order}
        return frozenset(found)

    def _newest(self, series: Series) -> list[tuple[Order, str]]:
        if series not in self._last:
            readable = (one for one in series.newest_first if self._may_read(one[1]))
            self._last[series] = list(islice(readable, MAX_NEWER))
        return self._last[series]

    def _named(self, claim: Claim) -> frozenset[str]:
        if claim not in self._meant:
            whole = self._one(claim.whole, claim)
            found = [whole] if whole is not None else [self._one(tries, claim) for tries in claim.parts]
            self._meant[claim] = frozenset(name for name in found if name is not None)
        return self._meant[claim]

    def _one(self, tries: Tries, claim: Claim) -> str | None:
        return next((found for keys in tries if (found := self._first(keys, claim)) is not None), None)

    def _first(self, keys: Iterable[Key], claim: Claim) -> str | None:
        for key in keys:
            others = self._others(key, claim)
            near = self._others((*key, claim.folder), claim)
            if len(others) == 1 or len(near) == 1:
                return (others if len(others) == 1 else near)[0]
            if others:
                return None
        return None

    def _others(self, place: _Place, claim: Claim) -> list[str]:
        """At most three of the documents that are called so: what could be two is nobody's."""
        if place not in self._some:
            readable = (name for name in self._statements.candidates.get(place, ()) if self._may_read(name))
            self._some[place] = tuple(islice(readable, 3))
        return [name for name in self._some[place] if name != claim.by]
