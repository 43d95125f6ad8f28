"""What only an extra of the installation brings: tests that need it are skipped without it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(package: str, reason: str) -> None:
    """Skip a module of tests where a package is not installed.

    Unlike `pytest.importorskip` it imports nothing: each process of the tests imports what all of them need, and runs
    a few.
    """
    if find_spec(package) is None:
        pytest.skip(reason, allow_module_level=True)
