"""Cutting parsed documents into chunks on their own structure.

Belongs here: pure functions of the standard library (and a sentence splitter), cheap to import in a worker.
Does not belong here: tokenizers, frames, tables, settings files.
"""

from rag_pipeline.transforms.chunk.chunker import chunk_document
from rag_pipeline.transforms.chunk.params import CHUNKER_VERSION, ChunkParams

__all__ = ["CHUNKER_VERSION", "ChunkParams", "chunk_document"]
