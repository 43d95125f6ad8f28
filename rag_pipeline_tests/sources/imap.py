"""A real IMAP server on this machine, in a process of its own, and a way to it that can be closed.

Belongs here: starting it, and what tests do to its mailboxes. Does not belong here: tests.
"""

from __future__ import annotations

import asyncio
import imaplib
import multiprocessing
import socket
import threading
from contextlib import AsyncExitStack, suppress
from multiprocessing.synchronize import Event
from typing import Any

import pytest

USER, PASSWORD = "ferry@example.org", "a long one"


def _serve(port: int, ready: Event) -> None:
    from mail_devel.service import Service

    async def run() -> None:
        arguments = ["--host", "127.0.0.1", "--user", USER, "--password", PASSWORD, "--no-http"]
        service = await Service.init(Service.parse([*arguments, "--imap-port", str(port), "--smtp-port", "0"]))
        assert service.imap is not None
        assert service.backend is not None
        # Of its services the one that is read.
        async with AsyncExitStack() as stack:
            await service.backend.start(stack)
            await service.imap.start(stack)
            ready.set()
            await asyncio.Event().wait()

    asyncio.run(run())


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Postbox:
    """The server, and what its user does there."""

    def __init__(self) -> None:
        self.port = free_port()
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        self._process = context.Process(target=_serve, args=(self.port, ready), daemon=True)
        self._process.start()
        if not ready.wait(60):
            self.close()
            pytest.skip("the IMAP server of mail-devel does not start here")

        # The server takes long to check a password.
        self._client = imaplib.IMAP4("127.0.0.1", self.port)
        self._client.login(USER, PASSWORD)

    def close(self) -> None:
        with suppress(OSError, imaplib.IMAP4.error, AttributeError):
            self._client.logout()
        self._process.terminate()
        self._process.join(10)

    def ask(self, name: str, *arguments: Any, folder: str | bytes | None = None) -> list[Any]:
        """One command of `imaplib`, by its name there, in a folder where one is given; it must be done."""
        if folder is not None:
            self._client.select(folder)  # type: ignore[arg-type]
        kind, data = getattr(self._client, name)(*arguments)
        assert kind == "OK", data
        return list(data)

    def remove(self, folder: str | bytes, messages: str = "1:*") -> None:
        """Take messages out of a folder, by number."""
        if self.ask("search", None, "ALL", folder=folder) != [b""]:
            self.ask("store", messages, "+FLAGS", "\\Deleted")
        # That takes them away, and leaves the folder.
        self.ask("close")

    def empty(self) -> None:
        """Take every message and folder away but INBOX, which always is there."""
        for line in self.ask("list"):
            name = line.rpartition(b' "/" ')[2]
            if name != b"INBOX" and b"Noselect" not in line:
                self.ask("delete", name)
        self.remove("INBOX")


class Gate:
    """A way to a server that can be closed, and cut after so many bytes of answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lines: list[socket.socket] = []
        self.is_open = True
        self.cut_at: bytes | None = None
        self.said: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.shut()
        self._listener.close()

    def shut(self) -> None:
        """Nobody comes through, and who was through is cut off."""
        self.is_open = False
        for line in self._lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            if not self.is_open:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._port))
            self._lines += [near, far]
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, start: socket.socket, end: socket.socket, is_asking: bool) -> None:
        with suppress(OSError):
            while data := start.recv(65536):
                if is_asking:
                    self.said.append(data)
                elif self.cut_at is not None and self.cut_at in data:
                    end.sendall(data[: data.index(self.cut_at)])
                    break
                end.sendall(data)
        for line in (start, end):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
