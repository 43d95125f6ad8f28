"""A server that says what a test wants, and no waiting for one that does not answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag_pipeline_tests.sources.site import Site


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr("rag_pipeline.sources.http.client.FIRST_WAIT_SECONDS", 0.001)


@pytest.fixture
def site() -> Iterator[Site]:
    opened = Site()
    yield opened
    opened.close()
