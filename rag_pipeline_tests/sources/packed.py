"""Archives made for tests."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.sources import Source, SourceSpec
from rag_pipeline.settings.sources import ArchiveSettings
from rag_pipeline.sources import open_source


def archive_source(location: Path | str, cache: Path | None = None, **fields: Any) -> Source:
    """A source of kind `archive` as the settings would give it."""
    settings = ArchiveSettings.model_validate({"kind": "archive", "location": str(location), **fields})
    spec = SourceSpec(
        "export",
        str(location),
        kind="archive",
        include=settings.include,
        exclude=settings.exclude,
        max_document_bytes=settings.max_document_bytes,
        fields=settings.own_fields,
        cache_folder=None if cache is None else str(cache),
    )
    return open_source(spec)


def pack(path: Path, files: Mapping[str, bytes]) -> None:
    """Put these files into a new archive of the kind that the path's ending says."""
    fresh = path.with_name(f"{path.name}.new")
    if path.suffix == ".zip":
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6)), content)
    else:
        kind = path.suffix.removeprefix(".")
        mode: Any = f"w:{kind if kind != 'tar' else ''}"
        with tarfile.open(fresh, mode) as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(content), 1_700_000_000
                archive.addfile(info, io.BytesIO(content))
    fresh.replace(path)
