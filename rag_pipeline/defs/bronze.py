"""The assets of the bronze layer, one per source.

Belongs here: what such an asset depends on, how it is shown, and the one call that refreshes it.
Does not belong here: how it is refreshed (`refresh/bronze.py`) or what must be true of it (`checks.py`).
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from rag_pipeline.contracts.tables import BRONZE
from rag_pipeline.defs.describe import figures_of
from rag_pipeline.defs.names import ANSWERS_CHECK, HINTS_TAG, POLLED_CHECK, source_key
from rag_pipeline.defs.releases import releases_told
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import OWNERS, RETRY, WRITER_POOL, bronze_key, spec
from rag_pipeline.defs.standing import source_facts, told_by
from rag_pipeline.defs.versions import code_version
from rag_pipeline.defs.words import HAPPENED, counted, happened
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.settings import Pipeline
from rag_pipeline.shown import bounded, without_secrets
from rag_pipeline.sources import kind_named

if TYPE_CHECKING:
    from rag_pipeline.refresh.bronze import BronzeReport
    from rag_pipeline.refresh.workspace import Workspace

GUARD_CHECK = "deletion_guard_holds_nothing"
PATTERNS_MATCH = "patterns_match_something"
# Findings named in a check's description; the number of all of them stands behind.
_SHOWN = 10
_CHANGES = ("added", "modified", "moved", "metadata_changed", "deleted", "problems", "held")


_ALL_MATCH = "each pattern matches something, and each sidecar has a document"


class BronzeConfig(dg.Config):
    """What an operator may allow for one run of one source."""

    allow_mass_deletion: bool = Field(False, description="Let go whatever the source lost, this once.")
    by: str = Field("", description="Who lets go what the deletion guard held; empty: it is not noted here.")


def bronze_asset(pipeline: Pipeline, name: str) -> dg.AssetsDefinition:
    """Documents of one source as they came."""
    source = pipeline.settings.sources[name]
    place = without_secrets(source.location)
    owners = list(source.owners) or OWNERS
    polled = dg.AssetSpec(
        source_key(name),
        group_name="source",
        kinds={"file" if source.kind == "files" else source.kind},
        owners=owners,
        metadata={"rag/kind": source.kind, "rag/it_tells": told_by(kind_named(source.kind).capabilities)},
        description=f"Source `{name}` ({place}), materialized whenever it answers. One that does not is red here and "
        "nowhere else: what was taken from it before stays, and everything goes on with that.",
        # Nothing that others depend on may be skipped: Dagster would skip them too.
        skippable=True,
        code_version=code_version(source_key(name)),
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=source.stale_after, warn_window=max(source.stale_after / 2, timedelta(minutes=1))
        )
        if source.stale_after > timedelta(minutes=2)
        else dg.FreshnessPolicy.time_window(fail_window=max(source.stale_after, timedelta(minutes=1))),
    )
    declared = spec(
        pipeline,
        bronze_key(name),
        BRONZE,
        deps=[source_key(name)],
        kinds={"deltalake", "file" if source.kind == "files" else source.kind},
        description=f"Documents of source `{name}` ({place}) as they came. {BRONZE.doc}",
        owners=owners,
    )

    @dg.multi_asset(
        name=f"bronze_{name}",
        specs=[polled, declared],
        check_specs=_check_specs(name),
        pool=WRITER_POOL,
        retry_policy=RETRY,
    )
    def bronze(
        context: dg.AssetExecutionContext, config: BronzeConfig, pipeline: PipelineResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from rag_pipeline.refresh.bronze import poll_source
        from rag_pipeline.refresh.data_versions import bronze_version, version_or_unknown
        from rag_pipeline.refresh.hinted import poll_hinted

        with as_dagster_failure() as work:
            allowed = [name] if config.allow_mass_deletion else []
            with releases_told(context, pipeline.workspace, allowed, "vanished", config.by):
                if HINTS_TAG in context.run.tags and not allowed:
                    report = poll_hinted(pipeline.workspace, name)
                else:
                    report = poll_source(pipeline.workspace, name, allow_mass_deletion=config.allow_mass_deletion)
            if report.unavailable_because and context.op_execution_context.retry_number < RETRY.max_retries:
                # It may answer in a moment; when it has not after the last try, the run goes on without it.
                raise SourceUnavailable(report.unavailable_because, source=name)
            version = dg.DataVersion(version_or_unknown(lambda: bronze_version(pipeline.workspace, name)))
        # What was not looked at as a whole is as fresh as it was.
        if not (report.unavailable_because or report.hinted):
            yield dg.MaterializeResult(
                asset_key=source_key(name),
                metadata={
                    HAPPENED: f"It answered and listed {counted(report.listed, 'object')}.",
                    **source_facts(pipeline.workspace, name, report.listed),
                },
                data_version=version,
            )
        yield _answers_result(report)
        yield _in_time_result(pipeline.workspace, name)
        yield dg.MaterializeResult(
            asset_key=bronze_key(name), metadata={**_happened(report), **_facts(report), **work}, data_version=version
        )
        yield _guard_result(report)
        yield _idle_result(report)

    return bronze


def _check_specs(name: str) -> list[dg.AssetCheckSpec]:
    answers = dg.AssetCheckSpec(
        ANSWERS_CHECK,
        asset=source_key(name),
        description="The source could be listed. It does not block: a source that is down holds up neither the others "
        "nor anybody's permissions.",
    )
    in_time = dg.AssetCheckSpec(
        POLLED_CHECK,
        asset=source_key(name),
        description="The source was polled with success within its stale_after; when, and why the last attempt failed, "
        "stands in polls.json of the lake. Yellow, since a source that does not answer is red already.",
    )
    guard = dg.AssetCheckSpec(
        GUARD_CHECK,
        asset=bronze_key(name),
        description="The source did not lose so many documents at once that the deletion guard holds them. It does not "
        "block: readers keep what is held, and everything else goes on to them.",
    )
    return [answers, in_time, guard, _idle_check(name)]


def _happened(report: "BronzeReport") -> dict[str, Any]:
    """What a refresh of a source did, in words."""
    if report.unavailable_because:
        return happened({}, f"the source did not answer; {counted(report.live, 'document')} taken from it before stay")
    changes = {name.replace("_", " "): getattr(report, name) for name in _CHANGES}
    return happened(changes, f"it holds {counted(report.live, 'document')}")


def _facts(report: "BronzeReport") -> dict[str, Any]:
    """What the UI shows of a refresh of a source."""
    facts: dict[str, Any] = figures_of(report)
    newest = report.newest_modified_at
    if newest is not None:
        facts["rag/newest_modified_at"] = dg.MetadataValue.timestamp(newest)
        facts["rag/content_age_hours"] = round((datetime.now(UTC) - newest).total_seconds() / 3600, 1)
    facts["rag/report"] = dg.MetadataValue.json(json.loads(json.dumps(asdict(report), default=str)))
    return {"dagster/row_count": report.live, **facts}


def _answers_result(report: "BronzeReport") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=ANSWERS_CHECK,
        asset_key=source_key(report.source),
        passed=not report.unavailable_because,
        severity=dg.AssetCheckSeverity.ERROR,
        description=report.unavailable_because or _answered(report),
        metadata={"rag/next_step": f"rag-pipeline config check, then rag-pipeline run; {report.live:,} documents stay"},
    )


def _answered(report: "BronzeReport") -> str:
    if report.hinted:
        return f"it told of {counted(report.hinted, 'object')} that hints named, and nothing else was asked"
    return f"it listed {counted(report.listed, 'object')}"


def _in_time_result(workspace: "Workspace", name: str) -> dg.AssetCheckResult:
    from rag_pipeline.refresh.polls import NEVER_POLLED, poll_statuses

    [poll], problem = poll_statuses(workspace, [name])
    times = {"polled_at": poll.polled_at, "attempted_at": poll.attempted_at, "overdue_at": poll.overdue_at}
    metadata: dict[str, Any] = {f"rag/{key}": dg.MetadataValue.timestamp(at) for key, at in times.items() if at}
    said = f"not known: {problem or 'it is not recorded'}"
    if poll.is_overdue is not None:
        last = f"last polled with success {poll.polled_at:%Y-%m-%d %H:%M} UTC" if poll.polled_at else NEVER_POLLED
        said = last
        said += f"; the last attempt failed: {poll.poll_error}" if poll.poll_error else ""
    return dg.AssetCheckResult(
        check_name=POLLED_CHECK,
        asset_key=source_key(name),
        passed=poll.is_overdue is False,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata | {"rag/next_step": "rag-pipeline status"},
    )


def _guard_result(report: "BronzeReport") -> dg.AssetCheckResult:
    from rag_pipeline.transforms.deletion_guard import release_command

    metadata: dict[str, Any] = {"rag/held_count": report.held, "rag/held_of_count": report.held_of}
    if report.held:
        metadata["rag/next_step"] = release_command([report.source])
    return dg.AssetCheckResult(
        check_name=GUARD_CHECK,
        asset_key=bronze_key(report.source),
        passed=not report.held,
        severity=dg.AssetCheckSeverity.ERROR,
        description=report.held_because or "nothing is held",
        metadata=metadata,
    )


def _idle_check(name: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name=PATTERNS_MATCH,
        asset=bronze_key(name),
        description="Each pattern of include, exclude and permission_rules matches an object of the source, and each "
        "sidecar has a document; a rule that matches nothing closes nothing. And each page of a site answers.",
    )


def _idle_result(report: "BronzeReport") -> dg.AssetCheckResult:
    idle = report.idle
    shown = "; ".join(idle[:_SHOWN]) + (f"; and {len(idle) - _SHOWN:,} more" if len(idle) > _SHOWN else "")
    return dg.AssetCheckResult(
        check_name=PATTERNS_MATCH,
        asset_key=bronze_key(report.source),
        passed=not idle,
        severity=dg.AssetCheckSeverity.WARN,
        description="not looked at: the source did not answer"
        if report.unavailable_because
        else bounded(shown) or _ALL_MATCH,
        metadata={"rag/idle_count": len(idle), "rag/next_step": "rag-pipeline config check"},
    )
