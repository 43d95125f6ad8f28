"""Mail as a source: flags are no change, a server that breaks off has deleted nothing, replies repeat no quotes."""

from __future__ import annotations

import mailbox
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rag_pipeline.contracts.filters import Condition, Filter
from rag_pipeline.contracts.sources import Source
from rag_pipeline.errors import DocumentUnreadable, DocumentVanished, SettingsError, SourceUnavailable
from rag_pipeline.parsing import parse
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.settings.load import load_pipeline
from rag_pipeline.sources import kind_named, open_source
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.imap import Gate, Postbox
from rag_pipeline_tests.sources.test_mail_conformance import mail_spec

HELLO = (
    b"From: Ada <Ada@Example.org>\nTo: bo@example.org\nSubject: Tide\nMessage-ID: <1@example.org>\n\n"
    b"High water at six.\n"
)
REPLY = (
    b"From: bo@example.org\nTo: ada@example.org\nCc: Mallory <m@elsewhere.net>, undisclosed:;\nBcc: eve@example.org\n"
    b"Subject: Re: Tide\nMessage-ID: <2@example.org>\nIn-Reply-To: <1@example.org>\nReferences: <1@example.org>\n\n"
    b"We sail at seven.\n\nOn Monday, Ada wrote:\n> High water at six.\n"
)


@pytest.fixture(scope="module")
def postbox() -> Iterator[Postbox]:
    found = Postbox()
    yield found
    found.close()


@pytest.fixture
def gate(postbox: Postbox) -> Iterator[Gate]:
    postbox.empty()
    found = Gate(postbox.port)
    yield found
    found.close()


def source_at(port: int, **fields: Any) -> Source:
    return open_source(mail_spec(f"imap://127.0.0.1:{port}", **fields))


def test_flags_are_no_change_and_an_unchanged_folder_is_asked_for_its_status_only(postbox: Postbox, gate: Gate) -> None:
    postbox.ask("append", "INBOX", None, None, HELLO)
    source = source_at(gate.port)
    before = source.list()
    source.fetch(before[0])
    assert postbox.ask("fetch", "1", "(FLAGS)", folder="INBOX") == [b"1 (FLAGS (\\Recent))"]
    postbox.ask("store", "1", "+FLAGS", "\\Seen")
    postbox.ask("close")
    gate.said.clear()
    assert source.list() == before
    said = b"".join(gate.said)
    assert b"STATUS" in said
    assert b"FETCH" not in said
    postbox.ask("append", "INBOX", None, None, REPLY)
    assert len(source.list()) == 2
    assert source.list() == source_at(gate.port).list()


def test_a_folder_that_was_made_anew_holds_other_messages(postbox: Postbox, gate: Gate) -> None:
    for _ in range(2):
        postbox.ask("create", "Harbour")
        postbox.ask("append", "Harbour", None, None, HELLO)
        source = source_at(gate.port)
        [item] = source.list()
        fetched = source.fetch(item)
        postbox.ask("delete", "Harbour")
        with pytest.raises(DocumentVanished):
            source_at(gate.port).fetch(item)
    assert fetched.declared.extra == {"folder": "Harbour", "thread": "<1@example.org>"}
    assert item.modified_at is not None


def test_a_message_that_came_after_the_folder_was_opened_is_found(postbox: Postbox, gate: Gate) -> None:
    postbox.ask("append", "INBOX", None, None, HELLO)
    reader, other = source_at(gate.port), source_at(gate.port)
    reader.fetch(reader.list()[0])
    postbox.ask("append", "INBOX", None, None, REPLY)
    assert b"We sail at seven." in reader.fetch(other.list()[1]).raw


@pytest.mark.parametrize("cut", [b"RFC822.SIZE", b"LIST", b"completed"])
def test_a_server_that_breaks_off_has_listed_nothing(postbox: Postbox, gate: Gate, cut: bytes) -> None:
    postbox.ask("append", "INBOX", None, None, HELLO)
    source = source_at(gate.port)
    gate.cut_at = cut
    with pytest.raises(SourceUnavailable, match=r"Correct `location`, or try again.*Nothing of the source was changed"):
        source.list()
    gate.cut_at = None
    [item] = source.list()
    gate.shut()
    with pytest.raises(DocumentUnreadable, match="does not answer"):
        source.fetch(item)


def test_a_wrong_password_is_said_with_the_field_and_not_shown(gate: Gate) -> None:
    with pytest.raises(SourceUnavailable, match=r"refuses the log-in.*`password` in the environment") as raised:
        source_at(gate.port, secret="tell nobody").list()
    assert "tell nobody" not in str(raised.value)
    with pytest.raises(SourceUnavailable, match=r"offers no TLS there. Use imaps://, or set `starttls: false`"):
        source_at(gate.port, starttls=True).list()


def expired_certificate(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(9)).not_valid_after(now - timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    file = folder / "expired.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(
        made.sign(key, hashes.SHA256()).public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_an_expired_certificate_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = expired_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "expired.pem"))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        near = listener.accept()[0]
        with suppress(OSError), context.wrap_socket(near, server_side=True) as line:
            line.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with pytest.raises(SourceUnavailable, match="the server's certificate has expired"):
        open_source(mail_spec(f"imaps://localhost:{listener.getsockname()[1]}")).list()
    thread.join(10)
    listener.close()


def test_flags_and_reading_rename_a_message_of_a_maildir_and_are_no_change(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "Mail")
    key = box.add(HELLO)
    box.add_folder("Crew.Deck").add(REPLY)
    source = open_source(mail_spec(tmp_path / "Mail"))
    before = source.list()
    assert [item.address.rpartition("/")[0] for item in before] == ["Crew/Deck", "INBOX"]
    message = box.get_message(key)
    message.set_subdir("cur")
    message.set_flags("RS")
    path = tmp_path / "Mail" / "new" / key
    os.rename(path, tmp_path / "Mail" / "cur" / f"{key}:2,RS")  # noqa: PTH104 - the name holds a colon
    assert source.fetch(before[1]).raw == HELLO
    assert source.list() == before
    assert open_source(mail_spec(tmp_path / "Mail")).list() == before
    box.close()


def test_flags_of_an_mbox_and_shifted_positions_are_no_change(tmp_path: Path) -> None:
    path = tmp_path / "crew.mbox"
    twin = b"Subject: x\n\nDear all,\n\nFrom now on we sail.\n>From here.\n"
    parts = [b"From a Mon Jan  5 10:00:00 2026\n" + each + b"\n" for each in (HELLO, twin, twin)]
    path.write_bytes(b"".join(parts))
    source = open_source(mail_spec(path))
    before = source.list()
    assert len(before) == 3
    fetched = {source.fetch(item).raw for item in before}
    assert fetched == {HELLO.rstrip(b"\n"), twin.replace(b">From", b"From").rstrip(b"\n")}
    path.write_bytes(b"".join(parts[1:]).replace(b"Subject: x\n", b"Subject: x\nStatus: RO\nX-Keywords: a\n b\n"))
    left = source.list()
    assert set(left) < set(before)
    assert len(left) == 2
    assert {source.fetch(item).raw for item in left} < fetched
    path.write_bytes(b"not mail at all\n")
    with pytest.raises(SourceUnavailable, match="does not begin like an mbox file"):
        source.list()


def test_a_place_where_nothing_is_mounted_is_no_empty_maildir(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"there is no Maildir.*Correct `location`, or mount it"):
        open_source(mail_spec(tmp_path)).list()


def test_a_reply_does_not_repeat_what_it_quotes() -> None:
    def text(raw: bytes, kind: str = "message/x-reply") -> str:
        return parse(raw, kind, "1.eml", ParseLimits())[0].text

    assert "High water" not in text(REPLY)
    assert "We sail at seven." in text(REPLY)
    assert "High water" in text(REPLY, "message/rfc822")
    head = REPLY.partition(b"\n\n")[0]
    html = head + b"\nContent-Type: text/html\n\n<p>We sail at seven.</p><blockquote>High</blockquote>"
    assert "High" not in text(html)
    # What says nothing of its own is not emptied.
    assert "High water" in text(REPLY.replace(b"We sail at seven.\n\n", b""))


@pytest.mark.parametrize("address", ["Q. <q@x.org>", "q@x.org", "=?utf-8?q?Q?= <Q@X.org>", '"a@b.c, q" <q@x.org>'])
def test_recipients_are_who_may_read(tmp_path: Path, address: str) -> None:
    box = mailbox.Maildir(tmp_path / "Mail")
    box.add(REPLY.replace(b"ada@example.org", address.encode(), 1))
    box.close()
    source = open_source(mail_spec(tmp_path / "Mail", permissions_from="recipients"))
    # Nobody learns from a hit who was in blind copy.
    wanted = ("bo@example.org", "m@elsewhere.net", "q@x.org")
    assert source.fetch(source.list()[0]).declared.allowed_principals == wanted
    narrow = open_source(mail_spec(tmp_path / "Mail", permissions_from="recipients", recipient_domains=["Example.org"]))
    assert narrow.fetch(narrow.list()[0]).declared.allowed_principals == ("bo@example.org",)
    # The setting decides how a message is read, so all are read again.
    assert narrow.list()[0].stamp != source.list()[0].stamp


def test_a_message_is_found_by_those_it_was_sent_to_and_gone_when_it_was_deleted(tmp_path: Path) -> None:
    settings = {"kind": "mail", "location": "Mail", "permissions_from": "recipients"}
    project = Project(tmp_path, Project.create(tmp_path, ()).settings | {"sources": {"mail": settings}})
    box = mailbox.Maildir(tmp_path / "Mail")
    attached = (
        b"From: ada@example.org\nTo: cy@example.org\nSubject: List\nContent-Type: multipart/mixed; boundary=b\n\n"
        b"--b\n\nHere it is.\n--b\nContent-Type: text/csv\nContent-Disposition: attachment; filename=crew.csv\n\n"
        b"name,rank\nOdd,boatswain\n--b--\n"
    )
    keys = [box.add(HELLO), box.add(REPLY), box.add(attached)]
    project.refresh()
    [hit] = [hit for hit in project.search("high water", "bo@example.org") if "High water" in hit.text]
    assert "/INBOX/" in hit.uri
    thread = Filter(frozenset(), conditions=(Condition("thread", "=", ("<1@example.org>",)),))
    assert [hit.title for hit in project.search("sail", "m@elsewhere.net", limits=thread)] == ["Re: Tide"]
    assert any("boatswain" in hit.text for hit in project.search("boatswain", "cy@example.org"))
    assert not any("boatswain" in hit.text for hit in project.search("boatswain", "bo@example.org", "public"))
    embedded = len(project.embedded)
    box.lock()
    message = box.get_message(keys[0])
    box.add_folder("Old").add(message)
    box.remove(keys[0])
    box.remove(keys[2])
    box.close()
    project.refresh()
    assert not project.search("boatswain", "cy@example.org")
    assert len(project.embedded) == embedded
    [hit] = [hit for hit in project.search("high water", "bo@example.org") if "High water" in hit.text]
    assert "/Old/" in hit.uri


def test_a_password_does_not_stand_in_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "sources: {m: {kind: mail, location: 'imaps://h', user: a, password: PASSWORD}}\n"
        "embedding_models: {small: {kind: hashing, model: hashing}}\nserve: small\n",
        "utf-8",
    )
    with pytest.raises(SettingsError, match=r"sources\.m\.password: want the name of a variable of the environment"):
        load_pipeline(path, {})
    path.write_text(path.read_text("utf-8").replace("PASSWORD", "$PASSWORD"), "utf-8")
    assert load_pipeline(path, {"PASSWORD": "pier"}).source_spec("m").fields["password"] == "pier"


def test_that_mail_may_say_who_reads_it_is_listed() -> None:
    assert kind_named("mail").capabilities.gives_permissions
