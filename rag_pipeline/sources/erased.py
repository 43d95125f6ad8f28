"""A source as it is without what was erased from the lake.

Belongs here: leaving erased addresses out of listings, and refusing erased bytes under another name.
Does not belong here: which those are (`contracts/erasures.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from rag_pipeline.contracts.erasures import Erased, place_hash
from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import FetchedObject, Source, SourceObject
from rag_pipeline.errors import DocumentErased


class WithoutErased:
    """Lists and fetches like the source it is made of, but what was erased is not there."""

    def __init__(self, source: Source, erased: Erased) -> None:
        self._source = source
        self._erased = erased

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def list(self) -> Sequence[SourceObject]:
        """As the source lists; objects at an erased address are not named."""
        name, places = self._source.name, self._erased.places
        listed = [item for item in self._source.list() if place_hash(name, item.address) not in places]
        return [self._refused(item) for item in listed] if self._erased.contents else listed

    def fetch(self, item: SourceObject) -> FetchedObject:
        """As the source fetches.

        Raises:
            DocumentErased: The bytes are those of an erased document.
        """
        fetched = self._source.fetch(item)
        if bytes_hash(fetched.raw) in self._erased.contents:
            raise _erased()
        return fetched

    def _refused(self, item: SourceObject) -> SourceObject:
        if item.raw is None or bytes_hash(item.raw) not in self._erased.contents:
            return item
        return replace(item, raw=None, problem=_erased())


def without_erased(source: Source, erased: Erased) -> Source:
    """The source itself where nothing was erased."""
    if not erased:
        return source
    return cast("Source", WithoutErased(source, erased))


def _erased() -> DocumentErased:
    return DocumentErased(
        "its bytes are those of a document that was erased, and are not taken in under any name. If they may come "
        "back: rag-pipeline erase --release with the id on the certificate"
    )
