"""Our row of the scoreboard in `benchmarks/`, small: every step of the story embeds exactly what is new."""

from __future__ import annotations

from pathlib import Path

from benchmarks.documents import write_documents
from benchmarks.ours import OurPipeline
from benchmarks.scoreboard import STORY, Outcome, play

DOCUMENTS = 60


def test_every_step_of_the_story_embeds_what_is_new_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    write_documents(folder, DOCUMENTS)
    ours = OurPipeline(tmp_path, folder)
    outcomes = play(ours, folder)
    for step, outcome in zip(STORY, outcomes, strict=True):
        assert outcome == Outcome(step.wanted(DOCUMENTS), 0, 0), step.name
    assert ours.served_meanwhile is True
