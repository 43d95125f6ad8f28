"""Each command of docs/operations.md is typed by a test: what no other types, here, with values that are there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.serving.app import build_app
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.deploy.test_one_machine import MARKER, PAGE
from rag_pipeline_tests.house.test_docs import RUNNABLE, shell_lines
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import running

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


def test_every_other_command_of_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `--to elsewhere` is beside whoever types it.
    monkeypatch.chdir(tmp_path)
    typed = {*shell_lines(PAGE, RUNNABLE), *shell_lines(PAGE, MARKER)}
    lines = [line for line in "\n".join(shell_lines(PAGE)).replace("\\\n", " ").splitlines() if line not in typed]
    here = Page(tmp_path)
    for line in lines:
        here.types(line)
    assert here.commands == ["erase", "erase", "restore", "restore", "restore", "tokens", "curl"], (
        "one is new: try it here"
    )


class Page:
    """A pipeline that holds what the page speaks of."""

    def __init__(self, folder: Path) -> None:
        self.commands: list[str] = []
        self.project = Project.create(folder / "project", ("handbook",), hints={"folder": "hints"})
        self.project.settings["hints"]["allowed_principals"] = ["webhooks"]
        self.project.settings["sources"]["handbook"]["use_sidecars"] = True
        self.project.write("rota/may.md", "# Rota\n\nThe lantern is lit by the keeper.\n", source="handbook")
        self.project.write("mo.md", "# Diary\n\nThe bell is rung by hand.\n", source="handbook")
        self.project.write("mo.md.meta.yaml", "allowed_principals: [mo]\n", source="handbook")
        self.project.write("hall.md", "# Hall\n\nThe hall is swept.\n", source="handbook")
        self.project.refresh()
        self.backups = folder / "backups"
        made = ask_in(self.project.folder, "backup", str(self.backups), "--json")
        assert made.code == 0, made.err
        self.backup = next((self.backups / "backups").glob("*.json")).stem

    def types(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        if words[0] == "curl":
            self.commands.append("curl")
            self.hint(line)
            return
        assert words[0] == "rag-pipeline", line
        self.commands.append(words[1])
        words = [self.meant(word) for word in words[1:]]
        if words[:1] == ["restore"] and "--replace" not in words and "--to" not in words:
            shutil.rmtree(self.project.folder / "lake")
        if words[0] == "erase" and "--yes" not in words:
            # A person is asked.
            words.append("--yes")
        answer = ask_in(self.project.folder, *words)
        assert answer.code == 0, f"{line}: {answer.out}{answer.err}"
        if words[0] == "tokens":
            self.token = answer.out.strip()

    def meant(self, word: str) -> str:
        """A word of the page as it is here."""
        if word == "3f2a…":
            with self.project.workspace() as workspace:
                rows = workspace.lake.read(DOCUMENTS, ["document_id", "uri"]).to_dicts()
            return str(next(row["document_id"] for row in rows if row["uri"].endswith("hall.md")))
        return {"/mnt/backups/lake": str(self.backups), "20260301T020000104522-3f2a91": self.backup}.get(word, word)

    def hint(self, line: str) -> None:
        with running(build_app(self.project.pipeline())) as url:
            command = line.replace("http://127.0.0.1:8321", url) + " --write-out %{http_code}"
            done = subprocess.run(
                ["bash", "-c", command],
                env=os.environ | {"TOKEN": self.token},
                capture_output=True,
                text=True,
                check=True,
            )
        assert done.stdout.endswith("202"), done.stdout
