"""What opens a place is never shown with it."""

from __future__ import annotations

import pytest

from rag_pipeline.shown import secrets_of, without_secrets


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
        ("ftp://amy:b0::at@host/docs", "ftp://host/docs"),
        ("zip://*.md::http://amy:b0::at@host/a.zip", "zip://*.md::http://host/a.zip"),
        ("ftp://amy:b0?a=t@host/docs", "ftp://host/docs"),
        ("s3://key:b0#t@bucket/docs", "s3://bucket/docs"),
        ("abfss://amy:b0at@account/docs", "abfss://account/docs"),
        ("github://amy:b0at@harbour:notes/docs", "github://harbour:notes/docs"),
        ("https://host/docs?b0at", "https://host/docs"),
        ("https://host/docs#token=b0at", "https://host/docs"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("s3:/key:b0at@bucket/docs", "s3:/bucket/docs"),
        ("/srv/s3:/key:b0at@bucket/docs", "/srv/s3:/bucket/docs"),
    ],
)
def test_a_location_is_shown_without_what_opens_it(location: str, shown: str) -> None:
    assert without_secrets(location) == shown


def test_the_password_of_a_location_is_known_as_it_is_written_and_as_it_is_meant() -> None:
    assert secrets_of("ftp://amy:b0at%40sea@host/docs") == {"b0at%40sea", "b0at@sea"}
    assert secrets_of("zip://a::https://host/a.zip?sig=0123456789abcdef&v=2") == {"0123456789abcdef"}
    assert secrets_of("https://t0ken@host") == {"t0ken"}
    assert secrets_of("s3:/key:b0at@bucket") == {"b0at"}
    for plain in (
        "s3://bucket/docs",
        "abfss://notes@account/x",
        "github://harbour:notes@main",
        "/home/amy/a@b",
        "a.md",
    ):
        assert secrets_of(plain) == set(), plain
