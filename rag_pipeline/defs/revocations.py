"""The asset that takes away, before anything is parsed.

Belongs here: what it depends on, how it is shown, and the one call that does it.
Does not belong here: what has to go (`transforms/revoke.py`), doing it (`refresh/revoke.py`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.defs.delivery_checks import delivery_results, delivery_specs
from rag_pipeline.defs.describe import arrow_schema, figures_of
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import RETRY, REVOCATIONS_KEY, WRITER_POOL, bronze_key, spec
from rag_pipeline.defs.words import counted, happened
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.erasures import pending_erasure
from rag_pipeline.transforms.revoke import SHOWN_COLUMNS

if TYPE_CHECKING:
    from rag_pipeline.refresh.revoke import RevokeReport
    from rag_pipeline.refresh.workspace import Workspace

LOOKED_AT_CHECK = "everything_revoked_has_left"
# Tag of a run: what the run before it in the same launch made again.
HEALED_TAG = "rag/healed"
WHOLE_CHECK = "tables_are_whole"


def _happened(report: "RevokeReport") -> dict[str, Any]:
    changes = {"removed": report.removed, "closed to some": report.narrowed}
    if report.table_version is None:
        return happened(changes, "readers keep what they had")
    return happened(
        changes, f"revoked from readers: {counted(report.documents, 'document')}, by version {report.table_version}"
    )


def revocations_asset(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Deleted documents and narrowed permissions, taken from readers before parsing begins."""
    declared = spec(
        pipeline,
        REVOCATIONS_KEY,
        None,
        deps=[bronze_key(name) for name in pipeline.settings.sources],
        kinds={"lancedb"},
        metadata={"dagster/column_schema": arrow_schema({name: ROW_COLUMNS[name] for name in SHOWN_COLUMNS}, set())},
        description="Documents that were deleted and permissions that became narrower leave the published index here, "
        "before anything is parsed, cut or embedded, and whatever happens to the rest of the run. It only ever takes "
        "away; everything else waits for the checks.",
    )

    @dg.multi_asset(
        name="silver_revocations",
        specs=[declared],
        check_specs=[*_check_specs(), *delivery_specs(pipeline, REVOCATIONS_KEY)],
        pool=WRITER_POOL,
        retry_policy=RETRY,
    )
    def revocations(
        context: dg.AssetExecutionContext, pipeline: PipelineResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from rag_pipeline.refresh.data_versions import all_sources_version, version_or_unknown
        from rag_pipeline.refresh.heal import damage_was_met, heal_damage

        workspace = pipeline.workspace
        with as_dagster_failure() as work:
            report = _revoked(workspace)
            report.faults += filter(None, [_finished_erasure(context.instance, workspace)])
            if report.faults:
                # The size of no file may tell of it.
                damage_was_met(workspace)
            first_commit = workspace.lake.commits
            healed = heal_damage(workspace)
            healing = workspace.lake.commits - first_commit
            if report.faults and healed.tables:
                report = _revoked(workspace)
        facts: dict[str, Any] = figures_of(report)
        facts["rag/commits"] = 2 * int(report.table_version is not None) + healing
        if healed.tables or healed.gone:
            facts |= {
                "rag/healed": " ".join([*healed.tables, *healed.gone]),
                "rag/embeddings_computed": healed.embeddings_computed,
            }
        said = healed.said or context.run.tags.get(HEALED_TAG, "")
        # What was taken away follows from what bronze holds.
        version = version_or_unknown(lambda: all_sources_version(workspace))
        yield dg.MaterializeResult(metadata=_happened(report) | facts | work, data_version=dg.DataVersion(version))
        yield dg.AssetCheckResult(
            asset_key=REVOCATIONS_KEY,
            check_name=LOOKED_AT_CHECK,
            passed=not report.faults,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(report.faults) or "everything could be looked at",
            metadata={"rag/next_step": "rag-pipeline verify"},
        )
        yield dg.AssetCheckResult(
            asset_key=REVOCATIONS_KEY,
            check_name=WHOLE_CHECK,
            passed=not said,
            severity=dg.AssetCheckSeverity.ERROR if healed.left else dg.AssetCheckSeverity.WARN,
            description=said or "no file of any table or index is lost or cut",
            metadata={"rag/next_step": "rag-pipeline verify"},
        )
        yield from delivery_results(workspace, REVOCATIONS_KEY)

    return revocations


def _check_specs() -> list[dg.AssetCheckSpec]:
    looked_at = dg.AssetCheckSpec(
        LOOKED_AT_CHECK,
        asset=REVOCATIONS_KEY,
        description="Bronze of every source and each living index could be read, so that nothing revoked was left. "
        "It does not block: the rest of the run may mend what is damaged, and its end looks again.",
    )

    whole = dg.AssetCheckSpec(
        WHOLE_CHECK,
        asset=REVOCATIONS_KEY,
        description="No file of any table or index is lost or cut. What can be made again from the layers below is, "
        "before the run goes on and beside what is served, and a table that is gone is made by the run: yellow, once. "
        "What has to be restored is red.",
    )
    return [looked_at, whole]


def _finished_erasure(instance: dg.DagsterInstance, workspace: "Workspace") -> str:
    pending = pending_erasure(workspace.lake)
    if pending is None:
        return ""
    from rag_pipeline.defs.scrub import scrub_of_run
    from rag_pipeline.refresh.erase import finish_if_begun

    return finish_if_begun(workspace, scrub_of_run(workspace.pipeline, instance, pending.principals))


def _revoked(workspace: "Workspace") -> "RevokeReport":
    from rag_pipeline.refresh.faults import FAULTS
    from rag_pipeline.refresh.revoke import RevokeReport, revoke_now

    try:
        return revoke_now(workspace)
    except FAULTS as error:
        return RevokeReport(faults=[f"nothing was revoked: {error}"])
