"""Jobs that an operator starts by hand: going back to an earlier publication, retiring a model, planning a run.

Belongs here: the run configuration that a person fills in, and the one call it leads to.
Does not belong here: what must hold before (`refresh/publication.py`, `refresh/generations.py`).
"""

import dagster as dg
from pydantic import Field

from rag_pipeline.defs.describe_plan import plan_metadata
from rag_pipeline.defs.operator_events import retirement_event
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.publication_events import publication_event
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import WRITER_POOL
from rag_pipeline.defs.words import counted
from rag_pipeline.settings import Pipeline, load_pipeline


class RollbackConfig(dg.Config):
    """Why readers are sent back; kept in the publication log."""

    note: str


class RetireConfig(dg.Config):
    """Alias of the embedding model whose index goes."""

    alias: str


class PlanConfig(dg.Config):
    """Sources whose deletion guard the planned run lets everything go of, and whether opening to everybody is meant."""

    allow_mass_deletion: list[str] = Field(default_factory=list)
    allow_public: bool = False


def build_operator_jobs(pipeline: Pipeline, prefix: Prefix) -> list[dg.JobDefinition]:
    """Jobs that an operator starts by hand."""
    return [_rollback_job(prefix), _retire_job(prefix), _plan_job(pipeline, prefix)]


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
            report = rollback(pipeline.workspace, note=config.note)
        event = publication_event(
            report,
            moved=report.moved,
            is_held=report.is_held,
            why=config.note,
            by_whom=context.run.tags.get("user", "an operator"),
            how="the job models_rollback",
        )
        context.log_event(event._replace(asset_key=prefix.key(event.asset_key)))

    @dg.job(
        name=prefix.name("models_rollback"),
        description="Send readers back to the publication before this one. Fill in why under Config.",
    )
    def models_rollback() -> None:
        roll_back()

    return models_rollback


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
            by_whom=context.run.tags.get("user", "an operator"),
            how="the job models_retire",
        )
        context.log_event(event._replace(asset_key=prefix.key(event.asset_key)))

    @dg.job(
        name=prefix.name("models_retire"),
        description="Drop the index of a model that nobody reads. Fill in its alias under Config.",
    )
    def models_retire() -> None:
        retire_model()

    return models_retire


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

    @dg.job(
        name=prefix.name("plan"),
        description="Show what the next run would do: documents, texts to embed, rows, price, and each permission that "
        "opens or closes. It fails where something would open to everybody and allow_public is not set under Config.",
        executor_def=dg.in_process_executor,
    )
    def plan() -> None:
        plan_run_op()

    return plan
