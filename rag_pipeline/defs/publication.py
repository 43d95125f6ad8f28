"""The asset whose last row readers follow, and what is said when it may not move.

Belongs here: how a publication and a refused one look in Dagster.
Does not belong here: what must hold before the pointer moves (`refresh/publication.py`).

A refused publication leaves the asset as it was, with the time and the figures of the last real one: its output is
skipped, and its check says why and how to go on. What must run all the same therefore depends on the index.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.contracts.tables import PUBLICATIONS
from rag_pipeline.defs.clock_checks import PAST_SPEC, past_result
from rag_pipeline.defs.delivery_checks import delivery_results, delivery_specs
from rag_pipeline.defs.lag_checks import IN_TIME_SPEC, in_time_result, lag_facts
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.publication_events import publication_facts, publication_version
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import EVALUATION_KEY, INDEX_KEY, PUBLICATION_KEY, RETRY, WRITER_POOL, spec
from rag_pipeline.defs.standing import standing_facts
from rag_pipeline.defs.words import figure
from rag_pipeline.errors import (
    AuditFailed,
    EvaluationBelowBaseline,
    IndexIncomplete,
    PermissionLeak,
    RagPipelineError,
    StoreError,
    TableMissing,
)
from rag_pipeline.settings import Pipeline

if TYPE_CHECKING:
    from rag_pipeline.refresh.publication import PublicationReport
    from rag_pipeline.refresh.workspace import Workspace

ALLOWED_CHECK = "newest_version_may_be_published"
POINTER_CHECK = "pointer_resolves"
WARN = dg.AssetCheckSeverity.WARN
ERROR = dg.AssetCheckSeverity.ERROR
REFUSALS = (AuditFailed, EvaluationBelowBaseline, IndexIncomplete, PermissionLeak, TableMissing)


class PublicationConfig(dg.Config):
    """Which model's index to publish by hand; empty: the one that is served.

    `override_gate` publishes although the evaluation says no; `note` has to say why.
    """

    alias: str = ""
    note: str = ""
    override_gate: bool = False


def publication_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    """The log whose last row is what readers see."""
    declared = spec(
        pipeline,
        PUBLICATION_KEY,
        PUBLICATIONS,
        deps=[INDEX_KEY, EVALUATION_KEY],
        kinds={"deltalake"},
        description=f"{PUBLICATIONS.doc} It moves only to a version whose audit passed, and whose evaluation is not "
        "below that of what readers see. One that is refused leaves this asset as it was, and is a failed check of it.",
        skippable=True,
        is_log=True,
    )

    @dg.multi_asset(
        name="gold_publication",
        specs=[declared],
        check_specs=[*_check_specs(), *delivery_specs(pipeline, PUBLICATION_KEY)],
        pool=WRITER_POOL,
        retry_policy=RETRY,
    )
    def publication(
        context: dg.AssetExecutionContext, config: PublicationConfig, pipeline: PipelineResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from rag_pipeline.refresh.publication import publish

        workspace = pipeline.workspace
        prefix = Prefix(tuple(context.assets_def.key.path[: -len(PUBLICATION_KEY.path)]))
        refused: RagPipelineError | None = None
        report = None
        with as_dagster_failure() as work:
            try:
                report = publish(
                    workspace,
                    config.alias or None,
                    note=config.note,
                    by_hand=bool(config.alias),
                    override_gate=config.override_gate,
                )
            except REFUSALS as error:
                refused = error
                pipeline.settle_at_end()
        why = _held_back(report, refused)
        facts: dict[str, Any] = {}
        if report is not None:
            facts = publication_facts(report, moved=report.moved, is_held=report.is_held)
            facts |= standing_facts(workspace, prefix) | lag_facts(workspace) | _costs(workspace) | work
        if report is not None and why is None:
            yield dg.MaterializeResult(
                asset_key=PUBLICATION_KEY, metadata=facts, data_version=dg.DataVersion(publication_version(report))
            )
        else:
            context.log_event(dg.AssetObservation(context.assets_def.key, description=why, metadata=facts))
        yield _allowed_result(why, refused, by_hand=bool(config.alias))
        yield published_result(workspace)._replace(asset_key=PUBLICATION_KEY, check_name=POINTER_CHECK)
        yield in_time_result(workspace)
        yield past_result(workspace)
        yield from delivery_results(workspace, PUBLICATION_KEY)

    return publication


def _check_specs() -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            ALLOWED_CHECK,
            asset=PUBLICATION_KEY,
            description="The newest version of the index that is served may be shown to readers: audited, evaluated, "
            "complete, and not held back by a rollback. If not, readers keep what they had, less what was revoked.",
        ),
        dg.AssetCheckSpec(
            POINTER_CHECK,
            asset=PUBLICATION_KEY,
            description="The table version that readers are pointed to opens and holds as many rows as were published.",
        ),
        IN_TIME_SPEC,
        PAST_SPEC,
    ]


def _costs(workspace: "Workspace") -> dict[str, Any]:
    """What the run cost, as figures that the UI plots over the runs; a price that is not known is left out."""
    from rag_pipeline.refresh.costs import cost_of_run

    cost = cost_of_run(workspace)
    figures = {"bytes": cost.bytes, "texts": cost.texts, "tokens": cost.tokens, "seconds": figure(cost.seconds)}
    priced = {} if cost.price is None else {"price": figure(cost.price)}
    return {f"rag/run_cost_{name}": value for name, value in (figures | priced).items()}


def _held_back(report: "PublicationReport | None", refused: RagPipelineError | None) -> str | None:
    """Why the newest version did not reach readers, and how to go on; None: it did."""
    if refused is not None:
        return refused.message
    if report is None or not report.is_held:
        return None
    return (
        f"readers are held at version {report.table_version} of {report.alias} by a rollback, and newer versions wait. "
        f"Let readers go on: rag-pipeline models publish {report.alias}"
    )


def _allowed_result(why: str | None, refused: RagPipelineError | None, *, by_hand: bool) -> dg.AssetCheckResult:
    """Yellow for a person's own wish, and where the audit or the evaluation is red already; else red."""
    red_elsewhere = isinstance(refused, (AuditFailed, EvaluationBelowBaseline)) and not by_hand
    return dg.AssetCheckResult(
        asset_key=PUBLICATION_KEY,
        check_name=ALLOWED_CHECK,
        passed=why is None,
        severity=WARN if refused is None or red_elsewhere else ERROR,
        description=why or "readers see the newest version",
        metadata={} if refused is None else {"rag/error_code": refused.code},
    )


def publication_allowed(report: "PublicationReport", key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """The same check after a person moved readers in a job, where no step of the asset says it.

    Args:
        key: Of the publication, as it is called in the project.
    """
    why = _held_back(report, None)
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=ALLOWED_CHECK,
        passed=why is None,
        severity=WARN,
        description=why or "readers see the newest version",
    )


def published_result(workspace: "Workspace") -> dg.AssetCheckResult:
    """Whether what readers are pointed to opens, and is whole."""
    from rag_pipeline.stores.kept import open_version

    last = workspace.lake.last_publication()
    if last is None:
        return dg.AssetCheckResult(passed=False, description="nothing has been published yet")
    try:
        rows = open_version(workspace.vectors, last).count()
    except StoreError as error:
        return dg.AssetCheckResult(passed=False, description=error.message)
    return dg.AssetCheckResult(
        passed=rows == last.rows,
        description=f"version {last.table_version} opens and holds {rows:,} of {last.rows:,} rows",
        metadata={"rag/rows": rows, "rag/table_version": last.table_version},
    )
