"""Checks of what must hold: comparisons of `refresh/verify.py`, the audit, the evaluation, what is kept.

Belongs here: wrapping a comparison as a result.
Does not belong here: the comparisons (`refresh/verify.py`), figures with a threshold (`threshold_checks.py`).
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import polars as pl

from rag_pipeline.contracts.tables import CANARIES, DOCUMENTS, DUPLICATES
from rag_pipeline.defs.check_rows import ERROR, WARN, Subject
from rag_pipeline.defs.describe_evaluation import comparison_metadata
from rag_pipeline.defs.publication import published_result
from rag_pipeline.defs.words import figure

NOT_AUDITED = (
    "the audit found faults in the newest version of the index, so it is not published and readers keep what they had. "
    "The next run takes the rows at fault from silver again: rag-pipeline run"
)


def _result(found: Sequence[Any]) -> dg.AssetCheckResult:
    """A result from findings: exact counts and a sample of each."""
    metadata: dict[str, Any] = {"rag/finding_count": sum(f.count for f in found)}
    if found:
        lines = ["| finding | count | first ids |", "|---|---|---|"]
        lines += [f"| {f.code} | {f.count} | {', '.join(f.sample)} |" for f in found]
        metadata |= {
            "rag/findings": dg.MetadataValue.md("\n".join(lines)),
            "rag/next_step": "rag-pipeline verify",
        }
    description = "; ".join(f"{f.code}: {f.count}" for f in found)
    return dg.AssetCheckResult(passed=not found, metadata=metadata, description=description or "nothing found")


def objects_are_accounted_for(subject: Subject) -> dg.AssetCheckResult:
    """Bronze against documents and quarantine."""
    from rag_pipeline.refresh.verify import document_findings

    return _result(document_findings(subject.workspace))


def duplicates_have_a_document(subject: Subject) -> dg.AssetCheckResult:
    """Duplicates against the documents that stand for them."""
    from rag_pipeline.transforms.verify import finding

    lake = subject.workspace.lake
    duplicates = lake.read(DUPLICATES, ["document_id", "duplicate_of"])
    documents = lake.read(DOCUMENTS, ["document_id", "principals_key"])
    standing = duplicates.join(documents, on="document_id").join(
        documents,
        left_on=["duplicate_of", "principals_key"],
        right_on=["document_id", "principals_key"],
        how="semi",
    )
    lost = duplicates.join(standing, on="document_id", how="anti")["document_id"]
    return _result(finding("duplicate_of_nothing", "missing", lost))


def boilerplate_is_current(subject: Subject) -> dg.AssetCheckResult:
    """Boilerplate against documents."""
    from rag_pipeline.refresh.verify import boilerplate_findings

    return _result(boilerplate_findings(subject.workspace))


def documents_are_cut(subject: Subject) -> dg.AssetCheckResult:
    """Documents against chunks."""
    from rag_pipeline.refresh.verify import chunk_findings

    return _result(chunk_findings(subject.workspace))


def chunks_have_vectors(subject: Subject) -> dg.AssetCheckResult:
    """Texts of chunks against the vectors of a model."""
    from rag_pipeline.refresh.verify import vector_findings

    return _result(vector_findings(subject.workspace, subject.alias))


def audit_passed(subject: Subject) -> dg.AssetCheckResult:
    """What the newest audit of a model's index recorded."""
    workspace = subject.workspace
    audit = workspace.lake.last_audit(workspace.space(subject.alias).fingerprint)
    if audit is None:
        return dg.AssetCheckResult(passed=False, description="there is no audit yet")
    names = ("rows", "ghosts", "missing", "mismatched", "table_version")
    metadata: dict[str, Any] = {f"rag/{name}": getattr(audit, name) for name in names}
    if not audit.passed:
        metadata |= {
            "rag/findings": dg.MetadataValue.json(dict(audit.findings)),
            "rag/next_step": "rag-pipeline verify",
        }
    said = "it equals silver" if audit.passed else NOT_AUDITED
    return dg.AssetCheckResult(passed=audit.passed, description=said, metadata=metadata)


def evaluation_is_not_below_published(subject: Subject) -> dg.AssetCheckResult:
    """The evaluation of a model's index against that of what readers see."""
    from rag_pipeline.refresh.gate import judge
    from rag_pipeline.refresh.generations import served_alias

    workspace, alias = subject.workspace, subject.alias
    audit = workspace.lake.last_audit(workspace.space(alias).fingerprint)
    if audit is None:
        return dg.AssetCheckResult(passed=False, description="there is no audit yet")
    if not audit.passed:
        return dg.AssetCheckResult(passed=False, severity=WARN, description=f"not evaluated: {NOT_AUDITED}")
    verdict = judge(workspace, alias, audit, workspace.lake.last_publication())
    tolerated = verdict.is_below and alias != served_alias(workspace)
    return dg.AssetCheckResult(
        passed=tolerated or (verdict.passed and not verdict.is_below),
        severity=WARN if verdict.passed else ERROR,
        description=f"kept beside the served model, and refused if published: {verdict.reason}"
        if tolerated
        else verdict.reason,
        metadata=comparison_metadata(verdict.comparison),
    )


def published_version_is_kept(subject: Subject) -> dg.AssetCheckResult:
    """The publication against the index table it names."""
    return published_result(subject.workspace)


def models_have_not_drifted(subject: Subject) -> dg.AssetCheckResult:
    """The vectors that models give now against those they gave first."""

    rows = subject.workspace.lake.read(CANARIES).sort("checked_at")
    last = rows.unique("space_fingerprint", keep="last", maintain_order=True)
    drifted = last.filter(pl.col("drift") > pl.col("tolerance"))
    largest = last["drift"].max()
    return dg.AssetCheckResult(
        passed=drifted.is_empty(),
        description=f"drifted: {', '.join(drifted['space_fingerprint'])}" if drifted.height else "none has drifted",
        metadata={"rag/largest_drift": figure(float(str(largest))) if largest is not None else 0.0},
    )
