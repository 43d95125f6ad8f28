"""Erased bytes come through no door of a source, and a wrapped source can do what it could."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rag_pipeline.contracts.erasures import Erased, Tombstone, place_hash
from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import (
    Capabilities,
    DeclaredMetadata,
    FetchedObject,
    FetchesTogether,
    Idle,
    Remembered,
    RemembersListings,
    Samples,
    SourceObject,
)
from rag_pipeline.errors import DocumentErased, DocumentError
from rag_pipeline.refresh.fetching import Fetching
from rag_pipeline.sources.erased import without_erased

LOST, KEPT = b"the southern shed", b"the ferry leaves"
STONE = Tombstone("e", place_hash("docs", "old.md"), (bytes_hash(LOST),), by_content=True, erased_at="now")
ITEMS = [SourceObject(name, f"docs/{name}", None, None, "s") for name in ("kept.md", "new.md", "old.md")]


def _bytes(item: SourceObject) -> bytes:
    return KEPT if item.address == "kept.md" else LOST


class Plain:
    name = "docs"
    fetch_threads = 1
    capabilities = Capabilities()

    def list(self) -> Sequence[SourceObject]:
        return ITEMS

    def idle(self) -> Sequence[Idle]:
        return []

    def fetch(self, item: SourceObject) -> FetchedObject:
        return FetchedObject(_bytes(item), DeclaredMetadata())


class Giving(Plain):
    def list(self) -> Sequence[SourceObject]:
        return [replace(item, raw=_bytes(item)) for item in ITEMS]


class Reading(Plain):
    told: Mapping[str, Remembered] | None = None

    def list(self) -> Sequence[SourceObject]:
        return [replace(item, read=lambda item=item: _bytes(item)) for item in ITEMS]  # type: ignore[misc]

    def remember(self, known: Mapping[str, Remembered]) -> None:
        self.told = known

    def sample(self, count: int) -> Sequence[SourceObject]:
        return self.list()[:count]


class Together(Plain):
    def fetch_together(self, items: Sequence[SourceObject]) -> Sequence[FetchedObject | DocumentError]:
        return [self.fetch(item) for item in items]


@pytest.mark.parametrize("kind", [Plain, Giving, Reading, Together])
def test_erased_bytes_are_refused_however_a_source_gives_them(kind: type[Any]) -> None:
    source = without_erased(kind(), Erased((STONE,)))
    taken = list(Fetching(source).fetched(source.list()))
    assert [item.address for item, _ in taken] == ["kept.md", "new.md"]
    assert isinstance(taken[0][1], FetchedObject)
    assert isinstance(taken[1][1], DocumentErased)


@pytest.mark.parametrize("kind", [Plain, Reading, Together])
def test_what_a_source_can_do_is_told_by_the_class_of_the_wrapped_one(kind: type[Any]) -> None:
    inner = kind()
    source = without_erased(inner, Erased((STONE,)))
    for protocol, method in ((FetchesTogether, "fetch_together"), (RemembersListings, "remember"), (Samples, "sample")):
        assert hasattr(type(source), method) is hasattr(kind, method)
        assert isinstance(source, protocol) is hasattr(kind, method)
    if isinstance(source, RemembersListings):
        source.remember({"a": Remembered("s")})
        assert inner.told == {"a": Remembered("s")}
    if isinstance(source, Samples):
        assert [item.address for item in source.sample(3)] == ["kept.md", "new.md"]
