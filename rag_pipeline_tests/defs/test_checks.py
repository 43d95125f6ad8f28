"""The table of checks: it is all there is, and its severity is the worst that a check can be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.check_rows import ERROR, WARN, Check
from rag_pipeline.defs.checks import CHECKS
from rag_pipeline.defs.specs import DOCUMENTS_KEY, bronze_key
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", ["docs", "wiki"])


def test_every_check_beside_an_asset_is_a_row_of_the_table(project: Project) -> None:
    definitions = build_definitions(project.pipeline())
    built: list[Any] = list(definitions.asset_checks or ())
    found = Counter((key.asset_key, key.name) for check in built for key in check.check_keys)
    sources = [bronze_key(name) for name in ("docs", "wiki")]
    rows = [(asset, check.name) for check in CHECKS for asset in ([check.asset] if check.asset else sources)]
    assert found == Counter(rows)
    said = {spec.name: spec.description for check in built for spec in check.check_specs}
    assert said == {check.name: check.sentence for check in CHECKS}
    blocking = {spec.name for check in built for spec in check.check_specs if spec.blocking}
    assert blocking == {check.name for check in CHECKS if check.blocking}


@pytest.mark.parametrize(
    ("declared", "said", "shown"), [(WARN, ERROR, WARN), (ERROR, WARN, WARN), (ERROR, ERROR, ERROR)]
)
def test_no_check_is_worse_than_its_row_says(
    declared: dg.AssetCheckSeverity, said: dg.AssetCheckSeverity, shown: dg.AssetCheckSeverity, project: Project
) -> None:
    sources: list[str] = []

    def found(subject: Any) -> dg.AssetCheckResult:
        sources.append(subject.source)
        return dg.AssetCheckResult(passed=False, severity=said)

    for asset in (DOCUMENTS_KEY, None):
        for check in Check("a_check", asset, declared, found, "It holds.").built(project.pipeline()):
            body: Any = check.op.compute_fn
            assert body.decorated_fn(None, pipeline=type("Held", (), {"workspace": None})).severity is shown
    assert sources == ["", "docs", "wiki"]
