"""A hundred thousand objects of folders, tables, repositories and archives are listed in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from rag_pipeline.testing import SourceWorld
from rag_pipeline_tests.sources.test_conformance import ArchiveWorld, FolderWorld, RepositoryWorld, TableWorld

FEW, MANY = 10_000, 100_000
# What grows with the objects takes no more for each of many; a table of names doubles where it is full.
IN_STEP = 1.2 * MANY / FEW
# What holds no object but those of one part.
FLAT = 3.0


WORLDS: dict[str, tuple[Callable[[Path], SourceWorld], float]] = {
    # Names of one folder are held while it is read.
    "files": (FolderWorld, IN_STEP),
    "sql": (lambda folder: TableWorld(folder, revision="revision"), FLAT),
    "archive zip": (lambda folder: ArchiveWorld(folder, "export.zip"), IN_STEP),
    "archive tar": (lambda folder: ArchiveWorld(folder, "export.tar.gz"), IN_STEP),
    "git": (RepositoryWorld, IN_STEP),
}


@pytest.mark.parametrize("kind", WORLDS)
def test_many_objects_take_no_more_memory_each_than_few(kind: str, tmp_path: Path) -> None:
    make, factor = WORLDS[kind]
    peaks = []
    for count in (FEW, MANY):
        folder = tmp_path / str(count)
        folder.mkdir()
        world = make(folder)
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
