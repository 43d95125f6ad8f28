"""Who may read an object of an API: whoever every one of several lists names.

Belongs here: asking those lists, groups among them, and what an empty, refused or broken one means.
Does not belong here: objects (`source.py`), walking pages (`pages.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rag_pipeline.contracts.names import principal
from rag_pipeline.settings.sources.rest import GroupsSettings, ReadersSettings
from rag_pipeline.sources.rest.pages import Api, Unwhole
from rag_pipeline.sources.rest.values import text_of, value_at
from rag_pipeline.sources.rows import principals_in

# What these mean of a list that belongs to one object: it is closed.
_REFUSED = (403, 404, 410)


class Readers:
    """Who may read the objects of one listing. What several objects share is asked once.

    Args:
        field: Field of an object that names them, beside the lists.
    """

    def __init__(self, api: Api, field: str | None, lists: Sequence[ReadersSettings]) -> None:
        self._api = api
        self._field = field
        self._lists = lists
        self._known: dict[str, frozenset[str] | None] = {}
        self._above: dict[str, Sequence[str]] = {}

    def of(self, entry: Any, name: str) -> tuple[str, ...] | None:
        """Who may read an object. None: nothing here says it, and the settings do.

        Raises:
            Unwhole: The server does not answer.
        """
        if self._field is None and not self._lists:
            return None
        sets: list[frozenset[str]] = []
        if self._field is not None:
            sets.append(_principals(principals_in(value_at(entry, self._field))))
        for number, readers in enumerate(self._lists):
            try:
                asked_for = self._asked_for(readers, f"readers.{number}", entry, name)
            except Unwhole as error:
                if error.status not in _REFUSED:
                    raise
                # What this object depends on may not be looked at, so the object is closed.
                return ()
            for each in asked_for:
                named = self._named(readers, f"readers.{number}", {"id": name, "each": each})
                if named is not None:
                    sets.append(named)
        # Where no list restricts anything nobody has said who may: unknown is nobody.
        return tuple(sorted(frozenset.intersection(*sets))) if sets else ()

    def _asked_for(self, readers: ReadersSettings, where: str, entry: Any, name: str) -> Sequence[str]:
        """What a list is asked for, once for each; "" where it is asked for the object alone."""
        if readers.each_of is not None:
            if name not in self._above:
                members = self._api.walk(readers.each_of, f"{where}.each_of", {"id": name})
                self._above[name] = [text_of(value_at(member, readers.each_of.field)) for member in members]
            return self._above[name]
        if readers.each is None:
            return [""]
        values = value_at(entry, readers.each)
        if values is None:
            # What is not told may hold a restriction.
            raise Unwhole(f"`{where}.each`: {name[:100]} has no {readers.each}.")
        return [text_of(each) for each in (values if isinstance(values, list) else [values])]

    def _named(self, readers: ReadersSettings, where: str, values: Mapping[str, str]) -> frozenset[str] | None:
        """Who a list names; None: it restricts nothing. One that belongs to an object and may not be read: nobody."""
        url = self._api.url(readers.path, readers.params, values)
        if url not in self._known:
            try:
                self._known[url] = self._asked(readers, where, values)
            except Unwhole as error:
                if error.status not in _REFUSED or "{" not in "".join([readers.path, *readers.params.values()]):
                    raise
                self._known[url] = frozenset()
        return self._known[url]

    def _asked(self, readers: ReadersSettings, where: str, values: Mapping[str, str]) -> frozenset[str] | None:
        others: set[str] = set()
        walked = self._api.walk(readers, where, values, lambda body: others.update(_not_empty(body, readers.others)))
        told = [member for member in walked if _fits(member, readers.only)]
        named = [value_at(member, readers.field) for member in told if _fits(member, readers.person)]
        people, groups = _texts(named), []
        if readers.groups is not None:
            wanted = [value_at(member, readers.groups.at) for member in told if _fits(member, readers.groups.only)]
            named += wanted
            groups = _texts(wanted)
            people += [each for group in groups for each in self._members(readers.groups, where, group)]
        # Where what would hold the names is missing, it is not known that there are none.
        is_known = None not in named and (bool(told) or not readers.only)
        if readers.empty == "everybody" and is_known and not (people or groups or others):
            return None
        return _principals(people)

    def _members(self, groups: GroupsSettings, where: str, group: str) -> Sequence[str]:
        """Members of a group; none of one that is gone or may not be read."""
        url = self._api.url(groups.path, groups.params, {"group": group})
        if url not in self._known:
            try:
                found = _texts(
                    value_at(member, groups.field)
                    for member in self._api.walk(groups, f"{where}.groups", {"group": group})
                )
            except Unwhole as error:
                if error.status not in _REFUSED:
                    raise
                found = []
            self._known[url] = frozenset(found)
        return sorted(self._known[url] or ())


def _fits(member: Any, wanted: Mapping[str, str]) -> bool:
    return all(text_of(value_at(member, path)) == value for path, value in wanted.items())


def _texts(found: Iterable[Any]) -> list[str]:
    """Names, those within lists too; what is no text names nobody."""
    texts = []
    for value in found:
        texts += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str) and each]
    return texts


def _not_empty(body: Any, paths: Iterable[str]) -> Iterator[str]:
    """Which of the lists are not empty; what is no list may be anything."""
    return (path for path in paths if value_at(body, path) != [])


def _principals(found: Iterable[str]) -> frozenset[str]:
    kept = set()
    for name in found:
        try:
            kept.add(principal(name))
        except ValueError:
            # A name that looks like somebody else's is nobody's.
            continue
    return frozenset(kept)
