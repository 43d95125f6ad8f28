"""Which documents are older versions of which, by what they say of themselves and by where they lie.

Belongs here: pure functions from documents to pairs of old and new, and following those pairs.
Does not belong here: reading the documents and who may see them (`retrieval/supersession.py`).

A pair is known from a field of either side (`Superseded-By`, `Replaces` ...), from versions in addresses, or from a
folder of archives. What a field names must be one document of the same source; what could be two is nobody's version.
`Updates` is no such field: a text that is amended still holds.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from rag_pipeline.transforms.globs import compile_globs

SAYS_NEWER = ("superseded_by", "replaced_by", "obsoleted_by")
SAYS_OLDER = ("supersedes", "replaces", "obsoletes")
# Fields that say it in words: `status: superseded by ADR-12`, `withdrawal-reason: Replaced by EIP-3860.`
IN_WORDS = ("status", "withdrawal_reason", "deprecated", "deprecation", "note")
FIELDS = (*SAYS_NEWER, *SAYS_OLDER, *IN_WORDS)
# Fields in which a document says what it is called by others.
_OWN_NAMES = ("id", "identifier", "number", "pep", "rfc", "eip", "erc", "bip")
# So many newer versions of one address are followed; of what is older still, nobody asks for the way.
MAX_NEWER = 20
# A longer name is no number of a series, and looking for one would take long.
MAX_NAME_CHARS = 80
VERSION = "{version}"
# Stands for the version while a pattern is turned into an expression; no address holds it.
_MARK = "\ue000"
_VERSION_TEXT = r"(?P<version>[0-9][0-9A-Za-z._-]*)"
_NUMBER = re.compile(r"(?:(?P<series>[^\W\d_][\w .-]*?)[\s#_.-]*)??0*(?P<number>\d{1,12})")
_BY = re.compile(r"\b(?:superseded|replaced|obsoleted) by|\bin favou?r of")
# A link, a file, or a number with the name of its series: what the words after `_BY` may name.
_NAMED = re.compile(r"\[[^\]]*\]\([^)\s]+[^)]*\)|[\w./-]+\.[a-z]{1,5}\b|\b[a-z]+[ -]?\d+\b|\b\d+\b")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Member:
    """A document as it takes part in versions.

    Attributes:
        facts: As the index has them: `name` and `name=value`.
        readers: Principals that may read it.
    """

    document_id: str
    source: str
    uri: str
    title: str | None
    facts: tuple[str, ...] = ()
    readers: frozenset[str] = frozenset()


def declared_pairs(members: Sequence[Member]) -> set[tuple[str, str]]:
    """(old, new) of document_ids, as fields of either side say it."""
    pairs: set[tuple[str, str]] = set()
    directories: dict[str, _Directory] = {}
    for member in members:
        fields = [fact.partition("=") for fact in member.facts]
        said = [pair for name, equals, value in fields if equals and name in FIELDS for pair in _said(name, value)]
        if not said:
            continue
        if member.source not in directories:
            directories[member.source] = _Directory(one for one in members if one.source == member.source)
        for name, value in said:
            for other in directories[member.source].named(value, member):
                old, new = (member.document_id, other) if name in SAYS_NEWER else (other, member.document_id)
                pairs.add((old, new))
    return pairs


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


def addressed_pairs(
    members: Iterable[Member], version_pattern: str | None, archive_folders: Collection[str]
) -> set[tuple[str, str]]:
    """(old, new) of document_ids of one source, by versions in their addresses and by folders of archives.

    Args:
        version_pattern: A glob on the end of an address with `{version}` in it.
        archive_folders: Names of folders; what lies in one is older than what lies at the same address without it.
    """
    members = list(members)
    pairs = set(_versions(members, version_pattern)) if version_pattern else set()
    closed = {folder.casefold() for folder in archive_folders}
    if closed:
        by_address = {member.uri: member.document_id for member in members}
        for member in members:
            *folders, name = member.uri.split("/")
            left = [folder for folder in folders if folder.casefold() not in closed]
            new = by_address.get("/".join([*left, name])) if len(left) < len(folders) else None
            if new is not None:
                pairs.add((member.document_id, new))
    return pairs


def version_expression(pattern: str) -> re.Pattern[str]:
    """A pattern with `{version}` as an expression with the group `version`.

    Raises:
        ValueError: `{version}` does not stand in it exactly once.
    """
    if pattern.count(VERSION) != 1:
        raise ValueError(f"{pattern!r} must hold {VERSION} once, like guides/v{VERSION}/**")
    glob = compile_globs([pattern.replace(VERSION, _MARK)], match_hidden=True).expression.pattern
    return re.compile(rf"(?:.*/)?{glob.replace(re.escape(_MARK), _VERSION_TEXT)}")


def _versions(members: Iterable[Member], pattern: str) -> Iterator[tuple[str, str]]:
    expression = version_expression(pattern)
    groups: dict[tuple[str, str], list[tuple[list[tuple[int, int, str]], str, str]]] = {}
    for member in members:
        match = expression.fullmatch(member.uri)
        if match is not None:
            start, end = match.span("version")
            version = match["version"]
            key = member.uri[:start], member.uri[end:]
            groups.setdefault(key, []).append((_ordered(version), version, member.document_id))
    for group in groups.values():
        ordered = sorted(group)
        for at, (order, _, old) in enumerate(ordered):
            newer = [name for other, _, name in ordered[at + 1 :] if other > order]
            yield from ((old, new) for new in newer[-MAX_NEWER:])


def _ordered(version: str) -> list[tuple[int, int, str]]:
    """Numbers by their value, and letters below any number: 1.10 comes after 1.9, and 2.0 after 2.0rc1."""
    parts: list[tuple[int, int, str]] = []
    for part in _DIGITS.split(version):
        if part.isdigit():
            parts.append((2, int(part), ""))
        elif letters := part.strip("._-").casefold():
            parts.append((0, 0, letters))
    return [*parts, (1, 0, "")]


class _Directory:
    """The documents of one source by all names that others may give them."""

    def __init__(self, members: Iterable[Member]) -> None:
        self._folders: dict[str, str] = {}
        self._uris: dict[str, set[str]] = {}
        self._names: dict[str, set[str]] = {}
        self._numbers: dict[tuple[str, int], set[str]] = {}
        self._addresses: dict[str, set[tuple[str, str]]] = {}
        for member in members:
            self._add(member)

    def _add(self, member: Member) -> None:
        name, uri = member.document_id, member.uri.casefold()
        folder, _, file = uri.rpartition("/")
        stem = posixpath.splitext(file)[0]
        self._folders[name] = folder
        self._uris.setdefault(uri, set()).add(name)
        self._addresses.setdefault(file, set()).add((uri, name))
        for own in {member.document_id.casefold(), file, stem, (member.title or "").casefold()} - {""}:
            self._names.setdefault(own, set()).add(name)
        for key in {_numbered(stem), *_own_numbers(member)} - {None}:
            if key is not None:
                self._numbers.setdefault(key, set()).add(name)

    def named(self, value: str, by: Member) -> set[str]:
        """document_ids that a field of `by` names."""
        whole = self._one(value, by)
        if whole is not None:
            return {whole}
        parts = re.split(r"[,;]|\s+and\s+|\s+&\s+", value)
        found = {self._one(part, by) for part in (parts if len(parts) > 1 else value.split())}
        return {name for name in found if name is not None}

    def _one(self, reference: str, by: Member) -> str | None:
        text = _bare(reference)
        # An address on the web has folders of its own before those of the source.
        begins = [0, *(at + 1 for at, mark in enumerate(text) if mark == "/")] if "://" in reference else [0]
        return next((found for at in begins if (found := self._found(text[at:], by))), None) if text else None

    def _found(self, text: str, by: Member) -> str | None:
        folder = by.uri.casefold().rpartition("/")[0]
        beside = posixpath.normpath(f"{folder}/{text}") if "://" not in folder else f"{folder}/{text}"
        for found in (self._uris.get(beside), self._at_the_end(text), self._names.get(text), self._numbered(text, by)):
            others = (found or set()) - {by.document_id}
            near = {name for name in others if self._folders[name] == folder}
            if len(others) == 1 or len(near) == 1:
                return next(iter(others if len(others) == 1 else near))
            if others:
                return None
        return None

    def _at_the_end(self, text: str) -> set[str]:
        path = text.lstrip("./")
        near = self._addresses.get(path.rpartition("/")[2], set())
        return {name for uri, name in near if "/" in path and (uri == path or uri.endswith(f"/{path}"))}

    def _numbered(self, text: str, by: Member) -> set[str]:
        match = _NUMBER.fullmatch(text) if len(text) <= MAX_NAME_CHARS else None
        if match is None:
            return set()
        number = int(match["number"])
        if match["series"]:
            return self._numbers.get((_series(match["series"]), number), set())
        stem = _numbered(posixpath.splitext(by.uri.casefold().rpartition("/")[2])[0])
        series = dict.fromkeys([*([stem[0]] if stem else []), *(name for name, _ in _own_numbers(by))])
        for name in series:
            if found := self._numbers.get((name, number), set()) - {by.document_id}:
                return found
        return set()


def _bare(reference: str) -> str:
    """A reference without the marks of links, quotes, and what comes after an address."""
    text = reference.strip()
    link = _LINK.fullmatch(text)
    text = (link[1] if link else text).strip("\"'<>`*() \t").casefold()
    if "://" in text:
        text = unquote(urlsplit(text).path).strip("/")
    return text.partition("#")[0].rstrip("/.") if not text.startswith("#") else text.lstrip("#")


def _numbered(stem: str) -> tuple[str, int] | None:
    """`pep-0345` is number 345 of `pep`."""
    match = _NUMBER.fullmatch(stem) if len(stem) <= MAX_NAME_CHARS else None
    return (_series(match["series"] or ""), int(match["number"])) if match else None


def _series(name: str) -> str:
    return name.strip(" ._-").casefold()


def _own_numbers(member: Member) -> set[tuple[str, int]]:
    found = set()
    for fact in member.facts:
        name, _, value = fact.partition("=")
        match = _NUMBER.fullmatch(value) if name in _OWN_NAMES and len(value) <= MAX_NAME_CHARS else None
        if match is not None:
            found.add((_series(match["series"] or name), int(match["number"])))
    return found


def newer_than(document_id: str, newer: Mapping[str, Collection[str]]) -> frozenset[str]:
    """All documents that supersede one, directly or through others; without those that it supersedes itself.

    Documents that supersede each other in a circle say nothing, and none of them is older.
    """
    above = _reached(document_id, newer)
    return frozenset(name for name in above if document_id not in _reached(name, newer))


def _reached(start: str, newer: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(newer.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(newer.get(name, ()))
    return found
