"""One S3 server for the tests of a module, where what speaks with it is installed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from rag_pipeline_tests.object_store.server import CREDENTIALS, S3Server, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    pytest.importorskip("obstore", reason="needs rag-pipeline[object-store]")
    pytest.importorskip("moto.server", reason="needs moto, an S3 server for tests")
    with pytest.MonkeyPatch.context() as patched, s3_server() as served:
        for name, value in CREDENTIALS.items():
            patched.setenv(name, value)
        served.bucket("lakes")
        yield served


@pytest.fixture
def root() -> str:
    """An address below which nothing is yet; its name has characters that addresses quote."""
    return f"s3://lakes/a lake ü {uuid.uuid4().hex[:8]}"
