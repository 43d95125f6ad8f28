"""Files of lines: what is kept of them is bounded, is written anew seldom, and is never lost to its own size."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline.stores import whole_files
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.whole_files import LineFile

KEPT = 50


def newest(content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[-KEPT:])


@pytest.mark.parametrize("length", [20, 20_000])
def test_lines_leave_it_once_in_hundreds_however_long_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    lake = Lake(str(tmp_path))
    file = LineFile("x.jsonl", max_bytes=64 * 2**20, trimmed_bytes=2**12, newest=newest)
    rewritten: list[int] = []
    replace_content = whole_files.replace_content

    def counted(lake: Lake, name: str, content: bytes) -> None:
        rewritten.append(len(content))
        replace_content(lake, name, content)

    monkeypatch.setattr(whole_files, "replace_content", counted)
    for number in range(1_000):
        file.add(lake, str(number).encode().ljust(length, b".") + b"\n")
        assert file.last(lake).rstrip(b".") == str(number).encode()
    assert 0 < len(rewritten) <= 1_000 / 300 + 1
    lines = file.read(lake).splitlines()
    assert [line.rstrip(b".") for line in lines] == [str(n).encode() for n in range(1_000 - len(lines), 1_000)]
    assert KEPT <= len(lines) <= 401 + 4_096 // length


def test_what_has_grown_beyond_its_bound_keeps_its_newest_lines(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    file = LineFile("x.jsonl", max_bytes=1_000, trimmed_bytes=200, newest=newest)
    (tmp_path / "x.jsonl").write_bytes(b"".join(b"%d\n" % number for number in range(5_000)))
    assert file.read(lake) == b""
    assert file.last(lake) == b"4999"
    file.add(lake, b"5000\n")
    lines = file.read(lake).splitlines()
    assert (lines[-1], len(lines)) == (b"5000", KEPT)


def test_half_a_line_and_no_file_are_no_line(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    file = LineFile("x.jsonl", max_bytes=1_000, trimmed_bytes=200, newest=newest)
    assert (file.last(lake), file.read(lake)) == (b"", b"")
    (tmp_path / "x.jsonl").write_bytes(b"whole\nhal")
    file.add(lake, b"next\n")
    assert file.read(lake) == b"whole\nhal\nnext\n"
