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
    if spec.location.startswith(("file://", "local://")):
        return LocalFiles(spec, Path(unquote(urlsplit(spec.location).path)))
    if "://" in spec.location or "::" in spec.location:
        return RemoteFiles(spec)
    return LocalFiles(spec, Path(spec.location).expanduser())
