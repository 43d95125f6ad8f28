"""Faults that nobody reports: documents that change in a way they never did."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

from rag_pipeline_tests.faults.declared.fault import LESS, NEW, Change, fault
from rag_pipeline_tests.faults.declared.of_models import seen
from rag_pipeline_tests.faults.declared.world import DOCUMENTS, World
from rag_pipeline_tests.refresh.test_history import aged

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MONTH = timedelta(days=30)


def rewritten(text: Callable[[int], str], count: int = DOCUMENTS) -> Change:
    """Some documents say something else, on a lake that is known for a month."""

    def inject(world: World) -> None:
        aged(world.project, MONTH)
        for number in range(count):
            world.project.write(f"d{number}.md", text(number))

    return inject


def added(count: int, text: Callable[[int], str]) -> Change:
    def inject(world: World) -> None:
        aged(world.project, MONTH)
        for number in range(count):
            world.project.write(f"new{number}.md", text(number))

    return inject


def says_nothing(world: World) -> None:
    for number in range(8):
        world.project.write(f"new{number}.md", mash(number))


def gone(count: int) -> Change:
    return lambda world: [(world.folder / f"docs/new{number}.md").unlink() for number in range(count)]


def month_passes(world: World) -> None:
    aged(world.project, MONTH)
    seen(world)


def mash(number: int) -> str:
    chosen = random.Random(number)
    return " ".join("".join(chosen.choices(LETTERS, k=7)) for _ in range(100))


def german(number: int) -> str:
    return (
        f"# Lampe {number}\n\nDie Lampe mit der Nummer {number} steht auf dem Brett {number * 7} und brennt, bis es "
        "wieder hell wird; der Mann im Turm macht sie jeden Abend an, bevor das letzte Schiff kommt.\n"
    )


def long_lamp(number: int) -> str:
    lines = (f"Lamp {number} stands on shelf {number * 7 + line} and burns until morning {line}." for line in range(9))
    return f"# Lamp {number}\n\n{' '.join(lines)}\n"


def lamp(number: int) -> str:
    return f"# Bell {number}\n\nBell number {number} hangs above gate {number * 3} and rings at noon.\n"


def draft(number: int) -> str:
    text = f"Lamp number {number} stands on shelf {number * 7} and burns until the morning."
    return f"# Lamp {number}\n\n{text}\n\n%% draft %%\n"


def plain(world: World) -> None:
    for number in range(DOCUMENTS):
        world.project.write(f"d{number}.md", draft(number).replace("\n%% draft %%\n", ""))


def closes(world: World) -> None:
    aged(world.project, MONTH)
    world.source("docs")["allowed_principals"] = ["keepers"]


FAULTS = (
    fault(
        "a source has more than twice its documents",
        added(40, lamp),
        "volumes_are_usual",
        # One template forty times.
        "vectors_point_where_they_did",
        ends="ten days have passed, or they are gone",
        mend=month_passes,
    ),
    fault(
        "documents of a source are in another language",
        rewritten(german),
        "languages_are_usual",
        "chunk_lengths_are_usual",
        readers=NEW,
        ends="they are right, or ten days have passed",
        mend=plain,
    ),
    fault(
        "chunks of a source are much longer",
        rewritten(long_lamp),
        "chunk_lengths_are_usual",
        readers=NEW,
        ends="they are right, or ten days have passed",
        mend=plain,
    ),
    fault(
        "more is left out of documents than before",
        rewritten(draft, 20),
        "documents_lose_no_more_than_usual",
        ends="the export is right",
        mend=plain,
    ),
    fault(
        "documents say nothing",
        says_nothing,
        "quality_is_good",
        ends="they are gone or right",
        mend=gone(8),
    ),
    fault(
        "what everybody read is open to one group",
        closes,
        "openness_is_usual",
        "readers_are_known",
        readers=LESS,
        ends="`allowed_principals` is right",
        mend=lambda world: world.source("docs").update(allowed_principals=["public"]),
    ),
)
