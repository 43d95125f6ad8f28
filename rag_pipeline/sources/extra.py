"""Packages that only one kind of source needs, each kind an extra of the installation.

Belongs here: whether they are there, and what to type when they are not.
Does not belong here: what is done with them.
"""

from __future__ import annotations

import importlib.util

from rag_pipeline.errors import ExtraMissing


def require_extra(kind: str, *packages: str) -> None:
    """Refuse a source of a kind whose packages are missing; imports none of them.

    Args:
        kind: Kind of source, and name of the extra.

    Raises:
        ExtraMissing: The extra is not installed.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ExtraMissing(
            f"sources of the kind {kind} need packages that are not installed ({', '.join(missing)}): "
            f"pip install 'rag-pipeline[{kind}]'"
        )
