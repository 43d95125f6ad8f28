"""Everything that is not a local folder, shown on fsspec's memory filesystem."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from rag_pipeline.contracts.sources import DeclaredMetadata, FetchedObject, SourceSpec
from rag_pipeline.errors import (
    DocumentTooLarge,
    DocumentUnreadable,
    DocumentVanished,
    InvalidMetadata,
    SourceUnavailable,
)
from rag_pipeline.sources import open_source


@pytest.fixture
def bucket() -> Iterator[MemoryFileSystem]:
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    yield filesystem
    filesystem.store.clear()


def source_of(**settings: Any) -> Any:
    return open_source(SourceSpec("wiki", "memory://bucket/docs/", **settings))


def put(bucket: MemoryFileSystem, address: str, content: bytes = b"text") -> None:
    bucket.pipe_file(f"/bucket/docs/{address}", content)


def test_objects_are_listed_below_the_prefix(bucket: MemoryFileSystem) -> None:
    for address in ("b.md", "x/a.md", ".hidden.md", "x/drafts/c.md", "x/a.md.META.yaml"):
        put(bucket, address)
    bucket.pipe_file("/bucket/other.md", b"")
    items = source_of(exclude=("**/drafts/**",)).list()
    assert [item.address for item in items] == ["b.md", "x/a.md"]
    assert [item.uri for item in items] == ["memory://bucket/docs/b.md", "memory://bucket/docs/x/a.md"]
    assert items[0].size_bytes == 4


def test_a_whole_filesystem_can_be_a_source(bucket: MemoryFileSystem) -> None:
    put(bucket, "a.md")
    source = open_source(SourceSpec("x", "memory://"))
    (item,) = source.list()
    assert (item.address, item.uri) == ("bucket/docs/a.md", "memory://bucket/docs/a.md")
    assert source.fetch(item).raw == b"text"


@pytest.mark.parametrize("content", [b"", b"text", b"x" * 10_000])
def test_an_object_is_read_whole(bucket: MemoryFileSystem, content: bytes) -> None:
    put(bucket, "100% new\nline.md", content)
    source = source_of()
    (item,) = source.list()
    assert source.fetch(item) == FetchedObject(content, DeclaredMetadata())


def test_a_stamp_changes_exactly_with_its_object_and_sidecar(bucket: MemoryFileSystem) -> None:
    for address in ("a.md", "b.md", "a.md.meta.json"):
        put(bucket, address, b"{}")
    source = source_of()
    before = {item.address: item.stamp for item in source.list()}
    assert {item.address: item.stamp for item in source.list()} == before
    put(bucket, "a.md.meta.json", b"[]")
    after = {item.address: item.stamp for item in source.list()}
    assert after["b.md"] == before["b.md"]
    assert after["a.md"] != before["a.md"]


def test_a_sidecar_is_read_and_fails_closed(bucket: MemoryFileSystem) -> None:
    put(bucket, "a.md")
    put(bucket, "a.md.meta.yaml", b"allowed_principals: [hr]")
    source = source_of()
    (item,) = source.list()
    assert source.fetch(item).declared.allowed_principals == ("hr",)
    put(bucket, "a.md.meta.yaml", b"allowed_principals: 5")
    with pytest.raises(InvalidMetadata):
        source.fetch(item)
    bucket.rm_file("/bucket/docs/a.md.meta.yaml")
    with pytest.raises(InvalidMetadata):
        source.fetch(item)


def test_two_sidecars_contradict_each_other(bucket: MemoryFileSystem) -> None:
    for address in ("a.md", "a.md.meta.yaml", "a.md.meta.json"):
        put(bucket, address)
    (item,) = source_of().list()
    assert isinstance(item.problem, InvalidMetadata)


def test_an_object_over_the_limit_is_not_fetched(bucket: MemoryFileSystem, monkeypatch: Any) -> None:
    put(bucket, "a.md", b"x" * 100)
    source = source_of(max_document_bytes=50)
    (item,) = source.list()
    monkeypatch.setattr(MemoryFileSystem, "cat_file", None)
    monkeypatch.setattr(MemoryFileSystem, "_open", None)
    with pytest.raises(DocumentTooLarge):
        source.fetch(item)


def test_an_object_that_grew_is_read_again_up_to_the_limit(bucket: MemoryFileSystem) -> None:
    put(bucket, "a.md", b"small")
    source = source_of(max_document_bytes=50)
    (item,) = source.list()
    put(bucket, "a.md", b"x" * 40)
    assert source.fetch(item).raw == b"x" * 40
    put(bucket, "a.md", b"x" * 60)
    with pytest.raises(DocumentTooLarge):
        source.fetch(item)


def test_an_object_that_goes_between_listing_and_reading_has_vanished(bucket: MemoryFileSystem) -> None:
    put(bucket, "a.md")
    source = source_of()
    (item,) = source.list()
    bucket.rm_file("/bucket/docs/a.md")
    with pytest.raises(DocumentVanished):
        source.fetch(item)


def test_an_error_of_the_filesystem_becomes_the_documents_without_its_message(
    bucket: MemoryFileSystem, monkeypatch: Any
) -> None:
    put(bucket, "a.md")
    source = source_of()
    (item,) = source.list()

    def refuse(*_: Any, **__: Any) -> bytes:
        raise RuntimeError("token=secret")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", refuse)
    with pytest.raises(DocumentUnreadable, match="RuntimeError") as caught:
        source.fetch(item)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "memory://missing",
        "closedfolder://missing",
        "closedfolder://bucket/docs/a.md",
        "memory://bucket/docs/a.md",
        "nosuchscheme://x",
    ],
)
def test_a_location_that_is_no_folder_is_unavailable(bucket: MemoryFileSystem, location: str) -> None:
    put(bucket, "a.md")
    with pytest.raises(SourceUnavailable, match="wiki"):
        open_source(SourceSpec("wiki", location)).list()


class Renamed(MemoryFileSystem):
    """The memory filesystem under another protocol."""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.removeprefix(f"{cls.protocol}://")))


class ClosedFolder(Renamed):
    """Walks folder by folder as most filesystems do, and may not look into one of them."""

    protocol = "closedfolder"
    find = AbstractFileSystem.find

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        if path.endswith("/x"):
            raise PermissionError(path)
        return super().ls(path, detail, **options)


class Forgetful(Renamed):
    """Knows sizes and nothing else."""

    protocol = "forgetful"

    def find(self, path: str, *arguments: Any, **options: Any) -> Any:
        found = super().find(path, *arguments, **options)
        return {name: {"size": info["size"], "type": "file"} for name, info in found.items()}


for _filesystem in (ClosedFolder, Forgetful):
    fsspec.register_implementation(_filesystem.protocol, _filesystem, clobber=True)


@pytest.mark.parametrize("prefix", ["", "simplecache::"])
def test_a_folder_that_cannot_be_listed_does_not_look_empty(bucket: MemoryFileSystem, prefix: str) -> None:
    put(bucket, "a.md")
    put(bucket, "x/b.md")
    with pytest.raises(SourceUnavailable, match="PermissionError"):
        open_source(SourceSpec("wiki", f"{prefix}closedfolder://bucket/docs")).list()


def test_a_filesystem_that_walks_is_listed_whole(bucket: MemoryFileSystem) -> None:
    put(bucket, "a.md")
    put(bucket, "y/b.md")
    put(bucket, "x/excluded.md")
    items = open_source(SourceSpec("wiki", "closedfolder://bucket/docs", exclude=("x/**",))).list()
    assert [item.address for item in items] == ["a.md", "y/b.md"]


def test_a_place_that_tells_neither_time_nor_content_is_read_every_time(bucket: MemoryFileSystem) -> None:
    put(bucket, "a.md")
    source = open_source(SourceSpec("wiki", "forgetful://bucket/docs"))
    assert source.list()[0].stamp != source.list()[0].stamp


def test_a_sidecar_whose_object_is_gone_is_no_document(bucket: MemoryFileSystem) -> None:
    for address in ("a.meta.json", "x/b.md", "x/B.md.META.JSON"):
        put(bucket, address, b'{"allowed_principals": ["hr"]}')
    source = source_of()
    (document,) = source.list()
    assert document.sidecar_address == "x/B.md.META.JSON"
    assert source.fetch(document).declared.allowed_principals == ("hr",)


def write_archive(path: Path, content: bytes) -> None:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a.md")
        member.size, member.mtime = len(content), 1_600_000_000
        archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("prefix", ["", "simplecache::"])
def test_another_archive_with_members_of_the_same_size_and_time_is_read_again(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "docs.tar"
    write_archive(path, b"one")
    source = open_source(SourceSpec("wiki", f"{prefix}tar://::file://{path}"))
    (before,) = source.list()
    assert source.fetch(before).raw == b"one"
    write_archive(path, b"two")
    (after,) = source.list()
    assert after.stamp != before.stamp
    assert source.fetch(after).raw == b"two"


@pytest.mark.parametrize("most", [0, 1_000])
def test_a_sidecar_that_comes_after_the_listing_is_seen(
    bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("rag_pipeline.sources.remote._MAX_LISTED_AGAIN", most)
    put(bucket, "x/pay.md")
    put(bucket, "x/open.md")
    source = source_of()
    opened, pay = source.list()
    assert source.fetch(opened).declared == DeclaredMetadata()
    put(bucket, "x/pay.md.meta.yaml", b"allowed_principals: [purser]")
    assert source.fetch(pay).declared.allowed_principals == ("purser",)
    put(bucket, "x/pay.md.meta.json", b"{}")
    with pytest.raises(InvalidMetadata, match="more than one sidecar"):
        source.fetch(pay)


def test_a_password_is_in_no_message_and_no_address(bucket: MemoryFileSystem) -> None:
    for location, options in (
        ("nowhere://amy:b0at@host/docs", {}),
        ("https://amy:b0at@[host/docs", {}),
        ("memory://gone/docs", {"key": "b0at"}),
    ):
        with pytest.raises(SourceUnavailable) as caught:
            open_source(SourceSpec("x", location, storage_options=options)).list()
        assert "b0at" not in f"{caught.value.message} {caught.value.facts}"
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    put(bucket, "a.md")
    (item,) = open_source(SourceSpec("x", "memory://bucket/docs", uri_prefix="ftp://amy:b0at@host/docs")).list()
    assert item.uri == "ftp://host/docs/a.md"
