"""A repository replayed night by night: edits, moves by the hundred, deletions, new permissions, a step back in time.

After each night nothing is found by `verify`, what was embedded is exactly the texts never seen before, and what is
published equals what a build from nothing would publish.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rag_pipeline.contracts.documents import embedded_text
from rag_pipeline.contracts.tables import CHUNKS
from rag_pipeline_tests.pipeline.project import Project

pytestmark = pytest.mark.slow

DOCUMENTS = 200
MOVED = 120
Replay = Callable[..., int]
TOPICS = ["pumps", "valves", "invoices", "holidays", "travel", "security", "onboarding", "backups", "releases"]
VERBS = ["explains", "lists", "forbids", "allows", "describes", "schedules", "measures", "repairs", "repeats"]


class Repository:
    """Markdown files in a folder, changed the way people change them."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.folder / "docs"
        self.random = random.Random(11)

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.md"))

    def sentence(self) -> str:
        words = [self.random.choice(TOPICS), self.random.choice(VERBS), self.random.choice(TOPICS)]
        return f"Rule {self.random.randrange(10**6)}: the page on {words[0]} {words[1]} {words[2]} once a week."

    def section(self, number: int) -> str:
        sentences = " ".join(self.sentence() for _ in range(self.random.randint(2, 9)))
        return f"## Part {number}\n\n{sentences}\n"

    def write_new(self, count: int, prefix: str = "page") -> None:
        for number in range(count):
            topic = self.random.choice(TOPICS)
            title = f"# {topic.title()} {prefix} {number}\n\n{self.sentence()}\n\n"
            parts = [self.section(part) for part in range(self.random.randint(1, 7))]
            self.project.write(f"{topic}/{prefix}{number}.md", title + "\n".join(parts))

    def edit_the_middle(self, count: int) -> None:
        for path in self.random.sample(self.files(), count):
            lines = path.read_text("utf-8").splitlines(keepends=True)
            lines.insert(len(lines) // 2, f"\n{self.sentence()}\n\n")
            path.write_text("".join(lines), "utf-8")

    def remove_sections(self, count: int) -> None:
        for path in self.random.sample(self.files(), count):
            head, *sections = path.read_text("utf-8").split("## ")
            path.write_text("## ".join([head, *sections[1:]]), "utf-8")

    def move(self, count: int) -> None:
        for path in self.random.sample(self.files(), count):
            target = self.folder / "archive" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)

    def copy(self, count: int) -> None:
        for path in self.random.sample(self.files(), count):
            shutil.copy2(path, path.with_name(f"copy-of-{path.name}"))

    def delete(self, count: int) -> None:
        for path in self.random.sample(self.files(), count):
            path.unlink()

    def snapshot(self, name: str) -> None:
        shutil.copytree(self.folder, self.project.folder / name)

    def revert_to(self, name: str) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.project.folder / name, self.folder)


def chunk_texts(project: Project) -> set[str]:
    with project.workspace() as workspace:
        chunks = workspace.lake.read(CHUNKS, ["header", "text"])
    return {embedded_text(header, text) for header, text in chunks.rows()}


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """Live through one night on one shared repository; returns how many texts were embedded."""
    project = Project.create(tmp_path_factory.mktemp("nights"))
    repository = Repository(project)
    repository.write_new(DOCUMENTS)
    known: set[str] = set()

    def night(change: Callable[[Repository], None], *, allow_mass_deletion: bool = False) -> int:
        change(repository)
        project.embedded.clear()
        project.refresh(allow_mass_deletion=allow_mass_deletion)
        texts = chunk_texts(project)
        assert project.verify().findings == []
        assert sorted(project.embedded) == sorted(texts - known)
        known.update(texts)
        assert project.published() == project.rebuilt()
        return len(project.embedded)

    night(lambda _: None)
    return night


def test_every_night_costs_its_new_texts_and_equals_a_rebuild(replay: Replay) -> None:
    def restrict(repository: Repository) -> None:
        repository.project.settings["sources"]["docs"]["permission_rules"] = [
            {"pattern": "archive/**", "allowed_principals": ["staff"]},
            {"pattern": "**/page1*.md", "allowed_principals": ["public", "staff"]},
        ]

    def busy(repository: Repository) -> None:
        repository.move(30)
        repository.edit_the_middle(30)
        repository.copy(10)
        repository.delete(20)
        repository.write_new(20, "memo")
        repository.remove_sections(15)

    assert replay(lambda repository: repository.edit_the_middle(25)) >= 25
    replay(lambda repository: repository.snapshot("before the move"))
    assert replay(lambda repository: repository.move(MOVED)) == 0
    assert replay(restrict) == 0
    assert replay(lambda repository: repository.copy(15)) == 0
    assert replay(lambda repository: repository.delete(40)) == 0
    assert replay(busy) > 0
    # Much of what a step back removes looks like a broken source, so a person has to allow it.
    assert replay(lambda repository: repository.revert_to("before the move"), allow_mass_deletion=True) == 0
