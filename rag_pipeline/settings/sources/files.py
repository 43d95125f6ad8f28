"""Settings of the kind `files`.

Belongs here: what a folder or bucket has.
Does not belong here: what every kind has (`common.py`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rag_pipeline.settings.sources.common import WithFiles
from rag_pipeline.settings.types import Place


class FilesSettings(WithFiles):
    """Where documents come from; becomes the asset bronze/<name>."""

    kind: Literal["files"] = "files"
    """Kind of source: any folder or bucket that fsspec can open."""
    location: Place
    """Folder or address, like `docs` or `s3://bucket/prefix`; a relative folder is relative to this file."""
    storage_options: dict[str, str] = Field(default_factory=dict)
    """Options of the fsspec filesystem; a value like `$NAME` is read from the environment."""
