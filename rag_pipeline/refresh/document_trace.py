"""From a document as a person names it through every layer to what readers find, and why they do not find it.

Belongs here: what each layer holds of it, and the first thing that keeps it from readers. For operators: whoever asks
is told of any document, and of none what it says.
Does not belong here: one chunk with its hashes (`trace.py`), what a caller may be told (`retrieval/explain.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import polars as pl

from rag_pipeline.contracts.erasures import place_hash
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, DUPLICATES, QUARANTINE
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.holds import hold_of
from rag_pipeline.refresh.polls import poll_statuses
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.erasures import erased_from
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.selection import rows_with

# An ending like README.md may name many; a person asks of one.
MOST_TRACED = 5
# The newest may be a duplicate or in quarantine; looking on for long would cost each run.
MOST_TRIED = 3
# As many as lists of ids show.
LEAST_ID_CHARS = 8

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """What one layer holds of a document.

    Attributes:
        holds: In words.
        keeps_back: Why readers do not find it, where this layer is why; empty: it lets it through.
    """

    layer: str
    holds: str
    keeps_back: str = ""


@dataclass(frozen=True, slots=True)
class DocumentTrace:
    """A document from its source to readers.

    Attributes:
        readers: Who may read it, by what its source said last.
        stages: From the source on.
    """

    document_id: str
    source: str
    uri: str
    readers: tuple[str, ...]
    stages: tuple[Stage, ...]

    @property
    def why(self) -> str:
        """The first thing that keeps it from readers; empty: nothing does."""
        return next((stage.keeps_back for stage in self.stages if stage.keeps_back), "")


@dataclass
class _Found:
    """What the layers before hold."""

    source: str
    bronze: Row
    document_ids: list[str] = field(default_factory=list)
    chunks: pl.DataFrame = field(default_factory=lambda: CHUNKS.empty().select("chunk_id", "text_hash"))


def trace_documents(workspace: Workspace, named: str) -> list[DocumentTrace]:
    """The documents that a name means, the first few; none where no layer has heard of any.

    A layer that cannot be read says so, and the others are told all the same.

    Args:
        named: An id or the beginning of one, an address below the source's location, or the end of an address.
    """
    found = []
    for source in workspace.settings.sources:
        try:
            rows = _named(workspace.lake.bronze_state(source), named)
        except FAULTS as error:
            found.append(DocumentTrace("", source, named, (), (_unreadable(f"bronze/{source}", error),)))
            continue
        found += [_traced(workspace, source, row) for row in rows.head(MOST_TRACED).iter_rows(named=True)]
    return found[:MOST_TRACED]


def newest_hits(workspace: Workspace, most: int) -> list[DocumentTrace]:
    """Of each source the document that changed last and that readers find.

    A source of which the last few are not found, or that cannot be read, is left out.

    Args:
        most: Sources of which one is told.
    """
    found: list[DocumentTrace] = []
    for source in workspace.settings.sources:
        if len(found) == most:
            break
        try:
            rows = workspace.lake.bronze_state(source).filter(pl.col("change") != "deleted")
        except FAULTS:
            continue
        newest = rows.sort("observed_at", "uri", descending=[True, False]).head(MOST_TRIED)
        traces = (_traced(workspace, source, row) for row in newest.iter_rows(named=True))
        found += islice((trace for trace in traces if not trace.why), 1)
    return found


def erased_places(workspace: Workspace, named: str) -> list[str]:
    """Sources in which an address was erased; nobody can say any more what stood there."""
    places = erased_from(workspace.lake).places
    return [name for name in workspace.settings.sources if place_hash(name, named) in places]


def _named(state: pl.DataFrame, named: str) -> pl.DataFrame:
    ending = f"/{named.lstrip('/')}"
    is_meant = (pl.col("address") == named) | (pl.col("uri") == named) | pl.col("uri").str.ends_with(ending)
    if len(named) >= LEAST_ID_CHARS:
        is_meant |= pl.col("document_id").str.starts_with(named)
    # One that is there before one that was.
    return state.filter(is_meant).sort(pl.col("change") == "deleted", "uri", "document_id")


def _traced(workspace: Workspace, source: str, row: Row) -> DocumentTrace:
    found = _Found(source, row)
    steps: dict[str, Callable[[Workspace, _Found], Iterator[Stage]]] = {
        f"source/{source}": _of_source,
        f"bronze/{source}": _of_bronze,
        "silver/quarantine": _of_quarantine,
        "silver/documents": _of_documents,
        "silver/duplicates": _of_duplicates,
        "silver/chunks": _of_chunks,
        "gold/publication": _of_readers,
    }
    stages: list[Stage] = []
    for layer, step in steps.items():
        try:
            stages += step(workspace, found)
        except FAULTS as error:
            stages.append(_unreadable(layer, error))
    return DocumentTrace(row["document_id"], source, row["uri"], tuple(row["allowed_principals"]), tuple(stages))


def _unreadable(layer: str, error: BaseException) -> Stage:
    said = f"it cannot be read: {getattr(error, 'message', None) or type(error).__name__}"
    return Stage(layer, said, f"{layer} cannot be read, so nobody can tell; rag-pipeline status names what to do")


def _of_source(workspace: Workspace, found: _Found) -> Iterator[Stage]:
    [poll], problem = poll_statuses(workspace, [found.source])
    if poll.polled_at is None:
        yield Stage(f"source/{found.source}", f"when it was polled last is not known {problem}".rstrip())
        return
    said = f"last polled with success {_at(poll.polled_at)}"
    yield Stage(f"source/{found.source}", said + (f"; then it failed: {poll.poll_error}" if poll.poll_error else ""))


def _of_bronze(workspace: Workspace, found: _Found) -> Iterator[Stage]:
    row, layer = found.bronze, f"bronze/{found.source}"
    said = f"revision {row['revision']}, {row['change'].replace('_', ' ')}, {_at(row['observed_at'])}"
    if row["change"] == "deleted":
        yield Stage(layer, said, f"its source has not had it since {_at(row['observed_at'])}")
        return
    hold = hold_of(workspace, found.source, "vanished")
    if hold is not None and row["document_id"] in hold.held:
        said += "; it is lost at its source, and the deletion guard keeps it"
    if row["problem_code"] is not None:
        yield Stage(layer, f"{said}; it could not be read", f"its source does not give it: {row['problem_code']}")
        return
    readers = ", ".join(sorted(row["allowed_principals"])) or "nobody"
    yield Stage(layer, f"{said}; for {readers}", "" if row["allowed_principals"] else "nobody may read it")


def _of_quarantine(workspace: Workspace, found: _Found) -> Iterator[Stage]:
    rows = workspace.lake.read(QUARANTINE, where=pl.col("document_id") == found.bronze["document_id"])
    for row in rows.iter_rows(named=True):
        said = f"refused at {row['stage']} since {_at(row['first_seen_at'])}, tried {row['attempts']} times"
        yield Stage("silver/quarantine", said, f"it is in quarantine: {row['reason_code']}. {row['detail']}")


def _of_documents(workspace: Workspace, found: _Found) -> Iterator[Stage]:
    columns = ["document_id", "origin_id", "language", "quality_score", "text_chars"]
    rows = workspace.lake.read(DOCUMENTS, columns, where=pl.col("origin_id") == found.bronze["document_id"])
    found.document_ids = rows["document_id"].to_list()
    if not rows.height:
        yield Stage("silver/documents", "nothing", "it was not parsed yet; the next run does it: rag-pipeline run")
        return
    first = rows.row(0, named=True)
    parts = f"{rows.height} documents, parts of it among them" if rows.height > 1 else "parsed"
    said = f"{parts}; language {first['language'] or 'not known'}, quality {first['quality_score']:.2f}"
    yield Stage("silver/documents", f"{said}, {first['text_chars']:,} characters")


def _of_duplicates(workspace: Workspace, found: _Found) -> Iterator[Stage]:
    is_mine = pl.col("document_id").is_in(found.document_ids)
    copies = workspace.lake.read(DUPLICATES, where=is_mine) if found.document_ids else DUPLICATES.empty()
    for row in copies.iter_rows(named=True):
        kept = workspace.lake.read(
            DOCUMENTS, ["document_id", "uri"], where=pl.col("document_id") == row["duplicate_of"]
        )
        stands = kept["uri"][0] if kept.height else row["duplicate_of"]
        is_whole = copies.height == len(found.document_ids)
        said = f"{stands} says the same to the same readers, and stands for it"
        yield Stage("silver/duplicates", said, said if is_whole else "")


def _of_chunks(workspace: Workspace, found: _Found) -> Iterator[Stage]:
    if not found.document_ids:
        return
    is_mine = pl.col("document_id").is_in(found.document_ids)
    found.chunks = workspace.lake.read(CHUNKS, ["chunk_id", "text_hash", "document_id"], where=is_mine)
    none = "all of its paragraphs stand in many documents of its source, and are found in another one"
    yield Stage("silver/chunks", f"{found.chunks.height} chunks", "" if found.chunks.height else none)


def _of_readers(workspace: Workspace, found: _Found) -> Iterator[Stage]:
    publication = workspace.lake.last_publication()
    if publication is None:
        yield Stage("gold/publication", "nothing is published", "nothing is published yet: rag-pipeline run")
        return
    vectors = workspace.lake.embedded_hashes(publication.space_fingerprint).select("text_hash")
    embedded = found.chunks.join(vectors, on="text_hash", how="semi").height
    yield Stage("gold/embeddings", f"{embedded} of {found.chunks.height} texts have a vector of {publication.alias}")
    table = open_version(workspace.vectors, publication)
    rows = pl.DataFrame()
    if found.document_ids:
        rows = rows_with(table, "document_id", found.document_ids, ["chunk_id", "allowed_principals"])
    said = f"{rows.height} rows in publication {publication.sequence} of {_at(publication.published_at)}"
    later = "it was taken in after that publication; gold/publication says whether a newer one was refused"
    if not rows.height:
        yield Stage("gold/publication", said, later if found.chunks.height else "")
        return
    readers = sorted(rows["allowed_principals"].explode().drop_nulls().unique().to_list())
    yield Stage(
        "gold/publication", f"{said}, for {', '.join(readers) or 'nobody'}", "" if readers else "nobody may read it"
    )


def _at(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
