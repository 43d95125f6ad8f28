"""Random changes of issues, notes, restrictions, roles and groups of a real Redmine: equals a rebuild, and no leak.

    apt-get install --no-install-recommends redmine redmine-sqlite
    RAG_PIPELINE_TEST_CHANGES=10000 pytest …/test_redmine.py

The installed instance is not touched: its empty database is copied.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline_tests.pipeline.project import Project

ROOT = Path("/usr/share/redmine")
EMPTY = Path("/var/lib/dbconfig-common/sqlite3/redmine/instances/default/redmine_default")
SCRIPT = Path(__file__).with_name("redmine.rb")
CHANGES = int(os.environ.get("RAG_PIPELINE_TEST_CHANGES", "300"))
NIGHTS = 5
WORD = re.compile(r"word\d+")

pytestmark = pytest.mark.skipif(not (ROOT.is_dir() and EMPTY.exists()), reason="needs Debian's redmine, redmine-sqlite")


class Redmine:
    """A Redmine of its own: its web server, and commands that change it."""

    def __init__(self, folder: Path) -> None:
        shutil.copy(EMPTY, folder / "redmine.db")
        (folder / "files").mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = os.environ | {
            "DATABASE_URL": f"sqlite3:{folder / 'redmine.db'}",
            "HOME": str(folder),
            "RAILS_ENV": "production",
            "REDMINE_FILES": str(folder / "files"),
            "REDMINE_PORT": str(self.port),
            "X_DEBIAN_SITEID": "default",
        }
        command = ["ruby", "bin/rails", "runner", str(SCRIPT)]
        self._errors = (folder / "errors").open("w+")
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.key = self._answer()["key"]

    def ask(self, *command: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, command)) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            pytest.fail(self._errors.read()[-2_000:])
        return json.loads(line)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


@pytest.fixture
def redmine(tmp_path: Path) -> Iterator[Redmine]:
    folder = tmp_path / "redmine"
    folder.mkdir()
    found = Redmine(folder)
    yield found
    found.close()


def test_any_changes_of_a_redmine_equal_a_rebuild_and_show_what_it_shows(redmine: Redmine, tmp_path: Path) -> None:
    project = Project.create(tmp_path, cache="cache")
    project.settings["sources"] = {
        "issues": {
            "kind": "rest",
            "preset": "redmine_issues",
            "location": f"http://127.0.0.1:{redmine.port}",
            "variables": {"site": f"http://127.0.0.1:{redmine.port}", "project": "harbour"},
            "headers": {"X-Redmine-API-Key": redmine.key},
            "networks": ["127.0.0.1/32"],
            "max_deleted_floor": 100_000,
        }
    }
    seed = random.Random(CHANGES)
    for night in range(NIGHTS):
        assert redmine.ask("change", seed.randrange(2**31), CHANGES // NIGHTS) == CHANGES // NIGHTS
        shown = redmine.ask("shown")
        project.refresh()
        published = project.published()
        # Redmine's own model says who may see what; the pipeline asked its web server.
        seen: dict[str, set[int]] = {name: set() for name in shown["seen"]}
        words: set[str] = set()
        for row in published:
            words.update(WORD.findall(row["embedded_text"]))
            for name in row["allowed_principals"]:
                seen[name].add(int(row["uri"].rpartition("/")[2]))
        assert seen == {name: set(ids) for name, ids in shown["seen"].items()}, night
        assert words == set(shown["words"]), night
        assert published == project.rebuilt(), night
    # What changed nothing is not written again.
    assert project.refresh() == 0
    assert project.verify().findings == []
