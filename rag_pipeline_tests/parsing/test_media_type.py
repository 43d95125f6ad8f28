"""The media type follows the content first and the name second."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.parsing import media_type_of
from rag_pipeline.parsing.media_type import DOC, DOCX, EPUB, MSG, ODT, PPTX, XLSX

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
MAIL = b"Received: from a\nFrom: a@example.org\nSubject: hi\n\nbody"


def archive(*names: str, first: tuple[str, str] | None = None) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        if first:
            file.writestr(*first)
        for name in names:
            file.writestr(name, "x" * 50)
    return target.getvalue()


@pytest.mark.parametrize(
    ("address", "head", "expected"),
    [
        ("a.md", b"# hi", "text/markdown"),
        ("A.MD", b"", "text/markdown"),
        ("a/b.c/README", b"hello", "text/plain"),
        ("x.md", b"%PDF-1.7\n", "application/pdf"),
        ("x.pdf", b"junk\n%PDF-1.4", "application/pdf"),
        ("x.txt", b"<!DOCTYPE html><html>", "text/html"),
        ("x.md", b"<p align='center'>", "text/markdown"),
        ("x", b'<?xml version="1.0"?>\n<a/>', "application/xml"),
        ("x", b'{"a": 1}', "application/json"),
        ("x", b"[section]\nkey=1", "text/plain"),
        ("x", b"#!/usr/bin/env python3\n", "text/x-python"),
        ("x", b"WEBVTT\n\n", "text/vtt"),
        ("x.eml", MAIL, "message/rfc822"),
        ("x", MAIL, "message/rfc822"),
        ("x.txt", MAIL, "message/rfc822"),
        ("notes.txt", b"From: me\nTo: you\n\nhi", "text/plain"),
        ("x.doc", b"{\\rtf1 hi}", "application/rtf"),
        ("x.bin", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("x.txt", b"\xff\xfeh\0i\0", "text/plain"),
        ("x.txt", "hi there\n".encode("utf-16-le"), "text/plain"),
        ("x.txt", b"text\0more", "application/octet-stream"),
        ("x.unknown", b"just words", "text/plain"),
        ("x.doc", OLE, DOC),
        ("x.bin", OLE + "WordDocument".encode("utf-16-le"), DOC),
        ("x.doc", OLE + "__substg1.0_".encode("utf-16-le"), MSG),
        ("x.bin", OLE, "application/x-ole-storage"),
        ("x.zip", archive("[Content_Types].xml", "word/document.xml"), DOCX),
        ("x.docx", archive("[Content_Types].xml", "ppt/presentation.xml"), PPTX),
        ("x", archive("xl/workbook.xml"), XLSX),
        ("x", archive("META-INF/container.xml", first=("mimetype", EPUB)), EPUB),
        ("x", archive("content.xml", first=("mimetype", ODT)), ODT),
        ("x.zip", archive("a.txt"), "application/zip"),
    ],
)
def test_content_wins_over_the_name(address: str, head: bytes, expected: str) -> None:
    assert media_type_of(address, head) == expected


@given(st.text(max_size=30), st.binary(max_size=200))
def test_every_object_has_a_media_type(address: str, head: bytes) -> None:
    assert "/" in media_type_of(address, head)
