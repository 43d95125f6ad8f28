"""Jobs on models that an operator starts by hand: publishing, going back, retiring; and planning a run.

Belongs here: the run configuration that a person fills in, and the one call it leads to.
Does not belong here: what must hold before (`refresh/publication.py`, `refresh/generations.py`), jobs on documents and
tables (`repairs.py`), runs of assets (`automation.py`).
"""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from rag_pipeline.defs.curation import curate_job
from rag_pipeline.defs.describe_plan import plan_metadata
from rag_pipeline.defs.operator_events import retirement_event
from rag_pipeline.defs.operators import Operator, operator_job, who
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.publication import publication_allowed
from rag_pipeline.defs.publication_events import publication_event
from rag_pipeline.defs.repairs import build_repair_jobs
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import WRITER_POOL
from rag_pipeline.defs.standing import standing_facts
from rag_pipeline.defs.traces import trace_job
from rag_pipeline.defs.words import counted
from rag_pipeline.settings import Pipeline, load_pipeline

if TYPE_CHECKING:
    from rag_pipeline.refresh.publication import PublicationReport
    from rag_pipeline.refresh.workspace import Workspace


class PublishConfig(Operator):
    """Which model readers get, and why."""

    alias: str = Field(description="Embedding model of pipeline.yaml whose newest audited index readers get.")
    note: str = Field("", description="Why; kept in the publication log.")
    override_gate: bool = Field(False, description="Publish although the evaluation says no; note has to say why.")


class RollbackConfig(Operator):
    """Where readers are sent back to, and why."""

    note: str = Field(description="Why; kept in the publication log.")
    to: str = Field("", description="Embedding model to go back to; empty: the publication before this one.")


class RetireConfig(Operator):
    """Which index goes."""

    alias: str = Field(description="Embedding model whose index goes; not one that readers see or that is served.")


class PlanConfig(dg.Config):
    """What the planned run is allowed."""

    allow_mass_deletion: list[str] = Field(
        default_factory=list, description="Sources whose deletion guard the planned run lets everything go of."
    )
    allow_public: bool = Field(False, description="Opening documents to everybody is meant, and no failure.")


def build_operator_jobs(pipeline: Pipeline, prefix: Prefix) -> list[dg.JobDefinition]:
    """Jobs that an operator starts by hand."""
    return [
        _publish_job(prefix),
        _rollback_job(prefix),
        _retire_job(prefix),
        _plan_job(pipeline, prefix),
        *build_repair_jobs(pipeline, prefix),
        trace_job(pipeline, prefix),
        curate_job(pipeline, prefix),
    ]


def _tell(
    context: dg.OpExecutionContext,
    prefix: Prefix,
    workspace: "Workspace",
    report: "PublicationReport",
    config: Operator,
    why: str,
    job: str,
) -> None:
    """Have the history of gold/publication say who moved readers, and its check what they see now."""
    event = publication_event(
        report,
        moved=report.moved,
        is_held=report.is_held,
        why=why,
        by_whom=who(context, config),
        how=f"the job {job}",
        beside=standing_facts(workspace, prefix),
    )
    key = prefix.key(event.asset_key)
    context.log_event(event._replace(asset_key=key))
    # A check that is no output of the step is the instance's to take.
    context.instance.report_runless_asset_event(publication_allowed(report, key))
    context.add_output_metadata(event.metadata)


def _publish_job(prefix: Prefix) -> dg.JobDefinition:
    @dg.op(
        name=prefix.name("publish_model"),
        pool=prefix.name(WRITER_POOL),
        description="Point readers to the newest audited index of a model, unless it is worse than what they see.",
    )
    @prefix.bound
    def publish_model(context: dg.OpExecutionContext, config: PublishConfig, pipeline: PipelineResource) -> None:
        from rag_pipeline.refresh.publication import publish

        with as_dagster_failure():
            report = publish(
                pipeline.workspace, config.alias, note=config.note, by_hand=True, override_gate=config.override_gate
            )
        _tell(context, prefix, pipeline.workspace, report, config, config.note, "models_publish")

    return operator_job(
        publish_model,
        "models_publish",
        prefix,
        "Point readers to the newest index of a model; it is refused where it failed its audit, is behind, "
        "or is evaluated worse than what they see. It also ends what a rollback holds. Fill in alias under Config.",
    )


def _rollback_job(prefix: Prefix) -> dg.JobDefinition:
    @dg.op(
        name=prefix.name("roll_back"),
        pool=prefix.name(WRITER_POOL),
        description="Point readers back to what was published before the current publication.",
    )
    @prefix.bound
    def roll_back(context: dg.OpExecutionContext, config: RollbackConfig, pipeline: PipelineResource) -> None:
        from rag_pipeline.refresh.publication import rollback

        with as_dagster_failure():
            report = rollback(pipeline.workspace, to=config.to or None, note=config.note)
        _tell(context, prefix, pipeline.workspace, report, config, config.note, "models_rollback")

    return operator_job(
        roll_back,
        "models_rollback",
        prefix,
        "Send readers back to the publication before this one, or to another model. Fill in why under Config.",
    )


def _retire_job(prefix: Prefix) -> dg.JobDefinition:
    @dg.op(
        name=prefix.name("retire_model"),
        pool=prefix.name(WRITER_POOL),
        description="Drop the index of a model that nobody reads; its vectors are kept for a while.",
    )
    @prefix.bound
    def retire_model(context: dg.OpExecutionContext, config: RetireConfig, pipeline: PipelineResource) -> None:
        from rag_pipeline.refresh.generations import retire

        with as_dagster_failure():
            report = retire(pipeline.workspace, config.alias)
        event = retirement_event(
            report.alias,
            report.table_name,
            by_whom=who(context, config),
            how="the job models_retire",
        )
        context.add_output_metadata(event.metadata)
        context.log_event(event._replace(asset_key=prefix.key(event.asset_key)))

    return operator_job(
        retire_model,
        "models_retire",
        prefix,
        "Drop the index of a model that nobody reads. Fill in its alias under Config.",
    )


def _plan_job(pipeline: Pipeline, prefix: Prefix) -> dg.JobDefinition:
    # No pool, since it waits for no run; and not the resource of runs: that takes from readers what a failed one left.
    @dg.op(name=prefix.name("plan_run"), description="What the next run would do; the lake is left as it is.")
    def plan_run_op(context: dg.OpExecutionContext, config: PlanConfig) -> None:
        from rag_pipeline.refresh.plan import plan_run

        with as_dagster_failure():
            plan = plan_run(load_pipeline(str(pipeline.path)), allow_mass_deletion=config.allow_mass_deletion)
        metadata = plan_metadata(plan)
        context.add_output_metadata(metadata)
        if plan.opens_to_public and not config.allow_public:
            raise dg.Failure(
                f"{counted(len(plan.opens_to_public), 'document')} would be opened to everybody. If that is meant, set "
                f"allow_public under Config.",
                metadata=metadata,
                allow_retries=False,
            )

    return operator_job(
        plan_run_op,
        "plan",
        prefix,
        "Show what the next run would do: documents, texts to embed, rows, price, and each permission that "
        "opens or closes. It fails where something would open to everybody and allow_public is not set under Config.",
    )
