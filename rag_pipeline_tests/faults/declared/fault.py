"""What one declared fault is, and what is measured of it.

Belongs here: the declaration, one cycle with it and one without, what is seen of both.
Does not belong here: the faults (`of_*.py`), the table of them (`page.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rag_pipeline_tests.faults.declared.world import World
from rag_pipeline_tests.paths import REPOSITORY

RUNBOOK = REPOSITORY / "docs" / "runbook.md"
RUN = "rag-pipeline run"
STATUS = "`rag-pipeline status`"
Change = Callable[[World], object]
SAME, LESS, NEW = "the same", "less: what is closed or refused now", "the texts as they are now"


def nothing(_: World) -> None:
    """Nobody has to do anything."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        inject: Breaks it.
        told: Entries of the runbook that the one message has.
        ends: What has to end outside of the pipeline before it heals; empty: nothing.
        mend: Does that.
        command: What is typed then, as the entry of the runbook has it; a plain run is what schedules do by themselves.
        values: What stands in the command for the names in capitals.
        readers: What they find meanwhile.
        after: They find afterwards what they found before.
        cycle: What is typed while the fault lasts.
        brought: Entries that another message has, of what brings the fault to light; empty: there is none.
        tells: The same of what the command does, which is told as well.
    """

    name: str
    inject: Change
    told: frozenset[str]
    ends: str = ""
    mend: Change = nothing
    command: str = RUN
    values: tuple[tuple[str, str], ...] = ()
    readers: str = SAME
    after: bool = True
    cycle: str = RUN
    brought: frozenset[str] = frozenset()
    tells: frozenset[str] = frozenset()


def fault(name: str, inject: Change, *told: str, **rest: object) -> Fault:
    return Fault(name, inject, frozenset(told), **rest)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Measured:
    """What was seen of a fault: where it shows in Dagster, what was told, what readers found, what healed it."""

    name: str
    shows: tuple[str, ...]
    told: tuple[str, ...]
    readers: str
    heals: str


def measure(each: Fault, world: World) -> Measured:
    """Inject a fault, and say what is seen of it until it has healed.

    Raises:
        AssertionError: It is not told in one message, or does not heal as declared.
    """
    before = world.answers()
    well = world.red()
    each.inject(world)
    typed(world, each.cycle)
    told = world.told()
    assert told == [("opened", names) for names in (each.brought, each.told) if names], (told, world.output)
    # What shows beside the checks: the command that looks at the lake.
    shows = set() if each.brought else world.red() - well
    if not shows:
        # What no asset has is shown by the command that looks at the lake; the sink is named there.
        ended_with = world.type("status").exit_code
        assert "second" in world.output if each.brought else ended_with, world.output
        shows = {STATUS}
    readers = found(world, before)
    assert readers == each.readers, world.output
    world.patch.undo()
    each.mend(world)
    typed(world, each.command, dict(each.values))
    ended = world.told()
    opened = [("opened", each.tells)] if each.tells else []
    assert ended == [*opened, *(("resolved", names) for _, names in told)], (ended, world.output)
    assert world.red() <= well, (world.red(), world.output)
    assert (found(world, before) == SAME) == each.after, world.output
    assert world.type("verify").exit_code == 0, world.output
    by_itself = "by itself, with the next run" if each.command == RUN else f"`{each.command}`"
    heals = f"{by_itself}, once {each.ends}" if each.ends else by_itself
    return Measured(each.name, tuple(sorted(shows)), tuple(sorted(each.told)), readers, heals)


def typed(world: World, command: str, values: dict[str, str] | None = None) -> None:
    """Type a command of the runbook, its names in capitals replaced."""
    for part in command.split(" && "):
        world.type(*((values or {}).get(word, word) for word in part.split()[1:]))


def found(world: World, before: list[list[tuple[str, str]]]) -> str:
    """How what callers find compares with what they found before."""
    now = world.answers()
    pairs = list(zip(now, before, strict=True))
    if now == before:
        return SAME
    if all(set(new) <= set(old) for new, old in pairs):
        return LESS
    # Other texts of the same documents, and of none that its caller did not find before.
    return NEW if all({uri for uri, _ in new} <= {uri for uri, _ in old} for new, old in pairs) else "more"


def entry_of(anchor: str, runbook: str) -> str:
    """The entry of the runbook behind an anchor, with the sections that it names."""
    [at] = [match.start() for match in re.finditer(f'<a id="{re.escape(anchor)}"></a>', runbook)]
    line = runbook[runbook.rfind("\n", 0, at) + 1 : runbook.find("\n", at)]
    if not line.startswith("|"):
        line = section_at(runbook, at)
    parts = [line, *(section(runbook, title) for title in re.findall(r'"([^"]+)"', line))]
    return "\n".join(parts)


def section(runbook: str, title: str) -> str:
    """A section, without its heading; empty where the words are no title."""
    match = re.search(rf"^(#+) {re.escape(title)}[^\n]*\n", runbook, re.MULTILINE)
    return section_at(runbook, match.start()) if match else ""


def section_at(runbook: str, at: int) -> str:
    head = runbook.find("\n#", at - 1)
    end = runbook.find("\n#", head + 3)
    return runbook[at : end if end > 0 else len(runbook)]
