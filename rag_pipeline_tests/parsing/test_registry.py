"""`parse` gives documents or raises a DocumentError, whatever the bytes are."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pipeline.errors import (
    DocumentError,
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
    LimitExceeded,
    NeedsOcr,
    UnparsableDocument,
    UnsupportedMediaType,
)
from rag_pipeline.parsing import ParseLimits, media_type_of, parse, recipe_version, registry
from rag_pipeline.parsing.registry import FORMATS
from rag_pipeline_tests.parsing.rendering import check_invariants, is_surprise, outcome

LIMITS = ParseLimits()
TEXT_TYPES = sorted(media_type for media_type, row in FORMATS.items() if row.is_text and row.name != "html")
ADDRESSES = {"text/x-python": "a.py", "text/x-rust": "a.rs", "text/x-c++": "a.cpp", "text/x-tsx": "a.tsx"}
PIECES = [
    *(
        "# a",
        "a",
        "---",
        "===",
        "```",
        "| a | b |",
        "|--|--|",
        "- x",
        "  y",
        "> q",
        "",
        "[a]: b",
        "<div>",
        "\\section{x}",
        "\\begin{itemize}",
        "\\item z",
        "{",
        "}",
    ),
    *("----", "|===", "* h", "+++", "a: b", "::", ".. x::", "#+begin_src", "#+end_src", "def f():"),
    *("class A {", "/* c */", "00:01.000 --> 00:02.000", "ANNA: hi", '{"a": "b"}', "[1]", "<a>", "</a>", "é"),
]
MARKUP = st.lists(st.sampled_from([*(piece + "\n" for piece in PIECES), '"', ",", ";", "\r\n"]), max_size=30).map(
    "".join
)


@pytest.mark.parametrize("media_type", TEXT_TYPES)
@settings(max_examples=40)
@given(raw=st.one_of(MARKUP.map(str.encode), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_text_parses_or_is_refused_with_a_reason(media_type: str, raw: bytes) -> None:
    result = outcome(raw, media_type, ADDRESSES.get(media_type, "a"))
    assert not is_surprise(result)
    if isinstance(result, list):
        check_invariants(result)


@pytest.mark.parametrize("media_type", TEXT_TYPES)
@settings(max_examples=10)
@given(raw=st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused_with_a_reason(media_type: str, raw: bytes) -> None:
    result = outcome(raw, media_type)
    assert not is_surprise(result)
    if isinstance(result, list):
        check_invariants(result)


@pytest.mark.parametrize("media_type", [name for name in TEXT_TYPES if name != "application/xml"])
@settings(max_examples=25)
@given(text=MARKUP)
def test_line_ends_make_no_difference(media_type: str, text: str) -> None:
    unix = text.replace("\r\n", "\n")
    results = [outcome(raw, media_type) for raw in (unix.encode(), unix.replace("\n", "\r\n").encode())]
    assert [result if isinstance(result, list) else result.code for result in results[:1]] == [
        result if isinstance(result, list) else result.code for result in results[1:]
    ]


def test_what_is_to_be_done_is_said_of_content_that_is_nothing() -> None:
    for raw, said in (
        (b"", "look at what wrote it"),
        (b"\0\1\2rubbish", "of no format that is read, whatever the name"),
    ):
        with pytest.raises(DocumentError, match=said):
            parse(raw, media_type_of("report.pdf", raw), "report.pdf", LIMITS)


@pytest.mark.parametrize(
    ("address", "raw", "error"),
    [
        ("a.md", b"", EmptyDocument),
        ("a.png", b"", EmptyDocument),
        ("a.md", b" \n\t\n", EmptyDocument),
        ("a.md", b"---\ntitle: only this\n---\n", EmptyDocument),
        ("a.txt", b"words" + bytes(5000), UnsupportedMediaType),
        ("a.txt", b"word " * 2000 + b"\0", UnsupportedMediaType),
        ("a.png", b"\x89PNG\r\n\x1a\n123", NeedsOcr),
        ("a.exe", b"MZ\0\0\0", UnsupportedMediaType),
        ("a.zip", b"PK\x05\x06" + bytes(18), EmptyDocument),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), EncryptedDocument),
        ("a.json", b"[" * 100_000 + b"]" * 100_000, UnparsableDocument),
        ("a.json", b'[{"a": 1}, {"a"', UnparsableDocument),
        ("a.ndjson", b"x\ny\n", UnparsableDocument),
        ("a.ipynb", b"{}", UnparsableDocument),
        ("a.vtt", b"WEBVTT\n\nno cues", UnparsableDocument),
        ("a.xml", b"no markup", UnparsableDocument),
        ("a.xml", b"<a>" * 5000 + b"x" + b"</a>" * 5000, UnparsableDocument),
        ("a.xml", b"<a " + b'b="1" ' * 50_000 + b"/>", LimitExceeded),
    ],
)
def test_what_cannot_be_indexed_is_refused_for_the_right_reason(
    address: str, raw: bytes, error: type[DocumentError]
) -> None:
    with pytest.raises(error) as caught:
        parse(raw, media_type_of(address, raw[:4096]), address, LIMITS)
    assert type(caught.value) is error


def test_limits_are_held() -> None:
    with pytest.raises(DocumentTooLarge):
        parse(b"x" * 101, "text/plain", "a", ParseLimits(max_text_bytes=100))
    with pytest.raises(LimitExceeded):
        parse(b"x" * 101, "text/plain", "a", ParseLimits(max_text_chars=100))
    records = "\n".join(json.dumps({"id": number, "text": "prose of some length " * 3}) for number in range(5))
    with pytest.raises(LimitExceeded):
        parse(records.encode(), "application/x-ndjson", "a", ParseLimits(max_records=4))


def test_an_external_entity_is_not_read() -> None:
    raw = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>before &x; after</a>'
    text = parse(raw, "application/xml", "a.xml", LIMITS)[0].text
    assert text == "before &x; after"


def test_nested_entities_do_not_expand() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "boom"}">' for n in range(12))
    raw = f"<!DOCTYPE a [{entities}]><a>words &e11; more</a>".encode()
    assert len(parse(raw, "application/xml", "a.xml", LIMITS)[0].text) < 100


def test_versions_are_read_without_importing_and_are_those_of_the_modules() -> None:
    for module in sorted({each.module for each in registry.FORMATS.values()}):
        imported = import_module(f"rag_pipeline.parsing.{module}")
        assert registry._written_version(module) == imported.VERSION, module


@pytest.mark.parametrize("media_type", ["message/rfc822", "application/zip"])
def test_what_holds_files_of_any_kind_is_parsed_again_when_a_parser_changes(
    monkeypatch: pytest.MonkeyPatch, media_type: str
) -> None:
    before = recipe_version(media_type)
    monkeypatch.setattr("rag_pipeline.parsing.markup.markdown.VERSION", "99")
    assert recipe_version(media_type) != before


def test_recipe_versions_name_the_format_and_its_version() -> None:
    assert recipe_version("text/markdown").startswith("markdown/")
    assert recipe_version("image/png") == "unsupported/1"
    assert {recipe_version(media_type) for media_type in TEXT_TYPES}
