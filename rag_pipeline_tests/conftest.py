"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import is_hypothesis_test, settings

from rag_pipeline import shown

# The same examples on every machine and in every run, however slow the machine is. Asked for more examples, the tests
# look for new ones.
settings.register_profile("same everywhere", deadline=None, derandomize="RAG_PIPELINE_TEST_EXAMPLES" not in os.environ)
settings.load_profile("same everywhere")

HERE = Path(__file__).parent
# Tests that refresh whole lakes, run Dagster, kill processes or break storage: `make test-all` runs them, as CI does.
SLOW = (
    *("crash/", "defs/", "faults/", "pipeline/"),
    *("cli/test_maintain.py", "cli/test_records.py", "cli/test_run.py", "cli/test_secrets_and_length.py"),
    *("refresh/test_damage.py", "house/test_docs.py::test_commands_that_are_marked_to_run_do"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = f"{item.path.relative_to(HERE).as_posix()}::{item.name}"
        if place.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") or is_hypothesis_test(getattr(item, "obj", None)):
            # Tracing each line of each example would double the time of these.
            item.add_marker(pytest.mark.no_cover)
    # A slow file that begins last leaves the other processes with nothing to do.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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
