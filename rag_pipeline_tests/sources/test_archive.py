"""One ZIP or TAR file as a source: members, what is hostile among them, and archives that are not whole."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import fsspec
import pytest

from rag_pipeline.contracts.sources import Source, SourceObject
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.sources.archive import reader, source
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.packed import archive_source, pack

ENDINGS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")
FILES = {f"deep/{number}.md": b"# Title\n\n" + bytes(str(number) * 700, "ascii") for number in range(12)}


def by_address(opened: Source) -> dict[str, SourceObject]:
    return {item.address: item for item in opened.list()}


@pytest.mark.parametrize("ending", ENDINGS)
def test_members_are_documents_and_one_that_is_cut_off_anywhere_is_unavailable(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"export.{ending}"
    pack(path, FILES)
    opened = archive_source(path)
    listed = opened.list()
    assert {item.address: opened.fetch(item).raw for item in listed} == FILES
    assert listed[0].uri == f"{path}!/deep/0.md"
    assert listed[0].modified_at in (datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC), datetime.fromtimestamp(1.7e9, UTC))
    whole = path.read_bytes()
    # The blocks of zeros at the end of a TAR say nothing but that it ends; a piece of them does.
    ends = len(whole.rstrip(b"\0")) if ending == "tar" else len(whole)
    for length in {*range(0, ends, max(1, ends // 40)), 1, 512, 1_536, 3_072, ends - 1}:
        path.write_bytes(whole[: min(length, ends - 1)])
        for each in (opened, archive_source(path)):
            with pytest.raises(SourceUnavailable):
                each.list()
    path.write_bytes(b"A text that is no archive.")
    with pytest.raises(SourceUnavailable, match="no ZIP or TAR"):
        opened.list()


def test_a_tar_with_a_broken_header_in_the_middle_is_not_shorter(tmp_path: Path) -> None:
    path = tmp_path / "export.tar"
    pack(path, {"a.md": b"a", "b.md": b"b", "c.md": b"c"})
    whole = bytearray(path.read_bytes())
    whole[1024 + 3] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(SourceUnavailable, match="cut off or damaged"):
        archive_source(path).list()


def test_an_unchanged_archive_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = tmp_path / "export.zip", tmp_path / "cache"
    pack(path, FILES | {"deep/0.md.meta.yaml": b"title: Other\nallowed_principals: [crew]\n"})
    before = archive_source(path, cache).list()
    opened: list[int] = []

    def counted(file: IO[bytes], max_unpacked_bytes: int) -> reader.Reader:
        opened.append(1)
        return reader.open_archive(file, max_unpacked_bytes)

    monkeypatch.setattr(source, "open_archive", counted)
    again = archive_source(path, cache)
    assert again.list() == before
    assert opened == []
    assert again.fetch(before[0]).declared.allowed_principals == ("crew",)
    assert opened == [1]
    # Packed anew with other times and another order: nothing of it is another document.
    pack(path, dict(reversed(FILES.items())))
    after = by_address(archive_source(path, cache))
    assert {item.stamp for item in after.values()} == {item.stamp for item in before}
    assert len(opened) == 2


def test_hostile_members_are_named_and_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "export.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("../out.md", "/etc/passwd", "good//./a.md", "..", "od\udcff.md"):
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"text"))
        for name, kind in (("link.md", tarfile.SYMTYPE), ("device.md", tarfile.CHRTYPE), ("hard.md", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "good//./a.md"
            archive.addfile(info)
    opened = archive_source(path)
    listed = by_address(opened)
    refused = {address for address, item in listed.items() if item.problem is not None}
    assert refused == {
        "unsafe name ..%2Fout.md",
        "unsafe name %2Fetc%2Fpasswd",
        "unsafe name ..",
        "link.md",
        "device.md",
    }
    assert {address: opened.fetch(listed[address]).raw for address in listed.keys() - refused} == {
        "good/a.md": b"text",
        "od%FF.md": b"text",
        "hard.md": b"text",
    }


def test_damaged_and_encrypted_members_cost_themselves(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    pack(path, {"a.md": b"a" * 100, "b.md": b"b" * 100, "c.md": b"c" * 100, "large.md": b"l" * 2_000})
    whole = bytearray(path.read_bytes())
    at = whole.index(b"a.md") + 4
    whole[at + 2] ^= 0xFF
    # The flag of encryption, in the list at the end and before the member.
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        whole[[i for i in range(len(whole)) if whole.startswith(mark, i)][1] + offset] |= 1
    path.write_bytes(whole)
    listed = by_address(archive_source(path, max_document_bytes=1_000))
    codes = {address: item.problem and item.problem.code for address, item in listed.items()}
    assert codes == {"a.md": "unreadable", "b.md": "encrypted", "c.md": None, "large.md": "too_large"}


def test_bounds_make_an_archive_unavailable_and_never_shorter(tmp_path: Path) -> None:
    path = tmp_path / "export.tar.gz"
    pack(path, {f"{number}.md": bytes(100_000) for number in range(10)})
    bounds: list[tuple[dict[str, Any], str]] = [
        ({"max_members": 9}, "10 members"),
        ({"max_unpacked_bytes": 500_000}, "unpacks to"),
    ]
    for fields, says in bounds:
        with pytest.raises(SourceUnavailable, match=says):
            archive_source(path, **fields).list()
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.md", bytes(2**20))
    with pytest.raises(SourceUnavailable, match="unpacks to"):
        archive_source(tmp_path / "bomb.zip", max_unpacked_bytes=1_000).list()


def test_an_archive_elsewhere_is_read_through_fsspec(tmp_path: Path) -> None:
    pack(tmp_path / "export.tar.gz", FILES)
    bucket = fsspec.filesystem("memory")
    bucket.pipe_file("/exports/export.tar.gz", (tmp_path / "export.tar.gz").read_bytes())
    opened = archive_source("memory://exports/export.tar.gz", tmp_path / "cache")
    assert {item.address: opened.fetch(item).raw for item in opened.list()} == FILES
    bucket.rm_file("/exports/export.tar.gz")
    with pytest.raises(SourceUnavailable, match="nothing is there"):
        opened.list()


def test_nights_of_an_archive_equal_a_rebuild(tmp_path: Path) -> None:
    project = Project.create(tmp_path, cache="cache")
    project.settings["sources"]["docs"] = {
        "kind": "archive",
        "location": "export.zip",
        "allowed_principals": ["staff"],
        "max_deleted_floor": 100,
    }
    text = {name: f"# {name}\n\nThe page {name} says something of its own.".encode() for name in "abc"}
    for night in (
        {"a.md": text["a"], "b.md": text["b"]},
        {"moved/a.md": text["a"], "b.md": text["b"], "c.md": text["c"]},
        {"c.md": text["c"]},
    ):
        pack(tmp_path / "export.zip", night)
        project.refresh()
        assert project.published() == project.rebuilt()
    assert [row["uri"] for row in project.published()] == ["export.zip!/c.md"]
    assert len(project.embedded) == len(set(project.embedded))


class _Failing(io.BytesIO):
    """A file on a disk, or behind a connection, that fails once it has given so many bytes."""

    def __init__(self, raw: bytes, error: OSError) -> None:
        super().__init__(raw)
        self.error = error
        self.left = 10**9

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.left -= len(piece)
        if self.left < 0:
            raise self.error
        return piece


@pytest.mark.parametrize(
    "error", [OSError(5, "disk"), PermissionError(13, "no"), ConnectionResetError("gone"), TimeoutError()]
)
@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_a_disk_or_connection_that_fails_is_no_damage_of_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, error: OSError
) -> None:
    path = tmp_path / f"export.{ending}"
    pack(path, {name: os.urandom(50_000) for name in ("a.md", "b.md", "c.md")})
    opened = archive_source(path)
    item = opened.list()[2]
    for bytes_left in range(0, path.stat().st_size, path.stat().st_size // 8):
        file = _Failing(path.read_bytes(), error)
        file.left = bytes_left
        monkeypatch.setattr(source.ArchiveMembers, "_file", lambda _, file=file: file)
        with pytest.raises(SourceUnavailable):
            archive_source(path).list()
    file = _Failing(path.read_bytes(), error)
    monkeypatch.setattr(source.ArchiveMembers, "_file", lambda _: file)
    opened = archive_source(path)
    assert [each.problem for each in opened.list()] == [None] * 3
    file.left = 0
    with pytest.raises(SourceUnavailable):
        opened.fetch(item)


def test_an_archive_that_is_overwritten_while_it_is_read_is_listed_as_one_of_the_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "export.tar"
    old, new = ({f"{number}.md": bytes(letter, "ascii") * 9_000 for number in range(6)} for letter in "on")
    pack(path, new)
    fresh = path.read_bytes()
    pack(path, old)
    is_written = False
    read = reader._Tar.read

    def reading(self: Any, member: reader.Member, limit_bytes: int) -> bytes:
        nonlocal is_written
        if member.name == "3.md" and not is_written:
            is_written = True
            # In its place: the same file, which is open.
            path.write_bytes(fresh)
        return read(self, member, limit_bytes)

    monkeypatch.setattr(reader._Tar, "read", reading)
    opened = archive_source(path)
    listed = opened.list()
    assert is_written
    assert len({item.stamp for item in listed}) == 1
    assert {item.address: opened.fetch(item).raw for item in listed} == new
    is_written, fresh = False, fresh[: len(fresh) // 2]
    with pytest.raises(SourceUnavailable):
        opened.fetch(next(item for item in listed if item.address == "3.md"))
    monkeypatch.setattr(source.ArchiveMembers, "_state_now", lambda _: os.urandom(8).hex())
    pack(path, old)
    with pytest.raises(SourceUnavailable, match="changed while it was read"):
        archive_source(path).list()


def test_a_bad_member_does_not_open_an_unchanged_archive_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = tmp_path / "export.zip", tmp_path / "cache"
    pack(path, {"a.md": b"a" * 100, "b.md": b"---\nallowed_principals: {x: 1}\n---\nb", "c.md": b"c" * 100})
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"a.md") + 6] ^= 0xFF
    path.write_bytes(whole)
    before = archive_source(path, cache).list()
    assert [item.problem and item.problem.code for item in before] == ["unreadable", "invalid_metadata", None]
    monkeypatch.setattr(source.ArchiveMembers, "_open", lambda _: pytest.fail("it was opened"))
    after = archive_source(path, cache).list()
    assert after == before
    assert [str(item.problem) for item in after] == [str(item.problem) for item in before]
