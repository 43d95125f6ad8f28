"""Addresses as they may be shown: without the passwords and keys that they can hold.

Belongs here: the name under which the rest of the package asks for it; errors need it too, and import nothing above.
Does not belong here: opening anything with an address (`sources/`, `stores/`).
"""

from __future__ import annotations

from rag_pipeline.shown import without_secrets

__all__ = ["without_secrets"]
