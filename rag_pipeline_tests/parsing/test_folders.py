"""Archives as folders: members are documents, bounded, and nothing leads out of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import (
    DocumentError,
    EmptyDocument,
    EncryptedDocument,
    LimitExceeded,
    UnparsableDocument,
    UnsupportedMediaType,
)
from rag_pipeline.parsing import ParseLimits, media_type_of, parse, recipe_version
from rag_pipeline_tests.parsing.office_files import container, docx, paragraph
from rag_pipeline_tests.parsing.rendering import check_invariants

LIMITS = ParseLimits()
NOTE = b"# Pump\n\nPull the lever.\n"


def parsed(raw: bytes, address: str = "a.zip", limits: ParseLimits = LIMITS) -> dict[str, ParsedDocument]:
    documents = parse(raw, media_type_of(address, raw), address, limits)
    check_invariants(documents)
    return {document.part: document for document in documents}


def refusal(raw: bytes, address: str = "a.zip", limits: ParseLimits = LIMITS) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(raw, media_type_of(address, raw), address, limits)
    return caught.value


def tar(members: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for info in more:
            file.addfile(info)
    return buffer.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


MEMBERS = {"docs/pump.md": NOTE, "docs/memo.docx": docx(paragraph("Berth is free"))}
PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("a.tar", bytes), ("a.tar.gz", gzip.compress), ("a.tgz", gzip.compress), ("a.tar.bz2", bz2.compress),
    ("a.tar.xz", lzma.compress),
]  # fmt: skip


def test_members_of_a_zip_are_documents_with_their_path() -> None:
    found = parsed(container(dict(MEMBERS)))
    assert {part: document.title or document.text for part, document in found.items()} == {
        "!/docs/pump.md": "Pump",
        "!/docs/memo.docx": "Berth is free",
    }
    assert found["!/docs/pump.md"].metadata["media_type"] == "text/markdown"


@pytest.mark.parametrize(("address", "pack"), PACKED, ids=[name for name, _ in PACKED])
def test_tar_archives_are_read_however_they_are_packed(address: str, pack: Callable[[bytes], bytes]) -> None:
    assert set(parsed(pack(tar(MEMBERS)), address)) == {"!/docs/pump.md", "!/docs/memo.docx"}


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_one_packed_file_is_read_by_the_kind_that_its_name_says(ending: str, pack: Callable[[bytes], bytes]) -> None:
    [(part, document)] = parsed(pack(NOTE), f"x/pump.md.{ending}").items()
    assert (part, document.title) == ("!/content.md", "Pump")


def test_archives_within_archives_are_read_to_a_depth() -> None:
    raw = container({"pump.md": NOTE})
    for _ in range(2):
        raw = container({"inner.zip": raw})
    assert set(parsed(raw)) == {"!/inner.zip!/inner.zip!/pump.md"}
    for _ in range(2):
        raw = container({"inner.zip": raw})
    assert isinstance(refusal(raw), LimitExceeded)


def test_what_leads_out_of_the_archive_is_left_out_and_counted() -> None:
    unsafe = {name: NOTE for name in ("../up.md", "/root.md", "a/../../b.md", "C:\\x.md", "..\\y.md")}
    [document] = parsed(container({"pump.md": NOTE, **unsafe})).values()
    assert document.metadata["unread_members_count"] == "5"
    raw = tar({"pump.md": NOTE}, link("l.md", "/etc/passwd"), link("h.md", "pump.md", tarfile.LNKTYPE))
    [document] = parsed(raw, "a.tar").values()
    assert document.metadata["unread_members_count"] == "2"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("pump.md", NOTE)
        info = zipfile.ZipInfo("link.md")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    [document] = parsed(buffer.getvalue()).values()
    assert document.metadata["unread_members_count"] == "1"


def test_members_that_cannot_be_read_are_named_with_their_reason_and_cost_nothing_else() -> None:
    raw = container({"pump.md": NOTE, "b.bin": bytes(99), "c.md": b"  ", ".git/config": b"x", "__MACOSX/._p": b"y"})
    [document] = parsed(raw).values()
    assert document.metadata["unread_members"] == "b.bin (unsupported_media_type), c.md (empty)"
    assert document.metadata["hidden_member_count"] == "2"


def test_an_archive_of_which_nothing_is_read_is_refused_for_the_reason_of_its_members() -> None:
    assert isinstance(refusal(container({"b.bin": bytes(99)})), UnsupportedMediaType)
    assert isinstance(refusal(b"PK\x05\x06" + bytes(18)), EmptyDocument)
    locked = bytearray(container({"pump.md": NOTE}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(mark) + offset] |= 1
    assert isinstance(refusal(bytes(locked)), EncryptedDocument)


@pytest.mark.parametrize(
    ("address", "raw"),
    [
        ("a.zip", container({"pump.md": NOTE})[:60]),
        ("a.gz", gzip.compress(NOTE)[:-12]),
        ("a.bz2", bz2.compress(NOTE)[:-8]),
        ("a.xz", lzma.compress(NOTE)[:-9]),
        ("a.gz", b"\x1f\x8b\x08" + b"junk" * 9),
        ("a.tar.gz", gzip.compress(b"no archive at all" * 40)),
        ("a.zip", b"words under a false name"),
    ],
    ids=["zip cut", "gz cut", "bz2 cut", "xz cut", "gz junk", "tar.gz of no archive", "zip of words"],
)
def test_damaged_archives_have_one_reason(address: str, raw: bytes) -> None:
    assert refusal(raw, address).code == UnparsableDocument.code


def test_bombs_stop_at_the_limits() -> None:
    zeros = bytes(300 * 1024 * 1024)
    assert isinstance(refusal(container({"a.txt": zeros})), LimitExceeded)
    assert isinstance(refusal(gzip.compress(zeros, 1), "a.txt.gz"), LimitExceeded)
    few = ParseLimits(max_archive_entries=3)
    many = {f"{number}.md": NOTE for number in range(4)}
    assert isinstance(refusal(container(dict(many)), limits=few), LimitExceeded)
    assert isinstance(refusal(tar(many), "a.tar", few), LimitExceeded)
    assert isinstance(refusal(tar({"a.md": NOTE * 9}), "a.tar", ParseLimits(max_member_bytes=99)), LimitExceeded)


def test_a_member_whose_name_stands_twice_is_two_documents() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.md", NOTE)
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("a.md", b"# Other\n\nWords.\n")
    assert {part: document.title for part, document in parsed(buffer.getvalue()).items()} == {
        "!/a.md": "Pump",
        "!/a.md~2": "Other",
    }


def test_the_recipe_of_an_archive_follows_that_of_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    from rag_pipeline.parsing.markup import markdown

    before = recipe_version("application/zip")
    monkeypatch.setattr(markdown, "VERSION", "99")
    assert recipe_version("application/zip") != before


def test_a_tar_cut_short_gives_the_members_that_are_whole() -> None:
    raw = tar({"a.md": NOTE, "b.md": b"# Long\n\n" + b"words and " * 900})
    [document] = parsed(raw[:3000], "a.tar").values()
    assert document.part == "!/a.md"
    assert "(unparsable)" in document.metadata["unread_members"]
