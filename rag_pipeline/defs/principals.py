"""The assets of groups: who is in which, and what callers have by it.

Belongs here: what they depend on, how they are shown, and the calls that refresh them.
Does not belong here: how they are refreshed (`refresh/memberships.py`).

The first hangs on nothing, so that nothing that fails keeps anybody in a group that they have left. The second waits
until what was revoked has left readers: whoever is new in a group must not see what the group may no longer read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.contracts.memberships import MEMBERSHIPS, PRINCIPALS
from rag_pipeline.defs.describe import column_lineage, figures_of
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import MEMBERSHIPS_KEY, PRINCIPALS_KEY, RETRY, REVOCATIONS_KEY, WRITER_POOL, spec
from rag_pipeline.defs.words import counted, happened
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.settings import Pipeline
from rag_pipeline.shown import bounded

if TYPE_CHECKING:
    from rag_pipeline.refresh.memberships import MembershipsReport

ANSWER_CHECK = "groups_answer"
NAMES_CHECK = "groups_name_somebody"
OPEN_CHECK = "memberships_count"
# Before everything else: who has left a group does not wait for sources to be listed.
_FIRST = {"dagster/priority": "10"}
# Findings of a source named in a check's description; the number of all of them stands behind.
_SHOWN = 5


def has_groups(pipeline: Pipeline) -> bool:
    """Whether any source of a pipeline knows groups."""
    return any(source.groups is not None for source in pipeline.settings.sources.values())


def principals_assets(pipeline: Pipeline) -> list[dg.AssetsDefinition]:
    """The one for what sources say, where any of them knows groups, and the one that searches look at."""
    return [*([_memberships_asset(pipeline)] if has_groups(pipeline) else []), _principals_asset(pipeline)]


def _memberships_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    declared = spec(
        pipeline,
        MEMBERSHIPS_KEY,
        MEMBERSHIPS,
        deps=[],
        kinds={"deltalake", "python"},
        description=f"{MEMBERSHIPS.doc} Who is in a group no longer loses it here, whatever happens to the rest.",
    )
    checks = [
        dg.AssetCheckSpec(
            ANSWER_CHECK,
            asset=MEMBERSHIPS_KEY,
            description="Each source that knows groups could say who is in them. It does not block: what was known of "
            "the groups of one that could not stands.",
        ),
        dg.AssetCheckSpec(
            NAMES_CHECK,
            asset=MEMBERSHIPS_KEY,
            description="Each source that knows groups has members in some, and every name is one: what looks like "
            "another's name, or is public, is nobody's.",
        ),
    ]

    @dg.multi_asset(
        name="silver_memberships",
        specs=[declared],
        check_specs=checks,
        pool=WRITER_POOL,
        retry_policy=RETRY,
        op_tags=_FIRST,
    )
    def memberships(
        context: dg.AssetExecutionContext, pipeline: PipelineResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from rag_pipeline.refresh.data_versions import silver_version, version_or_unknown
        from rag_pipeline.refresh.memberships import poll_memberships

        with as_dagster_failure() as work:
            report = poll_memberships(pipeline.workspace)
            if report.unavailable and context.op_execution_context.retry_number < RETRY.max_retries:
                # It may answer in a moment; what the others said is committed.
                raise SourceUnavailable(next(iter(report.unavailable.values())))
            version = version_or_unknown(lambda: silver_version(pipeline.workspace, MEMBERSHIPS))
        changes = {"added": report.added, "removed": report.removed, "taken from readers": report.withdrawn}
        facts = figures_of(report)
        yield dg.MaterializeResult(
            metadata={
                **happened(changes, f"now {counted(report.memberships, 'membership')}"),
                "dagster/row_count": report.memberships,
                **work,
                **facts,
            },
            data_version=dg.DataVersion(version),
        )
        yield _answer_result(report)
        yield _names_result(report)

    return memberships


def _answer_result(report: "MembershipsReport") -> dg.AssetCheckResult:
    told = [*report.unavailable.values(), *_by_source(report.unknown, "members cannot be told of")]
    return dg.AssetCheckResult(
        check_name=ANSWER_CHECK,
        asset_key=MEMBERSHIPS_KEY,
        passed=not told,
        severity=dg.AssetCheckSeverity.ERROR,
        description=bounded("; ".join(told)) or "every source that knows groups said who is in them",
        metadata={"rag/next_step": "rag-pipeline config check, then rag-pipeline run"},
    )


def _names_result(report: "MembershipsReport") -> dg.AssetCheckResult:
    told = [*(f"{name} has no member of any group" for name in report.empty), *_by_source(report.refused, "left out")]
    return dg.AssetCheckResult(
        check_name=NAMES_CHECK,
        asset_key=MEMBERSHIPS_KEY,
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description=bounded("; ".join(told)) or "every name is one",
        metadata={"rag/refused_count": sum(map(len, report.refused.values()))},
    )


def _by_source(found: Mapping[str, tuple[str, ...]], what: str) -> Iterator[str]:
    for name, texts in found.items():
        yield f"source {name}: {what}: {'; '.join(texts[:_SHOWN])}" + (
            f"; and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
        )


def _principals_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    # Where no source knows groups any more, what is left of them goes whatever else fails.
    deps = [MEMBERSHIPS_KEY, REVOCATIONS_KEY] if has_groups(pipeline) else []
    declared = spec(
        pipeline,
        PRINCIPALS_KEY,
        PRINCIPALS,
        deps=deps,
        kinds={"deltalake", "python"},
        description=f"{PRINCIPALS.doc} Who is new in a group has it from here on, once what was revoked has left "
        "readers; no row of the index is touched.",
    )
    check = dg.AssetCheckSpec(
        OPEN_CHECK,
        asset=PRINCIPALS_KEY,
        description="Searches count what silver/memberships holds, by the names that pipeline.yaml gives groups.",
    )

    @dg.multi_asset(
        name="silver_principals", specs=[declared], check_specs=[check], pool=WRITER_POOL, retry_policy=RETRY
    )
    def principals(pipeline: PipelineResource) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from rag_pipeline.refresh.data_versions import silver_version, version_or_unknown
        from rag_pipeline.refresh.memberships import memberships_are_open, open_memberships

        with as_dagster_failure() as work:
            report = open_memberships(pipeline.workspace)
            version = version_or_unknown(lambda: silver_version(pipeline.workspace, PRINCIPALS))
            is_open = memberships_are_open(pipeline.workspace)
        changes = {"gained": report.opened, "lost": report.closed}
        facts = {f"rag/{key}": value for key, value in asdict(report).items()}
        yield dg.MaterializeResult(
            metadata={
                **happened(changes, f"{counted(report.members, 'principal')} in {counted(report.groups, 'group')}"),
                "dagster/row_count": report.rows,
                **work,
                **facts,
                **(column_lineage(PRINCIPALS, [MEMBERSHIPS], [MEMBERSHIPS_KEY]) if deps else {}),
            },
            data_version=dg.DataVersion(version),
        )
        yield dg.AssetCheckResult(
            check_name=OPEN_CHECK,
            asset_key=PRINCIPALS_KEY,
            passed=is_open,
            severity=dg.AssetCheckSeverity.ERROR,
            description="searches count all of it" if is_open else "searches do not count all memberships",
            metadata={"rag/next_step": "rag-pipeline run"},
        )

    return principals
