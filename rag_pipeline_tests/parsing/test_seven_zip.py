"""Archives of 7-Zip are folders as ZIP and TAR are: each member a document, bounded, and safe whatever they claim."""

from __future__ import annotations

import base64
import bz2
import lzma
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from rag_pipeline.errors import DocumentError, LimitExceeded
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline_tests.parsing.office_files import container
from rag_pipeline_tests.parsing.rendering import check_invariants, outcome
from rag_pipeline_tests.parsing.seven_zip_files import Coder, number, raw_lzma, seven_zip, started

MEMBERS = {"a.md": b"# A\n\nWords of a.\n", "sub": None, "b.csv": b"x,y\n1,2\n", "sub/c.txt": b"Deep words here.\n"}
SHOWN = {"!/a.md": "# A\n\nWords of a.\n", "!/b.csv": "x\ty\n1\t2", "!/sub/c.txt": "Deep words here.\n"}
# Made by libarchive and, with a packed list of members, by py7zr; the last two by a password, and by PPMd.
LIBARCHIVE = (
    "N3q8ryccAANVzADX3gAAAAAAAAAiAAAAAAAAAFJOdCoAEYgEoqQfLQGjOEnZ0cGzv2Hu4kXMI4Yh561pMUuwQCyCLrwduWIo4Bwov/iY29df/5Om"
    "gAAAAIEzB64P0VujJKCQoHew/pOH4aofJ2otTFlF89xlZ1Lixv0WdNFAfJ2zRQAvzyW6gRBOc1G/xSKMJvYTYSegUqaH2Vi+1+4dRFI8htUoFCy/"
    "EWKUou7tPNclgQDUOFYYyKFBTpdaCCc4Kv+DH6PuQsmSnQERCIC1fYKnS1hNwFY6+bqCdQPfjrLjQ3UVxF/3CRCwmOw5VTL+U9rB0Zr89Mf//z7f"
    "AAAXBjYBCYCoAAcLAQABIwMBAQVdAACAAAyBUAoBZJYS6AAA"
)
PY7ZR = (
    "N3q8ryccAAT5MHMt0gAAAAAAAAAWAAAAAAAAABZYoucBAC0jIEEKCldvcmRzIG9mIGEuCngseQoxLDIKRGVlcCB3b3JkcyBoZXJlLgphLm1kAOAA"
    "5gCYXQAAgTMHrg/RHxk0oJCgd166WD4Qwxn+8hj/Nxrd+HiTdgCDQ9qofPxxAbkCZzZ+mrNNIKd5qnatVtXjbfpbsieNWNZnXB37tMGSYOEqpuma"
    "iKUOiWwP5imKPyok+blaGEHEY9Er4TDlRL/BsE64/fYeNVeNKVpLeAP4utDq0qSwdvklrwEgJCURV86p56jkJg7hz04M/QAAAAAXBjIBCYCgAAcL"
    "AQABISEBGAyA5wAA"
)
SEALED = (
    "N3q8ryccAAQvBmTXAwEAAAAAAAAWAAAAAAAAAHYCY+rsOMUBVD1cKgDzyQ5RvberfgW3duQ8Ts2amWep9Q+QbUEOPoADMOcE2PWqW8bGxLz5woMD"
    "pqyJAfMKzO1+Mj/34AEKALtdAACBMweuD9HzPlsXv1XRoOBJeAzcvMqM5s576HBn3c9jvGonhQIcJiy+Ikyb+foB3ZaDw2v23+esjkz3RJluFbJh"
    "SMQsYolVYbsGDBUDpyn0jqZ706P+aKN4dsk+S7V6LeHkBmKnUdE8LVKI+P0vewc9QKIXT0OFI5Gll8UVt//uhD4DFmfHhnDlHvFMUfNNbIZPPmp1"
    "7lObr8jF1J/J14rG2cQrDwbHvUeF96ZrXQRj0nyebE5KSJYAAAAAFwZAAQmAwwAHCwEAASEhARgMgQsAAA=="
)
PPMD = (
    "N3q8ryccAASp/pvT0AAAAAAAAAAWAAAAAAAAAGmSkosAIvyrmVXyIaJNh44TPp8fjvW1aRPSh9rKvmOxHNi5gGuWVRdDgCiS9MgA4ADuAJ1dAACB"
    "MweuD9C1KPyfP0dBWNdor2PADyiIPdK/MvwHfhGqBdBvjgfQf0Ty+v/NnM3ZE05LLIRfZ26GQ+pjHErN1vOJ5FngCraiGMNkkcaQF1aBGWDdHXaA"
    "mFxk9uOHk+On256g0iWsqzliimjotH7Trj19N/lQavG3daPq4KIdFM0+36INfyshgFi/nyGK3w8BOEBNmdDfnn9hzLsAAAAAFwYrAQmApQAHCwEA"
    "ASEhARgMgO8AAA=="
)


def texts(raw: bytes, name: str = "a.7z", limits: ParseLimits | None = None) -> dict[str, str]:
    documents = parse(raw, media_type_of(name, raw), name, limits or ParseLimits())
    check_invariants(documents)
    return {document.part: document.text for document in documents}


def code_of(raw: bytes, name: str = "a.7z") -> str:
    result = outcome(raw, media_type_of(name, raw), name)
    assert isinstance(result, DocumentError), result
    return result.code


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush()


LZMA1 = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}
SECOND = {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}


@pytest.mark.parametrize(
    ("coders", "pack"),
    [
        ([(b"\0", b"")], bytes),
        ([(b"\4\1\x08", b"")], deflated),
        ([(b"\4\2\2", b"")], bz2.compress),
        ([(b"\3\1\1", b"\x5d\0\0\1\0")], raw_lzma(LZMA1)),
        ([(b"\x21", b"\x08")], raw_lzma(SECOND)),
        ([(b"\3", b"\3"), (b"\x21", b"\x08")], raw_lzma({"id": lzma.FILTER_DELTA, "dist": 4}, SECOND)),
        ([(b"\3\3\1\3", b""), (b"\x21", b"\x08")], raw_lzma({"id": lzma.FILTER_X86}, SECOND)),
    ],
    ids=["stored", "deflate", "bzip2", "lzma", "lzma2", "delta", "x86"],
)
def test_members_are_documents_however_they_are_packed(coders: list[Coder], pack: Callable[[bytes], bytes]) -> None:
    assert texts(seven_zip(MEMBERS, coders, pack)) == SHOWN


@pytest.mark.parametrize("raw", [LIBARCHIVE, PY7ZR], ids=["libarchive", "py7zr"])
def test_archives_of_other_programs_are_read(raw: str) -> None:
    data = base64.b64decode(raw)
    assert texts(data) == SHOWN
    assert texts(data, "no name at all") == SHOWN
    facts = parse(data, media_type_of("a.7z", data), "a.7z", ParseLimits())[0].metadata
    assert set(facts["unread_members"].split(", ")) == {"empty.txt (empty)", "../link.md (unsafe_name)"}


def test_an_archive_in_an_archive_is_read_and_members_keep_their_order() -> None:
    inner = seven_zip({f"{number}.txt": b"Words number %d.\n" % number for number in range(40)})
    found = texts(container({"in.7z": inner}), "a.zip")
    assert list(found) == [f"!/in.7z!/{number}.txt" for number in range(40)]
    assert all(found[f"!/in.7z!/{number}.txt"] == f"Words number {number}.\n" for number in range(40))


def test_the_reasons_are_those_of_other_archives() -> None:
    assert code_of(base64.b64decode(SEALED)) == "encrypted"
    assert code_of(base64.b64decode(PPMD)) == "unsupported_media_type"
    assert code_of(seven_zip({})) == "empty"
    assert code_of(seven_zip(MEMBERS)[:-3]) == "unparsable"
    # A sum that does not fit its member.
    assert code_of(seven_zip({"a.md": b"Words of a.\n"}, [(b"\0", b"")], lambda data: data.swapcase())) == "unparsable"


def test_no_name_leads_out_and_links_lead_nowhere() -> None:
    members = {"../up.md": b"Words up.\n", "/root.md": b"Words.\n", "link.md": b"a.md", "a.md": b"Words.\n"}
    raw = seven_zip({**members, "~.tmp/.hidden": b"Words.\n"}, attributes={"link.md": 0o120777 << 16 | 0x8000})
    assert list(texts(raw)) == ["!/a.md"]


@pytest.mark.parametrize(
    "raw",
    [
        seven_zip(MEMBERS, size=1 << 40),
        seven_zip(MEMBERS, count=1 << 40),
        seven_zip({"a.txt": bytes(60 * 1024 * 1024)}),
        started(b"", b"\1\4\6" + number(0) + number(0) + b"\0\7\x0b" + number(400_000) + b"\0" + b"\1\0" * 400_000),
        started(b"", b"\1\4\6" + number(0) + number(2_000_000) + b"\x09" + bytes(2_000_000)),
    ],
    ids=["size", "count", "ratio", "runs", "streams"],
)
def test_what_claims_more_than_is_allowed_stops_at_the_limit(raw: bytes) -> None:
    tracemalloc.start()
    assert isinstance(outcome(raw, media_type_of("a.7z", raw), "a.7z"), LimitExceeded)
    assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    tracemalloc.stop()


def test_a_large_member_and_all_together_stop_at_the_limit() -> None:
    raw = seven_zip({"a.txt": b"words " * 100, "b.txt": b"words " * 100})
    with pytest.raises(LimitExceeded):
        texts(raw, limits=replace(ParseLimits(), max_member_bytes=500))
    with pytest.raises(LimitExceeded):
        texts(raw, limits=replace(ParseLimits(), max_archive_bytes=1_000))


@pytest.mark.parametrize(
    "coders",
    [[(b"\x21", b"\x29")], [(b"\x21", b"")], [(b"\3\1\1", b"\xff\0\0\1\0")], [(b"\3", b""), (b"\x21", b"\x08")]],
    ids=["dictionary", "no facts", "no such model", "no distance"],
)
def test_odd_facts_of_a_packer_are_damage_of_its_members(coders: list[Coder]) -> None:
    result = outcome(seven_zip(MEMBERS, coders), "application/x-7z-compressed", "a.7z")
    assert isinstance(result, DocumentError)
    assert result.message.startswith("a.7z: the archive is damaged.")


def test_the_last_members_of_a_run_of_deflate_are_read_when_all_is_taken_and_not_yet_given() -> None:
    members = {"a.txt": b"a" * 100_000, **{f"{name}.txt": b"a" * 50 for name in "bcdefg"}}
    found = texts(seven_zip(members, [(b"\4\1\x08", b"")], deflated))
    assert [len(text) for text in found.values()] == [100_000, *[50] * 6]


def test_the_dictionary_that_an_archive_claims_is_not_taken() -> None:
    assert texts(seven_zip(MEMBERS, [(b"\x21", b"\x28")])) == SHOWN


@pytest.mark.parametrize("raw", [seven_zip(MEMBERS), base64.b64decode(PY7ZR)], ids=["plain list", "packed list"])
def test_a_damaged_archive_is_refused_or_gives_what_is_sound(raw: bytes) -> None:
    # A prime step meets fields of every kind, and costs a third.
    for place in range(0, len(raw), 3):
        for changed in (raw[:place] + bytes([raw[place] ^ 0x41]) + raw[place + 1 :], raw[:place]):
            result = outcome(changed, "application/x-7z-compressed", "a.7z")
            assert isinstance(result, DocumentError | list)
            assert not isinstance(result, DocumentError) or "failed with" not in result.message
            assert not isinstance(result, list) or {each.part: each.text for each in result}.items() <= SHOWN.items()
