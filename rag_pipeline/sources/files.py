"""The `files` kind: any folder or bucket that fsspec can open.

Belongs here: choosing between the two readers.
Does not belong here: reading. A local folder is walked by `local.py`, which knows links, inodes and
permissions of the operating system; everything else goes through fsspec in `remote.py`.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from rag_pipeline.contracts.sources import Source, SourceSpec
from rag_pipeline.sources.local import LocalFiles
from rag_pipeline.sources.remote import RemoteFiles


def open_files(spec: SourceSpec) -> Source:
    """The reader for the spec's location."""
    folder = local_folder(spec)
    return RemoteFiles(spec) if folder is None else LocalFiles(spec, folder)


def local_folder(spec: SourceSpec) -> Path | None:
    """The folder of this machine that the spec's location is; None if it is elsewhere."""
    if spec.location.startswith(("file://", "local://")):
        return Path(unquote(urlsplit(spec.location).path))
    if "://" in spec.location or "::" in spec.location:
        return None
    return Path(spec.location).expanduser()
