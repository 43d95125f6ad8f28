"""How a typed command ends: its text is written, its exit code is right, and what is due at the end is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import atexit, sys
from pathlib import Path
import rag_pipeline.cli as command_line
sys.argv = ["rag-pipeline", *sys.argv[2:]] if len(sys.argv) > 2 else sys.argv
atexit.register(lambda: Path("ended").write_text("yes"))
command_line.main()
"""


def typed(folder: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "--", *arguments],
        cwd=folder,
        text=True,
        check=False,
        **{"capture_output": True, **options},  # type: ignore[call-overload]
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--version"], 0), (["search", "--help"], 0), (["search", "question"], 2), (["status"], 2)],
    ids=["fine", "help", "usage", "no pipeline"],
)
def test_the_exit_code_and_all_text_reach_the_caller(tmp_path: Path, arguments: list[str], code: int) -> None:
    ended = typed(tmp_path, *arguments)
    assert ended.returncode == code, ended.stderr
    assert (ended.stdout if code == 0 else ended.stderr).endswith("\n")
    assert (tmp_path / "ended").read_text() == "yes"


def test_a_full_disk_behind_standard_output_is_no_success(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = typed(tmp_path, "search", "--help", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode != 0
    assert "No space left" in ended.stderr


STARTED = """
import gc, sys
import rag_pipeline.cli as command_line
from rag_pipeline.cli import app, collecting
def begun(**_):
    assert "rich.pretty" in sys.modules and "attr" not in sys.modules
    import attr
    assert attr.has(attr.make_class("Made", ["field"])) and not attr.has(str)
    assert gc.isenabled() and gc.get_threshold()[0] == collecting.OBJECTS_OF_A_START
    collecting.stay()
    assert gc.get_freeze_count() > 1000 and gc.get_threshold()[0] == collecting.OBJECTS_BETWEEN_COLLECTIONS
    raise SystemExit(0)
app.cli = begun
command_line.main()
"""


def test_a_command_starts_without_what_it_never_prints_and_a_server_collects_as_it_goes() -> None:
    ended = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
