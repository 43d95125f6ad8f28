"""Secrets and personal data: found by their form, never told, and replaced without moving anything else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.errors import SensitiveContent
from rag_pipeline.transforms import sensitive
from rag_pipeline.transforms.enrich import EnrichOptions, enrich
from rag_pipeline.transforms.sensitive import KINDS, count_sensitive, find_sensitive, redact, redact_text

# Put together from halves, so that no scanner takes this file for a leak.
PEM = (
    "-----BEGIN RSA PRIVATE "
    + "KEY-----\n"
    + "MIIEowIBAAKCAQEAq1w2e3r4t5z6u7i8\n" * 12
    + "-----END RSA PRIVATE "
    + "KEY-----"
)
VALUES = {
    "private_key": PEM,
    "aws_key": "AKIA" + "IOSFODNN7EXAMPLE",
    "github_token": "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vX7zA9cD1eF3gH5",
    "gitlab_token": "glpat-" + "aB3dE5gH7jK9mN1pQ3sT",
    "slack_token": "xoxb-" + "123456789012-123456789012-aB3dE5gH7jK9mN1pQ3sT5vX7",
    "slack_webhook": "https://hooks.slack.com/services/" + "T00000000/B00000000/aB3dE5gH7jK9mN1pQ3sT5vX7",
    "stripe_key": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "google_key": "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "openai_key": "sk-proj-" + "aB3dE5gH7jK9mN1pQ3sT5vX7zA9cD1eF3gH5",
    "anthropic_key": "sk-ant-" + "api03-aB3dE5gH7jK9mN1pQ3sT5vX7zA9cD1eF3gH5",
    "hugging_face_token": "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
    "npm_token": "npm_" + "aB3dE5gH7jK9mN1pQ3sT5vX7zA9cD1eF3gH5",
    "pypi_token": "pypi-AgE" + "IcHlwaS5vcmcCJGFiY2RlZmdoLWFiY2QtYWJjZC1hYmNkLWFiY2RlZmdoaWprbA",
    "azure_key": "AccountKey=" + "aB3dE5gH7jK9mN1pQ3sT5v" * 4 + "==",
    "sendgrid_key": "SG." + "aB3dE5gH7jK9mN1pQ3sT5v" + "." + "aB3dE5gH7jK9mN1pQ3sT5vX7zA9cD1eF3gH5aB3dE5g",
    "twilio_key": "SK" + "0123456789abcdef" * 2,
    "json_web_token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r",
    "email": "anna.berg+port@mail.example.org",
    "iban": "DE89 3704 0044 0532 0130 00",
    "credit_card": "4111 1111 1111 1111",
    "us_ssn": "078-05-1120",
}
VALUES["azure_key"] = "AccountKey=" + ("aB3dE5gH7jK9mN1pQ3sT5v" * 4)[:86] + "=="

LOOK_ALIKES = [
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
    "card 4111 1111 1111 1112 has a wrong check digit, and 0000 0000 0000 0000 has none",
    "DE00 3704 0044 0532 0130 00",
    "phone 555-12-34567, part 12-3456-789, version 123-45-6789-1, range 000-12-3456",
    "the import `from a import b`, @decorator, user@localhost, name@2.1.0, git@github.com:a/b.git",
    "a key begins with -----BEGIN PRIVATE " + "KEY----- and ends with -----END PRIVATE " + "KEY-----",
    "sk-learn, AKIA, task-proj-management-of-the-new-harbour-office, skeleton",
    "0xbb9bc244d798123fde783fcc1c72d3bb8c189413, 550e8400-e29b-41d4-a716-446655440000",
]


def whole(text: str, **more: object) -> ParsedDocument:
    return ParsedDocument(text, (Block("paragraph", 0, len(text)),), **more)  # type: ignore[arg-type]


def test_there_is_an_example_of_every_kind() -> None:
    assert set(VALUES) == set(KINDS)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("around", ["{}", "set it to {}, then", "key='{}'", "({})", "see {}.\nNext", "FOO={} BAR 12"])
def test_a_value_is_found_wherever_it_stands(kind: str, around: str) -> None:
    text = around.format(VALUES[kind])
    assert [one.kind for one in find_sensitive(text)] == [kind]
    redacted = redact_text(text)
    assert redacted.replace("AccountKey=", "") == around.format(f"[redacted:{kind}]")


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_what_only_looks_alike_is_left_alone(text: str) -> None:
    assert find_sensitive(text) == []


@pytest.mark.parametrize("number", ["378282246310005", "5555555555554444", "6011-1111-1111-1117", "3782 822463 10005"])
def test_cards_of_every_length_are_found(number: str) -> None:
    assert [one.kind for one in find_sensitive(f"pay with {number} 12/27")] == ["credit_card"]


def test_an_iban_ends_where_its_checksum_says() -> None:
    text = "to GB82 WEST 1234 5698 7654 32 BIC ABCDEFGH"
    assert redact_text(text) == "to [redacted:iban] BIC ABCDEFGH"


def test_a_key_that_is_cut_off_is_taken_to_its_last_line() -> None:
    cut = PEM[:200]
    assert redact_text(f"before\n{cut}\n\nAfter that, call.") == "before\n[redacted:private_key]\n\nAfter that, call."


def test_prose_between_a_mention_of_a_key_and_a_key_is_kept() -> None:
    head = PEM.partition("\n")[0]
    assert redact_text(f"It starts with {head} always.\n\n{PEM}") == (
        f"It starts with {head} always.\n\n[redacted:private_key]"
    )


def test_a_key_over_several_blocks_belongs_to_the_first_of_them() -> None:
    text = f"Before {PEM}\n\nAfter"
    middle = text.index("MIIE", 60)
    blocks = (
        Block("paragraph", 0, middle - 1),
        Block("heading", middle, middle + 32, 2, "MIIEowIBAAKCAQEAq1w2e3r4t5z6u7i8"),
        Block("paragraph", middle + 33, len(text) - 7),
        Block("paragraph", len(text) - 5, len(text)),
    )
    done = redact(ParsedDocument(text, blocks))
    assert [done.text[b.start_char : b.end_char] for b in done.blocks] == ["Before [redacted:private_key]", "After"]


def test_titles_labels_authors_and_metadata_are_redacted_too() -> None:
    address, text = VALUES["email"], f"Ask {VALUES['email']}"
    document = ParsedDocument(
        text, (Block("heading", 0, len(text), 1, text),), title=text, author=address, metadata={"from": address}
    )
    assert address not in repr(redact(document))
    assert count_sensitive(document) == {"email": 1}


def test_off_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitive, "find_sensitive", None)
    document = whole(VALUES["email"])
    assert enrich(document, "text/plain", EnrichOptions()).text == document.text


def test_flag_counts_kinds_and_keeps_the_text() -> None:
    text = f"{VALUES['email']} and {VALUES['email']} and {VALUES['iban']}"
    found = enrich(whole(text), "text/plain", EnrichOptions(sensitive="flag"))
    assert (found.text, found.metadata) == (text, {"sensitive": "email 2, iban 1"})
    assert enrich(whole("None here."), "text/plain", EnrichOptions(sensitive="flag")).metadata == {}


@pytest.mark.parametrize("kind", VALUES)
def test_a_refusal_names_kinds_and_never_a_value(kind: str) -> None:
    with pytest.raises(SensitiveContent) as caught:
        enrich(whole(f"It is {VALUES[kind]} today"), "text/plain", EnrichOptions(sensitive="quarantine"))
    assert f"{kind} 1" in caught.value.message
    for word in VALUES[kind].split():
        assert word not in caught.value.message + repr(caught.value.facts)


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    piece = st.sampled_from([*VALUES.values(), *(value[:-3] for value in VALUES.values())]) | st.text(
        alphabet="ab1@.- \n=+/K", max_size=12
    )
    text = "".join(draw(st.lists(piece, min_size=1, max_size=8)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8, unique=True)))
    blocks = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        body = text[start:end]
        if body.strip():
            start += len(body) - len(body.lstrip())
            blocks.append(Block("paragraph", start, start + len(body.strip())))
    return ParsedDocument(text, tuple(blocks))


@settings(max_examples=300, deadline=None)
@given(documents())
def test_after_redaction_nothing_is_found_and_nothing_else_has_changed(document: ParsedDocument) -> None:
    done = redact(document)
    assert find_sensitive(done.text) == []
    position = 0
    for piece in re.split(r"\[redacted:\w+\]", done.text):
        position = document.text.index(piece, position) + len(piece)
    end = 0
    for block in done.blocks:
        assert end <= block.start_char < block.end_char <= len(done.text)
        assert done.text[block.start_char : block.end_char].strip() == done.text[block.start_char : block.end_char]
        end = block.end_char
    if not find_sensitive(document.text):
        assert done == document
