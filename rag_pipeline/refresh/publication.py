"""Move the pointer that readers follow, forward or back.

Belongs here: what must hold before the pointer moves, and the row that moves it.
Does not belong here: the audit itself (`refresh/index.py`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from rag_pipeline.contracts.log_rows import Audit, Publication
from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS
from rag_pipeline.errors import (
    AuditFailed,
    EvaluationBelowBaseline,
    IndexIncomplete,
    NothingPublished,
    PermissionLeak,
    RagPipelineError,
    TableMissing,
    UsageError,
)
from rag_pipeline.refresh.evaluation import fit_for
from rag_pipeline.refresh.gate import Verdict, judge, leak_of
from rag_pipeline.refresh.generations import Look, index_cure, index_problem, is_complete, is_held, served_alias
from rag_pipeline.refresh.index import revoke
from rag_pipeline.refresh.lag import lag_figures
from rag_pipeline.refresh.moved import pointer_moved
from rag_pipeline.refresh.polls import unrecorded_figures, unrecorded_sources
from rag_pipeline.refresh.revocations import revocations
from rag_pipeline.refresh.revoke import as_it_may_be_read
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.fit import Fit, fitted
from rag_pipeline.stores.damage import probe_index
from rag_pipeline.stores.kept import KeptVersions
from rag_pipeline.stores.retrievers import refine_factor_of

log = logging.getLogger(__name__)

AUDIT_FIGURES = ("ghosts", "missing", "mismatched", "withheld", "audit_id", "chunks_version")


@dataclass(frozen=True, slots=True)
class PublicationReport:
    """What is published now, and whether this call moved the pointer."""

    sequence: int
    alias: str
    space_fingerprint: str
    table_name: str
    table_version: int
    rows: int
    documents: int
    moved: bool
    is_held: bool = False


@step("gold/publication")
def publish(
    workspace: Workspace,
    alias: str | None = None,
    *,
    note: str = "",
    by_hand: bool = False,
    override_gate: bool = False,
) -> PublicationReport:
    """Point readers to the newest audited version of a model's index; nothing happens if they are there already.

    Args:
        alias: Embedding model; the one that is served if none is named.
        by_hand: A person asks. Their choice of model stands until `serve` is changed in pipeline.yaml, and it
            releases a pointer that a rollback holds.
        override_gate: Publish although the evaluation says no; `note` says why, and both are kept in the log.

    Raises:
        EvaluationBelowBaseline: The index was not evaluated on the configured questions, or came out worse than what
            readers see by more than the tolerance. They stay where they were.
        PermissionLeak: A question was answered with what its asker may not read. Readers stay where they were.
        AuditFailed: The newest audit of that index found faults, or there is none. Readers stay where they were.
        IndexIncomplete: Readers would change to a model whose index is behind silver. They stay where they were.
        TableMissing: The audited index was retired, lost or damaged. Readers stay where they were.
    """
    alias = alias or served_alias(workspace)
    if override_gate and not note.strip():
        raise UsageError("publishing against the evaluation needs a note that says why; nothing was published")
    try:
        report = _publish(workspace, alias, note=note, by_hand=by_hand, override_gate=override_gate)
    except (AuditFailed, EvaluationBelowBaseline, IndexIncomplete, PermissionLeak, TableMissing):
        # Readers of another model's index, which runs keep in step, must not miss deletions and permissions meanwhile.
        last = workspace.lake.last_publication()
        if last is not None and not by_hand and last.alias in workspace.settings.embedding_models:
            _keep_up_to_date(workspace, alias, last)
        pointer_moved(workspace)
        raise
    pointer_moved(workspace)
    return report


def _keep_up_to_date(workspace: Workspace, refused: str, last: Publication) -> None:
    """The newest version of what readers are on, searched as they do, while another model or reranking is refused."""
    kept, recipe = last.alias, last.recipe
    if kept != refused:
        what = refused
    elif recipe.unfitted.fingerprint != workspace.recipe.fingerprint:
        what = "another reranking"
    else:
        return
    _publish(workspace, kept, note=f"kept up to date while {what} is refused", configured=last, recipe=recipe)


def _publish(
    workspace: Workspace,
    alias: str,
    *,
    note: str,
    by_hand: bool = False,
    override_gate: bool = False,
    configured: Publication | None = None,
    recipe: SearchRecipe | None = None,
) -> PublicationReport:
    lake = workspace.lake
    space = workspace.space(alias)
    with lake.writing():
        audit = lake.last_audit(space.fingerprint)
        last = lake.last_publication()
        if audit is None or not audit.passed:
            found = "has not been audited"
            if audit is not None:
                found = f"was found at fault: {json.dumps(audit.findings, sort_keys=True)}"
            raise AuditFailed(
                f"the index of embedding model {alias} {found}; nothing was published and readers keep what they had. "
                f"The next run rebuilds the rows at fault: rag-pipeline run",
                alias=alias,
            )
        is_switch = last is not None and last.space_fingerprint != space.fingerprint
        # What no run of late has worked on is read through before readers depend on it.
        _check_there(workspace, alias, audit, "read" if is_switch or by_hand else "count")
        if is_switch:
            _check_complete(workspace, alias, audit)
        fit = Fit() if recipe is not None else fit_for(workspace, audit.audit_id)
        recipe = fitted(workspace.recipe, fit) if recipe is None else recipe
        if not by_hand and is_held(workspace):
            assert last is not None
            return _report(last, moved=False, is_held=True)
        if last is not None and not is_held(workspace) and _is_where_readers_are(last, audit, recipe):
            return _report(last, moved=False)
        verdict = judge(workspace, alias, audit, last, recipe)
        _check_evaluation(verdict, alias, override_gate=override_gate)
        figures = verdict.figures | ({} if verdict.passed else {"gate_overridden": verdict.reason})
        figures |= (
            unrecorded_figures(workspace)
            | _audit_figures(audit)
            | recipe.figures()
            | ({} if fit.gain is None else {"fit": asdict(fit)})
        )
        publication = Publication(
            sequence=0 if last is None else last.sequence + 1,
            action="publish",
            configured_alias=workspace.settings.serve if configured is None else configured.configured_alias,
            alias=alias,
            space_fingerprint=space.fingerprint,
            space=json.dumps(asdict(space), sort_keys=True),
            model_spec=json.dumps(asdict(workspace.pipeline.model_spec(alias)), sort_keys=True),
            table_name=audit.table_name,
            table_version=audit.table_version,
            rows=audit.rows,
            documents=audit.documents,
            figures=figures | lag_figures(workspace, now := workspace.now()),
            published_at=now,
            run_id=workspace.run_id,
            note=note,
        )
        if is_switch or by_hand or unrecorded_sources(workspace):
            # Runs keep an index beside the served one in step, unless it could not be written.
            publication = as_it_may_be_read(workspace, publication)
        lake.append_publication(publication)
    return _report(publication, moved=True)


def _is_where_readers_are(last: Publication, audit: Audit, recipe: SearchRecipe) -> bool:
    """Whether a publication shows the audited version, searched as deep as the audit says, and by the recipe."""
    return (
        refine_factor_of(last) == refine_factor_of(audit)
        and last.recipe == recipe
        and (last.space_fingerprint, *last.place) == (audit.space_fingerprint, *audit.place)
    )


def _audit_figures(audit: Audit) -> dict[str, object]:
    """What a publication keeps of its audit; `search` says how deep readers have to look."""
    figures = {name: getattr(audit, name) for name in AUDIT_FIGURES}
    return figures | ({"search": audit.search} if audit.search else {})


def _check_evaluation(verdict: Verdict, alias: str, *, override_gate: bool) -> None:
    kept = "Nothing was published and readers keep what they had."
    if verdict.is_leak:
        raise PermissionLeak(f"{verdict.reason}. {kept}", alias=alias)
    if not verdict.passed and not override_gate:
        raise EvaluationBelowBaseline(
            f"{verdict.reason} {kept} To publish it all the same: rag-pipeline models publish {alias} "
            f'--override-gate --note "why"',
            alias=alias,
        )


def _check_there(workspace: Workspace, alias: str, audit: Audit, look: Look = "read") -> None:
    """An audit outlives its table; readers must not be pointed to one that was retired, lost or damaged since."""
    problem = index_problem(workspace, audit, look)
    if problem:
        raise TableMissing(
            f"the index of embedding model {alias} was audited but cannot be searched any more: {problem.rstrip('.')}. "
            f"Nothing was published and readers keep what they had. {index_cure(alias, problem)}".rstrip(),
            table=audit.table_name,
        )


def _check_complete(workspace: Workspace, alias: str, audit: Audit) -> None:
    lake = workspace.lake
    if not is_complete(audit, (lake.version(CHUNKS), lake.version(DOCUMENTS))):
        raise IndexIncomplete(
            f"the index of embedding model {alias} is behind silver; nothing was published and readers keep what they "
            f"had. Bring it up to date first: rag-pipeline run --model {alias}",
            alias=alias,
        )


@contextmanager
def revocations_reach_readers(workspace: Workspace) -> Iterator[None]:
    """If the block fails, bring what was revoked to readers all the same; the failure goes on.

    For steps between silver and the pointer that need a model, an endpoint or files of questions.
    """
    try:
        yield
    except (RagPipelineError, RuntimeError, ValueError, OSError, MemoryError):
        try:
            publish_revocations(workspace)
        except RagPipelineError as error:
            # What broke the step is what a person has to see; this one may follow from it.
            log.error("what was revoked could not be brought to readers: %s", error.message)
        raise


def publish_revocations(workspace: Workspace) -> PublicationReport | None:
    """Take from readers what silver no longer allows them, in the index they are on, without any model.

    Nothing happens if nothing was revoked, or if a person holds readers at an older version.

    Raises:
        PermissionLeak: The version to publish answered a question with what its asker may not read.
    """
    lake = workspace.lake
    with lake.writing():
        last = lake.last_publication()
        if last is None or is_held(workspace):
            return None
        revoke(workspace)
        audit = lake.last_audit(last.space_fingerprint)
        if audit is None or not audit.passed or audit.table_version == last.table_version:
            return None
        revoked = revocations(workspace, last, audit)
        if not revoked:
            return None
        leak = leak_of(workspace, last.alias, audit)
        if leak is not None:
            _check_evaluation(leak, last.alias, override_gate=False)
        publication = replace(
            _at_audit(workspace, last, last, audit),
            action="publish",
            note=f"while the run could not go on: it {revoked}; {audit.withheld} chunks wait for vectors",
        )
        if unrecorded_sources(workspace):
            publication = as_it_may_be_read(workspace, publication)
        lake.append_publication(publication)
    pointer_moved(workspace)
    log.warning("published revocations only: %s", publication.note)
    return _report(publication, moved=True)


def _at_audit(workspace: Workspace, earlier: Publication, current: Publication, audit: Audit) -> Publication:
    """The next publication of the index that an earlier one published, at the version that was audited."""
    return replace(
        earlier,
        sequence=current.sequence + 1,
        table_name=audit.table_name,
        table_version=audit.table_version,
        rows=audit.rows,
        documents=audit.documents,
        # Searched as what it follows was: no other way was evaluated.
        figures=_audit_figures(audit) | earlier.recipe.figures(),
        published_at=workspace.now(),
        run_id=workspace.run_id,
    )


def rollback(workspace: Workspace, *, to: str | None = None, note: str = "") -> PublicationReport:
    """Point readers back to what was published before the current publication, or last of another model.

    Going back to another model's index leads to its newest version, which runs have kept in step, and loses nothing.
    Going back to an older version of the same index holds the pointer: no newer content and no wider permission reaches
    readers until a person publishes again. What was deleted or closed since is taken from that version first, and what
    will be goes with the run that sees it.

    Args:
        to: Embedding model to go back to; whichever was published before if none is named.

    Raises:
        NothingPublished: There is no earlier publication.
        IndexIncomplete: The other model's index is behind silver. Readers stay where they were.
        TableMissing: The earlier version is gone.
        LakeDamaged: A file of the earlier version cannot be read.
    """
    lake = workspace.lake
    with lake.writing():
        publications = lake.publications()
        if not publications:
            raise NothingPublished("nothing has been published yet; run: rag-pipeline run")
        current, earlier = publications[-1], _earlier(publications, to)
        if earlier is None:
            of_alias = "" if to is None else f" of embedding model {to}"
            raise NothingPublished(f"there is no earlier publication{of_alias} to go back to")
        if earlier.space_fingerprint != current.space_fingerprint:
            earlier = _at_audit(workspace, earlier, current, _newest_complete(workspace, earlier))
        _check_opens(workspace, earlier)
        publication = replace(
            earlier,
            sequence=current.sequence + 1,
            action="rollback",
            configured_alias=workspace.settings.serve,
            published_at=workspace.now(),
            run_id=workspace.run_id,
            note=note,
        )
        publication = as_it_may_be_read(workspace, publication)
        lake.append_publication(publication)
    pointer_moved(workspace)
    return _report(publication, moved=True, is_held=publication.space_fingerprint == current.space_fingerprint)


def _newest_complete(workspace: Workspace, publication: Publication) -> Audit:
    """Newest audit of another model's index: what it showed when it was last published may have been revoked."""
    alias = publication.alias
    audit = workspace.lake.last_audit(publication.space_fingerprint)
    if audit is None:
        raise AuditFailed(f"the index of embedding model {alias} has not been audited", alias=alias)
    _check_complete(workspace, alias, audit)
    leak = leak_of(workspace, alias, audit)
    if leak is not None:
        _check_evaluation(leak, alias, override_gate=False)
    return audit


def _check_opens(workspace: Workspace, publication: Publication) -> None:
    """A table that was retired, cleaned away, damaged or made again must not become what readers are pointed to."""
    try:
        table = KeptVersions(workspace.lake, workspace.vectors).open(publication)
    except TableMissing as error:
        raise TableMissing(f"readers stay where they were: {error.message}", table=publication.table_name) from error
    probe_index(table)


def _earlier(publications: list[Publication], alias: str | None) -> Publication | None:
    """The publication before the one that readers are on now; going back twice goes back two steps.

    What a version shows, before anything was revoked from it, is one step, however often something was.
    """

    def shows(each: Publication) -> tuple[str, str, int, str]:
        return each.space_fingerprint, each.table_name, each.made_from, each.recipe.fingerprint

    now = shows(publications[-1])
    published = [each for each in publications if each.action == "publish"]
    at = len(published)
    if alias is None or alias == publications[-1].alias:
        # Readers who went back to another model's index may be on a version that was never published itself.
        exact = [i for i, each in enumerate(published) if shows(each) == now]
        at = max(exact or [i for i, each in enumerate(published) if each.space_fingerprint == now[0]], default=at)
    before = (each for each in reversed(published[:at]) if alias is None or each.alias == alias)
    return next((each for each in before if shows(each) != now), None)


def _report(publication: Publication, *, moved: bool, is_held: bool = False) -> PublicationReport:
    return PublicationReport(
        sequence=publication.sequence,
        alias=publication.alias,
        space_fingerprint=publication.space_fingerprint,
        table_name=publication.table_name,
        table_version=publication.table_version,
        rows=publication.rows,
        documents=publication.documents,
        moved=moved,
        is_held=is_held,
    )
