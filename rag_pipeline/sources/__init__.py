"""Where documents come from: one class per kind of source, each able to list and to fetch.

Belongs here: the kinds, by name. A new kind is a new module and one line in `_KINDS`.
Does not belong here: what a difference between two listings means (`transforms/listing.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from rag_pipeline.contracts.sources import Source, SourceSpec
from rag_pipeline.errors import SettingsError
from rag_pipeline.sources.files import open_files

__all__ = ["Source", "open_source"]

_KINDS: dict[str, Callable[[SourceSpec], Source]] = {"files": open_files}


def open_source(spec: SourceSpec) -> Source:
    """The source that `spec` describes; nothing is contacted before it is listed.

    Raises:
        SettingsError: There is no such kind.
    """
    if spec.kind not in _KINDS:
        raise SettingsError(
            f"Source {spec.name} is of kind {spec.kind}, which does not exist. Kinds: {', '.join(_KINDS)}.",
            source=spec.name,
            kind=spec.kind,
        )
    return _KINDS[spec.kind](spec)
