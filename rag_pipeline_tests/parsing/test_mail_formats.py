"""Mailboxes, invitations, sealed mail, Outlook's bodies and wrappings."""

from __future__ import annotations

import base64
import struct

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError, EncryptedDocument, LimitExceeded
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.mail.outlook_rtf import decompressed, outlook_body, recovered_html
from rag_pipeline.parsing.mail.tnef import SIGNATURE
from rag_pipeline.parsing.media_type import MSG
from rag_pipeline.transforms.left_out import left_out
from rag_pipeline_tests.parsing.compound_files import compound
from rag_pipeline_tests.parsing.rendering import check_invariants

MAIL = "message/rfc822"
HEAD = b"From: ada@example.org\nTo: bo@example.org\nSubject: Tides\nMIME-Version: 1.0\n"
PEOPLE = "From: ada@example.org\nTo: bo@example.org"
LIMITS = ParseLimits()


def test_a_mark_of_byte_order_before_a_message_hides_no_header() -> None:
    raw = b"\xef\xbb\xbfSubject: Tide\nFrom: ada@harbour.example\nMessage-ID: <1@x>\n\nIt turns at six.\n"
    document = parse(raw, media_type_of("a.eml", raw), "a.eml", ParseLimits())[0]
    assert (document.title, document.author) == ("Tide", "ada@harbour.example")


def parsed(raw: bytes, media_type: str = MAIL) -> list[ParsedDocument]:
    documents = parse(raw, media_type, "a.eml", LIMITS)
    check_invariants(documents)
    return documents


def refusal(raw: bytes, media_type: str = MAIL) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(raw, media_type, "a.eml", LIMITS)
    return caught.value


def encoded(media_type: str, data: bytes) -> bytes:
    """A mail of one part."""
    head = f"Content-Type: {media_type}\nContent-Transfer-Encoding: base64\n\n"
    return HEAD + head.encode() + base64.encodebytes(data)


def test_each_message_of_a_mailbox_is_a_document() -> None:
    raw = (
        b"From a@b Mon\n"
        + HEAD
        + b"\nOne.\n>From here on.\n\nFrom c@d Tue\n"
        + HEAD
        + b"\nTwo.\n\nFrom now on: no mail.\n"
    )
    documents = parsed(raw)
    assert [document.part for document in documents] == ["message:1", "message:2"]
    assert [document.text.split("\n\n", 2)[2] for document in documents] == [
        "One.\nFrom here on.",
        "Two.\n\nFrom now on: no mail.",
    ]


def test_a_mailbox_of_too_many_messages_stops_at_the_limit() -> None:
    raw = (b"From a@b Mon\n" + HEAD + b"\nx\n\n") * 20
    with pytest.raises(LimitExceeded):
        parse(raw, MAIL, "a", ParseLimits(max_records=10))


def test_a_message_that_cannot_be_read_costs_a_mailbox_only_itself() -> None:
    sealed = HEAD + b"\n-----BEGIN PGP MESSAGE-----\nx\n-----END PGP MESSAGE-----\n"
    raw = b"From a@b Mon\n" + sealed + b"\nFrom c@d Tue\n" + HEAD + b"\nTwo.\n"
    read, unread = parsed(raw)
    assert (read.part, unread.part) == ("message:2", "message:1")
    assert unread.text == f"Tides\n\n{PEOPLE}"
    assert unread.metadata["unread"] == "encrypted"
    assert left_out(unread.metadata) == {"unread_message": 1}
    nameless = sealed.removeprefix(HEAD).join((b"Date: now\n", b""))
    [read] = parsed(b"From a@b Mon\n" + nameless + b"\nFrom c@d Tue\n" + HEAD + b"\nTwo.\n")
    assert left_out(read.metadata) == {"unread_message": 1}
    assert isinstance(refusal(b"From a@b Mon\n" + sealed + b"\nFrom c@d Tue\n" + sealed), EncryptedDocument)


def test_an_invitation_says_what_when_and_where() -> None:
    event = (
        b'BEGIN:VEVENT\r\nSUMMARY:Review\\, spring\r\nDTSTART;TZID="A/B":20240501T100000\r\n'
        b"DTEND;VALUE=DATE:20240502\r\nORGANIZER;CN=Ada:mailto:a@b\r\nLOCATION:Room\r\n  5\r\n"
        b"ATTENDEE;CN=Bert:mailto:b@b\r\nATTENDEE:mailto:c@b\r\nRRULE:FREQ=WEEKLY;COUNT=3\r\n"
        b"BEGIN:VALARM\r\nDESCRIPTION:Reminder\r\nEND:VALARM\r\nEND:VEVENT\r\n"
    )
    text = parsed(HEAD + b"Content-Type: text/calendar\n\n" + event)[0].text
    lines = [
        "Event: Review, spring",
        "Start: 2024-05-01 10:00",
        "End: 2024-05-02",
        "Location: Room 5",
        "Organizer: Ada",
        "Attendees: Bert, c@b",
        "Repeats: FREQ=WEEKLY;COUNT=3",
    ]
    assert text == f"Tides\n\n{PEOPLE}\n\n" + "\n".join(lines)


def test_what_a_server_reports_of_a_message_is_text() -> None:
    report = b"Reporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; gone@example.org\nStatus: 5.1.1\n"
    body = b"--x\nContent-Type: text/plain\n\nNot delivered.\n--x\nContent-Type: message/delivery-status\n\n"
    raw = HEAD + b"Content-Type: multipart/report; boundary=x\n\n" + body + report + b"--x--\n"
    text = parsed(raw)[0].text
    for words in ("Not delivered.", "mx.example.org", "gone@example.org", "Status: 5.1.1"):
        assert words in text


def der(tag: int, content: bytes) -> bytes:
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


DATA, SIGNED, ENVELOPED = (bytes.fromhex(f"06092a864886f70d01070{number}") for number in (1, 2, 3))


@pytest.mark.parametrize("in_parts", [False, True])
def test_signed_mail_is_read_without_its_envelope(in_parts: bool) -> None:
    inner = b"Content-Type: text/plain\r\n\r\nLow at noon.\r\n"
    octets = der(0x24, der(0x04, inner[:20]) + der(0x04, inner[20:])) if in_parts else der(0x04, inner)
    envelope = der(0x30, SIGNED + der(0xA0, der(0x30, DATA + der(0xA0, octets))))
    assert (
        parsed(encoded("application/pkcs7-mime; smime-type=signed-data", envelope))[0].text
        == f"Tides\n\n{PEOPLE}\n\nLow at noon."
    )


@pytest.mark.parametrize(
    "raw",
    [
        encoded("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", b"x"),
        encoded("application/x-pkcs7-mime; name=smime.p7m", der(0x30, ENVELOPED)),
        HEAD + b'Content-Type: multipart/encrypted; boundary="b"\n\n'
        b"--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n"
        b"--b\nContent-Type: application/octet-stream\n\nx\n--b--\n",
    ],
    ids=["declared", "by content", "PGP"],
)
def test_mail_that_needs_a_key_is_refused_as_encrypted(raw: bytes) -> None:
    assert isinstance(refusal(raw), EncryptedDocument)


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("application/pgp-encrypted", b"-----BEGIN PGP MESSAGE-----\nx\n-----END PGP MESSAGE-----\n"),
        ("application/pkcs7-mime; smime-type=enveloped-data", der(0x30, ENVELOPED)),
    ],
)
def test_a_sealed_part_beside_a_body_is_named_as_unread(media_type: str, data: bytes) -> None:
    parts = b"Content-Type: text/plain\n\nSee what is sealed.\n--x\n" + encoded(media_type, data).removeprefix(HEAD)
    raw = HEAD + b"Content-Type: multipart/mixed; boundary=x\n\n--x\n" + parts + b"\n--x--\n"
    [document] = parsed(raw)
    assert "See what is sealed." in document.text
    assert "(encrypted)" in document.metadata["unread_attachments"]


def test_parts_that_are_announced_but_not_parted_are_read_as_text() -> None:
    assert (
        parsed(HEAD + b"Content-Type: multipart/mixed\n\nLow at noon.\n")[0].text
        == f"Tides\n\n{PEOPLE}\n\nLow at noon."
    )


def squeezed(*pieces: bytes) -> bytes:
    """Compressed RTF that compresses nothing."""
    content = b"".join(pieces)
    return struct.pack("<II4sI", len(content) + 12, len(content), b"MELA", 0) + content


WRAPPED = (
    rb"{\rtf1\ansi\ansicpg1252\fromhtml1{\fonttbl{\f0 Arial;}}{\*\htmltag64 <p>}"
    rb"\htmlrtf \par\htmlrtf0 Caf\'e9 \u8364? 1 < 2"
    rb"\htmlrtf {\b \htmlrtf0{\*\htmltag84 <b>}low{\*\htmltag92 </b>}\htmlrtf }\htmlrtf0{\*\htmltag72 </p>}}"
)


def test_html_within_rtf_is_recovered() -> None:
    assert recovered_html(WRAPPED) == "<p>Caf\u00e9 \u20ac 1 &lt; 2<b>low</b></p>"
    assert outlook_body(squeezed(rb"{\rtf1 Low at noon.\par}"), LIMITS) == ("Low at noon.", "")


def test_compressed_rtf_refers_back_to_what_was_said() -> None:
    # A letter by itself, then "the five bytes that began one byte ago", then the mark of the end.
    literal = b"{\\rtf1 W"
    start = 207 + len(literal) - 1
    tokens = struct.pack(">HH", start << 4 | 3, (start + 1 + 5) << 4)
    data = struct.pack("<II4sI", 0, 0, b"LZFu", 0) + b"\0" + literal + b"\x03" + tokens
    assert decompressed(data) == literal + b"WWWWW"


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_damaged_compressed_bodies_end_quietly(cut: int) -> None:
    data = struct.pack("<II4sI", 0, 0xFFFFFFFF, b"LZFu", 0) + b"\xff" * 24
    assert len(decompressed(data[:cut])) <= 9 * cut


def test_an_outlook_message_with_only_a_compressed_body_is_read() -> None:
    moment = 133_537_032_000_000_000
    properties = bytes(32) + struct.pack("<HHIQ", 0x40, 0x0039, 0, moment) + struct.pack("<HHIQ", 3, 0x3FFD, 0, 1251)
    raw = compound(
        {
            "__properties_version1.0": properties,
            "__substg1.0_0037001E": "\u041f\u0440\u0438\u0432\u0435\u0442".encode("cp1251"),
            "__substg1.0_10090102": squeezed(WRAPPED),
            "__attach_version1.0_#00000000/__substg1.0_3707001F": "a.txt".encode("utf-16-le"),
            "__attach_version1.0_#00000000/__substg1.0_37010102": b"Attached words.\n\n" * 300,
        }
    )
    mail, attached = parsed(raw, MSG)
    assert mail.title == "\u041f\u0440\u0438\u0432\u0435\u0442"
    assert "Caf\u00e9 \u20ac 1 < 2low" in mail.text.replace("**", "")
    assert mail.metadata["date"] == "2024-02-29T18:00:00+00:00"
    assert attached.text.startswith("Attached words.")


def attribute(kind: int, value: bytes) -> bytes:
    return b"\1" + struct.pack("<II", kind, len(value)) + value + b"\0\0"


def test_what_outlook_wraps_is_body_and_attachments() -> None:
    name = "plan.txt".encode("utf-16-le") + b"\0\0"
    named = struct.pack("<IHHII", 1, 0x1F, 0x3707, 1, len(name)) + name
    wrapped = SIGNATURE + b"\0\0" + attribute(0x2800C, b"Low at noon.\0") + attribute(0x69002, b"")
    wrapped += attribute(0x6800F, b"The plan in words.") + attribute(0x69005, named)
    mail, attached = parsed(encoded("application/ms-tnef; name=winmail.dat", wrapped))
    assert mail.text == f"Tides\n\n{PEOPLE}\n\nLow at noon."
    assert (attached.part, attached.text) == ("attachment:1:plan.txt", "The plan in words.")


@pytest.mark.parametrize("count", [0, 1, 0xFFFFFFFF])
def test_a_damaged_wrapping_keeps_the_subject(count: int) -> None:
    wrapped = SIGNATURE + b"\0\0" + attribute(0x69003, struct.pack("<IHHI", count, 0x1003, 3, count) + b"abc")
    assert parsed(encoded("application/ms-tnef; name=winmail.dat", wrapped))[0].text == f"Tides\n\n{PEOPLE}"


def test_attachments_together_stay_within_the_limit_of_text() -> None:
    part = b"--b\nContent-Type: text/plain; name=a.txt\n\n" + b"word " * 30 + b"\n"
    raw = HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + part * 3 + b"--b--\n"
    documents = parse(raw, MAIL, "a.eml", ParseLimits(max_text_chars=400))
    assert len(documents) == 3
    assert "limit_exceeded" in documents[0].metadata["unread_attachments"]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("page.mhtml", HEAD + b"Content-Type: multipart/related; boundary=b\n\n"),
        ("box.mbox", b"From - Mon Jan 1\n" + HEAD),
        ("a.eml", HEAD + b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: 8bit\n\n\0\1\2"),
    ],
)
def test_saved_pages_mailboxes_and_mail_with_binary_parts_are_mail(name: str, raw: bytes) -> None:
    assert media_type_of(name, raw) == MAIL


def test_a_saved_page_is_read_without_its_style_sheets() -> None:
    page = (
        b"--b\nContent-Type: text/html\n\n<p>Low at noon.</p>\n--b\nContent-Type: text/css\n\np { color: red }\n--b--\n"
    )
    documents = parsed(HEAD + b"Content-Type: multipart/related; boundary=b\n\n" + page)
    assert [document.text for document in documents] == [f"Tides\n\n{PEOPLE}\n\nLow at noon."]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("charset", ["utf-16", "utf-8", "iso-8859-1"])
def test_a_message_saved_as_utf_16_is_a_message(encoding: str, charset: str) -> None:
    text = HEAD.decode() + f'Content-Type: text/plain; charset="{charset}"\n\nEbbe um zw\u00f6lf.\n'
    (document,) = parsed(text.encode(encoding))
    assert document.title == "Tides"
    assert document.text == f"Tides\n\n{PEOPLE}\n\nEbbe um zw\u00f6lf."
    box = f"From a@b Mon\n{text}\nFrom c@d Tue\n{text}"
    assert [found.part for found in parsed(box.encode(encoding))] == ["message:1", "message:2"]


def test_who_wrote_to_whom_is_text() -> None:
    head = (
        b"From: =?utf-8?q?J=C3=B6rg?= <j@example.org>\nTo: Bo <bo@example.org>\nCc: Cy <cy@example.org>\nSubject: x\n"
    )
    (document,) = parsed(head + b"\nLow at noon.\n")
    assert "From: J\u00f6rg <j@example.org>\nTo: Bo <bo@example.org>\nCc: Cy <cy@example.org>" in document.text
