"""Hints in a folder: whatever is left there, at most one mark per source comes of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.hints import Bucket
from rag_pipeline.stores import hints
from rag_pipeline.stores.hints import HintFolder


def hint(folder: Path, name: str, *sources: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join(json.dumps({"source": source, "address": "../../etc/passwd"}) for source in sources))
    return path


def test_many_hints_of_a_source_are_one_mark_and_the_look_uses_it_up(tmp_path: Path) -> None:
    folder = HintFolder(tmp_path / "hints", {"docs", "people"})
    folder.take_in()
    assert folder.waiting() == []
    for number in range(50):
        hint(folder.folder, f"{number}.json", "docs")
    folder.take_in()
    assert folder.waiting() == ["docs"]
    assert [path.name for path in folder.folder.iterdir()] == [hints.MARKS_FOLDER]
    assert len(list(folder.marks.iterdir())) == 1
    with folder.looking("docs"):
        # What comes while a source is being looked at may have come too late for that look.
        assert folder.waiting() == []
        hint(folder.folder, "late.json", "docs", "people")
        folder.take_in()
    assert folder.waiting() == ["docs", "people"]
    with folder.looking("docs"), folder.looking("people"):
        pass
    assert folder.waiting() == []


def told(folder: HintFolder) -> list[str]:
    with folder.looking("docs") as addresses:
        return sorted(addresses)


def test_hints_that_name_objects_are_a_mark_for_each_until_they_are_many(tmp_path: Path) -> None:
    folder = HintFolder(tmp_path, {"docs", "people"})

    def named(*addresses: object) -> None:
        lines = [json.dumps({"source": "docs", "address": address}) for address in addresses]
        (tmp_path / "h.json").write_text("\n".join(lines))
        folder.take_in()

    named("a.md", "x/b.md", "a.md")
    assert folder.waiting() == ["docs"]
    assert folder.hinted_at("docs") > 0
    with folder.looking("docs") as addresses:
        assert sorted(addresses) == ["a.md", "x/b.md"]
        assert folder.waiting() == []
        # What is hinted at once more may have come too late for this look.
        named("a.md")
    assert folder.waiting() == ["docs"]
    assert told(folder) == ["a.md"]
    assert (folder.waiting(), told(folder)) == ([], [])
    for wrong in ("../a.md", "", "/a", 7, None, ["a.md"], "a" * 5_000):
        named("a.md", wrong)
        assert (told(folder), folder.waiting()) == ([], []), wrong
    named(*(f"{number}.md" for number in range(hints.MOST_OBJECTS + 1)))
    assert (told(folder), folder.waiting()) == ([], [])
    folder.give("docs", ["c.md"])
    assert told(folder) == ["c.md"]
    folder.give("docs", ["c.md"])
    folder.give("docs")
    assert (told(folder), folder.waiting()) == ([], [])


def test_a_killed_look_at_objects_leaves_their_marks_and_a_damaged_one_means_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = HintFolder(tmp_path, {"docs"})
    folder.give("docs", ["a.md"])
    with pytest.raises(KeyboardInterrupt), folder.looking("docs"):
        raise KeyboardInterrupt
    assert folder.waiting() == []
    monkeypatch.setattr(hints, "ABANDONED_SECONDS", -1.0)
    assert folder.waiting() == ["docs"]
    folder.give("docs", ["b.md"])
    assert told(folder) == ["a.md", "b.md"]
    folder.give("docs", ["a.md", "b.md"])
    next((tmp_path / hints.MARKS_FOLDER / "docs.objects").iterdir()).write_bytes(b'"a')
    assert (told(folder), folder.waiting()) == ([], [])


def test_a_look_that_was_killed_leaves_its_hint_and_one_that_failed_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = HintFolder(tmp_path, {"docs"})
    hint(tmp_path, "a.json", "docs")
    folder.take_in()
    with pytest.raises(KeyboardInterrupt), folder.looking("docs"):
        raise KeyboardInterrupt
    assert folder.waiting() == []
    monkeypatch.setattr(hints, "ABANDONED_SECONDS", -1.0)
    assert folder.waiting() == ["docs"]
    assert folder.hinted_at("docs") > 0
    with pytest.raises(OSError, match="away"), folder.looking("docs"):
        raise OSError("away")
    assert folder.waiting() == []


def test_what_is_no_hint_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = HintFolder(tmp_path, {"docs"})
    outside = tmp_path.parent / f"{tmp_path.name}-outside.json"
    hint(tmp_path.parent, outside.name, "docs")
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    hint(tmp_path, "unknown", "../docs", "nobody", ["docs"], None)
    (tmp_path / "deep").write_text("[" * 60_000)
    (tmp_path / "large").write_bytes(b" " * (hints.MOST_BYTES + 1))
    (tmp_path / ".unfinished").write_text("{")
    (tmp_path / "unfinished").write_text('{"source": "do')
    folder.take_in()
    assert folder.waiting() == []
    assert outside.exists()
    # One that is being written is left alone for a while.
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"folder", ".unfinished", "unfinished", "deep", hints.MARKS_FOLDER, hints.REJECTED_FOLDER}
    long_ago = time.time() - hints.UNFINISHED_SECONDS - 1
    os.utime(tmp_path / "unfinished", (long_ago, long_ago))
    os.utime(tmp_path / "deep", (long_ago, long_ago))
    folder.take_in()
    own = {hints.MARKS_FOLDER, hints.REJECTED_FOLDER}
    assert {path.name for path in tmp_path.iterdir()} == {"folder", ".unfinished", *own}
    assert {path.name for path in folder.rejected.iterdir()} == {
        "link",
        "pipe",
        "unknown",
        "large",
        "unfinished",
        "deep",
    }
    monkeypatch.setattr(hints, "MOST_FILES", 3)
    for number in range(9):
        hint(tmp_path, f"{number}", "docs")
    for _ in range(9):
        folder.take_in()
    assert folder.waiting() == ["docs"]


def test_files_of_others_are_never_lost_and_keep_no_hint_from_being_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "MOST_REJECTED", 2)
    monkeypatch.setattr(hints, "MOST_FILES", 1)
    folder = HintFolder(tmp_path, {"docs"})
    for number in range(5):
        (tmp_path / f"{number}.yaml").write_text(f"number: {number}\n")
        os.utime(tmp_path / f"{number}.yaml", (0, 0))
    hint(tmp_path, "z.json", "docs")
    for _ in range(2):
        folder.take_in()
    assert folder.waiting() == ["docs"]
    assert not (tmp_path / "z.json").exists()
    # One of the same name as one that was put aside before.
    (tmp_path / "0.yaml").write_text("another\n")
    os.utime(tmp_path / "0.yaml", (0, 0))
    folder.take_in()
    found = [path.read_text() for place in (tmp_path, folder.rejected) for path in place.iterdir() if path.is_file()]
    assert len(list(folder.rejected.iterdir())) == 2
    assert {"another\n", *(f"number: {number}\n" for number in range(1, 5))} <= set(found)


def test_what_stays_in_the_folder_is_read_once_and_put_aside_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hints, "MOST_REJECTED", 2)
    for number in range(5):
        (tmp_path / f"{number}.yaml").write_text(f"number: {number}\n")
        os.utime(tmp_path / f"{number}.yaml", (0, 0))
    read: list[str] = []
    named = hints._hints_in

    def reading(path: Path, buckets: Mapping[str, Bucket]) -> set[str] | None:
        read.append(path.name)
        return named(path, buckets)

    monkeypatch.setattr(hints, "_hints_in", reading)
    HintFolder(tmp_path, {"docs"}).take_in()
    caplog.clear()
    assert len(read) == 5
    # Each look of the sensor opens the folder anew.
    HintFolder(tmp_path, {"docs"}).take_in()
    assert (len(read), caplog.text) == (5, "")
    aside = tmp_path / hints.REJECTED_FOLDER
    next(aside.iterdir()).unlink()
    HintFolder(tmp_path, {"docs"}).take_in()
    assert (len(read), len(list(aside.iterdir()))) == (5, 2)
    # Of another pipeline.yaml it may be a hint, and so it may when it was written again.
    HintFolder(tmp_path, {"other"}).take_in()
    assert len(read) == 7
    hint(tmp_path, next(tmp_path.glob("*.yaml")).name, "docs")
    folder = HintFolder(tmp_path, {"docs"})
    folder.take_in()
    assert folder.waiting() == ["docs"]


@given(st.binary(max_size=200))
def test_no_content_does_more_than_name_a_source(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("hints")
    folder = HintFolder(root, {"docs"})
    (root / "hint").write_bytes(content)
    folder.take_in()
    assert set(folder.waiting()) <= {"docs"}
    assert {path.name for path in folder.marks.iterdir()} <= {"docs"}


def test_a_killed_look_of_a_clock_that_was_ahead_is_asked_for_again(tmp_path: Path) -> None:
    folder = HintFolder(tmp_path, {"docs"})
    folder.give("docs")
    with pytest.raises(KeyboardInterrupt), folder.looking("docs"):
        raise KeyboardInterrupt
    [mark] = folder.marks.iterdir()
    os.utime(mark, (time.time() + 86_400,) * 2)
    assert folder.waiting() == ["docs"]
