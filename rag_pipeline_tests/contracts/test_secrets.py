"""What opens a place is never shown with it."""

from __future__ import annotations

import pytest

from rag_pipeline.shown import without_secrets


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("sftp://amy:b0at@host:22/docs", "sftp://host:22/docs"),
        ("https://t0ken@host/docs", "https://host/docs"),
        ("ftp://amy:b0@t@host/docs", "ftp://host/docs"),
        ("ftp://amy:b0/at@host/docs", "ftp://host/docs"),
        ("https://host/docs?sig=b0at&se=2026", "https://host/docs"),
        ("simplecache::https://amy:b0at@host/docs", "simplecache::https://host/docs"),
        ("abfss://notes@account.dfs.core.windows.net/x", "abfss://notes@account.dfs.core.windows.net/x"),
        ("github://harbour:notes@main/docs", "github://harbour:notes@main/docs"),
        ("s3://bucket/what?", "s3://bucket/what?"),
        ("https://host:8080/docs", "https://host:8080/docs"),
        ("/home/amy/a@b?c=d", "/home/amy/a@b?c=d"),
    ],
)
def test_a_location_is_shown_without_what_opens_it(location: str, shown: str) -> None:
    assert without_secrets(location) == shown
