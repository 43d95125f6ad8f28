"""Everything from sources to publication, without an orchestrator.

Belongs here: the one order of the steps, and what one of them needs around it.
Does not belong here: the steps themselves, or how a run looks in Dagster (`defs/`, whose asset graph is held to be this
order by a test).

A run in Dagster does more beside: it heals damage, tries a source again that did not answer, and looks at its very end
whether all that was revoked has left readers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from rag_pipeline.refresh.bronze import BronzeReport, poll_source, refresh_source
from rag_pipeline.refresh.chunks import ChunksReport, refresh_chunks
from rag_pipeline.refresh.documents import DocumentsReport, refresh_documents, update_documents
from rag_pipeline.refresh.embeddings import EmbeddingsReport, refresh_embeddings
from rag_pipeline.refresh.enrichments import EnrichmentsReport, refresh_enrichments
from rag_pipeline.refresh.erase import finish_if_begun
from rag_pipeline.refresh.evaluation import EvaluationReport, refresh_evaluation
from rag_pipeline.refresh.generations import served_alias
from rag_pipeline.refresh.index import IndexReport, refresh_index
from rag_pipeline.refresh.memberships import groups_of_settings, open_memberships, poll_memberships
from rag_pipeline.refresh.publication import PublicationReport, publish, revocations_reach_readers
from rag_pipeline.refresh.revoke import RevokeReport, revoke_now
from rag_pipeline.refresh.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Everything:
    """What each step of a refresh did.

    Attributes:
        bronze: By source; those that were not polled are not there.
        enrichments: None: none is configured.
        evaluation: None: it was left out.
        commits: Of all steps together, an index that changed counted as one.
    """

    bronze: dict[str, BronzeReport]
    revocations: RevokeReport
    documents: DocumentsReport
    chunks: ChunksReport
    enrichments: EnrichmentsReport | None
    embeddings: EmbeddingsReport
    index: IndexReport
    evaluation: EvaluationReport | None
    publication: PublicationReport
    commits: int


@dataclass(frozen=True, slots=True)
class Layers:
    """What the steps up to the chunks did.

    Attributes:
        bronze: By source; those that were not polled are not there.
        enrichments: None: none is configured.
    """

    bronze: dict[str, BronzeReport]
    revocations: RevokeReport
    documents: DocumentsReport
    chunks: ChunksReport
    enrichments: EnrichmentsReport | None


def refresh_layers(
    workspace: Workspace,
    *,
    poll: bool = True,
    strict: bool = False,
    allow_mass_deletion: Collection[str] = (),
    around: Callable[[str], AbstractContextManager[object]] = lambda _: nullcontext(),
) -> Layers:
    """Bring bronze and silver up to date with the sources, and take from readers what is revoked.

    No model is needed, but for what enrichments read; those that lack theirs hold up nothing.

    Arguments and errors are those of `refresh_everything`.
    """
    if poll and groups_of_settings(workspace):
        with around("silver/memberships"):
            poll_memberships(workspace)
    bronze = {}
    for name in workspace.settings.sources if poll else ():
        with around(f"bronze/{name}"):
            read = refresh_source if strict else poll_source
            bronze[name] = read(workspace, name, allow_mass_deletion=name in allow_mass_deletion)
    with around("silver/revocations"):
        revocations = revoke_now(workspace)
    with around("silver/principals"):
        open_memberships(workspace)
    with around("silver/documents"):
        parse = refresh_documents if strict else update_documents
        documents = parse(workspace, allow_mass_deletion=allow_mass_deletion)
    with around("silver/chunks"):
        chunks = refresh_chunks(workspace)
    enrichments = None
    if workspace.settings.enrichments:
        with around("silver/enrichments"), revocations_reach_readers(workspace):
            enrichments = refresh_enrichments(workspace)
    return Layers(bronze, revocations, documents, chunks, enrichments)


def refresh_everything(
    workspace: Workspace,
    alias: str | None = None,
    *,
    poll: bool = True,
    evaluate: bool = True,
    strict: bool = False,
    allow_mass_deletion: Collection[str] = (),
    around: Callable[[str], AbstractContextManager[object]] = lambda _: nullcontext(),
) -> Everything:
    """Bring every layer up to date with the sources, and readers to it.

    Args:
        alias: Embedding model to publish; the one that is served if none is named.
        poll: Ask the sources; else go on from what bronze holds.
        evaluate: Ask the configured questions; publication is refused where there are some and they were not asked.
        strict: Raise for a source that does not answer and for what the deletion guard holds, instead of going on
            without.
        allow_mass_deletion: Sources whose deletion guard lets everything go.
        around: What each step runs within, by the name of its asset; to time it, say.

    Raises:
        AuditFailed, EvaluationBelowBaseline, IndexIncomplete, PermissionLeak: What was made may not be published;
            readers keep what they had, less what was revoked.
        SourceUnavailable, MassDeletion: With `strict`.
    """
    first_commit = workspace.lake.commits
    finish_if_begun(workspace)
    layers = refresh_layers(workspace, poll=poll, strict=strict, allow_mass_deletion=allow_mass_deletion, around=around)
    alias = alias or served_alias(workspace)
    with around("gold/embeddings"), revocations_reach_readers(workspace):
        embeddings = refresh_embeddings(workspace, alias)
    with around("gold/index"):
        index = refresh_index(workspace, alias)
    evaluation = None
    if evaluate:
        with around("gold/evaluation"), revocations_reach_readers(workspace):
            evaluation = refresh_evaluation(workspace, alias)
    with around("gold/publication"):
        publication = publish(workspace, alias)
    commits = workspace.lake.commits - first_commit + bool(index.added or index.changed or index.removed)
    return Everything(
        bronze=layers.bronze,
        revocations=layers.revocations,
        documents=layers.documents,
        chunks=layers.chunks,
        enrichments=layers.enrichments,
        embeddings=embeddings,
        index=index,
        evaluation=evaluation,
        publication=publication,
        commits=commits,
    )
