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
from rag_pipeline_tests.levels import MANY

# The same examples on every machine and in every run, however slow the machine is. Asked for more examples, the tests
# look for new ones. `make test-all` tries many (`--hypothesis-profile`), all else some, in a quarter of the time.
for name, count in (("some", 25), (MANY, 100)):
    settings.register_profile(
        name, deadline=None, max_examples=count, derandomize="RAG_PIPELINE_TEST_EXAMPLES" not in os.environ
    )
settings.load_profile("some")

HERE = Path(__file__).parent
# Tests that refresh whole lakes, run Dagster, kill processes or break storage: not what `make test` runs.
SLOW = (
    *("crash/", "defs/", "faults/", "pipeline/"),
    *("cli/test_maintain.py", "cli/test_records.py", "cli/test_run.py", "cli/test_secrets_and_length.py"),
    *("refresh/test_damage.py", "house/test_docs.py::test_commands_that_are_marked_to_run_do"),
)

# A slow test with many cases takes each on a lake of its own: CI tries so many of them, `make test-all` all. Their
# names decide which ones, so that they are the same until a case is added or renamed.
SLOW_CASES_IN_CI = 2
# So are the cases of these.
SAMPLED = ("refresh/test_look.py", "serving/test_page.py::test_it_is_readable")
# Each takes ten to two hundred seconds, and shorter tests try most of what it does: `make test-all` runs it. They
# simulate days, compare vectors with those of torch and of other libraries, and measure what only many documents show.
EXHAUSTIVE = (
    "alerts/test_telling.py::test_what_was_forced",
    "defs/test_a_day.py",
    "embedding/test_bert_graph.py",
    "embedding/test_cross_encoder.py::test_scores_are_those_of_sentence_transformers",
    "embedding/test_late_interaction.py::test_token_vectors_are_those_of_transformers",
    "embedding/test_openvino.py::test_a_model_that_cannot_be_converted",
    "embedding/test_openvino.py::test_openvino_gives_the_vectors_of_torch",
    "embedding/test_static.py::test_vectors_are_those_of_sentence_transformers",
    "object_store/test_writers.py::test_a_machine_that_stood_still_and_was_overtaken",
    "object_store/test_writers.py::test_after_a_machine_died",
    "parsing/test_pdf.py::test_evidence_of_real_filings",
    "pipeline/test_benchmarks.py",
    "refresh/test_recall.py::test_an_audit_without_a_figure",
    "refresh/test_recall.py::test_more_candidates_help",
    "transforms/test_near_duplicates.py::test_many_documents_of_one_form",
)

# What these run is long, traced it takes up to three times as long, and shorter tests run the same lines: a megabyte of
# an attack, thousands of questions to one lake, the house, whose rules run no line of the package.
NOT_TRACED = (
    *("house/", "parallel/", "embedding/test_bert_graph.py", "parsing/test_sheets_hostile.py"),
    *("parsing/test_text_attacks.py", "parsing/test_text_hostile.py", "retrieval/test_as_of.py"),
    *("retrieval/test_equal_answers.py", "retrieval/test_leaks.py", "serving/test_leaks.py", "serving/test_fuzz.py"),
    *("stores/test_segments.py",),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sampled = []
    for item in items:
        place = f"{item.path.relative_to(HERE).as_posix()}::{item.name}"
        if place.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if place.startswith(EXHAUSTIVE):
            item.add_marker(pytest.mark.exhaustive)
        is_long = item.get_closest_marker("slow") or place.startswith(NOT_TRACED)
        if is_long or is_hypothesis_test(getattr(item, "obj", None)):
            # Tracing each line of each example would double the time of these.
            item.add_marker(pytest.mark.no_cover)
        if place.startswith(SAMPLED):
            sampled.append(item)
    slow = [item for item in items if item.get_closest_marker("slow")]
    mark_more_than_a_sample(slow + sampled)
    # A slow file that begins last leaves the other processes with nothing to do.
    slow_files = {item.path for item in slow}
    items.sort(key=lambda item: item.path not in slow_files)


def mark_more_than_a_sample(long: list[pytest.Item]) -> None:
    """Mark the cases of long tests beyond those that CI tries."""
    tables: dict[str, list[pytest.Item]] = {}
    for item in long:
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
