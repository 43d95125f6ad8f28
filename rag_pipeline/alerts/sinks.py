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
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from rag_pipeline.alerts.forms import as_json, plain, slack, subject, teams
from rag_pipeline.contracts.alerts import Message
from rag_pipeline.errors import AlertUndeliverable
from rag_pipeline.settings.alerts import AlertSinkSettings, AlertsSettings
from rag_pipeline.shown import keep_secret, secrets_of

log = logging.getLogger("rag_pipeline.alerts")

# Receivers answer in a word; what an error page says is nobody's business.
_MOST_ANSWER_BYTES = 2_000
_LONGEST_WAIT_SECONDS = 86_400.0


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
        _SENDERS[sink.kind](message, sink, alerts, environment, folder)
    except AlertUndeliverable:
        raise
    except (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as error:
        # Their messages may quote an address that opens the place, or what the other side sent.
        raise _undeliverable(message.sink, _said(error)) from None


def _undeliverable(sink: str, why: str, wait: float = 0.0) -> AlertUndeliverable:
    return AlertUndeliverable(
        f"sink {sink} did not take the message: {why}. It is tried again by itself; try the sink with: "
        f"rag-pipeline alerts test {sink}",
        sink=sink,
        wait_seconds=wait,
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
        body = json.dumps(form(message, alerts), ensure_ascii=False).encode("utf-8", "replace")
        request = urllib.request.Request(url, body, headers, method="POST")
        opener = urllib.request.build_opener(_NoRedirect())
        try:
            with opener.open(request, timeout=sink.timeout_seconds) as answer:
                answer.read(_MOST_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                wait = error.headers.get("Retry-After", "")
            seconds = min(float(wait), _LONGEST_WAIT_SECONDS) if wait.isdecimal() else 0.0
            raise _undeliverable(message.sink, f"it answered {error.code}", seconds) from None

    return sent


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
        server.send_message(mail)


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
