"""What bronze would hold of a source after a first run."""

from __future__ import annotations

from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.contracts.sources import Source
from rag_pipeline.testing.conformance import LATER
from rag_pipeline.transforms.listing import KnownObject


def known_of(source: Source) -> list[KnownObject]:
    """All objects of a listing, as they were read."""
    known = []
    for item in source.list():
        fetched = source.fetch(item)
        known.append(
            KnownObject(
                document_id=item.address,
                revision=0,
                change="added",
                address=item.address,
                uri=item.uri,
                bytes_hash=bytes_hash(fetched.raw),
                bytes_batch=0,
                media_type=fetched.declared.media_type,
                size_bytes=item.size_bytes,
                declared=fetched.declared,
                metadata_hash="",
                stamp=item.stamp,
                problem_code=None,
                source_modified_at=item.modified_at,
                observed_at=LATER,
            )
        )
    return known
