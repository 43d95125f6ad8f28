"""Sending one message to one sink.

Belongs here: HTTP, SMTP, programs and the log; what went wrong, without what opens the place.
Does not belong here: when to try again (`transforms/alerts.py`), the words (`forms.py`).
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import smtplib
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from rag_pipeline.alerts.forms import as_json, brief, plain, slack, subject, teams
from rag_pipeline.contracts.alerts import Message
from rag_pipeline.errors import AlertUndeliverable
from rag_pipeline.settings.alerts import AlertSinkSettings, AlertsSettings
from rag_pipeline.shown import keep_secret, secrets_of

log = logging.getLogger("rag_pipeline.alerts")

# Receivers answer in a word; what an error page says is nobody's business.
_MOST_ANSWER_BYTES = 2_000
_LONGEST_WAIT_SECONDS = 86_400.0
# The receiver understood, and says that it never takes this: not the address, the rights or the hour.
_REFUSES = frozenset({400, 413, 422})
# A mail that some of its recipients took is not sent to them for ever because of the others.
_MOST_PARTLY = 3
_GRACE_SECONDS = 0.5


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would lead the message, and its token, somewhere that nobody named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def send(message: Message, alerts: AlertsSettings, environment: Mapping[str, str], folder: Path) -> None:
    """Send a message to its sink, within the sink's time.

    Args:
        folder: Of pipeline.yaml, where programs run.

    Raises:
        AlertUndeliverable: It was not taken, or not known to be.
    """
    sink = alerts.sinks[message.sink]
    try:
        _in_time(
            lambda: _SENDERS[sink.kind](message, sink, alerts, environment, folder), message.sink, sink.timeout_seconds
        )
    except AlertUndeliverable:
        raise
    except (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as error:
        # Their messages may quote an address that opens the place, or what the other side sent.
        raise _undeliverable(message.sink, _said(error)) from None


def _in_time(action: Callable[[], None], sink: str, seconds: float) -> None:
    """Do something, and wait no longer than so long for it, however slowly the other side goes on answering.

    A library's own time is that of one read or write. What is still under way ends by itself, or with the process.
    """
    raised: list[BaseException] = []

    def work() -> None:
        try:
            action()
        # A thread has no caller: whatever it is goes to the one who waits.
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name=f"alert to {sink}", daemon=True)
    thread.start()
    # A program that is ended, and a socket that says so itself, tell more.
    thread.join(seconds + _GRACE_SECONDS)
    if thread.is_alive():
        raise _undeliverable(sink, "no answer in time")
    if raised:
        raise raised[0]


def _undeliverable(sink: str, why: str, wait: float = 0.0, *, is_refused: bool = False) -> AlertUndeliverable:
    then = "It is not tried again" if is_refused else "It is tried again by itself"
    return AlertUndeliverable(
        f"sink {sink} did not take the message: {why}. {then}; try the sink with: rag-pipeline alerts test {sink}",
        sink=sink,
        wait_seconds=wait,
        is_refused=is_refused,
    )


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {error.smtp_code}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "the mail server refused every recipient"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    number = getattr(reason, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else type(reason).__name__


def _variable(environment: Mapping[str, str], sink: str, name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise _undeliverable(sink, f"the environment variable {name} is not set")
    keep_secret([value, *secrets_of(value)])
    return value


def _to_log(message: Message, _sink: AlertSinkSettings, alerts: AlertsSettings, *_: Any) -> None:
    level = logging.ERROR if message.turn == "opened" and message.findings[0].severity == "error" else logging.WARNING
    log.log(level if message.turn == "opened" else logging.INFO, "%s", plain(message, alerts).replace("\n", " | "))


def _to_web(
    form: Callable[[Message, AlertsSettings], dict[str, Any]],
) -> Callable[[Message, AlertSinkSettings, AlertsSettings, Mapping[str, str], Path], None]:
    def sent(
        message: Message, sink: AlertSinkSettings, alerts: AlertsSettings, environment: Mapping[str, str], _: Path
    ) -> None:
        assert sink.url_variable is not None
        url = _variable(environment, message.sink, sink.url_variable)
        if not url.startswith(("https://", "http://")):
            raise _undeliverable(message.sink, f"{sink.url_variable} holds no address that begins with https://")
        headers = {"Content-Type": "application/json", "User-Agent": "rag-pipeline", "Idempotency-Key": message.id}
        if sink.token_variable is not None:
            headers["Authorization"] = f"Bearer {_variable(environment, message.sink, sink.token_variable)}"
        code, wait = 0, ""
        # What one of all findings brings along must not keep people from knowing that something is wrong.
        for told in (message, brief(message)):
            code, wait = _answered(url, form(told, alerts), headers, sink.timeout_seconds)
            if code not in _REFUSES:
                break
        if code:
            seconds = min(float(wait), _LONGEST_WAIT_SECONDS) if wait.isdecimal() else 0.0
            raise _undeliverable(message.sink, f"it answered {code}", seconds, is_refused=code in _REFUSES)

    return sent


def _answered(url: str, body: Mapping[str, Any], headers: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """How a receiver refused a body, and how long it asks to wait; 0: it took it."""
    raw = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    request = urllib.request.Request(url, raw, dict(headers), method="POST")
    try:
        with urllib.request.build_opener(_NoRedirect()).open(request, timeout=seconds) as answer:
            answer.read(_MOST_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Retry-After", "")
    return 0, ""


def _to_mail(
    message: Message, sink: AlertSinkSettings, alerts: AlertsSettings, environment: Mapping[str, str], _: Path
) -> None:
    assert sink.host is not None
    assert sink.sender is not None
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject(message), sink.sender, ", ".join(sink.recipients)
    # The same for each attempt, so that a mailbox can tell a double.
    mail["Message-ID"] = f"<{message.id}@{sink.sender.rpartition('@')[2]}>"
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.at, UTC))
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(plain(message, alerts).encode("utf-8", "replace").decode())
    context = ssl.create_default_context()
    if sink.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(sink.host, sink.port, timeout=sink.timeout_seconds, context=context)
    else:
        server = smtplib.SMTP(sink.host, sink.port, timeout=sink.timeout_seconds)
    with server:
        if sink.tls == "starttls":
            server.starttls(context=context)
        if sink.user is not None and sink.password_variable is not None:
            server.login(sink.user, _variable(environment, message.sink, sink.password_variable))
        refused = server.send_message(mail)
    if refused:
        codes = sorted({code for code, _ in refused.values()})
        count = f"{len(refused)} of {len(sink.recipients)} recipients"
        said = f"the mail server refused {count} ({', '.join(map(str, codes))})"
        is_final = min(codes) >= 500 or message.attempts >= _MOST_PARTLY
        raise _undeliverable(message.sink, said, is_refused=is_final)


def _to_command(
    message: Message, sink: AlertSinkSettings, alerts: AlertsSettings, environment: Mapping[str, str], folder: Path
) -> None:
    body = json.dumps(as_json(message, alerts), ensure_ascii=False).encode("utf-8", "replace")
    # A group of its own, so that what it starts ends with it.
    process = subprocess.Popen(
        sink.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        process.communicate(body, timeout=sink.timeout_seconds)
    except subprocess.TimeoutExpired:
        raise _undeliverable(message.sink, f"it ran longer than {sink.timeout_seconds:g} s and was ended") from None
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        raise _undeliverable(message.sink, f"it ended with {process.returncode}")


_SENDERS: dict[str, Callable[[Message, AlertSinkSettings, AlertsSettings, Mapping[str, str], Path], None]] = {
    "log": _to_log,
    "webhook": _to_web(as_json),
    "slack": _to_web(slack),
    "teams": _to_web(teams),
    "email": _to_mail,
    "command": _to_command,
}
