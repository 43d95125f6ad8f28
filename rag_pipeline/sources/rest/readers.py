"""Who may read an object of an API: whoever every one of several lists names.

Belongs here: asking those lists, groups among them, and what an empty, refused or broken one means.
Does not belong here: objects (`source.py`), walking pages (`pages.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rag_pipeline.contracts.names import principal
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.settings.sources.rest import GroupsSettings, ListSettings, ReadersSettings
from rag_pipeline.sources.rest.pages import Api, Unwhole
from rag_pipeline.sources.rest.values import fits, leaves, text_of, value_at
from rag_pipeline.sources.rows import principals_in

# What these mean of a list that belongs to one object: it is closed.
REFUSED = (403, 404, 410)
# So many lists that a server breaks at one after the other are no fault of single objects.
MOST_BROKEN = 3


class Readers:
    """Who may read the objects of one listing. What several objects share is asked once.

    Args:
        field: Field of an object that names them, beside the lists.
        groups: Groups that may read all of them, as documents name them, if the others let them.
    """

    def __init__(
        self, api: Api, field: str | None, lists: Sequence[ReadersSettings], groups: Sequence[str] = ()
    ) -> None:
        self._api = api
        # A group of that name is not everybody.
        self._groups = _principals(groups) - {PUBLIC}
        self._has_groups = bool(groups)
        self._field = field
        self._lists = lists
        # By what an answer is taken for, too: two lists may read the same one for other names.
        self._known: dict[tuple[str, str], frozenset[str] | None] = {}
        self._above: dict[tuple[str, str], Sequence[str] | None] = {}
        self._broken = 0

    def of(self, entry: Any, name: str) -> tuple[str, ...] | None:
        """Who may read an object. None: nothing here says it, and the settings do.

        Raises:
            Unwhole: The server does not answer.
        """
        if self._field is None and not self._lists and not self._has_groups:
            return None
        sets: list[frozenset[str]] = [self._groups] if self._has_groups else []
        if self._field is not None:
            sets.append(_principals(principals_in(value_at(entry, self._field))))
        for number, readers in enumerate(self._lists):
            try:
                asked_for = self._asked_for(readers, f"readers.{number}", entry, name)
            except Unwhole as error:
                if not self._closes(error):
                    raise
                asked_for = None
            if asked_for is None:
                # What this object depends on may not be looked at, so the object is closed.
                return ()
            for each in asked_for:
                named = self._named(readers, f"readers.{number}", {"id": name, "each": each})
                if named is not None:
                    sets.append(named)
        # Where no list restricts anything nobody has said who may: unknown is nobody.
        return tuple(sorted(frozenset.intersection(*sets))) if sets else ()

    def _asked_for(self, readers: ReadersSettings, where: str, entry: Any, name: str) -> Sequence[str] | None:
        """What a list is asked for, once for each; "" where it is asked for the object alone. None: it is not known."""
        if readers.each_of is not None:
            key = where, name
            if key not in self._above:
                members = list(self._api.walk(readers.each_of, f"{where}.each_of", {"id": name}))
                self._broken = 0
                is_whole = readers.each_of.most is None or len(members) < readers.each_of.most
                names = [text_of(value_at(member, readers.each_of.field)) for member in members]
                self._above[key] = names if is_whole else None
            return self._above[key]
        if readers.each is None:
            return [""]
        values = value_at(entry, readers.each)
        if values is None:
            # What is not told may hold a restriction.
            raise Unwhole(f"`{where}.each`: {name[:100]} has no {readers.each}.")
        return [text_of(each) for each in (values if isinstance(values, list) else [values])]

    def _named(self, readers: ReadersSettings, where: str, values: Mapping[str, str]) -> frozenset[str] | None:
        """Who a list names; None: it restricts nothing. One that belongs to an object and may not be read: nobody."""
        key = self._api.url(readers.path, readers.params, values), _meaning(readers, "each", "each_of")
        if key not in self._known:
            try:
                self._known[key] = self._asked(readers, where, values)
            except Unwhole as error:
                if not _is_asked_for_each(readers) or not self._closes(error):
                    raise
                self._known[key] = frozenset()
        return self._known[key]

    def _asked(self, readers: ReadersSettings, where: str, values: Mapping[str, str]) -> frozenset[str] | None:
        others: set[str] = set()
        pages = self._api.walk(readers, where, values, lambda body: others.update(_not_empty(body, readers.others)))
        walked = list(pages)
        self._broken = 0
        told = [member for member in walked if fits(member, readers.only)]
        found = [list(leaves(member, readers.field)) if fits(member, readers.person) else [] for member in told]
        people, groups = names_in(found), []
        is_read = [fits(member, readers.person) for member in told]
        if readers.groups is not None:
            is_group = [fits(member, readers.groups.only) for member in told]
            wanted = [list(leaves(each, readers.groups.at)) for each, fits in zip(told, is_group, strict=True) if fits]
            groups = names_in(wanted)
            found += wanted
            is_read = [any(each) for each in zip(is_read, is_group, strict=True)]
            for group in groups:
                people += self._members(readers.groups, where, group, is_for_each=_is_asked_for_each(readers))
        # An empty list restricts nothing. An entry that names somebody in another way than is read here restricts.
        is_empty = all(is_read) and not any(found) and (bool(told) or not readers.only)
        if readers.empty == "everybody" and is_empty and not others:
            return None
        # A person of that name is not everybody.
        return _principals(people) - {PUBLIC}

    def _closes(self, error: Unwhole) -> bool:
        """Whether a list that cannot be read closes what it belongs to, and the source goes on.

        A server may break at one object for ever, and what closes the others must take effect all the same.
        """
        if error.status in REFUSED:
            return True
        self._broken += error.status >= 500
        return error.status >= 500 and self._broken < MOST_BROKEN

    def _members(self, groups: GroupsSettings, where: str, group: str, *, is_for_each: bool) -> Sequence[str]:
        """Members of a group; none of one that is gone or may not be read.

        Args:
            is_for_each: Whether the list that names it is one object's.
        """
        key = self._api.url(groups.path, groups.params, {"group": group}), _meaning(groups, "at", "only")
        if key not in self._known:
            try:
                members = list(self._api.walk(groups, f"{where}.groups", {"group": group}))
                self._broken = 0
                found = names_in(leaves(member, groups.field) for member in members)
            except Unwhole as error:
                if error.status not in REFUSED and not (is_for_each and self._closes(error)):
                    raise
                found = []
            self._known[key] = frozenset(found)
        return sorted(self._known[key] or ())


def _is_asked_for_each(readers: ReadersSettings) -> bool:
    return "{" in "".join([readers.path, *readers.params.values()])


def _meaning(settings: ListSettings, *but: str) -> str:
    """What of an answer is taken, whatever it is asked for."""
    return f"{type(settings).__name__} {settings.model_dump(exclude={'path', 'params', *but})}"


def names_in(found: Iterable[Iterable[Any]]) -> list[str]:
    """Names, which may be numbers; what is neither names nobody."""
    values = [each for some in found for each in some]
    return [str(each) for each in values if isinstance(each, (str, int)) and not isinstance(each, bool) and each != ""]


def _not_empty(body: Any, paths: Iterable[str]) -> Iterator[str]:
    """Which of the lists are not empty; what is no list may be anything."""
    return (path for path in paths if any(True for _ in leaves(body, path)))


def _principals(found: Iterable[str]) -> frozenset[str]:
    kept = set()
    for name in found:
        try:
            kept.add(principal(name))
        except ValueError:
            # A name that looks like somebody else's is nobody's.
            continue
    return frozenset(kept)
