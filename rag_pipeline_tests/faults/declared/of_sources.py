"""Faults of sources, and of what they say who may read."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from typing import Any

from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing import registry
from rag_pipeline.parsing.markup import markdown
from rag_pipeline.transforms import worker_tasks
from rag_pipeline_tests.faults.declared.fault import LESS, Change, fault
from rag_pipeline_tests.faults.declared.world import DOCUMENTS, World
from rag_pipeline_tests.refresh.test_polls import set_back


def moved(there: str, away: str) -> Change:
    return lambda world: (world.folder / there).rename(world.folder / away)


def setting(source: str, **values: object) -> Change:
    return lambda world: world.source(source).update(values)


def without(source: str, *names: str) -> Change:
    return lambda world: [world.source(source).pop(name) for name in names]


def half_gone(world: World) -> None:
    (world.folder / "half").mkdir()
    for number in range(14):
        (world.folder / f"docs/d{number}.md").rename(world.folder / f"half/d{number}.md")


def half_back(world: World) -> None:
    for path in (world.folder / "half").iterdir():
        path.rename(world.folder / "docs" / path.name)


def emptied(world: World) -> None:
    moved("wiki", "away")(world)
    (world.folder / "wiki").mkdir()


def filled_again(world: World) -> None:
    (world.folder / "wiki").rmdir()
    moved("away", "wiki")(world)


def stale(world: World) -> None:
    set_back(world.project, timedelta(days=2), source="wiki")
    moved("wiki", "away")(world)


def nobody_runs(world: World) -> None:
    for name in ("docs", "wiki"):
        set_back(world.project, timedelta(days=2), source=name)


def late(world: World) -> None:
    world.source("wiki")["searchable_within"] = "1h"
    set_back(world.project, timedelta(hours=2), source="wiki")
    world.project.write("late.md", "# Late\n\nThe ferry came in at noon.\n", source="wiki")
    os.utime(world.folder / "wiki" / "late.md", (1_700_000_000, 1_700_000_000))


def clock_ahead(world: World) -> None:
    """The machine of a source dates what it writes a decade ahead."""
    for path in (world.folder / "wiki").iterdir():
        os.utime(path, (2_100_000_000, 2_100_000_000))


def clock_right(world: World) -> None:
    for path in (world.folder / "wiki").iterdir():
        os.utime(path)


def broken_sidecar(world: World) -> None:
    world.project.write("d3.md.meta.yaml", "allowed_principals: [hr\n  : {")


def broken_groups(world: World) -> None:
    (world.folder / "groups.yaml").write_text("crew: {[", "utf-8")


def empty_groups(world: World) -> None:
    (world.folder / "groups.yaml").write_text("crew: []\n", "utf-8")


def groups_right(world: World) -> None:
    (world.folder / "groups.yaml").write_text("crew: [dan]\n", "utf-8")


def links_into_nowhere(world: World) -> None:
    for number in range(8):
        (world.folder / f"wiki/link{number}.md").symlink_to(world.folder / "nowhere" / f"{number}.md")


def links_gone(world: World) -> None:
    for number in range(8):
        (world.folder / f"wiki/link{number}.md").unlink()


def broken_exports(world: World) -> None:
    """Half of a source is replaced by files of an export that wrote nothing."""
    half_gone(world)
    for number in range(14):
        world.project.write(f"d{number}.md", "")


def exports_right(world: World) -> None:
    for number in range(14):
        (world.folder / f"docs/d{number}.md").unlink()
    half_back(world)


def refused_beside(world: World) -> None:
    for number in range(24):
        world.project.write(f"broken{number}.pdf", b"%PDF-1.4 and nothing more " + bytes([number]), source="docs")


def refused_gone(world: World) -> None:
    for number in range(24):
        (world.folder / f"docs/broken{number}.pdf").unlink()


def taken_in_twice(world: World) -> None:
    shutil.copytree(world.folder / "wiki", world.folder / "wiki" / "x", copy_function=shutil.copyfile)
    shutil.copytree(world.folder / "wiki" / "x", world.folder / "wiki" / "y", copy_function=shutil.copyfile)


def once_again(world: World) -> None:
    for name in ("x", "y"):
        shutil.rmtree(world.folder / "wiki" / name)


def parser_upgraded(world: World) -> None:
    """The new version of a parser refuses what the one before read."""

    parse_markdown = markdown.parse_markdown

    def refuse(raw: bytes, context: Any) -> Any:
        if raw.startswith(b"# Lamp"):
            raise UnparsableDocument("the new parser does not know such a heading")
        return parse_markdown(raw, context)

    version_of = registry._version_of
    world.patch.setattr(registry, "_version_of", lambda module: version_of(module) + "x")
    world.patch.setattr(markdown, "parse_markdown", refuse)
    parser_started_anew(world)


def parser_started_anew(_: World) -> None:
    """A process knows the version of its parsers; another version comes with another process."""
    worker_tasks._recipe_fingerprint.cache_clear()


FAULTS = (
    fault(
        "a source is down",
        moved("wiki", "away"),
        "source_answers",
        ends="the source is back",
        mend=moved("away", "wiki"),
    ),
    fault(
        "a source has been down for two days",
        stale,
        "source_answers",
        "polled_in_time",
        ends="the source is back",
        mend=moved("away", "wiki"),
    ),
    fault(
        "no run comes any more: the daemon was killed", nobody_runs, "polled_in_time", cycle="rag-pipeline alerts send"
    ),
    fault(
        "half of a listing is missing",
        half_gone,
        "deletion_guard_holds_nothing",
        ends="the rest is back",
        mend=half_back,
    ),
    fault(
        "half of a source was deleted, and that was meant",
        half_gone,
        "deletion_guard_holds_nothing",
        command="rag-pipeline run --allow-mass-deletion SOURCE",
        values=(("SOURCE", "docs"),),
        after=False,
    ),
    fault(
        "a source lists nothing",
        emptied,
        "deletion_guard_holds_nothing",
        ends="the source is filled again",
        mend=filled_again,
    ),
    fault(
        "half of a source is replaced by empty files",
        broken_exports,
        "no_source_is_refused_at_once",
        "quarantine_is_small",
        ends="the files are right",
        mend=exports_right,
    ),
    fault(
        "a flood of broken files",
        refused_beside,
        "quarantine_is_small",
        ends="the files are gone or right",
        mend=refused_gone,
    ),
    fault(
        "objects of a source cannot be read",
        links_into_nowhere,
        "objects_are_readable",
        "quarantine_is_small",
        ends="they can be read or are gone",
        mend=links_gone,
    ),
    fault("a folder is taken in three times", taken_in_twice, "duplicates_are_few", ends="it is one", mend=once_again),
    fault(
        "changes are searchable too late",
        late,
        "changes_are_searchable_in_time",
        ends="`searchable_within` fits the schedule",
        mend=setting("wiki", searchable_within="3650d"),
    ),
    fault(
        "content grew old",
        setting("wiki", content_stale_after="1s"),
        "content_is_fresh",
        ends="its owner wrote something, or `content_stale_after` fits",
        mend=setting("wiki", content_stale_after="365d"),
    ),
    fault("the clock of a source runs ahead", clock_ahead, "content_is_fresh", ends="it is right", mend=clock_right),
    fault(
        "a file of permissions is broken",
        broken_sidecar,
        "permissions_can_be_read",
        readers=LESS,
        ends="the file is mended",
        mend=lambda world: (world.folder / "docs" / "d3.md.meta.yaml").unlink(),
    ),
    fault(
        "a rule of permissions matches nothing",
        setting("wiki", permission_rules=[{"pattern": "board/**", "allowed_principals": ["hr"]}]),
        "patterns_match_something",
        ends="the pattern is right",
        mend=setting("wiki", permission_rules=[]),
    ),
    fault(
        "nobody may read a source",
        setting("wiki", allowed_principals=[]),
        "somebody_may_read_it",
        readers=LESS,
        ends="`allowed_principals` names somebody",
        mend=setting("wiki", allowed_principals=["public"]),
    ),
    fault("a file of groups is broken", broken_groups, "groups_answer", ends="the file is mended", mend=groups_right),
    fault(
        "groups of a source have no members", empty_groups, "groups_name_somebody", ends="they have", mend=groups_right
    ),
    fault(
        "the parser was upgraded and refuses what it read",
        parser_upgraded,
        "no_source_is_refused_at_once",
        "quarantine_is_small",
        ends="the parser is put back",
        mend=parser_started_anew,
    ),
)
assert DOCUMENTS > 20, "the deletion guard counts from there"
