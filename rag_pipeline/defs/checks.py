"""Asset checks: one true sentence each, held against the stored tables.

Belongs here: wrapping comparisons of `refresh/verify.py` as checks, what blocks.
Does not belong here: the comparisons, or figures with a configured threshold (`threshold_checks.py`).

A check blocks only if what is made from its asset would be wrong; it then stops the rest of its own run. The audit and
the evaluation do not block: publication reads both itself, and says at its own asset why it refuses.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from rag_pipeline.contracts.tables import CANARIES, DOCUMENTS, DUPLICATES
from rag_pipeline.defs.describe_evaluation import comparison_metadata
from rag_pipeline.defs.leg_checks import hybrid_holds_its_better_leg
from rag_pipeline.defs.publication import published_result
from rag_pipeline.defs.quality_checks import build_quality_checks
from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.defs.specs import (
    BOILERPLATE_KEY,
    CHUNKS_KEY,
    DOCUMENTS_KEY,
    DUPLICATES_KEY,
    EMBEDDINGS_KEY,
    EVALUATION_KEY,
    INDEX_KEY,
    MAINTENANCE_KEY,
    bronze_key,
    model_partitions,
)
from rag_pipeline.defs.threshold_checks import build_threshold_checks
from rag_pipeline.defs.words import counted, figure
from rag_pipeline.settings import Pipeline
from rag_pipeline.transforms.freshness import content_age

WARN = dg.AssetCheckSeverity.WARN
ERROR = dg.AssetCheckSeverity.ERROR
LARGEST_PROBLEM_SHARE = 0.1
NOT_AUDITED = (
    "the audit found faults in the newest version of the index, so it is not published and readers keep what they had. "
    "The next run takes the rows at fault from silver again: rag-pipeline run"
)


def build_checks(pipeline: Pipeline) -> list[dg.AssetChecksDefinition]:
    """All checks of a pipeline."""
    checks: list[dg.AssetChecksDefinition] = []
    for name in pipeline.settings.sources:
        checks += [_source_has_documents(name), _somebody_may_read(name)]
        checks += [_objects_are_readable(name), _content_is_young(pipeline, name)]
    return [
        *checks,
        _objects_are_accounted_for(),
        _duplicates_have_a_document(),
        _boilerplate_is_current(),
        _documents_are_cut(),
        _chunks_have_vectors(pipeline),
        _audit_passed(pipeline),
        _evaluation_is_not_below_published(pipeline),
        _published_version_is_kept(),
        _models_have_not_drifted(),
        *build_threshold_checks(),
        *build_quality_checks(pipeline),
        hybrid_holds_its_better_leg(pipeline),
    ]


def _result(
    found: Sequence[Any], *, severity: dg.AssetCheckSeverity = ERROR, next_step: str = "rag-pipeline verify"
) -> dg.AssetCheckResult:
    """A result from findings: exact counts and a sample of each."""
    metadata: dict[str, Any] = {"rag/finding_count": sum(f.count for f in found)}
    if found:
        lines = ["| finding | count | first ids |", "|---|---|---|"]
        lines += [f"| {f.code} | {f.count} | {', '.join(f.sample)} |" for f in found]
        metadata |= {"rag/findings": dg.MetadataValue.md("\n".join(lines)), "rag/next_step": next_step}
    description = "; ".join(f"{f.code}: {f.count}" for f in found)
    return dg.AssetCheckResult(
        passed=not found, severity=severity, metadata=metadata, description=description or "nothing found"
    )


def _source_has_documents(name: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=bronze_key(name),
        name="source_has_documents",
        description="The source holds at least one document; none at all is a wrong location or pattern.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        from rag_pipeline.refresh.polls import poll_statuses

        state = pipeline.workspace.lake.bronze_state(name)
        live = state.filter(pl.col("change") != "deleted").height
        [poll], _ = poll_statuses(pipeline.workspace, [name])
        if not live and poll.poll_error:
            # That is red at the source already, and says nothing of what it holds.
            return dg.AssetCheckResult(passed=True, description="not known: the source did not answer")
        return dg.AssetCheckResult(
            passed=live > 0,
            severity=WARN,
            description=counted(live, "document")
            if live
            else "the source lists no document; check its location, include and exclude",
            metadata={"rag/live_count": live},
        )

    return check


def _somebody_may_read(name: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=bronze_key(name),
        name="somebody_may_read_it",
        description="At least one document of the source may be read by somebody; nothing said is nobody.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        live = pipeline.workspace.lake.bronze_state(name).filter(pl.col("change") != "deleted")
        closed = live.filter(pl.col("allowed_principals").list.len() == 0).height
        return dg.AssetCheckResult(
            passed=closed < live.height or live.is_empty(),
            severity=WARN,
            description=f"nobody may read {closed:,} of {live.height:,} objects; set allowed_principals"
            if closed
            else "somebody may read each of them",
            metadata={"rag/closed_count": closed},
        )

    return check


def _objects_are_readable(name: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=bronze_key(name),
        name="objects_are_readable",
        description=f"At most {LARGEST_PROBLEM_SHARE:.0%} of the source's objects cannot be read.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        live = pipeline.workspace.lake.bronze_state(name).filter(pl.col("change") != "deleted")
        broken = live.filter(pl.col("problem_code").is_not_null())
        share = broken.height / max(1, live.height)
        return dg.AssetCheckResult(
            passed=share <= LARGEST_PROBLEM_SHARE,
            severity=WARN,
            description=f"{broken.height:,} of {live.height:,} objects cannot be read",
            metadata={
                "rag/problem_count": broken.height,
                "rag/problem_share": figure(share),
                "rag/problem_sample": ", ".join(broken["address"].head(5)),
                "rag/next_step": "rag-pipeline quarantine list",
            },
        )

    return check


def _content_is_young(pipeline: Pipeline, name: str) -> dg.AssetChecksDefinition:
    limit = pipeline.settings.sources[name].content_stale_after

    @dg.asset_check(
        asset=bronze_key(name),
        name="content_is_fresh",
        description="The newest content of the source is not older than its content_stale_after; times in the future "
        "do not count. How long ago it was polled is the freshness policy's business.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        live = pipeline.workspace.lake.bronze_state(name).filter(pl.col("change") != "deleted")
        now = datetime.now(UTC)
        found = content_age(live["source_modified_at"], now)
        age = None if found.newest is None else max(now - found.newest, timedelta(0))
        said = "no time of its content can be believed" if age is None else f"the newest content is {age.days} days old"
        if found.in_future:
            said += (
                f"; {found.in_future:,} with a modification time in the future do not count: correct it at the source"
            )
        return dg.AssetCheckResult(
            passed=limit is None or (not found.in_future if age is None else age <= limit),
            severity=WARN,
            description=said if age is not None or found.in_future else "the source tells no times",
            metadata={
                "rag/in_future_count": found.in_future,
                **({} if age is None else {"rag/content_age_hours": round(age.total_seconds() / 3600, 1)}),
            },
        )

    return check


def _objects_are_accounted_for() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=DOCUMENTS_KEY,
        name="every_object_is_a_document_or_quarantined",
        blocking=True,
        description="Each object that a source lists is a document, as it is now and with the permissions it has now, "
        "or is in quarantine with a reason; nothing else is here.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        from rag_pipeline.refresh.verify import document_findings

        return _result(document_findings(pipeline.workspace))

    return check


def _duplicates_have_a_document() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=DUPLICATES_KEY,
        name="every_duplicate_names_a_document",
        blocking=True,
        description="The document that stands for a duplicate is there, with the same text and permissions.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        from rag_pipeline.stores.lake import DOCUMENTS_PATH, DUPLICATES_PATH
        from rag_pipeline.transforms.verify import finding

        lake = pipeline.workspace.lake
        duplicates = lake.read(DUPLICATES_PATH, DUPLICATES, ["document_id", "duplicate_of"])
        documents = lake.read(DOCUMENTS_PATH, DOCUMENTS, ["document_id", "principals_key"])
        standing = duplicates.join(documents, on="document_id").join(
            documents,
            left_on=["duplicate_of", "principals_key"],
            right_on=["document_id", "principals_key"],
            how="semi",
        )
        lost = duplicates.join(standing, on="document_id", how="anti")["document_id"]
        return _result(finding("duplicate_of_nothing", "missing", lost))

    return check


def _boilerplate_is_current() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=BOILERPLATE_KEY,
        name="boilerplate_follows_from_documents",
        blocking=True,
        description="What is left out as boilerplate follows from the documents there are now, and the documents that "
        "keep it are there.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        from rag_pipeline.refresh.verify import boilerplate_findings

        return _result(boilerplate_findings(pipeline.workspace))

    return check


def _documents_are_cut() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=CHUNKS_KEY,
        name="every_document_has_its_chunks",
        blocking=True,
        description="Each document that is no duplicate has chunks of its present text, and nothing else has.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        from rag_pipeline.refresh.verify import chunk_findings

        return _result(chunk_findings(pipeline.workspace))

    return check


def _chunks_have_vectors(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=EMBEDDINGS_KEY,
        name="every_text_has_one_vector",
        blocking=True,
        partitions_def=model_partitions(pipeline),
        description="Each text of silver/chunks has exactly one vector in the model's embedding space.",
    )
    def check(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
        from rag_pipeline.refresh.verify import vector_findings

        return _result(vector_findings(pipeline.workspace, context.partition_key))

    return check


def _audit_passed(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=INDEX_KEY,
        name="audit_passed",
        partitions_def=model_partitions(pipeline),
        description="The newest version of the index equals silver: no ghosts, none missing, text, metadata and "
        "permissions the same, vectors sound, every row reached by every index.",
    )
    def check(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
        workspace = pipeline.workspace
        audit = workspace.lake.last_audit(workspace.space(context.partition_key).fingerprint)
        if audit is None:
            return dg.AssetCheckResult(passed=False, description="there is no audit yet")
        names = ("rows", "ghosts", "missing", "mismatched", "table_version")
        return dg.AssetCheckResult(
            passed=audit.passed,
            description="it equals silver" if audit.passed else NOT_AUDITED,
            metadata={
                **{f"rag/{name}": getattr(audit, name) for name in names},
                **(
                    {}
                    if audit.passed
                    else {
                        "rag/findings": dg.MetadataValue.json(audit.findings),
                        "rag/next_step": "rag-pipeline verify",
                    }
                ),
            },
        )

    return check


def _evaluation_is_not_below_published(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=EVALUATION_KEY,
        name="evaluation_not_below_published",
        partitions_def=model_partitions(pipeline),
        description="Search quality on the configured questions is not below that of what readers see by more than the "
        "tolerance, and no question was answered with what its asker may not read. A model that is only kept beside "
        "the served one may be worse; publishing it would be refused.",
    )
    def check(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
        from rag_pipeline.refresh.gate import judge
        from rag_pipeline.refresh.generations import served_alias

        workspace, alias = pipeline.workspace, context.partition_key
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

    return check


def _published_version_is_kept() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=MAINTENANCE_KEY,
        name="published_version_is_kept",
        description="After maintenance the version that readers are pointed to still opens and is whole.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        return published_result(pipeline.workspace, "published_version_is_kept", MAINTENANCE_KEY)

    return check


def _models_have_not_drifted() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=MAINTENANCE_KEY,
        name="models_have_not_drifted",
        description="Every living model gives a fixed set of texts the vectors it gave them when first checked; a "
        "changed library or weight file is noticed here.",
    )
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        from rag_pipeline.stores.lake import CANARIES_PATH

        rows = pipeline.workspace.lake.read(CANARIES_PATH, CANARIES).sort("checked_at")
        last = rows.unique("space_fingerprint", keep="last", maintain_order=True)
        drifted = last.filter(pl.col("drift") > pl.col("tolerance"))
        largest = last["drift"].max()
        return dg.AssetCheckResult(
            passed=drifted.is_empty(),
            description=f"drifted: {', '.join(drifted['space_fingerprint'])}" if drifted.height else "none has drifted",
            metadata={"rag/largest_drift": figure(float(str(largest))) if largest is not None else 0.0},
        )

    return check
