"""Jobs that an operator starts by hand: going back to an earlier publication, retiring a model.

Belongs here: the run configuration that a person fills in, and the one call it leads to.
Does not belong here: what must hold before (`refresh/publication.py`, `refresh/generations.py`).
"""

import dagster as dg

from rag_pipeline.defs.operator_events import retirement_event
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.publication_events import publication_event
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import WRITER_POOL


class RollbackConfig(dg.Config):
    """Why readers are sent back; kept in the publication log."""

    note: str


class RetireConfig(dg.Config):
    """Alias of the embedding model whose index goes."""

    alias: str


def build_operator_jobs(prefix: Prefix) -> list[dg.JobDefinition]:
    """Jobs that an operator starts by hand."""
    return [_rollback_job(prefix), _retire_job(prefix)]


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
