"""Front matter and sidecars: forgiving about descriptions, strict about permissions."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pipeline.contracts.sources import DeclaredMetadata
from rag_pipeline.errors import InvalidMetadata, UndecodableBytes
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.markup.front_matter import (
    FencedBlock,
    UnreadableBlock,
    find_front_matter,
    load_toml,
    load_yaml,
)
from rag_pipeline.parsing.markup.markdown import parse_markdown, parse_mdx
from rag_pipeline.transforms.metadata import merge_declared, read_front_matter, read_sidecar

CONTEXT = ParseContext("a.md", ParseLimits(), parse)

NOTHING = DeclaredMetadata()
FRONT = "---\nallowed_principals: [hr]\n---\n# Text\n"


def front(block: str, fence: str = "---") -> DeclaredMetadata:
    return read_front_matter(f"{fence}\n{block}\n{fence}\n# Text\n".encode())


def test_known_fields_are_read_and_the_rest_is_kept_as_text() -> None:
    declared = front(
        "title: '  A \t title '\nauthors: [Ann, {name: Bo}]\nallowed_principals: [hr, finance, hr]\n"
        "last_modified: 2026-04-01\nlang: en-GB\nversion: 3\ndraft: no\ntags: [a, 2]\n"
    )
    assert declared == DeclaredMetadata(
        title="A title",
        author="Ann, Bo",
        allowed_principals=("finance", "hr"),
        modified_at=datetime(2026, 4, 1, tzinfo=UTC),
        language="en",
        extra={"version": "3", "draft": "false", "tags": '["a", 2]'},
    )


def test_toml_between_plus_signs_is_read() -> None:
    declared = front('title = "A"\nallowed_principals = ["hr"]', fence="+++")
    assert (declared.title, declared.allowed_principals) == ("A", ("hr",))


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf---\r\nallowed_principals: [hr]\r\n---\r\ntext",
        "\ufeff---\nallowed_principals: [hr]\n---\ntext".encode("utf-16-le"),
        "\ufeff---\nallowed_principals: [hr]\n---\ntext".encode("utf-16-be"),
        b"\n\n---\nallowed_principals: [hr]\n---\ntext",
        b"---\nAllowed-Principals: [hr]\n...\ntext",
        b"---\nallowed_principals: hr\n---",
        b"---\ntitle: caf\xe9\nallowed_principals: [hr]\n---\n",
        *(FRONT.encode(encoding) for encoding in ("utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-32-be")),
        FRONT.replace("\n", "\r").encode(),
        f"\u200b{FRONT}".encode(),
        f"\u206f{FRONT}".encode("utf-16-le"),
        f"\ufeff\x1b[0m\u00ad{FRONT}".encode(),
        ("\n" * 5_000 + FRONT).encode(),
        f"{FRONT}Größere Übungen für alle, schön.\n".encode("cp1026"),
        b"---\nallowedPrincipals: [hr]\n---\n",
        b"---\nALLOWEDPRINCIPALS: [hr]\n---\n",
        b"---\n{'allowed principals': [hr], b: 1}\n---\n",
        b'---\n"allowed\\u005fprincipals": [hr]\n---\n',
        json.dumps({"nbformat": 4, "cells": [{"source": ""}, {"cell_type": "raw", "source": [FRONT, "x"]}]}).encode(),
    ],
)
def test_permissions_are_found_in_every_dress(raw: bytes) -> None:
    assert read_front_matter(raw).allowed_principals == ("hr",)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"# allowed_principals: [hr]\n",
        b"---\n\nTwo rules\n\n---\n\nare no front matter\n",
        b"---\nnever closed\n",
        b"---\ntitle: [broken\n---\ntext",
        b"----\ntitle: a\n----\n",
        b"---\n---\n",
        b"---\nwhen: 2026-02-31\n---\n",
        b"\xff\xfe-",
    ],
)
def test_front_matter_that_states_no_permissions_is_never_an_error(raw: bytes) -> None:
    assert read_front_matter(raw) == NOTHING


@pytest.mark.parametrize(
    "block",
    [
        "allowed_principals: 5",
        "allowed_principals:",
        "allowed_principals: {hr: true}",
        "allowed_principals: [hr, 5]",
        "allowed_principals: [no]",
        "allowed_principals: ['']",
        "allowed_principals: hr, finance",
        "allowed_principals: [[hr]]",
        'allowed_principals: ["\\ud800"]',
        'allowed_principals: ["a\\nb"]',
        "allowed_principals: [hr]\nallowed_principals: [public]",
        "allowed_principals: [hr]\nAllowed-Principals: [public]",
        "access:\n  allowed_principals: [hr]",
        "allowed_principals: [hr\ntitle: x",
        "allowed_principals [hr]",
        "allowed_principals: &x [hr]\nother: *x",
        "allowed_principals: [hr]\nwhen: 2026-02-31",
        "allowed_principals: [hr]\ndeep: " + "[" * 50 + "]" * 50,
        "allowed_principals: [hr]\n\x00",
        "{allowed_principals: [hr], allowed_principals: [public]}",
        "{allowed_principals: [hr], allowedPrincipals: [public]}",
        "a: {allowed_principals: [hr]}\na: 5",
        '"allowed\\u005fprincipals": [hr]\nbad: : :',
        '"allowed\\tprincipals": [hr]\nbad: : :',
        '? "allowed_\\\n  principals"\n: [hr]\nbad: : :',
        "allowed_principals: [hr]\ndeep: " + "- " * 30_000,
    ],
)
def test_permissions_that_cannot_be_understood_hold_the_document_back(block: str) -> None:
    with pytest.raises(InvalidMetadata):
        front(block)
    with pytest.raises(InvalidMetadata):
        read_sidecar(block.encode(), is_json=False)


@pytest.mark.parametrize("line", ["allowed" + " " * 200_000, " " * 200_000 + "allowed principals", "-_" * 100_000])
def test_a_line_made_to_keep_the_reader_busy_states_no_permissions(line: str) -> None:
    assert read_front_matter(f"---\n{line}\n".encode()) == NOTHING


def test_front_matter_that_begins_with_permissions_and_never_ends_holds_the_document_back() -> None:
    with pytest.raises(InvalidMetadata, match="does not end"):
        read_front_matter(b"---\ntitle: a\nallowed_principals: [hr]\n\n# Text\n")


@pytest.mark.parametrize(
    "text",
    [
        "---\nx: '" + "a" * 140_000 + "'\nallowed_principals: [hr]\n---\n",
        "---\n{allowedPrincipals: [hr],\n# Text\n",
        "---\n{/*\n---\n*/}\nallowed_principals: [hr]\n---\n",
        "---{/**/}\n'allowed\\u005fprincipals': [hr]\n---\n",
    ],
)
def test_front_matter_of_an_unclear_end_holds_the_document_back(text: str) -> None:
    with pytest.raises(InvalidMetadata):
        read_front_matter(text.encode())


fragments = st.sampled_from(
    ["{", "}", "[", "]", ",", "'", "a", "#", "---", "+++", "...", "<<", "&a", "*a", "!!set", "\\", "\\u005f"]
) | st.sampled_from(
    [
        "\n",
        "\r",
        "\r\n",
        " ",
        '"',
        "- ",
        ": ",
        " = ",
        "? ",
        "\u200b",
        "\ufeff",
        "\u00ad",
        "\u0085",
        "\u2028",
        "title: x\n",
    ]
)
names = st.sampled_from(
    [
        "allowed_principals",
        "Allowed-Principals",
        "allowedPrincipals",
        "'allowed principals'",
        '"allowed\\u005fprincipals"',
    ]
)
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "cp037"])
noise = st.lists(fragments, max_size=6).map("".join)


@given(noise, st.sampled_from(["---", "+++"]), noise, noise, names, st.sampled_from([": ", " = "]), noise, encodings)
@settings(max_examples=600)
def test_whatever_front_matter_is_cut_off_has_stated_its_permissions(
    lead: str, fence: str, start: str, above: str, name: str, sign: str, below: str, encoding: str
) -> None:
    line = f"{name}{sign}['hr']"
    raw = f"{lead}{fence}{start}\n{above}\n{line}\n{below}\n{fence}\nThe text.\n".encode(encoding, "replace")
    try:
        documents = [document for parser in (parse_markdown, parse_mdx) for document in parser(raw, CONTEXT)]
    except UndecodableBytes:
        return
    seen = [document.text.lower() for document in documents]
    if "principals" not in read_text(raw).lower() or all("principals" in text for text in seen):
        return
    try:
        declared = read_front_matter(raw)
    except InvalidMetadata:
        return
    # In a comment, in quotes or in a value it states nothing.
    block = find_front_matter(read_text(raw).lstrip())
    assert declared.allowed_principals == ("hr",) or (block and not states(block))


def states(block: FencedBlock) -> bool:
    """Whether anything in the block could be taken for a field of permissions."""
    try:
        names = [*load_toml(block.body)] if block.fence == "+++" else load_yaml(block.body, allow_aliases=True)[1]
    except UnreadableBlock:
        return True
    return any(re.sub(r"[\W_]", "", name).lower() == "allowedprincipals" for name in names)


def test_the_parser_survives_front_matter_that_is_nested_without_end() -> None:
    raw = b"---\ntitle: x\ndeep:\n  " + b"- " * 30_000 + b"\n---\ntext"
    (document,) = parse_markdown(raw, CONTEXT)
    assert (document.text, document.title) == ("text", "x")


def test_the_message_names_the_place_and_not_the_content() -> None:
    with pytest.raises(InvalidMetadata) as caught:
        front("allowed_principals: [hr\nsecret: x")
    assert "line" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "is_json"),
    [
        (b"", False),
        (b"just text", False),
        (b"- a", False),
        (b"title: [", False),
        (b"", True),
        (b"[]", True),
        (b"{", True),
        (b'{"allowed_principals": ["a"], "allowed_principals": ["b"]}', True),
        (b'{"allowed_principals": ["\\ud800"]}', True),
        (b"[" * 100_000, True),
        (b"- " * 60_000 + b"a", False),
        (b"{a: " * 5_000, False),
        (b"a: &a [x]\nb: [*a, *a]", False),
    ],
)
def test_a_malformed_sidecar_holds_the_document_back(raw: bytes, is_json: bool) -> None:
    with pytest.raises(InvalidMetadata):
        read_sidecar(raw, is_json=is_json)


def test_a_json_sidecar_is_read() -> None:
    declared = read_sidecar(b'{"title": "A", "allowed_principals": [], "nested": {"b": 1}}', is_json=True)
    assert declared == DeclaredMetadata(title="A", allowed_principals=(), extra={"nested": '{"b": 1}'})


@pytest.mark.parametrize(
    "block",
    ["title: [a]", "title: true", "title: ''", "title: \ufffd", "title: 0x" + "F" * 5000, 'title: "\\ud800"'],
)
def test_a_title_that_is_no_text_is_no_title(block: str) -> None:
    assert front(block).title is None


@pytest.mark.parametrize("value", ["2026-04-01 10:00:00+02:00", "'2026-04-01T08:00:00Z'", "2026-04-01T08:00:00"])
def test_moments_are_brought_to_utc(value: str) -> None:
    assert front(f"updated: {value}").modified_at == datetime(2026, 4, 1, 8, tzinfo=UTC)


def test_a_moment_that_is_none_is_kept_as_text() -> None:
    declared = front("updated: yesterday")
    assert (declared.modified_at, declared.extra) == (None, {"updated": "yesterday"})


def test_merging_prefers_the_first_field_by_field() -> None:
    one = DeclaredMetadata(title="a", allowed_principals=(), extra={"x": "1"})
    other = DeclaredMetadata(title="b", author="c", allowed_principals=("hr",), extra={"x": "2", "y": "3"})
    assert merge_declared(one, other) == DeclaredMetadata(
        title="a", author="c", allowed_principals=(), extra={"x": "1", "y": "3"}
    )


principals = st.none() | st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple)
texts = st.none() | st.text(max_size=10)
declarations = st.builds(
    DeclaredMetadata,
    title=texts,
    author=texts,
    allowed_principals=principals,
    modified_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    language=texts,
    extra=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    link_target=texts,
    link_target_principals=principals,
)


@given(declarations)
def test_metadata_survives_json(declared: DeclaredMetadata) -> None:
    text = declared.to_json()
    assert DeclaredMetadata.from_json(text) == declared
    assert DeclaredMetadata.from_json(text).to_json() == text


def test_nothing_declared_is_an_empty_object() -> None:
    assert NOTHING.to_json() == "{}"


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>\n \"'#,?%@`\t", max_size=80).map(str.encode))
@settings(max_examples=300)
def test_no_bytes_make_it_fail_in_another_way(raw: bytes) -> None:
    read_front_matter(raw)
    read_front_matter(b"---\n" + raw + b"\n---\n")
    for block in (raw, b"allowed_principals: [hr]\n" + raw):
        for is_json in (False, True):
            try:
                declared = read_sidecar(block, is_json=is_json)
            except InvalidMetadata:
                continue
            declared.to_json().encode()


@pytest.mark.parametrize(
    "raw",
    [
        "---\nallowed_principals: [fin\u200bance]\n---\n",
        "---\nallowed_principals: ['finance\u00ad']\n---\n",
        "---\nallowed_principals: [' finance']\n---\n",
        '---\nallowed_principals: ["fin\\u2060ance"]\n---\n',
        "---\nallowed_principals: [fin\x1b[0mance]\n---\n",
        '+++\nallowed_principals = ["fin\ufeffance"]\n+++\n',
        "---\nallowed_principals: ['']\n---\n",
    ],
)
def test_a_name_that_cleaning_would_change_is_nobodys(raw: str) -> None:
    with pytest.raises(InvalidMetadata):
        read_front_matter(raw.encode())
    with pytest.raises(InvalidMetadata):
        read_sidecar(raw.strip("-+\n").replace(" = ", ": ").encode(), is_json=False)


def test_what_cleaning_takes_from_a_title_changes_no_permission() -> None:
    raw = "---\ntitle: soft\u00adware\nallowed_principals: [fu\u0308hrung]\n---\n\u200btext"
    assert read_front_matter(raw.encode()).allowed_principals == ("führung",)
