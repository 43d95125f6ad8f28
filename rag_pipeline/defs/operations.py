"""Jobs that an operator starts by hand: going back to an earlier publication, retiring a model.

Belongs here: the run configuration that a person fills in, and the one call it leads to.
Does not belong here: what must hold before (`refresh/publication.py`, `refresh/generations.py`).
"""

from dataclasses import asdict

import dagster as dg

from rag_pipeline.defs.publication_events import publication_event
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import WRITER_POOL


class RollbackConfig(dg.Config):
    """Why readers are sent back; kept in the publication log."""

    note: str


class RetireConfig(dg.Config):
    """Alias of the embedding model whose index goes."""

    alias: str


@dg.op(pool=WRITER_POOL, description="Point readers back to what was published before the current publication.")
def roll_back(context: dg.OpExecutionContext, config: RollbackConfig, pipeline: PipelineResource) -> None:
    from rag_pipeline.refresh.publication import rollback

    with as_dagster_failure():
        report = rollback(pipeline.workspace, note=config.note)
    context.log_event(
        publication_event(
            asdict(report),
            moved=report.moved,
            is_held=report.is_held,
            why=config.note,
            by_whom=context.run.tags.get("user", "an operator"),
            how="the job models_rollback",
        )
    )


@dg.op(pool=WRITER_POOL, description="Drop the index of a model that nobody reads; its vectors are kept for a while.")
def retire_model(context: dg.OpExecutionContext, config: RetireConfig, pipeline: PipelineResource) -> None:
    from rag_pipeline.refresh.generations import retire

    with as_dagster_failure():
        report = retire(pipeline.workspace, config.alias)
    context.log.info(f"retired {report.alias}: dropped {report.table_name}")


@dg.job(description="Send readers back to the publication before this one. Fill in why under Config.")
def models_rollback() -> None:
    roll_back()


@dg.job(description="Drop the index of a model that nobody reads. Fill in its alias under Config.")
def models_retire() -> None:
    retire_model()


OPERATOR_JOBS = [models_rollback, models_retire]
