"""What several tests of alerts need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag_pipeline_tests.alerts.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server
