"""Packages that only some kinds of sources need: extras of the installation.

Belongs here: whether an extra is there, and what to type when it is not.
Does not belong here: what is done with it.
"""

from __future__ import annotations

import importlib.util

from rag_pipeline.errors import ExtraMissing


def require_extra(kind: str, *packages: str) -> None:
    """Refuse a kind of source whose packages are not installed; imports none of them. The extra is named like the kind.

    Raises:
        ExtraMissing: One of them is not there.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ExtraMissing(
            f"a source of the kind {kind} needs packages that are not installed ({', '.join(missing)}): "
            f"pip install 'rag-pipeline[{kind}]'"
        )
