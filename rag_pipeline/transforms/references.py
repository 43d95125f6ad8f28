"""How documents name each other: what a reference may mean, and what a document is called.

Belongs here: keys, which are the names of documents in one form, from a reference and from a document.
Does not belong here: which of the documents of a name is meant (`claims.py`): that hangs on who asks.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from urllib.parse import unquote, urlsplit

# Source, kind of name, name, and the number where it is one of a series.
Key = tuple[str, str, str, str]
# Keys in the order in which they are tried; one begin after another of an address on the web, else one.
Tries = tuple[tuple[Key, ...], ...]
# Fields in which a document says what it is called by others.
_OWN_NAMES = ("id", "identifier", "number", "pep", "rfc", "eip", "erc", "bip")
# A longer name is no number of a series, and looking for one would take long.
MAX_NAME_CHARS = 80
_NUMBER = re.compile(r"(?:(?P<series>[^\W\d_][\w .-]*?)[\s#_.-]*)??0*(?P<number>\d{1,12})")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)")


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

    @property
    def folder(self) -> str:
        """Of its address, without regard to case."""
        return self.uri.casefold().rpartition("/")[0]


def address_key(source: str, uri: str) -> Key:
    """The name of what lies at exactly this address."""
    return source, "address", uri, ""


def keys_of(member: Member) -> Iterator[Key]:
    """All names that others may give a document; one may come twice."""
    source, uri = member.source, member.uri.casefold()
    file = uri.rpartition("/")[2]
    stem = posixpath.splitext(file)[0]
    yield from ((source, "name", own, "") for own in (member.document_id.casefold(), file, stem) if own)
    if member.title:
        yield source, "name", member.title.casefold(), ""
    yield from ((source, "uri", uri, ""), address_key(source, member.uri))
    yield from ((source, "end", end, "") for end in chain((uri,), _after_each_slash(uri)) if "/" in end)
    numbered = _numbered(stem)
    yield from ((source, "number", *pair) for pair in ([numbered] if numbered else []))
    yield from ((source, "number", *pair) for pair in _own_numbers(member))


def tries_of(reference: str, by: Member) -> Tries:
    """What a reference of a document may mean."""
    text = _bare(reference)
    if not text:
        return ()
    # An address on the web has folders of its own before those of the source.
    begins = (text, *_after_each_slash(text)) if "://" in reference else (text,)
    return tuple(_keys_named(begin, by) for begin in begins)


def parts_of(value: str) -> list[str]:
    """References in a value that names several."""
    parts = re.split(r"[,;]|\s+and\s+|\s+&\s+", value)
    return parts if len(parts) > 1 else value.split()


def _after_each_slash(text: str) -> Iterator[str]:
    return (text[at + 1 :] for at, mark in enumerate(text) if mark == "/")


def _keys_named(text: str, by: Member) -> tuple[Key, ...]:
    folder, source = by.folder, by.source
    beside = posixpath.normpath(f"{folder}/{text}") if "://" not in folder else f"{folder}/{text}"
    path = text.lstrip("./")
    keys: list[Key] = [(source, "uri", beside, "")]
    if "/" in path:
        keys.append((source, "end", path, ""))
    keys.append((source, "name", text, ""))
    return (*keys, *((source, "number", *pair) for pair in _numbers_named(text, by)))


def _numbers_named(text: str, by: Member) -> list[tuple[str, str]]:
    """A number with its series; without one it is of a series that the document itself belongs to."""
    found = _numbered(text)
    if found is None or found[0]:
        return [found] if found else []
    stem = _numbered(posixpath.splitext(by.uri.casefold().rpartition("/")[2])[0])
    series = dict.fromkeys([*([stem[0]] if stem else []), *(name for name, _ in sorted(_own_numbers(by)))])
    return [(name, found[1]) for name in series]


def _bare(reference: str) -> str:
    """A reference without the marks of links, quotes, and what comes after an address."""
    text = reference.strip()
    link = _LINK.fullmatch(text)
    text = (link[1] if link else text).strip("\"'<>`*() \t").casefold()
    if "://" in text:
        text = unquote(urlsplit(text).path).strip("/")
    return text.partition("#")[0].rstrip("/.") if not text.startswith("#") else text.lstrip("#")


def _numbered(stem: str) -> tuple[str, str] | None:
    """`pep-0345` is number 345 of `pep`."""
    match = _NUMBER.fullmatch(stem) if len(stem) <= MAX_NAME_CHARS else None
    return (_series(match["series"] or ""), str(int(match["number"]))) if match else None


def _series(name: str) -> str:
    return name.strip(" ._-").casefold()


def _own_numbers(member: Member) -> set[tuple[str, str]]:
    found = set()
    for fact in member.facts:
        name, _, value = fact.partition("=")
        match = _NUMBER.fullmatch(value) if name in _OWN_NAMES and len(value) <= MAX_NAME_CHARS else None
        if match is not None:
            found.add((_series(match["series"] or name), str(int(match["number"]))))
    return found
