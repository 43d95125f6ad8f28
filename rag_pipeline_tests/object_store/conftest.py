"""One S3 server and one published lake for all tests here, where what speaks with the server is installed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_pipeline_tests.object_store.lakes import built, copied
from rag_pipeline_tests.object_store.server import CREDENTIALS, S3Server, s3_server
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def published(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Not to be changed."""
    return built(server, tmp_path_factory.mktemp("published"))


@pytest.fixture
def project(server: S3Server, published: Project, tmp_path: Path) -> Project:
    """The same with a lake of its own."""
    return copied(published, server, tmp_path / "project")
