"""Who may read an object of an API: whoever the server shows it to when it is asked as that person.

Belongs here: asking the list as each person, and what a refused or broken answer means.
Does not belong here: lists of readers (`readers.py`), objects (`source.py`).

Rules of roles, trackers and private objects are the server's own; nothing here knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rag_pipeline.contracts.names import principal
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.settings.sources.rest import ListSettings, SeenBySettings
from rag_pipeline.sources.rest.pages import Api, Unwhole
from rag_pipeline.sources.rest.readers import MOST_BROKEN, REFUSED, names_in
from rag_pipeline.sources.rest.values import fits, leaves, text_of, value_at

_WHERE = "seen_by"


class Seen:
    """Which objects the list of an API holds for each of its people.

    It is read once the texts are there: an answer of before may be older than a restriction that a text was written
    under. Pages by number may skip an object that moves meanwhile; then somebody reads less until the next run.

    Args:
        address_of: The address of an object as a list names it.

    Raises:
        Unwhole: The server does not answer, or does not answer as the person that it is asked as.
    """

    def __init__(
        self, api: Api, settings: SeenBySettings, listed: ListSettings, address_of: Callable[[Any], str]
    ) -> None:
        self._api = api
        self._settings = settings
        self._listed = listed
        self._broken = 0
        people = self._people()
        self._by_person = {name: set(map(address_of, self._shown_to(login))) for name, login in people.items()}

    def narrowed(self, address: str, known: Iterable[str] | None) -> tuple[str, ...]:
        """Who is shown an object; of those who may read it by something else, if there is such a thing."""
        record = address.partition("/")[0]
        shown = {name for name, addresses in self._by_person.items() if record in addresses}
        return tuple(sorted(shown if known is None else shown.intersection(known)))

    def _people(self) -> dict[str, str]:
        """Names to ask as, by principal; whoever cannot be told from somebody else reads nothing."""
        found: dict[str, str] = {}
        doubled: set[str] = set()
        for entry in self._api.walk(self._settings, _WHERE, {}):
            for login in names_in([leaves(entry, self._settings.field)]) if fits(entry, self._settings.only) else ():
                name = _principal(login)
                if name is None or not _fits_a_header(login):
                    continue
                if found.setdefault(name, login) != login:
                    doubled.add(name)
        return {name: login for name, login in found.items() if name not in doubled}

    def _shown_to(self, login: str) -> Iterable[Any]:
        """Entries of the list as it is for somebody. Refused: nothing, as where the server breaks at a few."""
        asked_as = {self._settings.header: login}
        try:
            self._prove(login, asked_as)
            found = list(self._api.walk(self._listed, _WHERE, {}, headers=asked_as))
        except Unwhole as error:
            self._broken += error.status >= 500
            if error.status in (401, *REFUSED) or (error.status >= 500 and self._broken < MOST_BROKEN):
                return ()
            raise
        self._broken = 0
        return found

    def _prove(self, login: str, asked_as: Mapping[str, str]) -> None:
        """See that the server does as the header says: one that does not know it shows everybody everything."""
        path, field = self._settings.who_path, self._settings.who_field
        body, _ = self._api.get(self._api.url(path, {}, {}), f"{_WHERE}.who_path", headers=asked_as)
        if text_of(value_at(body, field)) != login:
            raise Unwhole(
                f"`{_WHERE}.header`: the server does not answer as the person that it is asked as. Correct `header`, "
                f"or let `auth` be of an account that may ask as others."
            )


def _principal(login: str) -> str | None:
    try:
        name = principal(login)
    except ValueError:
        # A name that looks like somebody else's is nobody's.
        return None
    # A person of that name is not everybody.
    return None if name == PUBLIC else name


def _fits_a_header(login: str) -> bool:
    return login.isascii() and login.isprintable() and login == login.strip()
