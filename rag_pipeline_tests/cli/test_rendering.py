"""How values look."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.cli.progress import LineProgress
from rag_pipeline.cli.rendering import clean, duration, emit, jsonable, shown


@given(st.text())
def test_cleaned_text_holds_no_control_character(text: str) -> None:
    cleaned = clean(text)
    assert not any(ord(c) < 32 and c not in "\t\n" for c in cleaned)
    assert not any(127 <= ord(c) < 160 for c in cleaned)
    assert not set(cleaned) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028")


def test_cleaning_leaves_ordinary_text_alone() -> None:
    assert clean("Grüße, 世界!\n\tnext") == "Grüße, 世界!\n\tnext"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 3, 4, 5, 6, tzinfo=UTC), "2026-03-04T05:06:00+00:00"),
        (b"\x00\xff", "AP8="),
        (float("inf"), None),
        (Decimal("3"), 3),
        (Decimal("3.5"), 3.5),
        ({"a": (1, {"b": None})}, {"a": [1, {"b": None}]}),
        (timedelta(seconds=1), "0:00:01"),
        (True, True),
    ],
)
def test_every_kind_of_value_becomes_json(value: object, expected: object) -> None:
    assert jsonable(value) == expected
    json.dumps(jsonable(value), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (True, "yes"),
        (7425, "7,425"),
        (["public", "hr"], "public, hr"),
        ([], "(none)"),
        (b"abc", "<3 bytes>"),
        (datetime(2026, 3, 4, 5, 6, tzinfo=UTC), "2026-03-04 05:06"),
        ("a\x1b[31mb", "a·[31mb"),
    ],
)
def test_every_kind_of_value_is_shown_for_people(value: object, expected: str) -> None:
    assert shown(value) == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(minutes=2), "2 min"),
        (timedelta(hours=30), "30 h"),
        (timedelta(days=3), "3 days"),
        (timedelta(days=70), "2 months"),
        (timedelta(days=1000), "3 years"),
    ],
)
def test_a_length_of_time_is_told_in_its_largest_unit(length: timedelta, expected: str) -> None:
    assert duration(length) == expected


def test_json_lines_are_utf8_and_take_a_lone_surrogate(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    emit({"name": "Grüße", "broken": "a\udc80"})
    assert capfdbinary.readouterr().out == '{"name": "Grüße", "broken": "a?"}\n'.encode()


def test_progress_off_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    sink = LineProgress(seconds=0)
    sink.start("parse", 1000)
    sink.advance(400)
    sink.advance(600)
    sink.finish()
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0].startswith("parse: 400 of 1,000")
    assert lines[-1].startswith("parse: 1,000 of 1,000")
    assert "\x1b" not in captured.err


def test_progress_that_is_quick_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    sink = LineProgress(seconds=1000)
    sink.start("parse", 3)
    for _ in range(3):
        sink.advance(1)
    sink.finish()
    assert len(capsys.readouterr().err.splitlines()) == 1
