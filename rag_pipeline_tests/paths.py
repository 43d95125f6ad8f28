"""Where tests find things: the repository, and the optional shared corpora beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLE = REPOSITORY / "data" / "sample"
SHARED = REPOSITORY.parent / "shared"

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"needs the corpora in {SHARED.name}/ beside the repository"
)
