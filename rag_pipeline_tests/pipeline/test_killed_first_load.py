"""A first load that is killed goes on where it stopped: what had been taken in is not asked for again, in any kind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.repositories import Maker
from rag_pipeline_tests.sources.rest_api import TICKETS, as_json
from rag_pipeline_tests.sources.site import Asked, Reply, Site, html

# More than are asked for together, so that some are taken in before the kill and some are not asked for yet.
COUNT = 150
KILLED_AT = 100
NAMES = [f"n{number:03}" for number in range(COUNT)]
# Reads one source of a project, notes what it was given, and is killed by itself as no handler can notice.
CHILD = """
import os, signal, sys
from pathlib import Path
from rag_pipeline.refresh import bronze, fetching
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import load_pipeline

folder, name, killed_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
fetching.COMMIT_SECONDS = 0.0
whole = fetching.Fetching.fetched

def noted(self, items):
    for number, (item, fetched) in enumerate(whole(self, items), 1):
        with open(folder / "given.txt", "a") as file:
            file.write(item.address + chr(10))
        if number == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        yield item, fetched

fetching.Fetching.fetched = noted
with Workspace(load_pipeline(folder / "pipeline.yaml"), run_id="child") as workspace:
    bronze.refresh_source(workspace, name)
"""


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.close()


def project_of(folder: Path, settings: dict[str, Any]) -> Project:
    project = Project.create(folder, ["docs"], cache="cache")
    project.settings["sources"] = {"load": settings | {"allowed_principals": ["staff"]}}
    project.pipeline()
    return project


def run(project: Project, killed_at: int = 0) -> int:
    """Read the source in a process of its own; what it ended with."""
    command = [sys.executable, "-c", CHILD, str(project.folder), "load", str(killed_at)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_PIPELINE")}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False, timeout=300).returncode


def live(project: Project) -> set[str]:
    with project.workspace() as workspace:
        state = workspace.lake.bronze_state("load")
        return set(state.filter(pl.col("change") != "deleted")["address"])


def given(project: Project) -> list[str]:
    file = project.folder / "given.txt"
    found = file.read_text().split("\n")[:-1] if file.exists() else []
    file.unlink(missing_ok=True)
    return found


def as_git(folder: Path) -> dict[str, Any]:
    Maker(folder / "repo").commit({f"{name}.md": f"# {name}".encode() for name in NAMES})
    return {"kind": "git", "location": "repo"}


def as_sql(folder: Path) -> dict[str, Any]:
    connection = sqlite3.connect(folder / "rows.db")
    with connection:
        connection.execute("CREATE TABLE pages (name TEXT PRIMARY KEY, body TEXT)")
        connection.executemany("INSERT INTO pages VALUES (?, ?)", [(name, f"Text {name}") for name in NAMES])
    connection.close()
    query = "SELECT * FROM pages"
    return {"kind": "sql", "location": "rows.db", "query": query, "key": ["name"], "text": ["body"]}


def as_mail(folder: Path) -> dict[str, Any]:
    for each in ("cur", "new", "tmp"):
        (folder / "mail" / each).mkdir(parents=True)
    for name in NAMES:
        message = f"From: ada@x.example\nSubject: {name}\nMessage-ID: <{name}@x.example>\n\nText {name}.\n"
        (folder / "mail" / "cur" / f"{name}:2,S").write_text(message)
    return {"kind": "mail", "location": "mail"}


@pytest.mark.parametrize("made", [as_git, as_sql, as_mail])
def test_what_a_killed_first_load_took_in_is_not_read_again(tmp_path: Path, made: Any) -> None:
    project = project_of(tmp_path, made(tmp_path))
    assert run(project, KILLED_AT) == -signal.SIGKILL
    taken = live(project)
    # All but the one that it was killed at.
    assert taken == set(given(project)[:-1])
    assert len(taken) == KILLED_AT - 1
    assert run(project) == 0
    again = given(project)
    assert not taken & set(again)
    assert len(again) == COUNT - len(taken)
    assert live(project) == taken | set(again)


def test_a_killed_first_load_of_an_api_asks_for_nothing_again_that_it_took_in(tmp_path: Path, site: Site) -> None:
    entries = [{"id": name, "revision": 1, "body": f"Text {name}", "readers": ["staff"]} for name in NAMES]
    site.pages["/api/items"] = as_json({"items": entries, "next": None})
    site.pages |= {f"/api/items/{each['id']}": as_json(each) for each in entries}
    project = project_of(tmp_path, TICKETS | {"location": f"{site.url}/api", "networks": ["127.0.0.0/8"]})
    assert run(project, KILLED_AT) == -signal.SIGKILL
    taken = live(project)
    assert len(taken) == KILLED_AT - 1
    before = len(site.asked)
    assert run(project) == 0
    asked = {path.rpartition("/")[2] for path in site.paths[before:] if path.startswith("/api/items/")}
    assert asked == set(NAMES) - taken
    assert live(project) == set(NAMES)


@pytest.mark.parametrize("killed_in", ["the walk", "the taking in"])
def test_a_first_walk_through_a_site_that_is_killed_asks_for_no_page_twice(
    tmp_path: Path, site: Site, killed_in: str
) -> None:
    killed: list[subprocess.Popen[bytes]] = []

    def page(asked: Asked) -> Reply:
        number = int(asked.path.rpartition("/n")[2] or 0)
        if killed_in == "the walk" and number == KILLED_AT and killed:
            killed.pop().kill()
        return html(f"page {number} of many", title=f"Page {number}")

    site.pages |= {f"/docs/{name}": page for name in NAMES}
    site.pages["/docs/"] = html("".join(f'<a href="{name}">{name}</a>' for name in NAMES), title="First")
    location = {"location": f"{site.url}/docs/", "networks": ["127.0.0.0/8"], "delay_seconds": 0}
    project = project_of(tmp_path, {"kind": "web"} | location)
    if killed_in == "the walk":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_PIPELINE")}
        command = [sys.executable, "-c", CHILD, str(tmp_path), "load", "0"]
        with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as process:
            killed.append(process)
            assert process.wait(timeout=300) == -signal.SIGKILL
        assert live(project) == set()
        twice = {f"/docs/n{KILLED_AT:03}"}
    else:
        assert run(project, KILLED_AT) == -signal.SIGKILL
        assert len(live(project)) == KILLED_AT - 1
        twice = set()
    assert run(project) == 0
    assert len(live(project)) == COUNT + 1
    whole = Counter(each.path for each in site.asked if "if-none-match" not in each.headers)
    pages = {path: count for path, count in whole.items() if path.startswith("/docs/") and "no-such-page" not in path}
    assert {path for path, count in pages.items() if count > 1} <= twice
    # What is kept so that a kill costs nothing is no copy of the site for ever.
    assert run(project) == 0
    [walked] = (tmp_path / "cache").rglob("walk.bytes")
    assert walked.stat().st_size == 0
