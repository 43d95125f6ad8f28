"""A model that cuts a question into loose letters, or into nothing it knows, does not decide what is found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from rag_pipeline.contracts.evaluation import QUESTION_RESULTS
from rag_pipeline_tests.embedding.conftest import WORDS, modules_json, word_tokenizer
from rag_pipeline_tests.pipeline.project import Project

PAGES = 12
# Only one of its words stands anywhere, on half of the pages alike: words say little, and the vectors would decide.
QUESTION = "ποιο κοινό νόημα έχουν"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Half of the pages have a word of the question; the others are all that the model takes for its like."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "modules.json").write_text(modules_json(("", "StaticEmbedding")))
    word_tokenizer(with_special_tokens=False).save(str(folder / "tokenizer.json"))
    matrix = np.random.default_rng(3).normal(size=(len(WORDS), 16)).astype(np.float32)
    save_file({"embedding.weight": matrix}, folder / "model.safetensors")
    project = Project.create(tmp_path, deduplication={"near": False}, boilerplate={"leave_out": False})
    project.settings["embedding_models"] = {"small": {"kind": "static", "model": "static", "folder": str(folder)}}
    for n in range(PAGES):
        project.write(f"with-{n:02}.txt", f"κοινό word{n} word{n + 12} word{n + 24}\n")
        project.write(f"without-{n:02}.txt", f"θάλασσα ουρανός {'βουνό ' * n}δέντρο\n")
    asked = {"id": "q", "question": QUESTION, "expected": [{"uri_suffix": "with-00.txt"}], "principals": ["public"]}
    (tmp_path / "questions.jsonl").write_text(json.dumps(asked), "utf-8")
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    return project


def test_words_decide_in_a_search_and_in_its_evaluation_alike(project: Project) -> None:
    project.refresh(evaluate=True)
    by_words = project.search(QUESTION, "public", mode="text")
    found = project.search(QUESTION, "public")
    assert found[0].vector_weight == 0
    assert [hit.uri for hit in found[:PAGES]] == [hit.uri for hit in by_words]
    with project.workspace() as workspace:
        results = workspace.lake.read(QUESTION_RESULTS).to_dicts()
    ranks = {row["mode"]: row["document_rank"] for row in results}
    assert ranks["hybrid"] == ranks["text"] == 1
    assert ranks["vector"] > 1
    # Of words that it has it is asked as before.
    assert project.search("word0 word12 ποιο", "public")[0].vector_weight > 0
