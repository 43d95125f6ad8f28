"""What all tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import dagster as dg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import is_hypothesis_test, settings

from rag_pipeline import shown

# The same examples on every machine and in every run, however slow the machine is. Asked for more examples, the tests
# look for new ones.
settings.register_profile("same everywhere", deadline=None, derandomize="RAG_PIPELINE_TEST_EXAMPLES" not in os.environ)
settings.load_profile("same everywhere")

HERE = Path(__file__).parent
# Tests that refresh whole lakes, run Dagster, kill processes or break storage: not what `make test` runs.
SLOW = (
    *("crash/", "defs/", "faults/", "pipeline/"),
    *("cli/test_maintain.py", "cli/test_records.py", "cli/test_run.py", "cli/test_secrets_and_length.py"),
    *("refresh/test_damage.py", "house/test_docs.py::test_commands_that_are_marked_to_run_do"),
)

# A slow test with many cases takes each on a lake of its own: CI tries so many of them, `make test-all` all. Their
# names decide which ones, so that they are the same until a case is added or renamed.
SLOW_CASES_IN_CI = 3

# What these run is long, traced it takes up to three times as long, and shorter tests run the same lines: a megabyte of
# an attack, thousands of questions to one lake, the house, whose rules run no line of the package.
NOT_TRACED = (
    *("house/", "parallel/", "embedding/test_bert_graph.py", "parsing/test_sheets_hostile.py"),
    *("parsing/test_text_attacks.py", "parsing/test_text_hostile.py", "retrieval/test_as_of.py"),
    *("retrieval/test_equal_answers.py", "retrieval/test_leaks.py", "serving/test_leaks.py", "serving/test_fuzz.py"),
    *("stores/test_segments.py",),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = f"{item.path.relative_to(HERE).as_posix()}::{item.name}"
        if place.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        is_long = item.get_closest_marker("slow") or place.startswith(NOT_TRACED)
        if is_long or is_hypothesis_test(getattr(item, "obj", None)):
            # Tracing each line of each example would double the time of these.
            item.add_marker(pytest.mark.no_cover)
    slow = [item for item in items if item.get_closest_marker("slow")]
    mark_more_than_a_sample(slow)
    # A slow file that begins last leaves the other processes with nothing to do.
    slow_files = {item.path for item in slow}
    items.sort(key=lambda item: item.path not in slow_files)


def mark_more_than_a_sample(slow: list[pytest.Item]) -> None:
    """Mark the cases of slow tests beyond those that CI tries."""
    tables: dict[str, list[pytest.Item]] = {}
    for item in slow:
        tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in tables.values():
        for item in sorted(cases, key=lambda item: sha256(item.name.encode()).digest())[SLOW_CASES_IN_CI:]:
            item.add_marker(pytest.mark.exhaustive)


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what was imported and collected: 700,000 objects that stay to the end.

    What a test makes it still looks at, and as often: what a broken connection leaves is let go where it broke.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """What was passed over is let go at the end, as libraries that count what they hold expect."""
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def secrets_of_these_tests() -> Iterator[None]:
    """What one file's tests keep secret is masked in the messages of no other, in whatever order they run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shown, "_secrets", set())
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_between_tries() -> Iterator[None]:
    """Steps are tried again as often as anywhere, and at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
        yield


@pytest.fixture(scope="session", autouse=True)
def revisions_are_read_once() -> Iterator[None]:
    """Dagster reads the sixty revisions of its tables anew for each new file, and tests make thousands of files.

    They are part of the package. Reading them took most of the time in which a new home was made.
    """
    from_config = ScriptDirectory.from_config
    read: dict[str | None, ScriptDirectory] = {}

    def once(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in read:
            read[place] = from_config(config)
        return read[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", once)
        yield
