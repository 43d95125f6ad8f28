"""A hundred thousand objects of each kind but sites, which are walked page by page, are listed in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from rag_pipeline.testing import SourceWorld
from rag_pipeline_tests.sources.site import Site
from rag_pipeline_tests.sources.test_conformance import ArchiveWorld, FolderWorld, RepositoryWorld, TableWorld
from rag_pipeline_tests.sources.test_mail_conformance import MaildirWorld, MboxWorld
from rag_pipeline_tests.sources.test_rest import ApiWorld
from rag_pipeline_tests.sources.test_web_conformance import FeedWorld

FEW, MANY = 10_000, 100_000
# What grows with the objects takes no more for each of many; a table of names doubles where it is full.
IN_STEP = 1.2 * MANY / FEW
# What holds no object but those of one part.
FLAT = 3.0

Make = Callable[[Path, ExitStack], SourceWorld]


def a_feed(folder: Path, at_end: ExitStack) -> SourceWorld:
    world = FeedWorld(folder, keep=False)
    at_end.callback(world.site.close)
    return world


def an_api(_: Path, at_end: ExitStack) -> SourceWorld:
    site = Site()
    at_end.callback(site.close)
    pages = {"type": "cursor", "field": "next", "param": "cursor", "size_param": "limit", "size": 1_000}
    return ApiWorld(site, detail=None, revision=[], list={"path": "items", "items": "items", "pages": pages})


WORLDS: dict[str, tuple[Make, float]] = {
    # Names of one folder are held while it is read.
    "files": (lambda folder, _: FolderWorld(folder), IN_STEP),
    "sql": (lambda folder, _: TableWorld(folder, revision="revision"), FLAT),
    "archive zip": (lambda folder, _: ArchiveWorld(folder, "export.zip"), IN_STEP),
    "archive tar": (lambda folder, _: ArchiveWorld(folder, "export.tar.gz"), IN_STEP),
    "git": (lambda folder, _: RepositoryWorld(folder), IN_STEP),
    "mail Maildir": (lambda folder, _: MaildirWorld(folder), IN_STEP),
    "mail mbox": (lambda folder, _: MboxWorld(folder), IN_STEP),
    "feed": (a_feed, IN_STEP),
    "rest": (an_api, IN_STEP),
}


@pytest.mark.parametrize("kind", WORLDS)
def test_many_objects_take_no_more_memory_each_than_few(kind: str, tmp_path: Path) -> None:
    make, factor = WORLDS[kind]
    peaks = []
    for count in (FEW, MANY):
        folder = tmp_path / str(count)
        folder.mkdir()
        with ExitStack() as at_end:
            world = make(folder, at_end)
            world.fill(count)
            source = world.source()
            tracemalloc.start()
            try:
                listed = source.list()
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
            assert len(listed) == count
    assert peaks[1] <= factor * peaks[0], f"{peaks[0]:,} bytes for {FEW:,}, {peaks[1]:,} for {MANY:,}"
