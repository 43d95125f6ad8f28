"""A model behind an OpenAI-compatible endpoint through the whole pipeline, against a real local server."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from rag_pipeline.refresh.bronze import refresh_source
from rag_pipeline.refresh.chunks import refresh_chunks
from rag_pipeline.refresh.documents import refresh_documents
from rag_pipeline.refresh.embeddings import refresh_embeddings
from rag_pipeline.refresh.index import refresh_index
from rag_pipeline.refresh.publication import publish
from rag_pipeline_tests.embedding.test_endpoint import Endpoint, endpoint
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.pipeline.project import Project

needs("openai", "needs the extra `endpoint`")

__all__ = ["endpoint"]


def test_an_endpoint_embeds_and_its_cost_is_said_before_it_starts(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ENDPOINT_KEY", "secret")
    model = {
        "kind": "endpoint",
        "model": "tiny",
        "base_url": endpoint.url,
        "api_key_variable": "ENDPOINT_KEY",
        "dimension": 3,
        "max_tokens": 256,
        "price_per_million_tokens": 2.0,
    }
    project = Project.create(tmp_path, embedding_models={"remote": model}, serve="remote")
    project.write("a.md", "# A\n\nThe lamp is lit.\n")
    with project.workspace() as workspace, caplog.at_level(logging.WARNING):
        refresh_source(workspace, "docs")
        refresh_documents(workspace)
        refresh_chunks(workspace)
        report = refresh_embeddings(workspace, "remote")
        refresh_index(workspace, "remote")
        publish(workspace)
    assert report.estimated_price is not None
    assert report.estimated_price > 0
    assert "embedding at an endpoint" in caplog.text
    assert "secret" not in caplog.text
    assert len(project.published()) == 1
    assert project.refresh() == 0
