"""The same source on a real S3 protocol, where moto and s3fs are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rag_pipeline.contracts.sources import DeclaredMetadata, FetchedObject, SourceSpec
from rag_pipeline.errors import DocumentTooLarge, DocumentVanished, SourceUnavailable
from rag_pipeline.sources import open_source

server = pytest.importorskip("moto.server", reason="needs moto")
s3fs = pytest.importorskip("s3fs", reason="needs s3fs")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, Any]]:
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    yield {"key": "x", "secret": "y", "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
    running.stop()


def test_a_bucket_is_listed_read_and_watched(options: dict[str, Any]) -> None:
    bucket = s3fs.S3FileSystem(**options)
    bucket.mkdir("lake")
    contents = {"a b%.md": b"text", "x/ü +.md": b"", "x/big.md": b"x" * 100, ".hidden": b"", "other.txt": b""}
    for address, content in contents.items():
        bucket.pipe_file(f"lake/docs/{address}", content)
    bucket.pipe_file("lake/docs/a b%.md.meta.yaml", b"allowed_principals: [hr]")
    spec = SourceSpec("wiki", "s3://lake/docs", include=("**/*.md",), max_document_bytes=50, storage_options=options)
    source = open_source(spec)
    items = source.list()
    assert [item.address for item in items] == ["a b%.md", "x/big.md", "x/ü +.md"]
    assert [item.stamp for item in source.list()] == [item.stamp for item in items]
    assert all(item.modified_at is not None for item in items)
    first, large, empty = items
    assert source.fetch(first) == FetchedObject(b"text", DeclaredMetadata(allowed_principals=("hr",)))
    assert source.fetch(empty).raw == b""
    with pytest.raises(DocumentTooLarge):
        source.fetch(large)
    bucket.pipe_file("lake/docs/a b%.md", b"edit")
    assert source.list()[0].stamp != first.stamp
    bucket.rm_file("lake/docs/x/ü +.md")
    with pytest.raises(DocumentVanished):
        source.fetch(empty)


def test_a_missing_bucket_and_a_missing_prefix_are_unavailable(options: dict[str, Any]) -> None:
    for location in ("s3://nothing", "s3://nothing/docs"):
        with pytest.raises(SourceUnavailable):
            open_source(SourceSpec("wiki", location, storage_options=options)).list()


def test_a_server_that_does_not_answer_is_unavailable(options: dict[str, Any]) -> None:
    deaf = options | {"client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}, "config_kwargs": {"retries": {}}}
    with pytest.raises(SourceUnavailable):
        open_source(SourceSpec("wiki", "s3://lake/docs", storage_options=deaf)).list()
