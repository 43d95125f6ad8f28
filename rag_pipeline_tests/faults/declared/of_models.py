"""Faults of models, of what they give, and of what is found with it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from rag_pipeline.contracts.directions import DIRECTIONS_FILE, LEAST_TEXTS, directions_of, line_of
from rag_pipeline.contracts.searches import SEARCHES_FILE, Found, Searches
from rag_pipeline.contracts.searches import line_of as line_of_searches
from rag_pipeline.embedding.hashing_backend import HashingBackend
from rag_pipeline.refresh import index
from rag_pipeline.refresh.publication import rollback
from rag_pipeline_tests.faults.declared.fault import Change, fault
from rag_pipeline_tests.faults.declared.world import World
from rag_pipeline_tests.pipeline.test_promises import tamper

OVERRIDE = "rag-pipeline models publish minilm --override-gate --note WHY && rag-pipeline run"
SMALL = (("minilm", "small"), ("WHY", "meant"))


def model(**values: object) -> Change:
    return lambda world: world.project.settings["embedding_models"]["small"].update(values)


def folder_gone(world: World) -> None:
    settings = {"model": "not/here", "folder": str(world.folder / "weights")}
    world.project.settings["embedding_models"]["small"] = settings


def folder_back(world: World) -> None:
    world.project.settings["embedding_models"]["small"] = {"kind": "hashing", "model": "hashing", "dimension": 64}


def worse(world: World) -> None:
    world.project.write("other.md", "# lantern0\n\nlantern0 lantern0\n", source="wiki")


def other_than_silver(world: World) -> None:
    """Rows of the index say something else than silver, and cannot be taken from it again."""
    tamper(world.project, embedded_text=["Something else."])
    world.project.write("more.md", "# More\n\nOf everything.\n")
    world.patch.setattr(index, "_repair", lambda *_: None)


class OverQuota(BaseHTTPRequestHandler):
    """A server of models that says that all is used up, until it is paid again."""

    is_paid = False

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        vectors = [
            {"object": "embedding", "index": number, "embedding": [1.0, float(len(text)), 0.5]}
            for number, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        answer = {"object": "list", "model": "tiny", "data": vectors, "usage": usage}
        refusal = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
        raw = json.dumps(answer if OverQuota.is_paid else refusal).encode()
        self.send_response(200 if OverQuota.is_paid else 429)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        # Whoever asks again is not kept waiting.
        self.send_header("Retry-After", "0.01")
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def over_quota(world: World) -> None:
    OverQuota.is_paid = False
    server = ThreadingHTTPServer(("127.0.0.1", 0), OverQuota)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    world.leaving.callback(server.server_close)
    world.leaving.callback(thread.join)
    world.leaving.callback(server.shutdown)
    world.leaving.enter_context(pytest.MonkeyPatch.context()).setenv("ENDPOINT_KEY", "secret")
    world.project.settings["embedding_models"]["remote"] = {
        "kind": "endpoint", "model": "tiny", "base_url": f"http://127.0.0.1:{server.server_port}/v1",
        "api_key_variable": "ENDPOINT_KEY", "dimension": 3, "max_tokens": 256,
    }  # fmt: skip


def paid(_: World) -> None:
    OverQuota.is_paid = True


def held_back(world: World) -> None:
    """A person went back to an older version."""
    world.project.write("late.md", "# Late\n\nThe ferry came in at noon.\n", source="wiki")
    world.type("run")
    with world.project.workspace() as workspace:
        rollback(workspace)
    world.told()


def turned(world: World) -> None:
    """Texts come in that are decoded wrongly."""
    for number in range(LEAST_TEXTS):
        world.project.write(f"z{number}.md", f"# \u96ea {number}\n\n\u706f\u5854 {number * 7} \u5c71\u6d77\u98ce\n")


def seen(world: World) -> None:
    """A day passes."""
    file = world.lake / DIRECTIONS_FILE
    rows = directions_of(file.read_bytes())
    file.write_bytes(b"".join(line_of(replace(row, at=row.at - timedelta(days=2))) for row in rows))


def longer(world: World) -> None:
    """A model gives vectors of the same direction and three times the length, of what comes in now."""
    compute = HashingBackend.compute
    world.patch.setattr(HashingBackend, "compute", lambda *given: 3.0 * compute(*given))
    for number in range(LEAST_TEXTS):
        # As those before, but for the word that readers look for.
        text = f"Lump number {number} stands on shelf {number * 7} and burns until the morning."
        world.project.write(f"k{number}.md", f"# Lump {number}\n\n{text}\n")


def finding_less(world: World) -> None:
    """Half of the searches of a day find nothing; something small changes, so that a run looks."""
    with world.project.workspace() as workspace:
        now, space = workspace.now(), workspace.space("small").fingerprint
    days = [Searches(now - timedelta(days=ago), {space: Found(100, 5)}) for ago in range(21, 0, -1)]
    today = Searches(now, {space: Found(100, 50)})
    (world.lake / SEARCHES_FILE).write_bytes(b"".join(map(line_of_searches, [*days, today])))
    world.project.write("late.md", "# Late\n\nThe ferry came in at noon.\n", source="wiki")


def finding_again(world: World) -> None:
    """As if a day had passed on which they found."""
    file = world.lake / SEARCHES_FILE
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    world.project.write("later.md", "# Later\n\nThe ferry went out at dusk.\n", source="wiki")


FAULTS = (
    fault(
        "a model was changed under its name",
        model(dimension=96),
        "error-embedding_space_mismatch",
        ends="the model is put back, or has a name of its own",
        mend=model(dimension=64),
    ),
    fault(
        "the folder of a model is gone",
        folder_gone,
        "error-model_unavailable",
        ends="the folder is back",
        mend=folder_back,
    ),
    fault(
        "search got worse on the configured questions",
        worse,
        "evaluation_not_below_published",
        "newest_version_may_be_published",
        command=OVERRIDE,
        tells=frozenset({"worse-answers"}),
        values=SMALL,
    ),
    fault(
        "the index says something else than silver",
        other_than_silver,
        "audit_passed",
        "evaluation_not_below_published",
        "newest_version_may_be_published",
    ),
    fault(
        "a person went back to an older version, and readers are held there",
        held_back,
        "newest_version_may_be_published",
        command="rag-pipeline models publish minilm && rag-pipeline run",
        values=SMALL,
    ),
    fault(
        "an endpoint is over its quota",
        over_quota,
        "error-endpoint_unavailable",
        cycle="rag-pipeline run --model remote",
        ends="the quota is raised or begins anew",
        mend=paid,
        command="rag-pipeline run --model ALIAS",
        values=(("ALIAS", "remote"),),
    ),
    fault(
        "texts are decoded wrongly, and their vectors point elsewhere",
        turned,
        "vectors_point_where_they_did",
        "vector_lengths_are_usual",
        ends="the texts are right, or a day has passed",
        mend=seen,
    ),
    fault(
        "a model gives vectors three times as long",
        longer,
        "vector_lengths_are_usual",
        ends="the model computes as it did, or a day has passed",
        mend=seen,
    ),
    fault(
        "searches find nothing more often than before",
        finding_less,
        "searches_find_what_they_did",
        ends="people find again what they look for, or ten days have passed",
        mend=finding_again,
    ),
)
