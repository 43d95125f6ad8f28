"""`run`: what it prints and how it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from rag_pipeline.cli.app import cli
from rag_pipeline.cli.run import exit_code_of, show_summary
from rag_pipeline.defs.summary import RunSummary
from rag_pipeline_tests.cli.conftest import ask_in, small_project

KEYS = {
    "success", "documents", "chunks", "quarantined", "duplicates", "embeddings_computed", "commits", "seconds",
    "published", "sources", "checks_passed", "checks_failed", "errors", "run_ids", "work_seconds",
    "held", "held_because", "healed",
}  # fmt: skip
PUBLISHED = {
    "alias": "small", "space_fingerprint": "f", "table_name": "t", "table_version": 3, "rows": 50, "documents": 20,
    "moved": True, "is_held": False,
}  # fmt: skip
SOURCE = {
    "source": "docs", "live": 20, "added": 2, "modified": 0, "moved": 0, "metadata_changed": 0, "deleted": 1,
    "problems": 0,
}  # fmt: skip
DONE = RunSummary(True, 20, 50, 1, 2, 7, 9, 1.25, PUBLISHED, [SOURCE], 12)


def error(exit_code: int, code: str = "store", message: str = "it broke") -> dict[str, Any]:
    return {"step": "silver_documents", "code": code, "message": message, "exit_code": exit_code}


def failed_check(severity: str) -> dict[str, Any]:
    return {"asset": "gold/index", "check": "rows_match", "severity": severity, "description": "2 rows are missing"}


@pytest.mark.parametrize(
    ("errors", "failed_checks", "expected"),
    [
        ([], 0, 0),
        ([], 1, 1),
        ([error(4)], 0, 4),
        ([error(4), error(1)], 0, 1),
        ([error(4), error(2)], 1, 2),
        ([error(1), error(3), error(4)], 0, 3),
        ([error(3), error(130)], 0, 130),
        ([error(77)], 0, 3),
    ],
)
def test_the_severest_error_decides_how_a_run_ends(
    errors: list[dict[str, Any]], failed_checks: int, expected: int
) -> None:
    checks = [failed_check("ERROR")] * failed_checks
    assert exit_code_of(replace(DONE, success=not errors, errors=errors, checks_failed=checks)) == expected


def test_a_run_that_failed_without_a_reason_did_not_succeed() -> None:
    assert exit_code_of(replace(DONE, success=False)) == 3


def test_a_check_that_only_warns_is_told_but_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    summary = replace(DONE, checks_failed=[failed_check("WARN")])
    assert exit_code_of(summary) == 0
    out, err = shown(summary, capsys)
    assert "The run succeeded" in out
    assert "1 warning in" in out
    assert "passed" not in out
    assert "Warning: gold/index rows_match: 2 rows are missing" in err


def shown(summary: RunSummary, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    with click.Context(cli):
        show_summary(summary)
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_the_closing_table_says_what_was_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        out, _ = shown(DONE, capsys)
        for words in (
            "The run succeeded",
            "20 (2 duplicates, 1 in quarantine)",
            "12 passed",
            "small version 3",
            "(new)",
        ):
            assert words in out
        assert "Added" in out
        assert "Moved" not in out
        assert max(len(line) for line in out.splitlines()) <= columns


def test_a_run_that_changed_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = {name: value if name in ("source", "live") else 0 for name, value in SOURCE.items()}
    same = replace(DONE, embeddings_computed=0, commits=0, sources=[quiet], published=PUBLISHED | {"moved": False})
    out, _ = shown(same, capsys)
    assert "Nothing changed" in out
    assert "(as before)" in out
    assert "Sources" not in out


def test_what_is_published_although_a_source_is_down_is_not_called_kept(capsys: pytest.CaptureFixture[str]) -> None:
    down = replace(DONE, success=False, errors=[error(4, "source_unavailable", "nobody answers")])
    out, _ = shown(down, capsys)
    assert "(new)" in out
    assert "keep" not in out
    assert "succeeded, as" in out
    out, _ = shown(replace(down, published=None), capsys)
    assert "did not succeed; readers keep" in out


def test_a_check_is_told_with_what_to_do_next_once(capsys: pytest.CaptureFixture[str]) -> None:
    said = [failed_check("WARN") | {"next_step": step} for step in ("rag-pipeline verify", "2 rows", "")]
    _, err = shown(replace(DONE, checks_failed=said), capsys)
    assert err.count("2 rows are missing. Next: rag-pipeline verify") == 1
    assert err.count("Next:") == 1


def test_what_ends_a_sentence_ends_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    said = [failed_check("WARN") | {"description": "Mount the folder.", "next_step": "rag-pipeline status"}]
    assert "folder. Next: rag-pipeline status" in shown(replace(DONE, checks_failed=said), capsys)[1]


def test_failures_are_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    stack = "dagster.Wrapped: in step\n\nStack Trace:\n  File x\n\nThe above exception was caused by the following "
    stack += "exception:\nKeyError: 'lost'\n\nStack Trace:\n  File y"
    failed = replace(
        DONE,
        success=False,
        published=None,
        checks_failed=[failed_check("ERROR")],
        errors=[error(4, "lake_busy", "another process is writing"), error(3, "unexpected", stack)],
    )
    out, err = shown(failed, capsys)
    assert "did not succeed" in out
    assert "1 failed" in out
    assert "passed" not in out
    assert "gold/index rows_match: 2 rows are missing" in err
    assert "Error (lake_busy) in silver_documents: another process is writing" in err
    assert "KeyError: 'lost'" in err
    assert "Stack Trace" not in err


def test_unknown_names_are_refused_before_anything_runs(tmp_path: Path) -> None:
    small_project(tmp_path).pipeline()
    model = ask_in(tmp_path, "run", "--model", "huge")
    source = ask_in(tmp_path, "run", "--allow-mass-deletion", "dcos")
    assert (model.code, source.code) == (2, 2)
    assert "small, wide-2" in model.err
    assert "docs, people" in source.err
    assert not (tmp_path / "lake").exists()


@pytest.mark.slow
def test_a_run_publishes_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    small_project(tmp_path).pipeline()
    first = ask_in(tmp_path, "run")
    assert first.code == 0, first.err
    assert "The run succeeded" in first.out
    assert "Try next:" in first.err
    assert 'search "Running the pump" --as public' in first.err
    assert "quarantine list" in first.err
    second = ask_in(tmp_path, "run", "--json")
    assert second.code == 0, second.err
    [summary] = second.records
    assert set(summary) == KEYS
    assert (summary["commits"], summary["embeddings_computed"]) == (0, 0)
    assert summary["published"]["moved"] is False
