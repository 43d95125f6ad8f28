"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import dagster as dg
import pytest
from hypothesis import settings

# The same examples on every machine and in every run, however slow the machine is. Asked for more examples, the tests
# look for new ones.
settings.register_profile("same everywhere", deadline=None, derandomize="RAG_PIPELINE_TEST_EXAMPLES" not in os.environ)
settings.load_profile("same everywhere")


@pytest.fixture(scope="session", autouse=True)
def no_waiting_between_tries() -> Iterator[None]:
    """Steps are tried again as often as anywhere, and at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
        yield
