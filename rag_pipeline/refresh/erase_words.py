"""Words that a lake holds before any document is in it: of its tables, its files and the libraries that write them.

Belongs here: telling them from words of documents, by a lake of one document that says nothing.
Does not belong here: what else is searched for (`erase_pieces.py`).
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.erasures import Erased, Tombstone
from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import update_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.erase_proof import NOTES, Certificate
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.publication import publish
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import load_pipeline
from rag_pipeline.stores.byte_search import MARK, SHORT_BYTES, Needles, found_in_file, found_in_index
from rag_pipeline.stores.lake import INDEX_PATH
from rag_pipeline.stores.purge import index_tables

# An address with a dot or several words is nobody's but a document's.
_WORD = re.compile(rb"[A-Za-z0-9_/+-]*")
_SETTINGS = """\
lake: lake
sources: {docs: {location: docs, allowed_principals: [public]}}
embedding_models: {small: {kind: hashing, model: hashing, dimension: 64}}
serve: small
worker_processes: 0
"""


def words_of_a_lake(pieces: Iterable[bytes]) -> set[bytes]:
    """Those of some pieces that are words of any lake; nobody can take them out, and they name nobody.

    A title like `configuration` stands in the log of each table.
    """
    words = tuple(piece for piece in pieces if len(piece) < SHORT_BYTES and _WORD.fullmatch(piece))
    if not words:
        return set()
    needles = Needles(words)
    found = needles.of("\0".join([MARK, *_said_by_erasures()]).encode())
    with tempfile.TemporaryDirectory(prefix="rag-pipeline-words-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "docs").mkdir()
        (folder / "docs" / "1.md").write_text("# 1 2 3\n\n" + "4 5 6 7 8 9. " * 9)
        (folder / "pipeline.yaml").write_text(_SETTINGS)
        pipeline = load_pipeline(folder / "pipeline.yaml", {})
        with Workspace(pipeline, run_id="words") as workspace:
            refresh_source(workspace, "docs")
            update_documents(workspace)
            refresh_chunks(workspace)
            refresh_embeddings(workspace, "small")
            refresh_index(workspace, "small")
            publish(workspace)
            for path in (path for path in Path(pipeline.lake_root).rglob("*") if path.is_file()):
                found |= found_in_file(path, needles)
            for table in index_tables(workspace.lake):
                found |= found_in_index(workspace.lake.uri(INDEX_PATH), table, needles)
    return {words[number] for number in found}


def _said_by_erasures() -> list[str]:
    """What stands in any certificate and in the list of what was erased."""
    numbers = dict.fromkeys(("pieces", "searched_files", "searched_bytes"), 0)
    texts = dict.fromkeys(("erasure_id", "reason", "erased_by", "began_at", "ended_at"), "")
    lists: dict[str, list[Any]] = {name: [] for name in ("tombstones", "shared_with", "removed", "written", "found")}
    document = {"document_id": "", "source": "", "place": "", "contents": []}
    certificate = Certificate(documents=[document], notes=[*NOTES], **lists, **texts, **numbers)  # type: ignore[arg-type]
    stone = Tombstone("", "", (), by_content=True, erased_at="")
    return [str(certificate), json.dumps(asdict(certificate)), Erased((stone,)).encoded().decode()]
