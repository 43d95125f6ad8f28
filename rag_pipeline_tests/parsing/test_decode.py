"""Bytes become clean text: the encoding is found, and what no reader sees is gone."""

from __future__ import annotations

import contextlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.errors import UndecodableBytes
from rag_pipeline.parsing.decode import clean_text, decode, decode_named, read_text

CYRILLIC = "Это предложение написано по-русски, и его нужно прочитать правильно. "  # noqa: RUF001
SENTENCE = "Grüße aus Köln, sagte der Bär. Äpfel und Öl sind süß. "


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_unicode_encodings_are_found_with_and_without_a_mark(encoding: str) -> None:
    assert decode(SENTENCE.encode(encoding)) == SENTENCE


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", SENTENCE * 3),
        ("shift_jis", "これは日本語の文章です。倉庫の棚に新しい箱があります。" * 3),
        ("cp1251", CYRILLIC * 3),
        ("gb18030", "这是一个中文句子。仓库里有新的箱子。我们明天去看。" * 3),
    ],
)
def test_older_encodings_are_guessed_from_enough_text(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_declared_encoding_is_used_unless_the_bytes_contradict_it() -> None:
    assert decode("čaj".encode("iso8859-2"), "iso-8859-2") == "čaj"
    assert decode("čaj".encode(), "iso-8859-2") == "čaj"
    assert decode(b"\x93quoted\x94", "latin-1") == "\u201cquoted\u201d"
    assert decode("čaj".encode(), "no such encoding") == "čaj"


def test_one_damaged_byte_does_not_change_the_alphabet_of_a_utf_8_text() -> None:
    raw = (SENTENCE * 20).encode() + b"\xff end"
    text, encoding = decode_named(raw)
    assert encoding == "utf-8"
    assert text == SENTENCE * 20 + "\ufffd end"


@pytest.mark.parametrize("raw", [b"a\0b\0\0c\xff\0", b"plain text\0 and more", bytes(range(1, 32)) * 20])
def test_bytes_that_are_no_text_are_refused(raw: bytes) -> None:
    with pytest.raises(UndecodableBytes):
        decode(raw)


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("e\u0301", "\u00e9"),
        ("ze\u200bro\ufeff \u202eback\u202c", "zero back"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\x1b[31mred\x1b[0m\x07", "red"),
        ("page\x0cbreak", "page break"),
        ("e\u200b\u0301", "\u00e9"),
        ("family \U0001f469\u200d\U0001f467", "family \U0001f469\u200d\U0001f467"),
        ("tab\tstays", "tab\tstays"),
        ("\ud800", ""),
        ("cafÃ© and naÃ¯ve", "caf\u00e9 and na\u00efve"),
        ("&lt;tag&gt; \u201cquoted\u201d \ufb01", "&lt;tag&gt; \u201cquoted\u201d \ufb01"),
    ],
)
def test_clean_text_removes_only_what_no_reader_sees(dirty: str, clean: str) -> None:
    assert clean_text(dirty) == clean


@given(st.text())
def test_clean_text_can_be_stored_is_normal_and_keeps_its_lines(text: str) -> None:
    once = clean_text(text)
    once.encode()
    assert unicodedata.is_normalized("NFC", once)
    assert once.count("\n") == text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


@given(
    st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x7F) | st.sampled_from("\u200b\u0301\u2028\x85漢"))
)
def test_clean_text_stays_as_it_is_when_cleaned_again(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(UndecodableBytes):
        read_text(raw).encode()


@pytest.mark.parametrize(
    "text",
    [
        "Notiz: Die Tür klemmt, bitte ölen.",
        "Le café est fermé jusqu'à noël.",
        "café résumé naïve",
        "Él señala que mañana no habrá reunión.",
    ],
)
def test_a_short_western_text_in_windows_1252_is_read_as_such(text: str) -> None:
    assert decode_named(text.encode("cp1252"))[0] == text


@pytest.mark.parametrize(
    ("text", "encoding"), [("Привет, мир, как дела сегодня?", "cp1251"), ("你好世界今天天气很好", "gb18030")]
)
def test_other_scripts_are_not_taken_for_western_ones(text: str, encoding: str) -> None:
    assert decode_named(text.encode(encoding))[1] != "cp1252"


def test_a_short_german_greeting_in_an_old_encoding() -> None:
    assert read_text("Viele Gr\u00fc\u00dfe".encode("cp1252")) == "Viele Gr\u00fc\u00dfe"
