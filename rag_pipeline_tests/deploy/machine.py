"""A copy of this machine that boots its own systemd: what is written there is gone afterwards, it reaches nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("systemd-nspawn", "nsenter", "nginx", "psql", "openssl", "curl", "runuser")
LONGEST_SECONDS = 300


class Machine:
    """The copy while it runs.

    Attributes:
        root: Its files, as they lie on this machine.
    """

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self._leader = str(leader)

    def typed(
        self, script: str, folder: str = "/", given: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """What root's shell does with a script."""
        path = f"{Path(sys.executable).resolve().parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = [f"{name}={value}" for name, value in {"PATH": path, "HOME": "/root", **variables}.items()]
        shell = ["bash", "-euo", "pipefail", "-c", f"cd {folder}\n{script}"]
        command = ["nsenter", "--target", self._leader, "--all", "env", "-i", *environment, *shell]
        return subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False, errors="replace"
        )

    def says(self, script: str, **options: Any) -> str:
        """What a script prints; it has to succeed."""
        done = self.typed(script, **options)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def until(self, script: str) -> str:
        """What a script prints once it succeeds."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while (done := self.typed(script)).returncode:
            assert time.monotonic() < deadline, f"{script}\n{done.stdout}{done.stderr}"
            time.sleep(0.5)
        return done.stdout


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A copy of this machine, booted.

    Args:
        folder: Empty; what the copy writes is kept there in memory.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() or not Path("/lib/systemd/systemd").exists():
        pytest.skip(
            f"needs root and systemd to boot a copy of this machine; missing: {', '.join(missing) or 'one of them'}"
        )
    with ExitStack() as stack:
        root = _copied(folder, stack)
        command = ["systemd-nspawn", "--quiet", f"--directory={root}", "--boot", "--private-network", "--register=no"]
        command += ["--keep-unit", "--link-journal=no", "--console=pipe", f"--uuid={os.urandom(16).hex()}"]
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(_stopped, process)
        here = Machine(root, _leader_of(process, folder / "log"))
        stack.callback(here.typed, "systemctl poweroff --force")
        # Some unit of this machine may not work in a copy.
        here.until("(systemctl is-system-running || true) | grep -E 'running|degraded'")
        yield here


def _copied(folder: Path, stack: ExitStack) -> Path:
    """The root of this machine below a layer that takes what is written."""
    for name in ("memory", "root"):
        (folder / name).mkdir()
    _mounted(stack, folder / "memory", "-t", "tmpfs", "tmpfs")
    for name in ("upper", "work"):
        (folder / "memory" / name).mkdir()
    layers = f"lowerdir=/,upperdir={folder}/memory/upper,workdir={folder}/memory/work"
    _mounted(stack, folder / "root", "-t", "overlay", "overlay", "-o", layers)
    root = folder / "root"
    _opened(root, Path(sys.base_prefix))
    _opened(root, Path(sysconfig.get_path("purelib")))
    return root


def _mounted(stack: ExitStack, place: Path, *what: str) -> None:
    done = subprocess.run(["mount", *what, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)


def _opened(root: Path, place: Path) -> None:
    """Let every user of the copy through to a folder: this machine's Python may lie in the home of one."""
    inner = root / place.relative_to("/")
    if not inner.is_dir():
        pytest.skip(f"{place} is on another disk, which the copy does not have")
    for each in (inner, *inner.parents):
        if each == root:
            return
        each.chmod(each.stat().st_mode | 0o555)


def _leader_of(process: subprocess.Popen[bytes], log: Path) -> int:
    """The first process of the copy, as this machine numbers it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.2)
    pytest.skip(f"a copy of this machine does not boot here: {log.read_text(errors='replace')[-300:]}")


def _stopped(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
