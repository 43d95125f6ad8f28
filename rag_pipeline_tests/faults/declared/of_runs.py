"""Faults of runs, of their records, and of telling."""

from __future__ import annotations

import socket
import subprocess
import sys

import dagster as dg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from rag_pipeline.defs.instance import dagster_home, opened_instance
from rag_pipeline.stores.lock import LOCK_NAME, WriteLock
from rag_pipeline.transforms import alerts
from rag_pipeline_tests.alerts.receiver import receiving
from rag_pipeline_tests.faults.declared.fault import fault
from rag_pipeline_tests.faults.declared.of_sources import moved
from rag_pipeline_tests.faults.declared.world import World

KILLED = "8c7d7c0e-5c5f-4d0c-9a3f-0b8f2f0f3a11"


def killed(world: World) -> None:
    """A run of which Dagster found out that its process is gone."""
    with opened_instance(dagster_home(world.project.pipeline())) as instance:
        run = dg.DagsterRun("refresh", run_id=KILLED)
        instance.add_run(run)
        instance.report_run_failed(run, "killed")


def busy(world: World) -> None:
    """Another process writes, and goes on for longer than anybody waits."""
    held = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(1, flush=True); "
        "sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", held, str(world.lake / LOCK_NAME)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    world.leaving.callback(writer.communicate)
    assert writer.stdout is not None
    assert writer.stdout.readline()
    made = WriteLock.__init__

    def impatient(lock: WriteLock, root: str, run_id: str, _: float) -> None:
        made(lock, root, run_id, 0.01)

    world.patch.setattr(WriteLock, "__init__", impatient)


def set_free(world: World) -> None:
    world.leaving.close()


def records_broken(world: World) -> None:
    (world.folder / ".dagster" / "dagster.yaml").rename(world.folder / "dagster.yaml")
    (world.folder / ".dagster" / "dagster.yaml").write_text(":{[broken", "utf-8")


def records_right(world: World) -> None:
    (world.folder / "dagster.yaml").rename(world.folder / ".dagster" / "dagster.yaml")


def webhook_down(world: World) -> None:
    """A second sink, where nobody listens; what it has to take is that a source is down."""
    with receiving() as gone:
        world.patch.setenv("SECOND", gone.url)
    # It is tried again with the next run, and not half a minute later.
    world.patch.setattr(alerts, "FIRST_RETRY_SECONDS", 0.0)
    world.project.settings["alerts"]["sinks"]["second"] = {"kind": "webhook", "url_variable": "SECOND"}
    moved("wiki", "away")(world)


def webhook_back(world: World) -> None:
    second = world.leaving.enter_context(receiving())
    world.leaving.enter_context(pytest.MonkeyPatch.context()).setenv("SECOND", second.url)
    moved("away", "wiki")(world)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


class Refusing:
    """A mail server that knows nobody, until it does."""

    knows = False

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return "250 OK" if self.knows else "550 no such user"

    async def handle_DATA(self, *_: object) -> str:
        return "250 OK"


def mail_refused(world: World) -> None:
    Refusing.knows = False
    server = Controller(Refusing(), hostname="127.0.0.1", port=free_port())
    server.start()
    world.leaving.callback(server.stop)
    world.patch.setattr(alerts, "FIRST_RETRY_SECONDS", 0.0)
    world.project.settings["alerts"]["sinks"]["second"] = {
        "kind": "email", "host": "127.0.0.1", "port": server.port, "tls": "none", "sender": "a@example.com",
        "recipients": ["b@example.com"],
    }  # fmt: skip
    moved("wiki", "away")(world)


def mail_taken(world: World) -> None:
    Refusing.knows = True
    moved("away", "wiki")(world)


FAULTS = (
    fault("a run was killed", killed, "failed-run", cycle="rag-pipeline alerts send"),
    fault(
        "two runs race: another process holds the lake",
        busy,
        "error-lake_busy",
        ends="the other run has ended",
        mend=set_free,
    ),
    fault(
        "the records of Dagster cannot be opened",
        records_broken,
        "error-dagster_unusable",
        ends="its folder or `dagster.yaml` is mended",
        mend=records_right,
    ),
    fault(
        "a webhook is down",
        webhook_down,
        "error-alert_undeliverable",
        brought=frozenset({"source_answers"}),
        ends="it answers",
        mend=webhook_back,
    ),
    fault(
        "a mail server refuses the recipients",
        mail_refused,
        "error-alert_undeliverable",
        brought=frozenset({"source_answers"}),
        ends="it takes mail",
        mend=mail_taken,
    ),
)
