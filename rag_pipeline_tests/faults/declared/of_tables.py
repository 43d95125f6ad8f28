"""Faults of the lake: tables and files that are gone, cut or other than they were, a full disk, another writer."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rag_pipeline.stores.lock import LOCK_NAME
from rag_pipeline_tests.faults.declared.fault import Change, fault
from rag_pipeline_tests.faults.declared.world import Impossible, World
from rag_pipeline_tests.refresh.test_damage import cut, cut_data, cut_log, remove_data


def broken(table: str, damage: Callable[[Path], object]) -> Change:
    def inject(world: World) -> None:
        [folder] = world.lake.glob(table)
        damage(folder)

    return inject


def scrambled(folder: Path) -> None:
    """Other bytes, and as many, as a disk leaves them that fails."""
    for file in folder.rglob("*.parquet"):
        file.write_bytes(bytes(file.stat().st_size))


def index_cut(folder: Path) -> None:
    for file in folder.glob("*.lance/data/*"):
        cut(file)


def bronze_cut(world: World) -> None:
    shutil.copytree(world.lake / "bronze" / "wiki", world.folder / "backup")
    cut_data(world.lake / "bronze" / "wiki")


def bronze_restored(world: World) -> None:
    shutil.rmtree(world.lake / "bronze" / "wiki")
    shutil.copytree(world.folder / "backup", world.lake / "bronze" / "wiki")


def newer(world: World) -> None:
    file = world.lake / "lake.json"
    shutil.copy(file, world.folder / "lake.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}), "utf-8")


def format_restored(world: World) -> None:
    shutil.copy(world.folder / "lake.json", world.lake / "lake.json")


def unlockable(world: World) -> None:
    """Somebody made a folder where the lock is."""
    (world.lake / LOCK_NAME).unlink(missing_ok=True)
    (world.lake / LOCK_NAME).mkdir()


def fill(disk: Path) -> None:
    """Take all room that a disk has."""
    for name, size in (("ballast", 65_536), ("rest", 512)):
        with suppress(OSError), (disk / name).open("wb", buffering=0) as file:
            while file.write(b"x" * size):
                pass


def disk_full(world: World) -> None:
    """The lake lies on a small disk of its own, which others have filled, and something is to be written."""
    world.lake.rename(world.folder / "away")
    world.lake.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(world.lake)], check=False).returncode:
        raise Impossible("only who may mount file systems can have a small disk here")
    world.leaving.callback(subprocess.run, ["umount", "--lazy", str(world.lake)], check=True)
    shutil.copytree(world.folder / "away", world.lake, dirs_exist_ok=True)
    world.project.write("new.md", "# New\n\nA new keeper came in spring.\n")
    fill(world.lake)


def room(world: World) -> None:
    for name in ("ballast", "rest"):
        (world.lake / name).unlink()


FAULTS = (
    fault("a table of silver is deleted", broken("silver/chunks", shutil.rmtree), "tables_are_whole"),
    fault("a file of a table is cut", broken("silver/documents", cut_data), "tables_are_whole"),
    fault("the log of a table is truncated", broken("gold/publications", cut_log), "tables_are_whole"),
    fault("stored vectors are corrupted", broken("gold/embeddings/*", scrambled), "tables_are_whole"),
    fault("stored vectors are deleted", broken("gold/embeddings/*", remove_data), "tables_are_whole"),
    fault("the index is dropped", broken("gold/index", shutil.rmtree), "everything_revoked_has_left"),
    fault("a file of the index is cut", broken("gold/index", index_cut), "tables_are_whole"),
    fault(
        "bronze of a source is damaged",
        bronze_cut,
        "error-lake_damaged",
        "everything_revoked_has_left",
        "tables_are_whole",
        ends="`bronze/SOURCE` is restored from a backup",
        mend=bronze_restored,
    ),
    fault(
        "a newer version wrote the lake",
        newer,
        "error-lake_too_new",
        ends="that version runs again, or a backup of before is restored",
        mend=format_restored,
    ),
    fault(
        "the lock of the lake cannot be taken",
        unlockable,
        "error-store",
        ends="the file that the message names can be written",
        mend=lambda world: (world.lake / LOCK_NAME).rmdir(),
    ),
    fault(
        "the disk of the lake is full",
        disk_full,
        "error-store",
        ends="there is room",
        mend=room,
    ),
)
