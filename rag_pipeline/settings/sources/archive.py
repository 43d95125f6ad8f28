"""Settings of the kind `archive`.

Belongs here: what one ZIP or TAR file has.
Does not belong here: what every kind has (`common.py`), archives within other sources (`parsing/containers/`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rag_pipeline.settings.sources.common import WithFiles
from rag_pipeline.settings.types import Place


class ArchiveSettings(WithFiles):
    """Files in one archive, each a document; becomes the asset bronze/<name>."""

    kind: Literal["archive"]
    """Kind of source: one ZIP or TAR file, the latter also packed with gzip, bzip2 or xz."""
    location: Place
    """The archive: a file, or an address that fsspec opens, like `s3://bucket/export.tar.gz`."""
    max_members: int = Field(default=200_000, gt=0, le=10_000_000)
    """An archive with more members is not read at all."""
    max_unpacked_bytes: int = Field(default=8 * 2**30, gt=0, le=2**40)
    """An archive that unpacks to more is not read at all, bytes."""
    storage_options: dict[str, str] = Field(default_factory=dict)
    """Options of the fsspec filesystem; a value like `$NAME` is read from the environment."""
