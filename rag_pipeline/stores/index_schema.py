"""Name and Arrow schema of an index table, with the embedding space in its metadata.

Belongs here: what a table is before it has rows.
Does not belong here: the columns themselves (`contracts/index.py`), reading and writing (`vectors.py`).
"""

from __future__ import annotations

import json
from dataclasses import asdict

import pyarrow as pa

from rag_pipeline.contracts.embedding import EmbeddingSpace
from rag_pipeline.contracts.index import INDEX_VERSION, NULLABLE, ROW_COLUMNS

SPACE_KEY = b"rag_pipeline.space"
FINGERPRINT_KEY = b"rag_pipeline.space_fingerprint"
PREFIX = f"chunks_v{INDEX_VERSION}_"


def table_name(space_fingerprint: str) -> str:
    """Name of a space's index table; another layout of the rows is another table, never a mixture."""
    return f"{PREFIX}{space_fingerprint}"


def index_schema(space: EmbeddingSpace) -> pa.Schema:
    """Arrow schema of the index table of a space, with the space itself in its metadata."""
    fields = [pa.field(name, dtype, nullable=name in NULLABLE) for name, dtype in ROW_COLUMNS.items()]
    fields.append(pa.field("vector", pa.list_(pa.float32(), space.dimension), nullable=False))
    metadata = {SPACE_KEY: json.dumps(asdict(space)).encode(), FINGERPRINT_KEY: space.fingerprint.encode()}
    return pa.schema(fields, metadata=metadata)
