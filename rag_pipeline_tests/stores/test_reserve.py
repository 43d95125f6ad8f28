"""Room that is kept free on a full disk: all of it for taking away, but a small piece for telling people."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rag_pipeline.errors import StoreError
from rag_pipeline.stores.alerts import AlertFile
from rag_pipeline.stores.reserve import PIECE_BYTES, RESERVE_BYTES, RESERVE_NAME, keep_reserve, spend_piece


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own that others have filled to the last byte, after room was kept free on it."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only who may mount file systems can have a small disk here")
    try:
        keep_reserve(place)
        fill(place)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    """Others write until nothing is left."""
    with suppress(OSError), (place / "ballast").open("ab", buffering=0) as file:
        while file.write(b"x" * 4_096):
            pass


def test_people_are_told_of_a_full_disk_and_nearly_all_room_stays_for_taking_away(full_disk: Path) -> None:
    file = AlertFile(str(full_disk), full_disk)
    for at in range(100):
        file.change(lambda state, at=at: replace(state, looked={"runs": float(at)}))  # type: ignore[misc]
    assert file.read().looked == {"runs": 99.0}
    assert (full_disk / RESERVE_NAME).stat().st_size == RESERVE_BYTES - PIECE_BYTES


def test_a_disk_that_others_go_on_filling_keeps_most_of_the_room_for_taking_away(full_disk: Path) -> None:
    file = AlertFile(str(full_disk), full_disk)
    told = 0
    # Looks of an hour and more, once a minute; each has something to note.
    for at in range(100):
        with suppress(StoreError):
            file.change(lambda state, at=at: replace(state, looked={"runs": float(at)}))  # type: ignore[misc]
            told += 1
        fill(full_disk)
    assert 0 < told < 100
    assert (full_disk / RESERVE_NAME).stat().st_size >= RESERVE_BYTES * 3 // 4


def test_a_disk_with_room_and_one_without_anything_kept_give_no_piece(tmp_path: Path, full_disk: Path) -> None:
    keep_reserve(tmp_path)
    assert not spend_piece(tmp_path)
    assert (tmp_path / RESERVE_NAME).stat().st_size == RESERVE_BYTES
    (full_disk / RESERVE_NAME).unlink()
    assert not spend_piece(full_disk)
