"""What every kind of source promises, shown for mail on a real IMAP server, in a Maildir and in an mbox file."""

from __future__ import annotations

import mailbox
from collections.abc import Iterator, Sequence
from email import message_from_bytes
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from imap_tools.utils import encode_folder

from rag_pipeline.contracts.sources import FetchedObject, Source, SourceSpec
from rag_pipeline.settings.sources import MailSettings
from rag_pipeline.sources import open_source
from rag_pipeline.testing import SourceConformance
from rag_pipeline_tests.sources.imap import PASSWORD, USER, Gate, Postbox


def mail_spec(location: Path | str, *, secret: str = PASSWORD, **fields: Any) -> SourceSpec:
    """A spec of kind `mail` as the settings would give it, with the password out of the environment."""
    given = {"kind": "mail", "location": str(location)} | fields
    if "://" in str(location):
        given = {"user": USER, "password": "$PASSWORD", "starttls": False} | given
    settings = MailSettings.model_validate(given)
    own = settings.own_fields | ({"password": secret} if settings.password else {})
    return SourceSpec(
        "mail", str(location), kind="mail", fields=own, include=settings.include, exclude=settings.exclude
    )


def message_of(text: str) -> bytes:
    head = "From: Ada <ada@example.org>\nTo: crew@example.org\nSubject: News\nMIME-Version: 1.0\n"
    return f"{head}Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{text}".encode()


class Messages(SourceConformance):
    """The text that is put in is a message's body."""

    def text_of(self, fetched: FetchedObject) -> str:
        body = message_from_bytes(fetched.raw).get_payload(decode=True)
        assert isinstance(body, bytes)
        return body.decode("utf-8").replace("\r\n", "\n")


class MaildirWorld:
    """A Maildir with one folder; who may read it, the settings say."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "Mail"
        mailbox.Maildir(self._folder).close()
        self._times = 0

    def source(self) -> Source:
        return open_source(mail_spec(self._folder))

    def _file(self, name: str) -> Path:
        return self._folder / "cur" / f"{sha256(name.encode()).hexdigest()}:2,S"

    def put(self, name: str, text: str) -> None:
        self._file(name).write_bytes(message_of(text))

    def delete(self, name: str) -> None:
        self._file(name).unlink()

    def fill(self, count: int) -> None:
        for number in range(count):
            (self._folder / "new" / f"{number}.M1P2.host").write_bytes(b"\n")

    def break_down(self) -> None:
        self._folder.rename(self._folder.with_name("away"))

    def heal(self) -> None:
        self._folder.with_name("away").rename(self._folder)

    def allow(self, name: str, principals: Sequence[str]) -> None:
        raise NotImplementedError


class MboxWorld(MaildirWorld):
    """An mbox file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "crew.mbox"
        self._texts: dict[str, bytes] = {}
        self._write()

    def _write(self) -> None:
        parts = [b"From ada Mon Jan  5 10:00:00 2026\n" + message + b"\n\n" for message in self._texts.values()]
        self._folder.write_bytes(b"".join(parts))

    def put(self, name: str, text: str) -> None:
        self._texts[name] = message_of(text)
        self._write()

    def delete(self, name: str) -> None:
        del self._texts[name]
        self._write()

    def fill(self, count: int) -> None:
        self._texts |= {str(number): b"Subject: %d\n\n" % number for number in range(count)}
        self._write()


class ImapWorld(MaildirWorld):
    """A mailbox of a real server, behind a gate; each name is a folder with one message."""

    def __init__(self, postbox: Postbox) -> None:
        self._postbox = postbox
        self._gate = Gate(postbox.port)
        self._names: set[str] = set()

    def source(self) -> Source:
        return open_source(mail_spec(f"imap://127.0.0.1:{self._gate.port}"))

    def put(self, name: str, text: str) -> None:
        folder = encode_folder(name)
        if name in self._names:
            self.delete(name)
        else:
            self._postbox.ask("create", folder)
        self._names.add(name)
        self._postbox.ask("append", folder, None, None, message_of(text))

    def delete(self, name: str) -> None:
        self._postbox.remove(encode_folder(name))

    def fill(self, count: int) -> None:
        for number in range(count):
            self._postbox.ask("append", "INBOX", None, None, b"Subject: %d\r\n\r\n" % number)

    def break_down(self) -> None:
        self._gate.shut()

    def heal(self) -> None:
        self._gate.is_open = True


class TestMaildir(Messages):
    # Making files takes longer than listing them.
    many = 1_000

    @pytest.fixture
    def world(self, tmp_path: Path) -> MaildirWorld:
        return MaildirWorld(tmp_path)


class TestMbox(Messages):
    many = 3_000
    objects_change = False

    @pytest.fixture
    def world(self, tmp_path: Path) -> MboxWorld:
        return MboxWorld(tmp_path)


class TestImap(Messages):
    many = 50
    objects_change = False

    @pytest.fixture
    def world(self, postbox: Postbox) -> Iterator[ImapWorld]:
        postbox.empty()
        world = ImapWorld(postbox)
        yield world
        world.break_down()


@pytest.fixture(scope="module")
def postbox() -> Iterator[Postbox]:
    found = Postbox()
    yield found
    found.close()
