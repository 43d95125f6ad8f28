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
    *("crash/", "defs/", "faults/", "pipeline/", "postgres/"),
    *("cli/test_maintain.py", "cli/test_records.py", "cli/test_run.py", "cli/test_secrets_and_length.py"),
    *("enrichment/test_contexts_in_a_lake.py", "enrichment/test_in_a_lake.py", "refresh/test_damage.py"),
    "house/test_docs.py::test_commands_that_are_marked_to_run_do",
)

# Slow tests that CI tries: each promise, each kind of fault, each way to run, once. `make test-all` tries all of them.
TRIED_BY_CI = (
    "cli/test_run.py::test_a_run_publishes_and_a_second_one_changes_nothing",
    "crash/test_kill.py::test_a_",
    "crash/test_liveness.py",
    "crash/test_signals.py::test_a_signal_ends_a_run_that_waits",
    "defs/test_automation.py",
    "defs/test_checks.py",
    "defs/test_definitions.py::test_a_run_refreshes_everything_and_a_second_one_does_nothing",
    "defs/test_definitions.py::test_a_source_that_is_down_is_red_alone",
    "defs/test_definitions.py::test_definitions_load_with_an_empty_environment",
    "defs/test_definitions.py::test_workspace_yaml_is_valid",
    "defs/test_describe",
    "defs/test_heal.py::test_a_run_heals",
    "defs/test_hints.py::test_a_hint_asks_for_its_source_alone",
    "defs/test_hybrid_checks.py",
    "defs/test_look.py::test_a_look_tells",
    "defs/test_many.py::test_one_that_is_broken",
    "defs/test_operator_jobs.py::test_a_model_is_published",
    "defs/test_operator_jobs.py::test_an_erasure_from_the_launchpad",
    "defs/test_refused_publication.py::test_what_was_taken_away",
    "enrichment/test_contexts_in_a_lake.py::test_each_chunk_is_told",
    "enrichment/test_in_a_lake.py::test_a_kill_costs",
    "enrichment/test_in_a_lake.py::test_a_text_costs_one_call",
    "faults/test_around_runs.py::test_damage_that_no_size_tells",
    "faults/test_combinations.py::test_a_source_that_leaves",
    "faults/test_declared.py",
    "faults/test_redacting.py::test_it_leaves",
    "faults/test_redacting.py::test_neither_going_back",
    "faults/test_redacting.py::test_nothing_keeps",
    "faults/test_redacting.py::test_texts_that_cannot_be_looked_at",
    "faults/test_revoking.py",
    "faults/test_taking_away.py::test_what_was_revoked_leaves_readers",
    "house/test_docs.py",
    "object_store/test_commands.py::test_a_plan_says",
    "object_store/test_commands.py::test_in_a_bucket_that_keeps_versions",
    "object_store/test_fences.py",
    "object_store/test_reading.py::test_a_second",
    "pipeline/test_backup.py::test_what_is_restored",
    "pipeline/test_backup.py::test_what_was_erased",
    "pipeline/test_deletion_guard.py::test_everything_but_the_deletions",
    "pipeline/test_deletion_guard.py::test_what_is_lost_on_top",
    "pipeline/test_endpoint_model.py",
    "pipeline/test_enrichments.py::test_what_was_read_is_not_read_again",
    "pipeline/test_equals_a_rebuild.py",
    "pipeline/test_erasure.py::test_an_erasure_that_is_killed",
    "pipeline/test_erasure.py::test_nothing_of_the_document_is_left",
    "pipeline/test_first_build.py",
    "pipeline/test_generations.py::test_going_back",
    "pipeline/test_generations.py::test_readers_notice",
    "pipeline/test_kinds_mixed.py",
    "pipeline/test_maintenance.py",
    "pipeline/test_memberships.py",
    "pipeline/test_permissions.py",
    "pipeline/test_plan.py::test_the_run_does_what_was_planned",
    "pipeline/test_promises.py",
    "pipeline/test_ray_engine.py::test_what_is_revoked",
    "pipeline/test_revocations.py::test_a_run_that_cannot_embed",
    "pipeline/test_revocations.py::test_a_version_with_chunks_withheld",
    "pipeline/test_revocations.py::test_broken_questions_hold_up_no_revocation",
    "pipeline/test_revocations.py::test_going_back_to_another_model",
    "pipeline/test_revocations.py::test_removed_text_reaches_readers",
    "postgres/test_delivery.py::test_every_row",
    "postgres/test_faults.py::test_a_delivery_that_is_killed",
    "postgres/test_hostile_server.py::test_what_another_role_made",
    "postgres/test_leaks.py::test_each_role",
    "postgres/test_leaks.py::test_no_sql_of_a_role",
    "postgres/test_leaks.py::test_what_is_revoked",
    "postgres/test_withdrawing.py::test_what_is_withdrawn_leaves",
    "serving/test_damaged_lake.py",
    "serving/test_hanging_up.py",
    "serving/test_one_version.py",
    "serving/test_server.py::test_a_server_answers_counts_over_its_workers_and_stops[1]",
)
# Tests that build lakes, start servers or load models, half a second to five each, in files that do little else. CI
# runs all of them; without them `make test` ends within five minutes.
LONG = (
    *("adapters/", "alerts/test_telling.py", "answering/test_erasing.py", "answering/test_evaluation.py"),
    *("answering/test_leaks.py", "cli/test_evaluate.py", "cli/test_feedback.py", "cli/test_installed.py"),
    *("cli/test_models.py", "cli/test_plan.py", "cli/test_polls.py", "cli/test_questions.py"),
    *("enrichment/test_beside.py", "enrichment/test_written_in_a_lake.py", "object_store/", "parallel/test_pool.py"),
    *("parsing/test_ocr.py", "refresh/test_audit.py", "refresh/test_costs.py", "refresh/test_evaluation.py"),
    *("refresh/test_hinted.py", "refresh/test_history.py", "refresh/test_lag.py", "refresh/test_look.py"),
    *("refresh/test_ocr_switched.py", "refresh/test_recall.py", "refresh/test_reranking.py", "refresh/test_seams.py"),
    *("refresh/test_status.py", "refresh/test_synthetic_questions.py", "retrieval/test_as_of.py"),
    *("retrieval/test_equal_answers.py", "retrieval/test_explain.py", "retrieval/test_leaks.py"),
    *("retrieval/test_ranking.py", "retrieval/test_spaces.py", "serving/", "settings/test_limits.py"),
    *("sources/test_git_remote.py", "sources/test_sql_postgres.py", "stores/test_segments.py"),
    "transforms/chunk/test_chunk_properties.py",
)
# Of a table of cases, each on a lake of its own, so many. Their names decide which, so that it is the same until a case
# is added or renamed.
CASES_IN_CI = 1
# Quick tests with such tables.
SAMPLED = (
    *(
        "parallel/test_pool.py::test_only_the_guilty_item",
        "refresh/test_look.py",
        "refresh/test_polls.py::test_a_lost_or",
    ),
    *("refresh/test_status.py", "retrieval/test_as_of.py", "retrieval/test_equal_answers.py::test_steps_and_one_build"),
    *("retrieval/test_long_lived.py", "serving/test_page.py::test_it_is_readable"),
)
# Not slow by where they stand, but each takes ten to fifty seconds, and shorter tests try most of what it does: other
# libraries that take long to import, and what only many documents show.
EXHAUSTIVE = (
    "alerts/test_telling.py::test_a_source_that_is_down",
    "alerts/test_telling.py::test_what_was_forced",
    "embedding/test_bert_graph.py",
    "embedding/test_openvino.py::test_a_model_that_cannot_be_converted",
    "refresh/test_fitted_weight.py::test_it_is_recorded",
    "refresh/test_recall.py::test_a_poor_index_is_published",
    "refresh/test_recall.py::test_an_audit_without_a_figure",
    "refresh/test_recall.py::test_an_index_over_made_up_text",
    "refresh/test_recall.py::test_an_index_that_was_not_trained",
    "refresh/test_recall.py::test_more_candidates_help",
    "sources/test_many_objects.py",
    "stores/test_segments.py::test_a_segment_that_grows",
    "stores/test_segments.py::test_files_of_the_data",
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
    tables = []
    for item in items:
        place = f"{item.path.relative_to(HERE).as_posix()}::{item.name}"
        if place.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        is_slow = item.get_closest_marker("slow") is not None
        if place.startswith(EXHAUSTIVE) or (is_slow and not place.startswith(TRIED_BY_CI)):
            item.add_marker(pytest.mark.exhaustive)
        elif is_slow or place.startswith(SAMPLED):
            tables.append(item)
        if place.startswith(LONG):
            item.add_marker(pytest.mark.long)
        if is_slow or place.startswith(NOT_TRACED) or is_hypothesis_test(getattr(item, "obj", None)):
            # Tracing each line of each example would double the time of these.
            item.add_marker(pytest.mark.no_cover)
    mark_more_than_a_sample(tables)
    # A slow file that begins last leaves the other processes with nothing to do.
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


def mark_more_than_a_sample(items: list[pytest.Item]) -> None:
    """Mark the cases beyond those that CI tries."""
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in tables.values():
        for item in sorted(cases, key=lambda item: sha256(item.name.encode()).digest())[CASES_IN_CI:]:
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
