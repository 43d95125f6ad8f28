"""An operator's day in the Dagster UI, in a real browser: materialise, see what is wrong and why, let go.

`RAG_PIPELINE_SCREENSHOTS=FOLDER` keeps what was seen; docs/dagster.md shows some of it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from rag_pipeline.defs.instance import DAGSTER_YAML
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.lake import INDEX_PATH, Lake
from rag_pipeline.stores.vectors import VectorStore
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.browser import CHROMIUM

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("dagster_webserver", reason="needs dagster-webserver, the extra `ui`")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser at {CHROMIUM}")

LOCATION = "/locations/__repository__@rag_pipeline.definitions/jobs"
# A run is a process of its own, which imports everything anew on a machine that may be busy.
LONGEST_SECONDS = 180
# Runs begin when they are asked for: no daemon has to pass them on.
AT_ONCE = """
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
"""
BY = "Ada of the night shift"


@dataclass
class Operator:
    """Somebody at the Dagster UI of a project."""

    page: Any
    url: str
    project: Project

    def see(self, path: str, *texts: str | re.Pattern[str], picture: str = "") -> None:
        """Open a page until it shows some texts."""
        self.page.goto(f"{self.url}{path}")
        for text in texts:
            self.page.get_by_text(text).first.wait_for(timeout=LONGEST_SECONDS * 1_000)
        if picture and (folder := os.environ.get("RAG_PIPELINE_SCREENSHOTS")):
            # What is drawn after the text: icons and plots.
            self.page.wait_for_timeout(1_000)
            self.page.get_by_text(texts[-1]).first.scroll_into_view_if_needed()
            self.page.screenshot(path=Path(folder, f"{picture}.png"))

    def fits(self) -> bool:
        """Whether the values of the page of an asset are seen whole: nothing stands beyond the edge of their table."""
        widths = (
            "shown => { const box = shown.closest('table').parentElement; return [box.scrollWidth, box.clientWidth]; }"
        )
        wanted, there = self.page.get_by_text("rag/what_happened").first.evaluate(widths)
        return bool(wanted <= there)

    def materialize(self, job: str, *, partition: str = "small", **changed: Any) -> None:
        """Launch a job of assets as its description says: the arrow, the launchpad, a partition, a word of the config.

        Args:
            partition: The embedding model.
            changed: Configuration by op, where something else is typed than what is filled in.
        """
        self.page.goto(f"{self.url}{LOCATION}/{job}")
        button = self.page.get_by_role("button", name="Materialize all")
        button.wait_for()
        place = button.bounding_box()
        # The arrow beside it has no name.
        self.page.mouse.click(place["x"] + place["width"] + 14, place["y"] + place["height"] / 2)
        self.page.get_by_role("menuitem", name="Open launchpad").click()
        self.until(lambda: self._has_partition(partition))
        if changed:
            editor = self.page.get_by_role("dialog").locator(".CodeMirror", has_text="ops:")
            filled_in = yaml.safe_load(editor.evaluate("shown => shown.CodeMirror.getValue()"))
            for op, config in changed.items():
                assert config.keys() <= filled_in["ops"][op]["config"].keys()
                filled_in["ops"][op]["config"] |= config
            editor.evaluate("(shown, text) => shown.CodeMirror.setValue(text)", yaml.safe_dump(filled_in))
        self._launch(self.page.get_by_role("dialog").get_by_role("button", name="Materialize"))

    def start(self, job: str, op: str, **config: Any) -> None:
        """Launch a job of an operator from its launchpad."""
        self.page.goto(f"{self.url}{LOCATION}/{job}/playground")
        editor = self.page.locator(".CodeMirror").first
        editor.wait_for()
        text = yaml.safe_dump({"ops": {op: {"config": {"by": BY} | config}}})
        editor.evaluate("(shown, text) => shown.CodeMirror.setValue(text)", text)
        self._launch(self.page.get_by_role("button", name="Launch Run"))

    def _has_partition(self, name: str) -> bool:
        """Choose the partition; while the page loads, what is typed may be forgotten."""
        partition = self.page.get_by_placeholder("Partition")
        partition.click()
        partition.fill(name)
        # What is suggested comes a moment later, and has no name to wait for.
        self.page.wait_for_timeout(2_000)
        partition.press("Enter")
        chosen = self.page.get_by_text(f"partition: {name}")
        with suppress(sync_api.TimeoutError):
            chosen.wait_for(timeout=5_000)
        return bool(chosen.is_visible())

    def _launch(self, button: Any) -> None:
        self.page.get_by_text("No errors").wait_for()
        sync_api.expect(button).to_be_enabled(timeout=60_000)
        button.click()
        self.page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}"))

    def until(self, done: Callable[[], bool]) -> None:
        """Wait until the lake is as it should be."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not done():
            assert time.monotonic() < deadline, self.page.locator("body").inner_text()
            self.page.wait_for_timeout(500)

    def shown(self) -> set[str]:
        """Documents that readers find."""
        last = self._lake.last_publication()
        if last is None:
            return set()
        table = open_version(VectorStore(self._lake.uri(INDEX_PATH)), last)
        return {uri.rpartition("/")[2] for uri in table.read(["uri"])["uri"]}

    def served(self) -> str:
        """The embedding model that readers search with."""
        last = self._lake.last_publication()
        return "" if last is None else last.alias

    @property
    def _lake(self) -> Lake:
        # The project's own way writes pipeline.yaml anew, which ends runs that are under way.
        return Lake(str(self.project.folder / "lake"))


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    project = Project.create(tmp_path / "project", ("handbook", "minutes"))
    project.settings["sources"]["handbook"]["permission_rules"] = [
        {"pattern": "drafts/**", "allowed_principals": ["board"]}
    ]
    for number in range(12):
        text = f"The keeper of lamp {number} lights it at dusk and notes the hour in book {number * 7}."
        project.write(f"rule{number}.md", f"# Rule {number}\n\n{text}\n", source="handbook")
    for number in range(30):
        text = f"The board met in hall {number} and spoke of rope number {number * 13}."
        project.write(f"meeting{number}.md", f"# Meeting {number}\n\n{text}\n", source="minutes")
    project.settings["embedding_models"]["wide"] = {"kind": "hashing", "model": "hashing", "dimension": 128}
    asked = [
        {
            "id": f"q{number}",
            "question": f"who lights lamp {number}",
            "expected": [{"uri_suffix": f"handbook/rule{number}.md"}],
            "principals": ["public"],
        }
        for number in range(1, 6)
    ]
    (project.folder / "questions.jsonl").write_text("\n".join(map(json.dumps, asked)), "utf-8")
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    config = project.pipeline().path
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(DAGSTER_YAML + AT_ONCE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "DAGSTER_HOME": str(home),
        "RAG_PIPELINE_CONFIG": str(config),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
    }
    command = ["-m", "dagster_webserver", "-m", "rag_pipeline.definitions", "-h", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, *command], env=environment, stdout=log, stderr=log, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, server)
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(120_000)
            yield Operator(page, url, project)
            browser.close()
    finally:
        server.terminate()
        server.wait(60)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        assert server.poll() is None, "the webserver did not start"
        assert time.monotonic() < deadline, "the webserver did not start in time"
        try:
            with urlopen(f"{url}/server_info", timeout=10):
                return
        except OSError:
            time.sleep(0.2)


# Three runs in processes of their own, and pages of Dagster that wait for each: six minutes on a busy machine.
@pytest.mark.exhaustive
def test_an_operators_day_in_the_browser(operator: Operator) -> None:
    docs = operator.project.folder / "minutes"
    operator.materialize("refresh")
    operator.until(lambda: len(operator.shown()) == 42)
    # A check that is yellow says what it is about.
    checks = "/assets/bronze/handbook?" + urlencode({"view": "checks", "checkDetail": "patterns_match_something"})
    operator.see(checks, "permission_rules: the pattern drafts/** matches nothing", picture="check-yellow")
    for number in range(25):
        (docs / f"meeting{number}.md").unlink()
    operator.materialize("refresh")
    guard = "/assets/bronze/minutes?" + urlencode({"view": "checks", "checkDetail": "deletion_guard_holds_nothing"})
    operator.see(guard, re.compile("rag-pipeline run --allow-mass-deletion minutes"), picture="deletion-guard")
    assert len(operator.shown()) == 42
    operator.materialize("release_deletion_guard", bronze_minutes={"allow_mass_deletion": True, "by": BY})
    operator.until(lambda: len(operator.shown()) == 17)


# Five more runs in processes of their own.
@pytest.mark.exhaustive
def test_a_second_model_is_built_compared_published_and_taken_back_and_a_document_is_erased(operator: Operator) -> None:
    operator.materialize("refresh")
    operator.until(lambda: operator.served() == "small")
    operator.see(
        "/assets/gold/publication", "rag/sources", re.compile("all is well"), "rag/served_ndcg", picture="publication"
    )
    assert operator.fits()
    operator.see("/assets/gold/evaluation", "rag/history")
    assert operator.fits()
    operator.materialize("keep_in_step", partition="wide")
    seen = urlencode({"view": "checks", "checkDetail": "evaluation_not_below_published"})
    operator.see(f"/assets/gold/evaluation?{seen}", "rag/compared_questions", picture="compared")
    assert operator.served() == "small"
    operator.start("models_publish", "publish_model", alias="wide", note="it is wider")
    operator.until(lambda: operator.served() == "wide")
    operator.see("/assets/gold/publication", BY, "it is wider")
    operator.start("models_rollback", "roll_back", note="narrow is enough")
    operator.until(lambda: operator.served() == "small")
    place = {"source": "handbook", "address": "rule0.md", "reason": "request 4711"}
    operator.start("erase", "erase_documents", **place)
    operator.see(operator.page.url.removeprefix(operator.url), re.compile("Nothing was erased. 1 document would be"))
    assert "rule0.md" in operator.shown()
    operator.start("erase", "erase_documents", is_meant=True, **place)
    operator.see(
        operator.page.url.removeprefix(operator.url), re.compile("Erased 1 document; found none"), picture="erased"
    )
    assert "rule0.md" not in operator.shown()
    assert list((operator.project.folder / "lake" / "erasures").glob("*.txt"))


# One run in a process of its own, and one of the job.
@pytest.mark.exhaustive
def test_where_a_hit_came_from_is_asked_on_the_page_of_the_publication(operator: Operator) -> None:
    operator.materialize("refresh")
    operator.until(lambda: len(operator.shown()) == 42)
    shown = re.compile("gold/publication: 1 rows in publication 0")
    operator.see("/assets/gold/publication", "rag/way_of_hit_1", shown, picture="where-from")
    assert operator.fits()
    operator.page.get_by_role("link", name=re.compile("^[0-9a-f]{12}$")).first.click()
    editor = operator.page.locator(".CodeMirror").first
    editor.wait_for()
    operator.until(lambda: "document" in editor.evaluate("shown => shown.CodeMirror.getValue()"))
    operator._launch(operator.page.get_by_role("button", name="Launch Run"))
    operator.see(operator.page.url.removeprefix(operator.url), re.compile("is in the index that readers search"))
