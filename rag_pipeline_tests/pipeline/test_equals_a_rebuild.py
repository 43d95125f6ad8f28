"""P1: after any edits, deletes, moves, permission and settings changes, crashes and retries, what is published equals
what a build from nothing would publish; and P2: nothing is embedded twice on the way."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rag_pipeline.embedding.canary import CANARY_TEXTS
from rag_pipeline.errors import EvaluationBelowBaseline, SourceUnavailable
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.publication import publish
from rag_pipeline.refresh.unsettled import finish_revocations
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores import delta, upkeep, vectors
from rag_pipeline.stores.delta import DeltaStore
from rag_pipeline_tests.levels import tries
from rag_pipeline_tests.pipeline.project import Project

NAMES = [f"{folder}{stem}{suffix}" for folder in ("", "team/") for stem in "abc" for suffix in (".md", ".txt")]
PARAGRAPHS = [
    "The pump starts when the green lamp is lit.",
    "Invoices are paid on the first Tuesday of a month.",
    "Nobody enters the hall without a helmet. This holds for guests too.",
    "| part | price |\n|---|---|\n| bolt | 2 |\n| nut | 1 |",
    "- first call the desk\n- then write a note",
    "Ünïcödé text — with dashes, “quotes” and 漢字.",
]
QUERIES = ("green lamp", "Who enters the hall without a helmet?", "bolt price")
names = st.sampled_from(NAMES)
bodies = st.lists(st.sampled_from(PARAGRAPHS), min_size=0, max_size=4).map("\n\n".join)
titles = st.sampled_from(["# Handbook\n\n", "# Rules\n\n## Safety\n\n", ""])
ASKERS = ("public", "staff", "hr")
ASKED_AS = ("public", "staff")
# Documents that answer them may be deleted, moved or closed meanwhile, and what is edited may answer worse.
questions = st.lists(
    st.builds(
        lambda at, name, asker: {
            "question": QUERIES[at],
            "expected": [{"uri_suffix": f"docs/{name}"}],
            "principals": [asker],
        },
        st.integers(0, len(QUERIES) - 1),
        names,
        st.sampled_from(ASKERS),
    ),
    max_size=4,
)
principals = st.lists(st.sampled_from(ASKERS), max_size=2, unique=True)


class Crash(BaseException):
    """Stands for a killed process: nothing catches it on the way out."""


@contextmanager
def crash_after(writes: int) -> Iterator[None]:
    """Let so many writes to the lake happen, then stop before the next one or just after it."""
    left = writes
    originals: list[tuple[Any, str, Callable[..., Any]]] = []

    def wrapped(original: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
        def write(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0 and before:
                raise Crash
            result = original(*arguments, **options)
            if left < 0:
                raise Crash
            return result

        return write

    places = [(DeltaStore, name) for name in ("_write", "_overwrite", "_merge", "_merge_update", "tidy")]
    places += [(vectors.VectorTable, name) for name in ("add", "update_columns", "delete", "index", "compact_if_due")]
    for place, name in places:
        original = getattr(place, name)
        originals.append((place, name, original))
        setattr(place, name, wrapped(original, before=writes % 2 == 0))
    try:
        yield
    finally:
        for place, name, original in originals:
            setattr(place, name, original)


def answered(project: Project) -> dict[str, dict[tuple[str, str, int], list[tuple[Any, ...]]]]:
    """What each asker is answered by one who has come after the run."""
    with Searcher.open(project.pipeline()) as searcher:
        return {asks: project.answers(QUERIES, [asks], searcher=searcher) for asks in ASKED_AS}


class Nights(RuleBasedStateMachine):
    """Days of changes to a small source, with refreshes, some of them killed, in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.project = Project.create(self.folder)
        self.clock_ns = 1_700_000_000_000_000_000
        self.refreshed = False
        self.built: tuple[Any, list[dict[str, Any]], dict[str, Any]] | None = None

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def path(self, name: str) -> Path:
        return self.folder / "docs" / name

    def settle(self, name: str) -> None:
        """Give a file a modification time in the past that no other has."""
        self.clock_ns += 10_000_000_000
        os.utime(self.path(name), ns=(self.clock_ns, self.clock_ns))

    @initialize(body=bodies)
    def first_file(self, body: str) -> None:
        self.project.write("a.md", "# First\n\nAlways here.\n\n" + body)
        self.settle("a.md")

    @rule(name=names, title=titles, body=bodies)
    def write(self, name: str, title: str, body: str) -> None:
        self.project.write(name, title + body)
        self.settle(name)
        self.refreshed = False

    @rule(name=names, principals=principals)
    def declare(self, name: str, principals: list[str]) -> None:
        self.project.write(f"{name}.meta.yaml", f"allowed_principals: {principals}\ntitle: Declared\n")
        self.refreshed = False

    @rule(name=names)
    def undeclare(self, name: str) -> None:
        self.path(f"{name}.meta.yaml").unlink(missing_ok=True)
        self.refreshed = False

    @rule(name=names)
    def delete(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)
        self.refreshed = False

    @rule(name=names, to=names)
    def move(self, name: str, to: str) -> None:
        if self.path(name).exists():
            self.path(to).parent.mkdir(exist_ok=True)
            self.path(name).replace(self.path(to))
        self.refreshed = False

    @rule(name=names, to=names)
    def copy(self, name: str, to: str) -> None:
        if self.path(name).exists() and name != to:
            self.path(to).parent.mkdir(exist_ok=True)
            shutil.copy2(self.path(name), self.path(to))
        self.refreshed = False

    @rule(name=names)
    def touch(self, name: str) -> None:
        if self.path(name).exists():
            self.settle(name)
        self.refreshed = False

    @rule(name=names)
    def break_it(self, name: str) -> None:
        self.project.write(name, b"\x00\x01\x02 not text \xff")
        self.settle(name)
        self.refreshed = False

    @rule(principals=principals)
    def change_default_permissions(self, principals: list[str]) -> None:
        self.project.settings["sources"]["docs"]["allowed_principals"] = principals
        self.refreshed = False

    @rule(size=st.sampled_from([None, 24, 60]))
    def change_chunk_size(self, size: int | None) -> None:
        header = None if size is None else 8
        self.project.settings["chunking"] = {"max_tokens": size, "header_max_tokens": header, "min_tokens": 0}
        self.refreshed = False

    @rule(leave_out=st.booleans(), min_documents=st.sampled_from([2, 3]))
    def change_boilerplate(self, leave_out: bool, min_documents: int) -> None:
        self.project.settings["boilerplate"] = {"leave_out": leave_out, "min_documents": min_documents}
        self.refreshed = False

    @rule(quality=st.sampled_from([0, 0.9]))
    def change_quality(self, quality: float) -> None:
        self.project.settings["sources"]["docs"] |= {"min_quality": quality, "low_quality": "rank_down"}
        self.refreshed = False

    @rule(asked=questions)
    def change_questions(self, asked: list[dict[str, Any]]) -> None:
        """From now on a version has to come out as well as what readers see, whatever the questions ask for."""
        lines = [json.dumps(question | {"id": f"q{at}"}) for at, question in enumerate(asked)]
        (self.folder / "questions.jsonl").write_text("\n".join(lines), "utf-8")
        self.project.settings["evaluation"] = {"questions": ["questions.jsonl"], "mode": "text", "tolerance": 0.0}

    @rule(asked_for=names, rival=names, taken=names, takes=st.booleans())
    def worse_night(self, asked_for: str, rival: str, taken: str, takes: bool) -> None:
        """What is new answers a question worse, on a night on which something may be taken away too."""
        self.change_default_permissions(["public"])
        self.undeclare(asked_for)
        self.write(asked_for, "# Lamps\n\n", f"{PARAGRAPHS[0]} It hangs above the door, and nobody has to look for it.")
        self.change_questions(
            [{"question": QUERIES[0], "expected": [{"uri_suffix": f"docs/{asked_for}"}], "principals": ["public"]}]
        )
        self.night()
        if takes:
            self.delete(taken)
        self.undeclare(rival)
        self.write(rival, "# Green lamp\n\n", "Green lamp, green lamp.")
        self.night()

    @rule(again=st.integers(1, 2))
    def refresh(self, again: int) -> None:
        for _ in range(again):
            self.night()

    @rule(name=names, to=names, title=titles, body=bodies)
    def busy_night(self, name: str, to: str, title: str, body: str) -> None:
        """A move and an edit at its old address in one night, which one listing has to tell apart."""
        self.move(name, to)
        self.write(name, title, body)
        self.night()

    @rule()
    def maintain(self) -> None:
        known = len(self.project.embedded)
        with self.project.workspace() as workspace:
            maintain(workspace)
        # The model is asked for the same fixed texts each time, to see whether it still gives the same vectors.
        assert set(self.project.embedded[known:]) <= set(CANARY_TEXTS)
        del self.project.embedded[known:]

    @rule()
    def thin_out(self) -> None:
        """A night after which the index is compacted and only the last versions of all tables stay."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(upkeep, "MAX_OUTDATED", 0)
            patch.setattr(upkeep, "MARGIN", timedelta(0))
            patch.setattr(delta, "TIDY_EVERY", 1)
            self.night()

    @rule()
    def night_without_the_source(self) -> None:
        """It does not answer; everything else goes on with what bronze knows, and nothing a reader sees goes away."""
        docs, away = self.folder / "docs", self.folder / "away"
        docs.rename(away)
        try:
            with pytest.raises(SourceUnavailable):
                self.project.refresh()
            self.update(poll=False)
        finally:
            away.rename(docs)

    @rule()
    def guarded_nights(self) -> None:
        """The deletion guard may hold something, however often the run is repeated."""
        for _ in range(2):
            self.update(allow_mass_deletion=False)
        self.refreshed = False

    def update(self, **options: Any) -> bool:
        """A refresh that asks the questions and ends as a run does; False if the gate holds the new version back."""
        try:
            self.project.refresh(evaluate=True, **options)
        except EvaluationBelowBaseline:
            with self.project.workspace() as workspace:
                finish_revocations(workspace)
            return False
        return True

    def words(self, rows: list[dict[str, Any]], asker: str) -> set[str]:
        """Words of the texts that somebody can read."""
        texts = (row["embedded_text"][row["header_chars"] :] for row in rows if asker in row["allowed_principals"])
        return {word for text in texts for word in text.split()}

    def night(self) -> None:
        known = len(self.project.embedded)
        if not self.update():
            # A worse evaluation keeps what is new from readers, and never what they may no longer read before them.
            shown, (allowed, _) = self.project.published(), self.rebuilt()
            for asker in ASKERS:
                assert self.words(shown, asker) <= self.words(allowed, asker)
            with self.project.workspace() as workspace:
                publish(workspace, note="it is meant", by_hand=True, override_gate=True)
        assert len(self.project.embedded) == len(set(self.project.embedded)), self.project.embedded[known:]
        self.refreshed = True

    @rule(writes=st.integers(0, 12))
    def killed_refresh(self, writes: int) -> None:
        embedded = list(self.project.embedded)
        try:
            with crash_after(writes):
                self.refreshed = self.update()
        except Crash:
            # The batch that was being committed may be computed again.
            self.project.embedded[:] = embedded
            self.refreshed = False

    def rebuilt(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """What a build from nothing publishes and answers; it is made once for the same files and settings."""
        paths = [path for path in sorted(self.folder.glob("docs/**/*")) if path.is_file()]
        paths += self.folder.glob("questions.jsonl")
        inputs = [(path, path.stat().st_mtime_ns, path.read_bytes()) for path in paths], deepcopy(self.project.settings)
        if self.built is None or self.built[0] != inputs:
            rows = self.project.rebuilt()
            rebuilt = Project(self.folder, self.project.settings | {"lake": "rebuilt"})
            self.built = inputs, rows, answered(rebuilt)
        return self.built[1:]

    @precondition(lambda self: self.refreshed)
    @invariant()
    def published_equals_a_rebuild(self) -> None:
        rows, answers = self.rebuilt()
        assert self.project.published() == rows
        assert answered(self.project) == answers
        assert self.project.verify().findings == []


Nights.TestCase.settings = settings(
    max_examples=int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", tries(3, 12))),
    stateful_step_count=14,
    deadline=None,
    derandomize="RAG_PIPELINE_TEST_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestNights = pytest.mark.slow(Nights.TestCase)
