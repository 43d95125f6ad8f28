"""What says "look here", and what says nothing whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.hints import Bucket, Hint, bucket_of, hints_of

AZURE = {"new": Bucket("wiki", "", "acct"), "old": Bucket("wiki", "", "other"), "any": Bucket("wiki", "pages/")}
BLOB = {
    "topic": "/subscriptions/1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acct",
    "subject": "/blobServices/default/containers/wiki/blobs/pages/a b+c.md",
    "eventType": "Microsoft.Storage.BlobCreated",
    "data": {"api": "PutBlob", "url": "https://acct.blob.core.windows.net/wiki/pages/a%20b%2Bc.md"},
}
CLOUD = {
    "specversion": "1.0",
    "type": "Microsoft.Storage.BlobDeleted",
    "source": BLOB["topic"],
    "subject": "blobServices/default/containers/wiki/blobs/pages/a b+c.md",
    "data": BLOB["data"],
}
OF_AZURE = {Hint("new", "pages/a b+c.md"), Hint("any", "a b+c.md")}
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


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (BLOB, OF_AZURE),
        (CLOUD, OF_AZURE),
        ([BLOB, CLOUD, 3, None, [BLOB]], OF_AZURE),
        # It was renamed: both places are looked at.
        (
            BLOB
            | {
                "eventType": "Microsoft.Storage.BlobRenamed",
                "data": {"sourceUrl": "https://acct.dfs.core.windows.net/wiki/pages/b%20c.md?x=/wiki/d"},
            },
            OF_AZURE | {Hint("new", "pages/b c.md"), Hint("any", "b c.md")},
        ),
        (BLOB | {"topic": "/subscriptions/1"}, OF_AZURE | {Hint("old", "pages/a b+c.md")}),
        (CLOUD | {"subject": "/blobServices/default/containers/else/blobs/pages/a.md"}, set()),
        (CLOUD | {"subject": None}, set()),
        # An event of something else is no source of that name.
        (CLOUD | {"type": "com.example.made", "source": "new"}, set()),
        ({"eventType": "Microsoft.Storage.BlobCreated", "source": "new"}, set()),
    ],
)
def test_events_of_azure_are_hints_in_both_forms(found: Any, expected: set[Hint]) -> None:
    assert hints_of(found, AZURE) == expected


NAMES = [
    *("Records", "s3", "bucket", "object", "key", "name", "detail", "Message", "source"),
    *("eventType", "type", "subject", "topic", "data", "sourceUrl", "specversion"),
]
words = st.sampled_from(
    ["Microsoft.Storage.BlobCreated", "1.0", str(BLOB["subject"]), str(BLOB["topic"]), "https://a.b/wiki/../../x"]
)
junk = st.recursive(
    st.none() | st.integers() | st.text(max_size=6) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(junk)
def test_whatever_it_is_nothing_but_hints_comes_of_it(found: Any) -> None:
    for hint in hints_of(found, BUCKETS | AZURE):
        assert isinstance(hint.source, str)
        assert hint.address is None or ".." not in hint.address.split("/")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3://wiki/pages", Bucket("wiki", "pages/")),
        ("gs://wiki", Bucket("wiki", "")),
        ("s3://wiki/", Bucket("wiki", "")),
        ("az://wiki/pages", Bucket("wiki", "pages/")),
        ("abfss://wiki@acct.dfs.core.windows.net/pages/", Bucket("wiki", "pages/", "acct")),
        ("docs", None),
        ("file:///docs", None),
        ("https://wiki/pages", None),
    ],
)
def test_a_source_lies_in_a_bucket_or_in_none(location: str, expected: Bucket | None) -> None:
    assert bucket_of(location) == expected
