"""Jobs on documents and tables that an operator starts by hand: retry, erase, verify, repair.

Belongs here: the run configuration that a person fills in, the one call it leads to, and its result as metadata.
Does not belong here: doing it (`refresh/`), jobs on models (`operations.py`).
"""

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from rag_pipeline.defs.describe import figures_of, rows_table
from rag_pipeline.defs.operators import Operator, operator_job, who
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.defs.publication_events import publication_events
from rag_pipeline.defs.resources import PipelineResource, as_dagster_failure
from rag_pipeline.defs.specs import WRITER_POOL
from rag_pipeline.defs.standing import standing_facts
from rag_pipeline.defs.words import HAPPENED, counted
from rag_pipeline.settings import Pipeline, load_pipeline

if TYPE_CHECKING:
    from rag_pipeline.refresh.erase_plan import Wanted
    from rag_pipeline.refresh.erase_proof import Certificate
    from rag_pipeline.refresh.workspace import Workspace

# A screenful of the UI; the command line lists all.
SHOWN_URIS = 50


class RetryConfig(Operator):
    """What is tried again."""

    document_ids: list[str] = Field(
        default_factory=list, description="Documents by id or the beginning of one; none: everything in quarantine."
    )


class EraseConfig(Operator):
    """What is erased, in one of three ways, and why."""

    document: str = Field("", description="A document by its id or uri; or name source and address, or principal.")
    source: str = Field("", description="Source of the address.")
    address: str = Field("", description="Address of the document in that source.")
    principal: str = Field("", description="Everything that nobody else may read, and remarks and rights of theirs.")
    by_content: bool = Field(False, description="Documents of equal bytes too, and such under any name from now on.")
    despite_versions: bool = Field(False, description="Also where the bucket of the lake keeps older versions.")
    reason: str = Field(description="Why; it stands on the certificate.")
    is_meant: bool = Field(False, description="Erase. Left out, the job only says what it would take.")


class ReleaseConfig(Operator):
    """Which erasure no longer holds."""

    erasure_id: str = Field(description="Id of the erasure, as on its certificate.")


class RepairConfig(Operator):
    """Which tables are made again."""

    tables: list[str] = Field(
        default_factory=list, description="Tables like silver.chunks; none: every one that is damaged."
    )


def build_repair_jobs(pipeline: Pipeline, prefix: Prefix) -> list[dg.JobDefinition]:
    """Jobs on documents and tables."""
    return [
        _retry_job(prefix),
        _erase_job(prefix),
        _release_job(prefix),
        _verify_job(pipeline, prefix),
        _repair_job(prefix),
    ]


def _retry_job(prefix: Prefix) -> dg.JobDefinition:
    @dg.op(
        name=prefix.name("retry_quarantined"),
        pool=prefix.name(WRITER_POOL),
        description="Mark documents in quarantine, so that the next run tries them again.",
    )
    @prefix.bound
    def retry_op(context: dg.OpExecutionContext, config: RetryConfig, pipeline: PipelineResource) -> None:
        from rag_pipeline.refresh.quarantine import retry_quarantined

        with as_dagster_failure():
            report = retry_quarantined(pipeline.workspace, config.document_ids)
        said = f"The next run tries {counted(len(report.released), 'document')} again, as {who(context, config)} asked."
        context.add_output_metadata(
            {
                HAPPENED: said,
                "rag/released_count": len(report.released),
                "rag/tried_by_every_run": report.tried_by_every_run,
            }
        )

    return operator_job(
        retry_op,
        "quarantine_retry",
        prefix,
        "Have the next run try again what was refused, all of it or the documents named under Config. A document is "
        "tried again by itself when its bytes or the parser change; this is for when something else did.",
    )


def _erase_job(prefix: Prefix) -> dg.JobDefinition:
    @dg.op(
        name=prefix.name("erase_documents"),
        pool=prefix.name(WRITER_POOL),
        description="Take documents out of every layer, version and record, and prove it.",
    )
    @prefix.bound
    def erase_op(context: dg.OpExecutionContext, config: EraseConfig, pipeline: PipelineResource) -> None:
        with as_dagster_failure():
            context.add_output_metadata(_erased(context, config, pipeline.workspace))

    return operator_job(
        erase_op,
        "erase",
        prefix,
        "Take documents out of the lake for good: bytes, text, vectors, and traces in every version and in Dagster's "
        "records, this run's configuration among them. Without is_meant under Config it only says what it would take. "
        "The source itself and backups are not touched.",
    )


def _erased(context: dg.OpExecutionContext, config: EraseConfig, workspace: "Workspace") -> dict[str, Any]:
    """What was erased, or would be; of what was erased no word stands there."""
    from rag_pipeline.errors import UsageError
    from rag_pipeline.refresh.erase_plan import look_up

    wanted = _wanted(config)
    if not config.reason.strip() or not who(context, config).strip():
        raise UsageError("say why: reason stands on the certificate; nothing was erased")
    if not config.is_meant:
        found = look_up(workspace, wanted)
        rows = [{"would_be_erased": uri} for uri in found.uris[:SHOWN_URIS]]
        count = counted(len(found.uris) + found.parts, "document")
        said = f"Nothing was erased. {count} would be; if that is meant, set is_meant under Config."
        return {HAPPENED: said, "rag/documents": len(found.uris) + found.parts, "rag/would_be_erased": rows_table(rows)}
    certificate = _certificate(context, config, workspace, wanted)
    where = f"{counted(certificate.pieces, 'piece')} in {counted(certificate.searched_files, 'file')}"
    return {
        HAPPENED: f"Erased {counted(len(certificate.documents), 'document')}; found none of {where}.",
        "rag/documents": len(certificate.documents),
        "rag/erasure_id": certificate.erasure_id,
        "rag/certificate": f"erasures/{certificate.erasure_id}.txt in the lake",
        "rag/searched_files": certificate.searched_files,
        "rag/notes": " ".join(certificate.notes) or "none",
    }


def _certificate(
    context: dg.OpExecutionContext, config: EraseConfig, workspace: "Workspace", wanted: "Wanted"
) -> "Certificate":
    """Finish what was begun before, and begin with what is wanted unless that was it."""
    from rag_pipeline.defs.scrub import scrub_of_run
    from rag_pipeline.refresh.erase import begin_erasure, finish_erasure
    from rag_pipeline.refresh.erase_plan import is_planned
    from rag_pipeline.stores.erasures import pending_erasure

    # Held all the while: a run in between would finish what was begun here.
    with workspace.lake.writing():
        before = pending_erasure(workspace.lake)
        principals = {wanted.principal, *(before.principals if before is not None else ())} - {""}
        scrub = scrub_of_run(workspace.pipeline, context.instance, principals)
        certificate = finish_erasure(workspace, scrub)
        if before is None or not is_planned(before, wanted):
            begin_erasure(
                workspace,
                wanted,
                reason=config.reason,
                erased_by=who(context, config),
                despite_versions=config.despite_versions,
            )
            certificate = finish_erasure(workspace, scrub)
    assert certificate is not None
    return certificate


def _wanted(config: EraseConfig) -> "Wanted":
    from rag_pipeline.errors import UsageError
    from rag_pipeline.refresh.erase_plan import Wanted

    place = (config.source, config.address)
    ways = [bool(config.document), any(place), bool(config.principal)]
    if ways.count(True) != 1 or (any(place) and not all(place)):
        raise UsageError(
            "say what to erase, in one way: document, source with address, or principal; nothing was erased"
        )
    return Wanted(config.document, place if any(place) else None, config.principal, config.by_content)


def _release_job(prefix: Prefix) -> dg.JobDefinition:
    @dg.op(
        name=prefix.name("release_erased"),
        pool=prefix.name(WRITER_POOL),
        description="Take the tombstone of an erasure away.",
    )
    @prefix.bound
    def release_op(context: dg.OpExecutionContext, config: ReleaseConfig, pipeline: PipelineResource) -> None:
        from rag_pipeline.refresh.erase import release

        with as_dagster_failure():
            count = release(pipeline.workspace, config.erasure_id)
        said = f"{counted(count, 'document')} may come back with the next run, as {who(context, config)} asked."
        context.add_output_metadata({HAPPENED: said, "rag/documents": count})

    return operator_job(
        release_op,
        "erase_release",
        prefix,
        "Let what an erasure took come back with the next run, if the source still has it. Fill in erasure_id under "
        "Config.",
    )


def _verify_job(pipeline: Pipeline, prefix: Prefix) -> dg.JobDefinition:
    # No pool and not the resource of runs: looking waits for nobody and takes nothing from readers.
    @dg.op(name=prefix.name("verify_tables"), description="Hold every table against the promises; nothing is changed.")
    def verify_op(context: dg.OpExecutionContext) -> None:
        from rag_pipeline.refresh.verify import verify
        from rag_pipeline.refresh.workspace import Workspace

        with as_dagster_failure(), Workspace(load_pipeline(str(pipeline.path)), run_id=context.run_id) as workspace:
            report = verify(workspace)
        columns = ("code", "kind", "count", "next_step")
        metadata: dict[str, Any] = {
            HAPPENED: f"{counted(len(report.findings), 'finding')}; compared "
            f"{counted(report.documents, 'document')} and {counted(report.chunks, 'chunk')}.",
            **{f"rag/{name}": getattr(report, name) for name in ("ghosts", "missing", "mismatched")},
            "rag/findings": rows_table(report.findings, columns),
        }
        context.add_output_metadata(metadata)
        if report.findings:
            first = report.findings[0]
            raise dg.Failure(
                f"{counted(len(report.findings), 'finding')}, first {first['code']}: {first['next_step']}",
                metadata=metadata,
                allow_retries=False,
            )

    return operator_job(
        verify_op,
        "verify",
        prefix,
        "Hold every table against the promises: exact counts of ghosts, gaps and mismatches, and damaged tables. It "
        "fails where it finds one, and changes nothing.",
    )


def _repair_job(prefix: Prefix) -> dg.JobDefinition:
    @dg.op(
        name=prefix.name("repair_tables"),
        pool=prefix.name(WRITER_POOL),
        description="Make damaged tables again from what is below them, and publish.",
    )
    @prefix.bound
    def repair_op(context: dg.OpExecutionContext, config: RepairConfig, pipeline: PipelineResource) -> None:
        from rag_pipeline.refresh.generations import is_held
        from rag_pipeline.refresh.rebuild import rebuild

        workspace = pipeline.workspace
        with as_dagster_failure():
            report = rebuild(workspace, config.tables)
        moved = workspace.lake.publications_of(workspace.run_id)
        told = publication_events(
            moved,
            by_whom=who(context, config),
            how="the job repair",
            is_held=is_held(workspace),
            beside=standing_facts(workspace, prefix),
        )
        for event in told:
            context.log_event(event._replace(asset_key=prefix.key(event.asset_key)))
        context.add_output_metadata(
            {
                HAPPENED: f"Rebuilt {', '.join(report.tables) or 'nothing: no table is damaged'}.",
                **figures_of(report),
            }
        )

    return operator_job(
        repair_op,
        "repair",
        prefix,
        "Make damaged tables again from what is below them, or those named under Config; readers keep what is "
        "published until the new version is audited. Bronze cannot be made again: restore its folder from a backup.",
    )
