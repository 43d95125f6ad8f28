"""Faults while what a source says is read, compared and recorded in bronze."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.refresh import bronze, known
from rag_pipeline.sources.local import LocalFiles
from rag_pipeline_tests.pipeline.project import Project

Fault = Callable[[Project, pytest.MonkeyPatch], None]
RECORDING: dict[str, Fault] = {}


def raising(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


for error in (KeyError("k"), MemoryError(), OSError(errno.EIO, "Input/output error")):

    def recording_raises(_: Project, patch: pytest.MonkeyPatch, error: BaseException = error) -> None:
        patch.setattr(bronze, "media_type_of", raising(error))

    def comparing_raises(_: Project, patch: pytest.MonkeyPatch, error: BaseException = error) -> None:
        for module in (bronze, known):
            patch.setattr(module, "plan_listing", raising(error))

    RECORDING[f"recording raises {type(error).__name__}"] = recording_raises
    RECORDING[f"comparing raises {type(error).__name__}"] = comparing_raises


def listing_breaks_off(_: Project, patch: pytest.MonkeyPatch) -> None:
    """The first listing of each source fails with an error of nobody's; it answers when it is asked again."""
    lists, asked = LocalFiles.list, set()

    def once(self: LocalFiles) -> Any:
        if self.name not in asked:
            asked.add(self.name)
            raise KeyError("k")
        return lists(self)

    patch.setattr(LocalFiles, "list", once)


def breaks_at_the_door(error: BaseException) -> Fault:
    """What was edited cannot be read: everything that the listing says of others holds all the same."""
    fetch = LocalFiles.fetch

    def at_the_door(self: LocalFiles, item: Any) -> Any:
        if item.address == "door.md":
            raise error
        return fetch(self, item)

    return lambda _, patch: patch.setattr(LocalFiles, "fetch", at_the_door)


for error in (SourceUnavailable("it went away"), KeyError("k"), MemoryError(), SystemExit(2), RecursionError()):
    RECORDING[f"reading raises {type(error).__name__}"] = breaks_at_the_door(error)


RECORDING["listing_breaks_off"] = listing_breaks_off
