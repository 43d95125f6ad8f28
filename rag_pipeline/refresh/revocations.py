"""What a newer version of an index takes away from readers of an older one.

Belongs here: documents and permissions that are gone, and wording that a document no longer has.
Does not belong here: taking it away (`index.py`), or letting it through (`gate.py`, `publication.py`).

Text that is only cut differently is not revoked: the document still says it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

import polars as pl

from rag_pipeline.contracts.documents import HEADER_SEPARATOR, context_in
from rag_pipeline.contracts.log_rows import Audit, Publication
from rag_pipeline.contracts.sink import Readable
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, ENRICHMENTS
from rag_pipeline.refresh.contexts import KEY_COLUMNS
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline.transforms.chunk.sections import section_label
from rag_pipeline.transforms.sensitive import redact_text
from rag_pipeline.transforms.worker_tasks import blocks_of

log = logging.getLogger(__name__)

WORDING_COLUMNS = ["chunk_id", "document_id", "title", "section_path", "embedded_text", "header_chars"]


@dataclass(frozen=True, slots=True)
class Revocations:
    """Exact counts of what some readers see now and would no longer see.

    Attributes:
        documents: That somebody can read now and could no longer read.
        chunks: Of other documents, whose wording has left the document.
    """

    documents: int = 0
    chunks: int = 0

    def __bool__(self) -> bool:
        return bool(self.documents or self.chunks)

    def __str__(self) -> str:
        return f"revokes {self.documents} documents and {self.chunks} chunks of others that some readers see now"


def revocations(workspace: Workspace, last: Publication, audit: Audit) -> Revocations:
    """Compare an audited version of an index with the published version of the same index.

    Args:
        last: The publication that readers follow.
        audit: Audit of the version that may be published next; of the same embedding space.
    """
    old = open_version(workspace.vectors, last)
    columns = ["chunk_id", "document_id", "text_hash", "allowed_principals"]
    before, after = old.read(columns), open_version(workspace.vectors, audit).read(columns)
    readers = [
        {document: set(principals) for document, principals in rows.select(columns[1::2]).iter_rows()}
        for rows in (before, after)
    ]
    taken = [name for name, principals in readers[0].items() if principals - readers[1].get(name, set())]
    left = before.join(after, on=["document_id", "text_hash"], how="anti").filter(
        ~pl.col("document_id").is_in(pl.Series(taken, dtype=pl.String).implode())
    )
    return Revocations(len(taken), len(revoked_chunks(workspace, old, left["chunk_id"].to_list())))


def revoked_chunks(workspace: Workspace, table: Readable, chunk_ids: list[str]) -> set[str]:
    """Rows whose document is gone from silver, or no longer holds their text, title or headings."""
    if not chunk_ids:
        return set()
    wanted = pl.DataFrame({"chunk_id": chunk_ids})
    owners = table.read(["chunk_id", "document_id"]).join(wanted, on="chunk_id", how="semi")
    wordings = _wordings(workspace, owners["document_id"].unique().to_list())
    found: set[str] = set()
    for batch in table.stream(WORDING_COLUMNS):
        rows = pl.DataFrame(pl.from_arrow(batch)).join(wanted, on="chunk_id", how="semi")
        for name, document, title, path, text, header_chars in rows.select(WORDING_COLUMNS).iter_rows():
            said = wordings.get(document)
            # What a model said of a chunk may hold wording that it was shown around it, and that has left.
            lines = context_in(text[:header_chars].removesuffix(HEADER_SEPARATOR)).split("\n")
            parts = [text[header_chars:], title or "", *path, *lines]
            if said is None or any(part not in said for part in parts):
                found.add(name)
    return found


def _wordings(workspace: Workspace, documents: list[str]) -> dict[str, str]:
    """Everything that documents say now: text, title, headings as they stand on chunks, and what models say of them."""
    lake = workspace.lake
    said: dict[str, list[str]] = {}
    columns = ["document_id", "title", "text", "blocks", "content_hash"]
    hashes: dict[str, str] = {}
    for frame in lake.stream_where(DOCUMENTS, columns, "document_id", documents):
        for document, title, text, blocks, content_hash in frame.select(columns).iter_rows():
            # Headings of what is left out as boilerplate stand on no chunk now, and the document still says them.
            hashes[document] = content_hash
            said[document] = [text, title or "", *(section_label(block) for block in blocks_of(blocks))]
    paths = lake.read(CHUNKS, ["document_id", "section_path", "content_hash", *KEY_COLUMNS])
    mine = paths.filter(pl.col("document_id").is_in(pl.Series(list(said), dtype=pl.String).implode()))
    keys = pl.concat([mine[name].alias("key") for name in ("content_hash", *KEY_COLUMNS)]).drop_nulls().unique()
    written = _written(workspace, keys)
    for document, path, content_hash, *keys_of_it in mine.iter_rows():
        # Chunks that were not cut anew say what the document said before.
        if content_hash == hashes[document]:
            said[document] += path
            for key in (content_hash, *keys_of_it):
                said[document] += written.get(key, ())
    return {document: "\n".join(dict.fromkeys(parts)) for document, parts in said.items()}


def _written(workspace: Workspace, keys: pl.Series) -> dict[str, list[str]]:
    """What any model or prompt ever wrote of documents and chunks as they are shown now, by key; redacted and not.

    Where that cannot be read nothing was written, so that rows with a line leave rather than stay.
    """
    found: dict[str, list[str]] = {}
    columns = ["input_hash", "value"]
    try:
        for frame in workspace.lake.stream_where(ENRICHMENTS, columns, "input_hash", keys):
            for key, value in frame.select(columns).drop_nulls().iter_rows():
                read = json.loads(value)
                for line in read if isinstance(read, list) else ():
                    found.setdefault(key, []).extend((line, redact_text(line)))
    except FAULTS as error:
        log.warning("what models wrote cannot be read: %s", error)
    return found
