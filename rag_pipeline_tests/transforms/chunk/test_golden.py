"""Chunks of fixed documents: changed output needs a new CHUNKER_VERSION."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.transforms.chunk import CHUNKER_VERSION, ChunkParams, chunk_document
from rag_pipeline_tests.transforms.chunk.counters import WordCounter, document_of, heading, words

GOLDEN = Path(__file__).parent / "golden"
UPDATE = bool(os.environ.get("RAG_UPDATE_GOLDEN"))
STEPS = " ".join(f"Step {index} moves the {name} by hand." for index, name in enumerate(["cup", "pan", "lid"] * 8))
ROWS = "\n".join(["| city | people |", "|---|---|", *(f"| town {index} | {index * 7} |" for index in range(30))])
METHOD = "def fill(self):\n" + "\n".join(f"    for x in y{n}:\n        self.add(x)" for n in range(12))

CASES: dict[str, tuple[ParsedDocument, ChunkParams]] = {
    "manual": (
        document_of(
            ("paragraph", words(9)), heading("Kitchen"), heading("Cooking", 2), ("paragraph", STEPS),
            ("list", "\n".join(f"- {words(9)}\n  - {words(5)}" for _ in range(6))), ("code", "boil()\n\nserve()"),
            heading("Towns"), ("table", ROWS), heading("Empty"), title="Manual",
        ),
        ChunkParams(80, None, 16, 24),
    ),
    "small_target": (
        document_of(heading("Kitchen"), ("paragraph", STEPS), ("quote", f"> {STEPS}")), ChunkParams(80, 30, 12, 24),
    ),
    "code": (
        document_of(
            ("code", "import cup"), ("definition", "class Pan:\n    size = 1", 1, "Pan"),
            ("definition", METHOD, 2, "Pan.fill"), ("definition", "def lid(): pass", 1, "lid"),
            ("definition", "def cup(): pass", 1, "cup"),
        ),
        ChunkParams(60, None, 16, 16),
    ),
    "transcript": (document_of(*[("cue", f"{name}: {STEPS}", 0, name) for name in ("Ann", "Bo")]), ChunkParams(100)),
}  # fmt: skip


def chunks_as_json(name: str) -> list[dict[str, object]]:
    document, params = CASES[name]
    return [
        {
            "text": document.text[chunk.start_char : chunk.end_char],
            "header": chunk.header,
            "path": list(chunk.section_path),
            "tokens": chunk.token_count,
            "kind": chunk.kind,
            "line": chunk.line,
            "is_hard_split": chunk.is_hard_split,
        }
        for chunk in chunk_document(document, params, WordCounter())
    ]


@pytest.mark.parametrize("name", sorted(CASES))
def test_chunks_are_as_reviewed(name: str) -> None:
    got = {"chunker_version": CHUNKER_VERSION, "chunks": chunks_as_json(name)}
    path = GOLDEN / f"{name}.json"
    if UPDATE:
        old = json.loads(path.read_text("utf-8")) if path.exists() else None
        if old and old["chunks"] != got["chunks"] and old["chunker_version"] == CHUNKER_VERSION:
            pytest.fail("chunks changed under the same CHUNKER_VERSION; raise it in transforms/chunk/params.py first")
        path.write_text(json.dumps(got, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert got == json.loads(path.read_text("utf-8")), (
        "review the change, raise CHUNKER_VERSION, then: RAG_UPDATE_GOLDEN=1 pytest"
    )


def test_goldens_are_not_being_rewritten() -> None:
    assert not UPDATE, "RAG_UPDATE_GOLDEN is for a reviewed local run"
