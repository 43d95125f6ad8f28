"""Connections to an IMAP server, and what it means when there are none.

Belongs here: connecting, logging in, lending connections to threads, wording failures.
Does not belong here: folders and messages (`imap.py`).
"""

from __future__ import annotations

import imaplib
import ssl
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from imap_tools import (
    BaseMailBox,
    ImapToolsError,
    MailBox,
    MailboxLoginError,
    MailBoxUnencrypted,
    UnexpectedCommandStatusError,
)

from rag_pipeline.contracts.sources import SourceSpec
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.shown import keep_secret, visible
from rag_pipeline.sources.mail.messages import unavailable

# So long it is not asked again for a message: each question may take as long as a connection takes to fail.
_DOWN_SECONDS = 30
_CERTIFICATE_EXPIRED = 10


class Refused(Exception):
    """The server answered, and says no."""


def answered(answer: tuple[Any, list[Any]]) -> tuple[Any, list[Any]]:
    """The answer to a command, if the server did what was asked.

    Raises:
        Refused: It did not.
    """
    if answer[0] != "OK":
        raise Refused(f"the server answers {_words(answer[1])}")
    return answer


class ImapServer:
    """The server that a source's settings name. Connections are kept, and closed with it."""

    def __init__(self, spec: SourceSpec) -> None:
        self._spec = spec
        self._idle: list[BaseMailBox] = []
        self._lock = threading.Lock()
        self._down_until = 0.0
        self._down: SourceUnavailable | None = None
        weakref.finalize(self, _close_all, self._idle)

    def try_again(self) -> None:
        """Ask anew, however lately it was down."""
        self._down = None
        with self._lock:
            kept = [self._idle.pop() for _ in range(len(self._idle))]
        _close_all(kept)

    @contextmanager
    def connected(self) -> Iterator[BaseMailBox]:
        """A connection that is logged in, for one thread.

        Raises:
            SourceUnavailable: The server does not answer, does not let us in, or breaks off.
        """
        down = self._down
        if down is not None and time.monotonic() < self._down_until:
            raise SourceUnavailable(down.message, **down.facts)
        box: BaseMailBox | None = None
        is_whole = False
        try:
            with self._lock:
                box = self._idle.pop() if self._idle else None
            box = box or self._opened()
            yield box
            is_whole = True
        except (imaplib.IMAP4.error, ImapToolsError, OSError, ValueError) as error:
            self._down = unavailable(self._spec, self._said(error))
            self._down_until = time.monotonic() + _DOWN_SECONDS
            raise self._down from error
        except Refused as error:
            raise unavailable(self._spec, f"{error}. Ask its owner.") from error
        except Exception:
            # A document that is gone or too large says nothing about the connection.
            is_whole = True
            raise
        finally:
            if box is not None:
                if is_whole:
                    with self._lock:
                        self._idle.append(box)
                else:
                    _close_all([box])

    def _opened(self) -> BaseMailBox:
        parts = urlsplit(self._spec.location)
        fields = self._spec.fields
        user = fields["user"] or unquote(parts.username or "")
        password = fields["password"] or unquote(parts.password or "")
        keep_secret([each for each in (password, fields["access_token"]) if each])
        if parts.scheme not in ("imap", "imaps") or not parts.hostname:
            raise unavailable(
                self._spec, "its address is none of an IMAP server. Correct `location`, like imaps://imap.example.org."
            )
        if not user or not (password or fields["access_token"]):
            raise unavailable(self._spec, "nobody logs in. Set `user`, and `password` or `access_token`.")
        box = self._connection(parts.scheme, parts.hostname, parts.port)
        try:
            if fields["access_token"]:
                return box.xoauth2(user, fields["access_token"], initial_folder=None)
            if (user + password).isascii():
                return box.login(user, password, initial_folder=None)
            return box.login_utf8(user, password, initial_folder=None)
        except BaseException:
            _close_all([box])
            raise

    def _connection(self, scheme: str, host: str, port: int | None) -> BaseMailBox:
        seconds = self._spec.fields["timeout_seconds"]
        trusted = ssl.create_default_context()
        if scheme == "imaps":
            return MailBox(host, port or 993, timeout=seconds, ssl_context=trusted)
        box = MailBoxUnencrypted(host, port or 143, timeout=seconds)
        if self._spec.fields["starttls"]:
            try:
                # The class for it in imap-tools leaves the connection open where this fails.
                answered(box.client.starttls(trusted))
            except BaseException:
                _close_all([box])
                raise
        return box

    def _said(self, error: Exception) -> str:
        """What happened, and what to do about it."""
        if isinstance(error, ssl.SSLCertVerificationError):
            what = "has expired" if error.verify_code == _CERTIFICATE_EXPIRED else f"is not trusted ({_words(error)})"
            return f"the server's certificate {what}. Ask its owner to renew it, or correct `location`."
        # What follows `AUTHENTICATE` is no tagged answer of imap-tools but an error of the client.
        if isinstance(error, MailboxLoginError) or "AUTHENTICATE" in str(error).upper()[:200]:
            return f"the server refuses the log-in ({_words(error)}). Correct `user`, or `password` in the environment."
        if isinstance(error, imaplib.IMAP4.error) and "TLS" in str(error).upper():
            return "the server offers no TLS there. Use imaps://, or set `starttls: false`."
        if isinstance(error, TimeoutError):
            return "the server does not answer in time. Try again, or allow more `timeout_seconds`."
        if isinstance(error, UnexpectedCommandStatusError):
            return f"the server says no ({_words(error)}). Ask its owner, or leave the folder out with `exclude`."
        return f"the server does not answer ({_words(error)}). Correct `location`, or try again."


def _words(said: object) -> str:
    """The server's words in an error or an answer, in one line."""
    if isinstance(said, UnexpectedCommandStatusError):
        said = said.command_result[1]
    if isinstance(said, list):
        said = " ".join(each.decode("utf-8", "replace") for each in said if isinstance(each, bytes))
    return visible(next(iter(str(said).splitlines()), ""))[:200] or type(said).__name__


def _close_all(boxes: list[BaseMailBox]) -> None:
    for box in boxes:
        with suppress(OSError, imaplib.IMAP4.error):
            box.client.shutdown()
    boxes.clear()
