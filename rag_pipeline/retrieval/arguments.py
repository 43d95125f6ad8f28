"""Arguments of a search: names and texts that can be asked with.

Belongs here: refusing what is no name or no text, with what to type instead.
Does not belong here: what a name is (`contracts/names.py`), searching (`search.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.names import principal
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import BadQuery
from rag_pipeline.retrieval.windows import WINDOWS_BY

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def checked_principals(principals: Iterable[str]) -> set[str]:
    """Who asks, as permissions are stored, and `public`.

    Raises:
        BadQuery: Nobody asks, or a name is none or looks like another.
    """
    given = _listed(principals)
    if not given:
        raise BadQuery("say who asks: principals must hold at least one name, like public")
    try:
        return {principal(name) for name in given} | {PUBLIC}
    except ValueError as error:
        raise BadQuery(f"principals must be non-empty strings; {error}") from error


def checked_names(what: str, names: Iterable[str]) -> set[str]:
    """Names that are compared as they are, like those of sources.

    Raises:
        BadQuery: One of them is no text.
    """
    given = _listed(names)
    for name in given:
        if not is_text(name):
            raise BadQuery(f"{what} must be strings, not {name!r}")
    return set(given)


def chosen_of(principals: frozenset[str], sources: Sequence[str] | None, limits: Filter | None) -> Filter:
    """The filter of a search for a caller with these principals, whatever `limits` says of who asks."""
    chosen = replace(limits or Filter(frozenset()), principals=principals)
    if sources is not None:
        chosen = replace(chosen, sources=tuple(sorted(checked_names("sources", sources))))
    return chosen


def checked_window(by: str, max_tokens: int) -> None:
    """Refuse what is no budget or no kind of window.

    Raises:
        BadQuery: It is none.
    """
    if by not in WINDOWS_BY:
        raise BadQuery(f"there are no windows by {by!r}; allowed: {', '.join(WINDOWS_BY)}")
    if not isinstance(max_tokens, int) or max_tokens < 1:
        raise BadQuery(f"max_tokens is {max_tokens!r}, want a whole number from 1 on")


def is_text(value: object) -> bool:
    """Whether it can be stored as UTF-8, which half a surrogate pair cannot."""
    return isinstance(value, str) and _LONE_SURROGATE.search(value) is None


def _listed(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else [names]
