"""What only some models need: torch and sentence-transformers, an extra of the installation.

Belongs here: whether the extra is there, and what to type when it is not.
Does not belong here: what is done with it (`torch_backend.py`, `convert.py`).
"""

from __future__ import annotations

import importlib.util

from rag_pipeline.errors import ModelUnavailable

INSTALL = "pip install 'rag-pipeline[sentence-transformers]'"


def has_torch() -> bool:
    """Whether torch and sentence-transformers can be imported; imports neither."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "sentence_transformers"))


def require_torch(what: str, because: str) -> None:
    """Refuse what cannot be done without the extra.

    Args:
        what: Begins the message, as in "the embedding model in /models/x".
        because: Why it needs torch.

    Raises:
        ModelUnavailable: The extra is not installed.
    """
    if not has_torch():
        raise ModelUnavailable(f"{what} needs sentence-transformers and torch ({because}). Install them: {INSTALL}")
