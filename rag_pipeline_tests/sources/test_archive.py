"""One ZIP or TAR file as a source: members, what is hostile among them, and archives that are not whole."""

from __future__ import annotations

import io
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
