"""Sizes of git's objects, told before anything is unpacked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich.objects import Blob
from dulwich.pack import write_pack_objects
from dulwich.repo import Repo

from rag_pipeline.sources.git.repository import Repository
from rag_pipeline.sources.git.sizes import largest_of
from rag_pipeline_tests.sources.repositories import Maker, git_source


def blobs() -> list[Blob]:
    chance = random.Random(7)
    text = chance.randbytes(30_000)
    # Each differs a little from the one before, so that packs hold differences of differences.
    edits = [text[: number * 100] + bytes([number]) + text[number * 90 :] for number in range(1, 30)]
    return [Blob.from_string(each) for each in (b"", b"x", b"y" * 15, b"z" * 16, b"w" * 2_100_000, *edits)]


@pytest.fixture(params=["loose", "packed", "differences"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Repo]:
    with Repo.init_bare(str(tmp_path)) as repo:
        if request.param == "loose":
            for blob in blobs():
                repo.object_store.add_object(blob)
        else:
            file, commit, _ = repo.object_store.add_pack()
            write_pack_objects(file, blobs(), deltify=request.param == "differences", object_format=repo.object_format)
            commit()
        yield repo


def test_sizes_are_those_of_what_is_read(repository: Repo) -> None:
    for blob in blobs():
        found = largest_of(repository.object_store, blob.id)
        assert found is not None
        assert found[0] == len(blob.data)
        assert found[1] >= found[0]
    assert largest_of(repository.object_store, b"0" * 40) is None


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker(tmp_path / "code.git")
    maker.commit({"bomb.txt": b"0" * 3_000_000, "a.md": b"a", "b.md": b"b" * 1_001})
    read: list[int] = []
    reads = Repository.read

    def counted(self: Repository, id_: bytes) -> bytes:
        raw = reads(self, id_)
        read.append(len(raw))
        return raw

    monkeypatch.setattr(Repository, "read", counted)
    source = git_source(maker.path, max_document_bytes=1_000)
    listed = {item.address: (item.size_bytes, item.problem and item.problem.code) for item in source.list()}
    assert listed == {"a.md": (1, None), "b.md": (1_001, "too_large"), "bomb.txt": (3_000_000, "too_large")}
    assert max(read) < 1_000
