"""Addresses can be stored, and lead back to the very name; stamps change with what they stand for."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.sources import SourceSpec
from rag_pipeline.sources.addresses import address_of, name_of, stamp_of, uri_of

SPEC = SourceSpec("x", "docs")


@given(st.binary(max_size=12) | st.text(alphabet="%258AEFaef\xe4\n", max_size=12).map(str.encode))
def test_any_name_becomes_text_that_can_be_stored_and_leads_back(raw: bytes) -> None:
    name = os.fsdecode(raw)
    address = address_of(name)
    assert name_of(address.encode("utf-8").decode("utf-8")) == name


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_different_names_have_different_addresses(one: bytes, other: bytes) -> None:
    if one != other:
        assert address_of(os.fsdecode(one)) != address_of(os.fsdecode(other))


@pytest.mark.parametrize("name", ["100% sure.md", "ü/é.md", "a\nb", "%e4", "%7E"])
def test_nearly_every_name_stays_as_it_is(name: str) -> None:
    assert address_of(name) == name


def test_undecodable_bytes_are_escaped() -> None:
    assert address_of(os.fsdecode(b"caf\xe9.md")) == "caf%E9.md"
    assert address_of("caf%E9.md") == "caf%25E9.md"


@pytest.mark.parametrize(
    ("location", "uri"),
    [
        ("docs", "docs/a.md"),
        ("docs//", "docs/a.md"),
        ("/", "/a.md"),
        ("memory://", "memory://a.md"),
        ("s3://bucket/x/", "s3://bucket/x/a.md"),
    ],
)
def test_a_uri_is_the_location_as_written_and_the_address(location: str, uri: str) -> None:
    assert uri_of(SourceSpec("x", location), "a.md") == uri
    assert uri_of(SourceSpec("x", "/somewhere/else", uri_prefix=location), "a.md") == uri


def test_a_setting_that_changes_how_an_object_is_read_changes_its_stamp() -> None:
    stamps = {
        stamp_of(SPEC, 10, "mtime"),
        stamp_of(SPEC, 11, "mtime"),
        stamp_of(SPEC, 10, "other mtime"),
        stamp_of(replace(SPEC, use_sidecars=False), 10, "mtime"),
        stamp_of(replace(SPEC, use_front_matter=False), 10, "mtime"),
        stamp_of(replace(SPEC, max_document_bytes=5), 10, "mtime"),
        stamp_of(replace(SPEC, location="other"), 10, "mtime"),
    }
    assert len(stamps) == 7


def test_a_limit_that_does_not_concern_an_object_leaves_its_stamp() -> None:
    assert stamp_of(replace(SPEC, max_document_bytes=50), 10, "mtime") == stamp_of(SPEC, 10, "mtime")
