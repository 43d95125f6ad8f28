"""E-mails: own words and quoted ones apart, attachments as documents, damage survived."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError, LimitExceeded
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline_tests.parsing.office_files import docx, paragraph
from rag_pipeline_tests.parsing.rendering import check_invariants

MAIL = "message/rfc822"


def parsed(raw: bytes) -> list[ParsedDocument]:
    documents = parse(raw, MAIL, "a.eml", ParseLimits())
    check_invariants(documents)
    return documents


def blocks(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, document.text[block.start_char : block.end_char]) for block in document.blocks]


def message(plain: str = "Hello there.", html: str = "") -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = "Größe der Datei"
    mail["From"] = "Ada Byron <ada@example.org>"
    mail["To"] = "ops@example.org"
    mail["Date"] = "Tue, 04 Mar 2025 17:20:00 +0100"
    mail["In-Reply-To"] = "<m1@example.org>"
    mail.set_content(plain)
    if html:
        mail.add_alternative(html, subtype="html")
    return mail


def test_a_reply_keeps_its_quotes_apart() -> None:
    plain = "It moves to Thursday.\n\n- bring keys\n- be early\n\nOn Mon, Li wrote:\n> Is Friday fine?\n> I doubt it."
    document = parsed(message(plain).as_bytes())[0]
    assert blocks(document) == [
        ("heading", "Größe der Datei"),
        ("field", "From: Ada Byron <ada@example.org>\nTo: ops@example.org"),
        ("paragraph", "It moves to Thursday."),
        ("list", "- bring keys\n- be early"),
        ("quote", "> On Mon, Li wrote:"),
        ("quote", "> Is Friday fine?\n> I doubt it."),
    ]
    assert document.title == "Größe der Datei"
    assert document.author == "Ada Byron <ada@example.org>"
    assert document.metadata["date"] == "2025-03-04T17:20:00+01:00"
    assert document.metadata["in_reply_to"] == "<m1@example.org>"


def test_words_in_both_forms_stand_in_the_text_once() -> None:
    document = parsed(message("The plan is ready.", "<p>The plan is <b>ready</b>.</p>").as_bytes())[0]
    assert document.text.count("The plan is ready.") == 1


def test_what_only_the_html_form_says_is_kept() -> None:
    html = "<p>See this.</p><p>Prices rise by nine percent in June.</p><blockquote>Old words of Li</blockquote>"
    document = parsed(message("See this.", html).as_bytes())[0]
    assert ("paragraph", "Prices rise by nine percent in June.") in blocks(document)
    assert ("quote", "> Old words of Li") in blocks(document)


def test_attachments_are_documents_of_their_own() -> None:
    mail = message()
    mail.add_attachment("name,count\nduck,3\n", subtype="csv", filename="ducks.csv")
    mail.add_attachment(docx(paragraph("From Word")), maintype="application", subtype="octet-stream", filename="b.docx")
    mail.add_attachment(b"\x89PNG\r\n\x1a\n" + bytes(20), maintype="image", subtype="png", filename="c.png")
    mail.add_attachment(message("Inner words."))
    documents = parsed(mail.as_bytes())
    assert [document.part for document in documents] == [
        "",
        "attachment:1:ducks.csv",
        "attachment:2:b.docx",
        "attachment:4:message.eml",
    ]
    assert documents[2].text == "From Word"
    assert "Inner words." in documents[3].text
    assert documents[0].metadata["unread_attachments"] == "c.png (needs_ocr)"


def test_a_name_with_a_path_in_it_loses_the_path() -> None:
    mail = message()
    mail.add_attachment("some words", filename="../../etc/passwd.txt")
    assert parsed(mail.as_bytes())[1].part == "attachment:1:passwd.txt"


def test_mails_in_mails_in_mails_end() -> None:
    mail = message("innermost")
    for _ in range(8):
        outer = message("outer")
        outer.add_attachment(mail)
        mail = outer
    assert 2 <= len(parsed(mail.as_bytes())) <= 8


def test_too_many_attachments_stop_at_the_limit() -> None:
    mail = message()
    for number in range(201):
        mail.add_attachment("words", filename=f"{number}.txt")
    with pytest.raises(LimitExceeded):
        parsed(mail.as_bytes())


@pytest.mark.parametrize(
    "raw",
    [
        b"From: a@b.c\nSubject: " + b"=?utf-8?b?aGk=?= " * 200_000 + b"\n\nbody words",
        b"From: a@b.c\n" + b"X-A: b\n" * 100_000 + b"\nbody words",
        b"From: =?x-none?q?=FF?=\nDate: never\nContent-Type: text/plain; charset=x-none\n\nbody words",
        b"From: a@b.c\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nbody words",
        b"From: a@b.c\nContent-Transfer-Encoding: base64\n\nYm9keSB3b3Jkcw==!!!",
    ],
    ids=["long header", "many headers", "unknown charset", "unfinished", "bad base64"],
)
def test_damaged_messages_keep_their_words(raw: bytes) -> None:
    assert "body words" in parsed(raw)[0].text


def test_parts_nested_without_end_are_refused() -> None:
    nested = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(2_000))
    with pytest.raises(DocumentError):
        parsed(b"From: a@b.c\n" + nested + b"Content-Type: text/plain\n\nhello\n")


HISTORY = "On Mon, Li wrote:\n> Is Friday fine?\n> I doubt it."


def reply(plain: str, html: str = "") -> ParsedDocument:
    documents = parse(message(plain, html).as_bytes(), "message/x-reply", "a.eml", ParseLimits())
    check_invariants(documents)
    return documents[0]


@pytest.mark.parametrize(
    "plain",
    [
        f"{HISTORY}\n\nThe ferry is late.\n\n> Who pays?\n\nThe harbour pays.",
        "-----Original Message-----\nFrom: Li\n\n> Who pays?\nThe harbour pays.\n> When?\n\nThe ferry is late.",
        "The ferry is late, as the master wrote:\n\nThe harbour pays.\n\n> Who pays?",
        "The ferry is late.\n\n____________________\n\nThe harbour pays.\n\n> Who pays?",
        "The ferry is late.\n\n>From now on the harbour pays.\n\n> Who pays?",
        "The ferry is late.\n\nOn Tuesday the board met and wrote:\n\nThe harbour pays.\n\n> Who pays?",
        "> Who pays?\n\nThe ferry is late.\n\n---------- Forwarded message ---------\nFrom: Bo\n\nThe harbour pays.",
    ],
    ids=["between", "below a mark", "like an attribution", "a ruler", "an escaped From", "own colon", "forwarded"],
)
def test_a_reply_keeps_every_word_of_its_own_and_counts_the_quotes_it_leaves_out(plain: str) -> None:
    found = reply(plain)
    assert "The ferry is late" in found.text
    assert "arbour pays." in found.text
    assert "Who pays?" not in found.text
    assert "I doubt it." not in found.text
    assert int(found.metadata["skipped_quote_count"]) >= 1


@pytest.mark.parametrize(
    "subject", ["FW: Harbour dues", "WG: Harbour dues", "Fwd: Harbour dues", "RE: FW: Harbour dues"]
)
def test_what_outlook_passes_on_is_kept_and_what_an_answer_to_it_quotes_is_not(subject: str) -> None:
    plain = "See below.\n\n-----Original Message-----\nFrom: Li\n\nThe price of the pump rises."
    mail = message(plain, "")
    del mail["Subject"]
    mail["Subject"] = subject
    [found] = parse(mail.as_bytes(), "message/x-reply", "a.eml", ParseLimits())
    assert ("price of the pump" in found.text) == (not subject.startswith("RE:"))
    assert ("skipped_quote_count" in found.metadata) == subject.startswith("RE:")


def test_own_answers_between_the_quotes_of_a_page_are_kept() -> None:
    page = (
        '<div class="gmail_quote"><div class="gmail_attr">On Mon, Li wrote:<br></div><blockquote>Who pays?</blockquote>'
        "<div>The harbour pays.</div><blockquote>When?</blockquote></div><p>The ferry is late.</p>"
    )
    found = reply("", page)
    assert "The harbour pays." in found.text
    assert "The ferry is late." in found.text
    assert not {"Who pays?", "When?", "On Mon, Li wrote:"} & {text.removeprefix("> ") for _, text in blocks(found)}
    assert found.metadata["skipped_quote_count"] == "3"
    passed = (
        '<p>Aye.</p><div class="gmail_quote"><div class="gmail_attr">---------- Forwarded message ---------<br></div>'
        "<p>The harbour pays.</p></div>"
    )
    assert "The harbour pays." in reply("", passed).text
    whole = reply("", '<p>Aye.</p><div class="yahoo_quoted"><div>On Mon, Li wrote:</div><p>Who pays?</p></div>')
    assert "Who pays?" not in whole.text


def test_a_reply_that_says_nothing_of_its_own_leaves_nothing_out() -> None:
    found = reply(HISTORY)
    assert "I doubt it." in found.text
    assert "skipped_quote_count" not in found.metadata
