"""What only serving needs: FastAPI, uvicorn and more, an extra of the installation.

Belongs here: whether the extra is there, and what to type when it is not.
Does not belong here: what is done with it.
"""

from __future__ import annotations

import importlib.util

from rag_pipeline.errors import ExtraMissing

INSTALL = "pip install 'rag-pipeline[serve]'"
PACKAGES = ("fastapi", "uvicorn", "jwt", "limits", "prometheus_client", "mcp")


def require_extra(what: str) -> None:
    """Refuse what cannot be done without the extra; imports none of it.

    Raises:
        ExtraMissing: The extra is not installed.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ExtraMissing(f"{what} needs packages that are not installed ({', '.join(missing)}): {INSTALL}")
