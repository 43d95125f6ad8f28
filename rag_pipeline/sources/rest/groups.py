"""Groups of an API: a list of them, and of each its members.

Belongs here: what an empty, refused or broken list of members means.
Does not belong here: walking pages (`pages.py`), who may read an object (`readers.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rag_pipeline.contracts.groups import MOST_MEMBERSHIPS, Membership, Memberships
from rag_pipeline.settings.sources.rest import ListSettings, MembersSettings
from rag_pipeline.sources.rest.pages import Api, Unwhole
from rag_pipeline.sources.rest.readers import REFUSED, names_in
from rag_pipeline.sources.rest.values import fits, leaves

# So many groups that a server breaks at one after the other are no fault of single groups.
_MOST_BROKEN = 3


def memberships_of_api(api: Api, fields: Mapping[str, Any]) -> Memberships:
    """Who is in which group. A group whose members may not be seen has none; where the server breaks they are unknown.

    Raises:
        Unwhole: The list of groups, or one of members, cannot be read to its end.
    """
    return _Groups(api, fields).read()


class _Groups:
    def __init__(self, api: Api, fields: Mapping[str, Any]) -> None:
        self._api = api
        self._fields = fields
        self._broken = 0
        self._unknown: set[str] = set()
        self._ids: dict[str, str] = {}

    def read(self) -> Memberships:
        found: list[Membership] = []
        for entry, name, key in self._all():
            found += self._of(entry, name, key)
            if len(found) > MOST_MEMBERSHIPS:
                raise Unwhole(f"`groups.list`: there are more than {MOST_MEMBERSHIPS:,} memberships.")
        return Memberships(tuple(found), frozenset(self._unknown))

    def _all(self) -> Iterator[tuple[Any, str, str]]:
        """What is said of each group, its name, and what takes its place in paths."""
        for name in self._fields["names"] or ():
            yield {}, name, name
        if self._fields["list"] is not None:
            for entry in self._whole(self._fields["list"], "groups.list", {}):
                name = self._one(entry, "name")
                yield entry, name, name if self._fields["id"] is None else self._one(entry, "id")

    def _of(self, entry: Any, name: str, key: str) -> Iterator[Membership]:
        if self._ids.setdefault(name, key) != key:
            raise Unwhole(
                f"`groups.name`: two groups have the same {self._fields['name']}, and members of the one would count "
                f"as those of the other. Name a field that is unique, like a path or `id`."
            )
        for field, is_group in (("member", False), ("subgroup", True)):
            if self._fields[field] is not None:
                for member in names_in([leaves(entry, self._fields[field])]):
                    yield Membership(name, member, is_group)
        for field, is_group in (("members", False), ("subgroups", True)):
            if self._fields[field] is not None:
                for member in self._members(self._fields[field], f"groups.{field}", name, key):
                    yield Membership(name, member, is_group)

    def _one(self, entry: Any, field: str) -> str:
        names = names_in([leaves(entry, self._fields[field])])
        if len(names) != 1:
            raise Unwhole(f"`groups.{field}`: a group has no {self._fields[field]} that is one number or text.")
        return names[0]

    def _members(self, settings: MembersSettings, where: str, name: str, key: str) -> list[str]:
        try:
            entries = self._whole(settings, where, {"group": key})
        except Unwhole as error:
            if error.status in REFUSED:
                return []
            self._broken += error.status >= 500
            if error.status < 500 or self._broken >= _MOST_BROKEN:
                raise
            self._unknown.add(name)
            return []
        self._broken = 0
        return names_in(leaves(entry, settings.field) for entry in entries if fits(entry, settings.only))

    def _whole(self, settings: ListSettings, where: str, values: Mapping[str, str]) -> list[Any]:
        entries = list(self._api.walk(settings, where, values))
        # Pages by number skip somebody when one before them goes.
        if settings.pages.is_read_twice and entries != list(self._api.walk(settings, where, values)):
            raise Unwhole(f"`{where}`: the list is another one each time it is read.", moved=True)
        return entries
