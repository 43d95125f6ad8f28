"""Columns of an index table, declared once.

Belongs here: names and Arrow types of the rows readers search.
Does not belong here: LanceDB (`stores/vectors.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

# Another layout of the rows, other forms of words or another text index is another table, never a mixture of two: raise
# it, and the next run makes the table anew from the vectors that are there.
INDEX_VERSION = "4"
STATE_COLUMNS = ("chunk_id", "chunk_hash", "metadata_hash", "text_hash")
# Where a text stands: the order of rows that are equally good.
PLACE_COLUMNS = ("uri", "source", "start_char", "chunk_id")
ROW_COLUMNS: Mapping[str, pa.DataType] = {
    "chunk_id": pa.string(),
    "document_id": pa.string(),
    "source": pa.string(),
    "uri": pa.string(),
    "title": pa.string(),
    "author": pa.string(),
    "media_type": pa.string(),
    "language": pa.string(),
    "section_path": pa.list_(pa.string()),
    "position": pa.int64(),
    "start_char": pa.int64(),
    "end_char": pa.int64(),
    "page": pa.int64(),
    "line": pa.int64(),
    "token_count": pa.int64(),
    "kind": pa.string(),
    "allowed_principals": pa.list_(pa.string()),
    "source_modified_at": pa.timestamp("us", "UTC"),
    "rank_weight": pa.float64(),
    "quality_score": pa.float64(),
    "facts": pa.list_(pa.string()),
    "content_hash": pa.string(),
    "text_hash": pa.string(),
    "chunk_hash": pa.string(),
    "metadata_hash": pa.string(),
    "header_chars": pa.int64(),
    "embedded_text": pa.string(),
    "word_forms": pa.string(),
}
NULLABLE = frozenset({"title", "author", "language", "page", "line", "source_modified_at"})
