"""Who may read a source's documents where bronze does not say it: the source itself is asked.

Belongs here: listing and reading that one source, and comparing it with what silver parsed.
Does not belong here: what follows for readers (`transforms/revoke.py`), taking it from them (`revoke.py`).

For a source whose bronze table is damaged, or whose changes a run could not write to it, whatever the cause. Each
document is then shown to no more people than the source allows now, and one that the source no longer gives, or gives
with other bytes, to nobody, until a run has recorded it. While the source does not answer, nobody is shown more of it
than readers are already.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import polars as pl

from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import DeclaredMetadata, SourceObject, SourceSpec
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.known import known_of
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.sources import Source
from rag_pipeline.stores.kept import open_version
from rag_pipeline.transforms.listing import KnownObject, declared_now, plan_listing
from rag_pipeline.transforms.permissions import allowed_principals
from rag_pipeline.transforms.revoke import Given, Readers, divisions, readers_as_given, readers_as_shown

log = logging.getLogger(__name__)


def readers_by_source(workspace: Workspace, name: str, rows: pl.DataFrame, otherwise: Readers | None) -> Readers:
    """Readers of the documents that an index shows of a source, by what the source gives now.

    Args:
        rows: `document_id`, `source`, `uri` and `allowed_principals` of the index.
        otherwise: By what bronze holds, for a source that does not answer; then nobody is shown more than readers are
            now, who may have lost what bronze never heard of. None: that cannot be told either, and then nobody is
            shown any of it.
    """
    mine = rows.filter(pl.col("source") == name)
    shown = set(mine.filter(pl.col("allowed_principals").list.len() > 0)["uri"])
    nobody = readers_as_given(mine, {}, {})
    if not shown:
        return nobody
    try:
        source = workspace.source(name)
        listed = source.list()
    except FAULTS as error:
        log.error("source %s does not say what it gives now: %s", name, error)
        return nobody if otherwise is None else _no_more_than_now(workspace, name, mine, otherwise)
    try:
        silver = workspace.lake.read(DOCUMENTS, ["document_id", "input_key"])
        given = _given(workspace, source, listed, shown, _known(workspace, name) if otherwise is not None else ())
        return readers_as_given(mine, given, dict(silver.iter_rows()))
    except FAULTS as error:
        log.error("nobody can say who may read source %s, so nobody does until it is known again: %s", name, error)
        return nobody


def _no_more_than_now(workspace: Workspace, name: str, mine: pl.DataFrame, otherwise: Readers) -> Readers:
    """What bronze holds may be older than what was taken from readers since, so it is cut to what they are shown."""
    try:
        last = workspace.lake.last_publication()
        if last is None:
            return readers_as_given(mine, {}, {})
        table = open_version(workspace.vectors, last)
        published = table.read(["document_id", "source", "allowed_principals"]).filter(pl.col("source") == name)
    except FAULTS as error:
        log.error("what readers are shown of source %s cannot be read, so nobody is shown it: %s", name, error)
        return readers_as_given(mine, {}, {})
    return readers_as_shown(mine, published, otherwise)


def _known(workspace: Workspace, name: str) -> Sequence[KnownObject]:
    return known_of(workspace, name)


def _given(
    workspace: Workspace, source: Source, listed: Sequence[SourceObject], shown: set[str], known: Sequence[KnownObject]
) -> dict[str, Given]:
    """What the source gives now, by location, of what an index shows; parts are shown below the location of a whole.

    Only what bronze does not know as it is now is read.
    """
    spec = workspace.pipeline.source_spec(source.name)
    places = shown | {prefix for uri in shown for prefix, _ in divisions(uri)}
    plan = plan_listing(known, [item for item in listed if item.uri in places and item.problem is None])
    found = {
        item.uri: Given(_allowed(item, declared_now(before, item), spec), before.bytes_hash or "")
        for before, item in plan.unchanged
    }
    for _, item in plan.to_fetch:
        try:
            fetched = source.fetch(item)
        except FAULTS as error:
            log.warning("%s cannot be read, so nobody is shown it: %s", item.uri, type(error).__name__)
            continue
        found[item.uri] = Given(_allowed(item, fetched.declared, spec), bytes_hash(fetched.raw))
    return found


def _allowed(item: SourceObject, declared: DeclaredMetadata, spec: SourceSpec) -> frozenset[str]:
    return frozenset(allowed_principals(item.address, declared, spec))
