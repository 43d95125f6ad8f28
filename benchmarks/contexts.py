"""What sentences in front of chunks do to search: the same sets with `context` and without it, chunk by chunk.

    python -m benchmarks.contexts [--shared ../shared] [--sets scifact chunking] [--third 3] [--modes hybrid vector]

No model is needed: a server on this machine answers as a chat model that takes its sentences out of the document.

short     no sentences, and chunks as short as those that leave room for them
opening   what the document begins with: its first line, and the first sentence below it
before    the last sentence before the chunk

Everything else is the product's: the enrichment asks about each chunk, the sentence becomes part of its header, leaves
it less room, is embedded and searched. SciFact is every third document and what the questions about them want, which
is easier than the whole set, so its rows are to be compared with one another alone. Lakes stay in the cache folder.
Gains, wins and losses are against the same search without sentences; the row `short` says how much of that is the
length of chunks alone. How often a gain as large comes by chance is the paired randomization test.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.chunking import MODEL as SPEC
from benchmarks.chunking import documents_of, questions_of
from benchmarks.chunking_search import MODELS, Places, scores_of
from benchmarks.common import make_pipeline, refresh
from benchmarks.retrieval import ALIAS, HITS, MODEL, JudgedSet, beir_set, ranks_of
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.embedding.open import token_counter
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.search import MODES, Mode, Searcher
from rag_pipeline.settings import Pipeline
from rag_pipeline.transforms.chunk.params import with_room
from rag_pipeline.transforms.metrics import ndcg_at, recall_at
from rag_pipeline.transforms.paired import chance_of

# Two lines; the headers of chunks leave room for about as much.
MOST_CHARS = 300
TOP = 5
NONE, SHORT = "none", "short"

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_QUOTED = re.compile(r"<(doc|part) ([0-9a-f]+)>\n(.*?)\n</\1 \2>", re.S)

Script = Callable[[str, str], str]


def opening(document: str, _part: str) -> str:
    """The first line of a document, and the first sentence below it."""
    paragraphs = [" ".join(each.split()) for each in document.split("\n\n") if each.strip()]
    return " ".join([paragraphs[0], *(_SENTENCE.split(each)[0] for each in paragraphs[1:2])])[:MOST_CHARS]


def before(document: str, part: str) -> str:
    """The last sentence before a part; of the first part the document's first line."""
    text = " ".join(document.partition(part)[0].split())
    return _SENTENCE.split(text)[-1][-MOST_CHARS:] if text else opening(document, part)


SCRIPTS: dict[str, Script] = {"opening": opening, "before": before}
ROWS = (NONE, SHORT, *SCRIPTS)


@contextmanager
def chat_server(script: Script) -> Iterator[str]:
    """The address of a chat model that answers by a script."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            shown = {name: text for name, _, text in _QUOTED.findall(asked["messages"][-1]["content"])}
            said = json.dumps({"context": script(shown["doc"], shown.get("part", ""))})
            choice = {"index": 0, "delta": {"content": said}, "finish_reason": "stop"}
            event = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "script", "choices": [choice]}
            body = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode()
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Thousands of requests are no news."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def built(work: Path, documents: Path, cache: Path, script: str, **settings: Any) -> Pipeline:
    """A published lake of some documents, with the sentences of a script in its headers, or without any."""
    work.mkdir(parents=True, exist_ok=True)

    def publish(**more: Any) -> Pipeline:
        pipeline = make_pipeline(
            work,
            documents.absolute(),
            embedding_models={ALIAS: {"model": MODEL}},
            serve=ALIAS,
            cache=str(cache / MODELS),
            **settings,
            **more,
        )
        with Workspace(pipeline, run_id="benchmark") as workspace:
            refresh(workspace, ALIAS)
        return pipeline

    if script == NONE:
        return publish()
    if script == SHORT:
        return publish(chunking=short_chunking(cache))
    with chat_server(SCRIPTS[script]) as address:
        # The model's address is no part of what was read: another port asks nothing again.
        chat = {"script": {"model": script, "base_url": address}}
        where = {"kind": "context", "model": "script", "most_answer_chars": MOST_CHARS, "concurrency": 2}
        return publish(chat_models=chat, enrichments={"where": where})


def short_chunking(cache: Path) -> dict[str, int]:
    """The chunking of an entry that writes sentences: what the model reads, less their room."""
    limit = token_counter(SPEC, cache / MODELS).max_tokens
    return {"max_tokens": int(with_room({"max_tokens": limit}, limit)["max_tokens"])}


def third_of(judged: JudgedSet, work: Path, step: int) -> JudgedSet:
    """Every `step`-th document, and the questions of which all that is wanted is among them."""
    documents = work / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    for path in sorted(judged.documents.iterdir())[::step]:
        (documents / path.name).write_bytes(path.read_bytes())
    there = {path.stem for path in documents.iterdir()}
    return replace(judged, documents=documents, questions=[q for q in judged.questions if q.wanted <= there])


def compared(name: str, values: np.ndarray, baseline: np.ndarray) -> str:
    """Mean, wins and losses, and the chance of the difference."""
    gains = values - baseline
    wins, losses = int((gains > 1e-9).sum()), int((gains < -1e-9).sum())
    chance = f"{chance_of(gains.tolist()):.2f}" if wins or losses else "-"
    return f"{name} | {values.mean():.4f} | {gains.mean():+.4f} | {wins}/{losses} | {chance}"


def rows_of_scifact(shared: Path, cache: Path, modes: Sequence[Mode], step: int) -> Iterator[str]:
    judged = beir_set("scifact", shared / "eval" / "scifact", cache / "retrieval-scifact")
    judged = third_of(judged, cache / f"contexts-scifact-{step}", step)
    figures: dict[tuple[str, str], np.ndarray] = {}
    for script in ROWS:
        work = cache / f"contexts-scifact-{step}-{script}"
        keeps = {"deduplication": {"near": False}, "boilerplate": {"leave_out": False}}
        with Searcher.open(built(work, judged.documents, cache, script, **keeps)) as searcher:
            for mode in modes:
                ranks = [
                    ranks_of(searcher.search(q.text, principals=[PUBLIC], k=HITS, mode=mode), q.wanted, judged.place)
                    for q in judged.questions
                ]
                for metric, measure in (("nDCG@10", ndcg_at), ("recall@10", recall_at)):
                    figures[f"{mode} | {metric}", script] = np.array([measure(each, 10) for each in ranks])
    yield from table("scifact", figures)


def rows_of_chunking(shared: Path, cache: Path, modes: Sequence[Mode]) -> Iterator[str]:
    folder = shared / "eval" / "chunking"
    questions = questions_of(folder)
    texts = {name: document.text for name, document in documents_of(folder).items()}
    documents = cache / "contexts-chunking"
    documents.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (documents / f"{name}.txt").write_bytes(text.encode())
    figures: dict[tuple[str, str], np.ndarray] = {}
    for script in ROWS:
        pipeline = built(cache / f"contexts-chunking-{script}", documents, cache, script)
        with Workspace(pipeline, run_id="benchmark") as workspace:
            places = Places(texts, workspace)
        with Searcher.open(pipeline) as searcher:
            for mode in modes:
                answers = [
                    places.answer(searcher.search(q.text, principals=[PUBLIC], k=TOP, mode=mode)) for q in questions
                ]
                scores = scores_of(questions, answers)
                for column, metric in ((0, "recall@5, %"), (2, "IoU@5, %")):
                    figures[f"{mode} | {metric}", script] = scores[:, column]
    yield from table("chunking", figures)


def table(name: str, figures: dict[tuple[str, str], np.ndarray]) -> Iterator[str]:
    """A line for each mode, metric and script."""
    for said in dict.fromkeys(key for key, _ in figures):
        for script in ROWS:
            yield f"| {name} | {said} | {compared(script, figures[said, script], figures[said, NONE])} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "rag-pipeline-benchmarks")
    parser.add_argument("--sets", nargs="+", choices=["scifact", "chunking"], default=["scifact", "chunking"])
    parser.add_argument("--third", type=int, default=3, metavar="N", help="every N-th document of SciFact")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    options = parser.parse_args(arguments)
    columns = ("set", "mode", "metric", "sentences", "mean", "gain", "wins/losses", "by chance")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")  # noqa: T201
    for name in options.sets:
        found = rows_of_chunking(options.shared, options.cache.absolute(), options.modes)
        if name == "scifact":
            found = rows_of_scifact(options.shared, options.cache.absolute(), options.modes, options.third)
        for line in found:
            print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
