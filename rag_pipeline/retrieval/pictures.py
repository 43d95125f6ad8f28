"""Pictures within documents for a caller: which there are, and their bytes out of bronze.

An address such as `reports/dues.pdf!/pictures/3` is the third picture of a document. What is published says whether the
caller may read the document; its bytes are those of the revision that silver was made of, and no other's.

Belongs here: who may see what, and where the bytes are. Does not belong here: finding pictures (`parsing/`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from threading import Lock
from typing import Any, Self

import polars as pl

from rag_pipeline.contracts.documents import Block, Picture
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.ids import PICTURES_MARK
from rag_pipeline.contracts.tables import BRONZE, DOCUMENTS
from rag_pipeline.errors import BadQuery, DocumentError, NotThere
from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.pool import IsolatedPool
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.pictures import looked_at
from rag_pipeline.parsing.registry import PICTURES
from rag_pipeline.retrieval.arguments import checked_principals, is_text
from rag_pipeline.retrieval.memberships import CallersGroups
from rag_pipeline.retrieval.opening import delivered_of, index_of
from rag_pipeline.retrieval.published import Pointer, Served
from rag_pipeline.retrieval.served_from import FromLake, ServedFrom
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.selection import Selection
from rag_pipeline.transforms.worker_tasks import blocks_of, find_picture

_ADDRESS = re.compile(rf"(?P<document>.+){re.escape(PICTURES_MARK)}(?P<number>[1-9]\d{{0,5}})", re.S)
_DOCUMENT_COLUMNS = ["document_id", "origin_id", "origin_media_type", "part", "source", "uri", "text", "blocks"]
_DOCUMENT_COLUMNS += ["pictures", "title", "input_key"]
_BRONZE_COLUMNS = ["document_id", "revision", "batch", "change", "bytes_hash", "bytes_batch", "address"]
_GONE = "there is no such picture among those that may be seen here; it may have changed or been revoked"


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """One picture of a document.

    Attributes:
        address: Under which its bytes can be had.
        caption: What is said of it; None: nothing is.
        section: The heading that it stands below; None: none.
        page: Page or slide, from 1; None: the format has none.
        read_text: What was read from it; empty: nothing was.
        width, height: In pixels; 0 where they are not told.
        size_bytes, content_hash: As the file holds it.
    """

    address: str
    document_id: str
    uri: str
    number: int
    caption: str | None
    section: str | None
    page: int | None
    read_text: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    content_hash: str


class Pictures:
    """Follows the pointer like a Searcher; many threads may ask. Close it at the end."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._lake = Lake(pipeline.lake_root, pipeline.lake_options)
        pointer = Pointer(self._lake, index_of(pipeline, self._lake))
        groups = CallersGroups(self._lake, pointer.look_again)
        self._served_from: ServedFrom = delivered_of(pipeline) or FromLake(pointer, groups)
        self._sources = pipeline.settings.sources
        allowed = pipeline.settings.limits
        self._limits = allowed.parsing
        worker = WorkerLimits(allowed.memory_bytes, allowed.cpu_seconds, allowed.parse_timeout_seconds)
        self._pool = IsolatedPool(1, worker)
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its worker, and let go of what is kept open."""
        self._pool.close()
        self._served_from.close()

    def of(self, document: str, *, principals: Iterable[str]) -> list[ShownPicture]:
        """Pictures of a document that the caller may read, in reading order.

        Args:
            document: Its id or its whole address.

        Raises:
            BadQuery: Nobody asks, or the document is no text.
            NotThere: There is no such document that the caller may read.
            NothingPublished: There is no index yet.
        """
        if not is_text(document) or not document.strip():
            raise BadQuery(f"the document must be a string, its id or its address, not {document!r}")
        return self._shown(self._row(document, principals))

    def content(self, address: str, *, principals: Iterable[str]) -> tuple[ShownPicture, bytes]:
        """A picture that the caller may see, and its bytes as a file.

        Raises:
            BadQuery: Nobody asks, or the address is none of a picture.
            NotThere: There is no such picture that the caller may see, or its bytes are not to be had any more.
        """
        asked = _ADDRESS.fullmatch(address) if is_text(address) else None
        if asked is None:
            raise BadQuery(f"a picture's address ends with {PICTURES_MARK} and a number, unlike {address!r}")
        row = self._row(asked["document"], principals)
        found = [picture for picture in self._shown(row) if picture.number == int(asked["number"])]
        if not found:
            raise NotThere(_GONE)
        content = self._content(row, found[0])
        if not content:
            raise NotThere(_GONE)
        return found[0], content

    def _row(self, document: str, principals: Iterable[str]) -> dict[str, Any]:
        """The row of a document that the caller may read now, by what is published and by what was seen since."""

        def readable(served: Served, names: frozenset[str]) -> tuple[list[str], frozenset[str]]:
            chosen = Selection(served.table, Filter(names))
            rows = [chosen.read_of(column, [document], ["document_id"]) for column in ("document_id", "uri")]
            return sorted({str(name) for each in rows for (name,) in each.iter_rows()}), names

        found, names = self._served_from.answered(checked_principals(principals), readable)
        wanted = pl.col("document_id").is_in(found)
        for row in self._lake.read(DOCUMENTS, _DOCUMENT_COLUMNS, where=wanted).iter_rows(named=True):
            source = self._sources.get(row["source"])
            # A picture cannot be searched for what its source wants hidden.
            if source is not None and source.sensitive not in ("redact", "quarantine"):
                state = self._state(row)
                if state is not None and names.intersection(state["allowed_principals"]):
                    return row | {"state": state}
        raise NotThere("there is no such document among those whose pictures may be seen here")

    def _state(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """The last row of bronze of a document's object, if it is live and is the one that silver was made of."""
        where = pl.col("document_id") == row["origin_id"]
        rows = self._lake.read(BRONZE.of(row["source"]), [*_BRONZE_COLUMNS, "allowed_principals"], where=where)
        if rows.is_empty():
            return None
        state = rows.sort("revision", "batch").row(-1, named=True)
        is_same = row["input_key"].startswith(f"{state['bytes_hash']}:")
        return state if state["change"] != "deleted" and is_same else None

    def _shown(self, row: dict[str, Any]) -> list[ShownPicture]:
        found: list[ShownPicture] = []
        if row["origin_media_type"] in PICTURES and not row["part"]:
            # A file that is a picture is its own first one.
            whole = Block("picture", 0, len(row["text"]), label=row["title"], page=1)
            return [_described(row, 1, whole, None, looked_at(self._raw(row)))]
        pictures = [Picture(**each) for each in json.loads(row["pictures"] or "[]")]
        heading: str | None = None
        marks: list[tuple[Block, str | None]] = []
        for block in blocks_of(row["blocks"]):
            heading = block.label if block.kind == "heading" else heading
            if block.kind == "picture":
                marks.append((block, heading))
        for number, ((block, section), picture) in enumerate(zip(marks, pictures, strict=True), 1):
            found.append(_described(row, number, block, section, picture))
        return found

    def _raw(self, row: dict[str, Any]) -> bytes:
        """Bytes of a document's object; empty where they are not to be had."""
        state = row["state"]
        wanted = {state["bytes_hash"]: state["bytes_batch"]}
        return next((raw for _, raw in self._lake.stream_bytes(row["source"], wanted)), b"")

    def _content(self, row: dict[str, Any], picture: ShownPicture) -> bytes:
        source = self._sources[row["source"]]
        limits = ParseLimits(
            max_document_bytes=source.max_document_bytes, max_text_bytes=source.max_text_bytes, **self._limits
        )
        find = partial(find_picture, limits=limits, content_hash=picture.content_hash)
        item = (self._raw(row), row["origin_media_type"], row["state"]["address"])
        # One at a time: each may take the memory of a worker.
        with self._lock:
            _, content = next(self._pool.map(find, [item]))
        return b"" if isinstance(content, DocumentError) else bytes(content)


def _described(row: dict[str, Any], number: int, block: Block, section: str | None, picture: Picture) -> ShownPicture:
    return ShownPicture(
        address=f"{row['uri']}{PICTURES_MARK}{number}",
        document_id=row["document_id"],
        uri=row["uri"],
        number=number,
        caption=block.label,
        section=section,
        page=block.page,
        read_text=row["text"][block.start_char : block.end_char],
        **asdict(picture),
    )
