"""Messages reach real servers, and what opens a place stands in no message, log or file."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from pydantic import ValidationError

from rag_pipeline.alerts.sinks import send
from rag_pipeline.contracts.alerts import Finding, Message
from rag_pipeline.errors import AlertUndeliverable
from rag_pipeline.settings.alerts import AlertSinkSettings, AlertsSettings
from rag_pipeline.transforms.alerts import message_of
from rag_pipeline_tests.alerts.receiver import Receiver

HOSTILE = Finding(
    key="check:source/docs:source_answers",
    at=1_700_000_000,
    is_bad=True,
    title="source_answers of source/docs\r\nBcc: eve@example.com",
    means="The source <b>answers</b> & lists.",
    found="it said s3://user:topsecretpassword@bucket/<!channel> [x](http://evil)",
    next_step="rag-pipeline status",
    source="docs",
    owners=("team:docs",),
    asset="source/docs",
    run_id="r1",
    runbook="source_answers",
)


def message(sink: str = "s", *more: Finding) -> Message:
    return message_of(sink, "opened", [HOSTILE, *more], 1_700_000_001)


def alerts(**sink: Any) -> AlertsSettings:
    return AlertsSettings(
        sinks={"s": AlertSinkSettings(**sink)}, ui_url="http://ui:3000/", runbook_url="https://wiki/runbook"
    )


def sent(found: Message, settings: AlertsSettings, folder: Path, **environment: str) -> None:
    send(found, settings, environment, folder)


def test_json_and_slack_and_teams_get_their_form(receiver: Receiver, tmp_path: Path) -> None:
    for kind in ("webhook", "slack", "teams"):
        sent(message(), alerts(kind=kind, url_variable="HOOK"), tmp_path, HOOK=receiver.url)
    (_, headers, plain), (_, _, slack), (_, _, teams) = receiver.got
    assert headers["Idempotency-Key"] == plain["id"]
    [alert] = plain["alerts"]
    assert (plain["state"], alert["severity"], alert["source"], alert["owners"]) == (
        "opened",
        "error",
        "docs",
        ["team:docs"],
    )
    assert alert["links"] == {
        "asset": "http://ui:3000/assets/source/docs",
        "run": "http://ui:3000/runs/r1",
        "runbook": "https://wiki/runbook#source_answers",
    }
    assert "topsecretpassword" not in json.dumps(receiver.got)
    assert "<!channel>" not in slack["text"]
    assert "<https://wiki/runbook#source_answers|runbook>" in slack["text"]
    [card] = teams["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert {action["title"].split()[0] for action in card["content"]["actions"]} == {"Asset", "Run", "Runbook"}
    assert "](http" not in json.dumps(card)


def test_a_flood_is_one_message_that_people_can_read(receiver: Receiver, tmp_path: Path) -> None:
    many = [replace(HOSTILE, key=f"k{n}", title=f"title {n}" + "x" * 9_000) for n in range(500)]
    for kind in ("webhook", "slack", "teams"):
        sent(message("s", *many), alerts(kind=kind, url_variable="HOOK"), tmp_path, HOOK=receiver.url)
    bodies = [body for _, _, body in receiver.got]
    assert len(bodies[0]["alerts"]) == 501
    assert "and 489 more" in bodies[1]["text"]
    # Teams takes 28 KB, Slack 40,000 characters.
    assert len(bodies[1]["text"]) < 40_000
    assert len(json.dumps(bodies[2])) < 28_000


def test_what_is_not_taken_is_said_without_what_opens_the_place(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = alerts(kind="slack", url_variable="HOOK")
    receiver.answer = (429, {"Retry-After": "120"})
    with pytest.raises(AlertUndeliverable, match="answered 429") as failure:
        sent(message(), settings, tmp_path, HOOK=receiver.url)
    assert failure.value.facts["wait_seconds"] == 120
    receiver.answer = (302, {"Location": f"{receiver.url}/elsewhere"})
    with pytest.raises(AlertUndeliverable, match="answered 302"):
        sent(message(), settings, tmp_path, HOOK=receiver.url)
    assert len(receiver.got) == 2
    receiver.server_close()
    for value in (receiver.url, "ftp://S3CRETPATH", "http://127.0.0.1:port/S3CRETPATH", "http://[::1/S3CRETPATH"):
        with pytest.raises(AlertUndeliverable) as failure:
            sent(message(), settings, tmp_path, HOOK=value)
        assert "S3CRETPATH" not in f"{failure.value}{failure.value.facts}{failure.value.__cause__}"
    with pytest.raises(AlertUndeliverable, match="variable HOOK is not set"):
        sent(message(), settings, tmp_path)
    assert "S3CRETPATH" not in caplog.text


def test_what_a_receiver_refuses_is_told_in_a_few_words(receiver: Receiver, tmp_path: Path) -> None:
    many = [replace(HOSTILE, key=f"k{n}", title=f"title {n}", found="\N{SNOWMAN}" * 9_000) for n in range(50)]
    receiver.most_bytes = 2_000
    for kind in ("webhook", "slack", "teams"):
        sent(message("s", *many), alerts(kind=kind, url_variable="HOOK"), tmp_path, HOOK=receiver.url)
        whole, short = receiver.got[-2:]
        assert whole[1]["Idempotency-Key"] == short[1]["Idempotency-Key"]
        assert "50 more" in json.dumps(short[2])
        assert "https://wiki/runbook#source_answers" in json.dumps(short[2])
    # Characters of several bytes, in a card that is bounded by bytes.
    card = json.dumps(receiver.got[-2][2], ensure_ascii=False)
    assert 15_000 < len(card.encode()) < 28_000
    receiver.answer = (400, {})
    with pytest.raises(AlertUndeliverable, match=r"answered 400.* not tried again") as failure:
        sent(message(), alerts(kind="slack", url_variable="HOOK"), tmp_path, HOOK=receiver.url)
    assert failure.value.facts["is_refused"]


@pytest.mark.parametrize("kind", ["webhook", "email"])
def test_who_answers_a_byte_at_a_time_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    ended = threading.Event()

    def drip() -> None:
        taken, _ = server.accept()
        with taken, suppress(OSError):
            taken.sendall(b"HTTP/1.1 200 OK\r\nX: " if kind == "webhook" else b"220-")
            while not ended.wait(0.05):
                taken.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip)
        thread.start()
        port = server.getsockname()[1]
        mail = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": "a@b.c", "recipients": ("d@e.f",)}
        sink = {"url_variable": "HOOK"} if kind == "webhook" else mail
        began = time.monotonic()
        try:
            with pytest.raises(AlertUndeliverable, match="no answer in time"):
                sent(
                    message(), alerts(kind=kind, timeout_seconds=0.2, **sink), tmp_path, HOOK=f"http://127.0.0.1:{port}"
                )
            assert time.monotonic() - began < 5
        finally:
            ended.set()
            thread.join()
            for each in threading.enumerate():
                if each.name == "alert to s":
                    each.join()


class Mailbox:
    """Keeps mails; refuses them, or some recipients, when told to."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self.mails: list[Any] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address not in self.refused:
            envelope.rcpt_tos.append(address)
        return self.refused.get(address, "250 OK")

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: ARG002 - aiosmtpd's
        if self.answer.startswith("250"):
            self.mails.append(envelope)
        return self.answer


def test_mail_has_one_subject_and_the_same_id_at_each_attempt(tmp_path: Path) -> None:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        settings = alerts(
            kind="email", host="127.0.0.1", port=port, tls="none", sender="a@example.com",
            recipients=("b@example.com", "c@example.com"),
        )  # fmt: skip
        sent(message(), settings, tmp_path)
        sent(message(), settings, tmp_path)
        box.answer = "554 topsecret refusal"
        with pytest.raises(AlertUndeliverable, match="answered 554") as failure:
            sent(message(), settings, tmp_path)
        assert "topsecret" not in str(failure.value)
        box.answer = "250 OK"
        # Who refuses for a while is tried again, with whoever took it; not for ever.
        for said, attempts, is_refused in (("450 later", 0, False), ("450 later", 3, True), ("550 nobody", 0, True)):
            box.refused = {"c@example.com": said}
            with pytest.raises(AlertUndeliverable, match=f"refused 1 of 2 recipients .{said[:3]}") as failure:
                sent(replace(message(), attempts=attempts), settings, tmp_path)
            assert failure.value.facts["is_refused"] is is_refused
    finally:
        controller.stop()
    first, second, *_ = box.mails
    assert first.rcpt_tos == ["b@example.com", "c@example.com"]
    text = first.content.decode()
    assert "\nBcc:" not in text
    assert "Runbook: https://wiki/runbook#source_answers" in text
    named = [line for mail in (first, second) for line in mail.content.decode().splitlines() if "Message-ID" in line]
    assert len(set(named)) == 1


def test_a_program_gets_json_and_is_ended_in_time(tmp_path: Path) -> None:
    keep = "import sys; open('got.json', 'w').write(sys.stdin.read())"
    sent(message(), alerts(kind="command", command=(sys.executable, "-c", keep)), tmp_path)
    assert json.loads((tmp_path / "got.json").read_text())["alerts"][0]["source"] == "docs"
    for command, said in (
        ((sys.executable, "-c", "raise SystemExit(3)"), "ended with 3"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "ran longer"),
        (("not-there-at-all",), "No such file"),
    ):
        with pytest.raises(AlertUndeliverable, match=said):
            sent(message(), alerts(kind="command", command=command, timeout_seconds=0.5), tmp_path)


def test_the_log_has_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "rag_pipeline.alerts"):
        sent(message(), alerts(kind="log"), tmp_path)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "\n" not in record.getMessage()
    assert "topsecretpassword" not in record.getMessage()


@pytest.mark.parametrize(
    ("sink", "said"),
    [
        ({"kind": "slack"}, "needs url_variable"),
        ({"kind": "slack", "url_variable": "https://hooks.slack.com/x"}, "url_variable"),
        ({"kind": "log", "url_variable": "A"}, "has no url_variable"),
        ({"kind": "email", "host": "h", "sender": "a@b.c", "recipients": ("a\nBcc: d@e.f",)}, "recipients"),
        ({"kind": "email", "host": "h", "sender": "a@b.c", "recipients": ("d@e.f",), "user": "u"}, "go together"),
        (
            {"kind": "email", "host": "h", "sender": "a@b.c", "recipients": ("d@e.f",), "tls": "none", "user": "u",
             "password_variable": "P"},
            "encrypted",
        ),
        ({"kind": "command"}, "needs command"),
    ],
)  # fmt: skip
def test_a_sink_that_cannot_work_is_refused_at_once(sink: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AlertSinkSettings(**sink)
