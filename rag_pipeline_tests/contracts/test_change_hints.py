"""What says "look here", and what says nothing whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.hints import Bucket, Hint, bucket_of, hints_of

BUCKETS = {"docs": Bucket("wiki", "pages/"), "all": Bucket("wiki", ""), "other": Bucket("else", "pages/")}
S3 = {"bucket": {"name": "wiki"}, "object": {"key": "pages/a+b.md"}}
BOTH = {Hint("docs", "a b.md"), Hint("all", "pages/a b.md")}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"source": "docs"}, {Hint("docs", None)}),
        ({"source": "docs", "address": "a/b.md"}, {Hint("docs", "a/b.md")}),
        ({"source": "docs", "address": "../b.md"}, {Hint("docs", None)}),
        ({"Records": [{"s3": S3}]}, BOTH),
        ({"Message": json.dumps({"Records": [{"s3": S3}]})}, BOTH),
        # EventBridge and Google quote nothing.
        (
            {"source": "aws.s3", "detail": {"bucket": {"name": "wiki"}, "object": {"key": "pages/a+b.md"}}},
            {Hint("docs", "a+b.md"), Hint("all", "pages/a+b.md")},
        ),
        ({"bucket": "else", "name": "pages/x.md", "kind": "storage#object"}, {Hint("other", "x.md")}),
        ({"bucket": "nowhere", "name": "pages/x.md"}, set()),
        # A folder's own marker: the source as a whole.
        ({"bucket": "else", "name": "pages/"}, {Hint("other", None)}),
        ({"Message": json.dumps({"Message": json.dumps({"Records": [{"s3": S3}]})})}, set()),
    ],
)
def test_lines_of_ours_and_notifications_of_stores_are_hints(found: Any, expected: set[Hint]) -> None:
    assert hints_of(found, BUCKETS) == expected


junk = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Records", "s3", "bucket", "object", "key", "name", "detail", "Message", "source"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(junk)
def test_whatever_it_is_nothing_but_hints_comes_of_it(found: Any) -> None:
    for hint in hints_of(found, BUCKETS):
        assert isinstance(hint.source, str)
        assert hint.address is None or ".." not in hint.address.split("/")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3://wiki/pages", Bucket("wiki", "pages/")),
        ("gs://wiki", Bucket("wiki", "")),
        ("s3://wiki/", Bucket("wiki", "")),
        ("docs", None),
        ("file:///docs", None),
        ("https://wiki/pages", None),
    ],
)
def test_a_source_lies_in_a_bucket_or_in_none(location: str, expected: Bucket | None) -> None:
    assert bucket_of(location) == expected
