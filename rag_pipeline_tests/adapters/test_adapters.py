"""Our index in LangChain, LlamaIndex and Haystack, each the real library."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.pipeline.project import Project

# Before the library is imported, which reports its use otherwise.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
GUIDE = "# Running the pump\n\nHow to start the pump.\n\n## Stopping it\n\nPull the red lever twice, then wait.\n"
SALARIES = "# Salary bands\n\nA pump keeper earns twelve gold coins a month.\n"
QUERY = "the red lever of the pump"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.create(tmp_path_factory.mktemp("adapters"), sources=("docs", "people"))
    project.settings["sources"]["people"]["allowed_principals"] = ["hr"]
    project.write("guide.md", GUIDE)
    project.write("salaries.md", SALARIES, source="people")
    project.refresh()
    project.pipeline()
    return project.folder / "pipeline.yaml"


def expected(config: Path, principals: set[str]) -> list[tuple[str, str]]:
    with Searcher.open(config) as searcher:
        return [(hit.chunk_id, hit.text) for hit in searcher.search(QUERY, principals=principals, k=5)]


def test_langchain_finds_what_the_searcher_finds(config: Path) -> None:
    pytest.importorskip("langchain_core", reason="needs the extra `langchain`")
    from rag_pipeline.adapters.langchain import PipelineRetriever

    for principals in ({"public"}, {"hr"}):
        retriever = PipelineRetriever.open(config, principals=principals)
        found = retriever.invoke(QUERY)
        assert [(document.id, document.page_content) for document in found] == expected(config, principals)
        assert asyncio.run(retriever.ainvoke(QUERY)) == found
        retriever.searcher.close()
    first = next(document for document in found if "red lever" in document.page_content)
    assert first.metadata["uri"] == "docs/guide.md"
    assert first.metadata["section_path"] == ["Running the pump", "Stopping it"]
    # One of a chain, as it is used there.
    one = PipelineRetriever.open(config, principals={"public"}, k=1, window_tokens=400)
    chain = one | (lambda documents: documents[0].page_content)
    assert "red lever" in chain.invoke(QUERY)
    one.searcher.close()


def test_llama_index_finds_what_the_searcher_finds(config: Path) -> None:
    pytest.importorskip("llama_index.core", reason="needs the extra `llama-index`")
    from rag_pipeline.adapters.llama_index import PipelineRetriever

    for principals in ({"public"}, {"hr"}):
        retriever = PipelineRetriever.open(config, principals=principals)
        found = retriever.retrieve(QUERY)
        assert [(node.node_id, node.text) for node in found] == expected(config, principals)
        assert [node.score for node in found] == sorted((node.score or 0 for node in found), reverse=True)
        assert {node.metadata["source"] for node in found} <= {"docs", "people"}
        retriever._searcher.close()


def test_haystack_finds_what_the_searcher_finds(config: Path) -> None:
    pytest.importorskip("haystack", reason="needs the extra `haystack`")
    from haystack import Pipeline

    from rag_pipeline.adapters.haystack import PipelineRetriever

    for principals in ({"public"}, {"hr"}):
        pipeline = Pipeline()
        pipeline.add_component("retriever", PipelineRetriever(str(config), principals=principals))
        stored = Pipeline.loads(pipeline.dumps(), allowed_modules=["rag_pipeline.adapters.haystack"])
        found = stored.run({"retriever": {"query": QUERY}})["retriever"]["documents"]
        assert [(document.id, document.content) for document in found] == expected(config, principals)
        stored.get_component("retriever").close()


def test_nobody_asks_is_refused_in_each(config: Path) -> None:
    from rag_pipeline.adapters.found import found_by
    from rag_pipeline.errors import BadQuery

    with Searcher.open(config) as searcher, pytest.raises(BadQuery, match="principals"):
        found_by(searcher, QUERY, [], 5, "hybrid", None, None)
