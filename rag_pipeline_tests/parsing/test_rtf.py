"""Rich Text Format: what is read, what is passed over, and binary data in between."""

from __future__ import annotations

import pytest

from rag_pipeline.parsing import ParseLimits, parse


def lines(raw: bytes) -> list[str]:
    document = parse(raw, "application/rtf", "a.rtf", ParseLimits())[0]
    return [document.text[block.start_char : block.end_char] for block in document.blocks]


def test_notes_and_comments_follow_the_paragraph_they_interrupt() -> None:
    raw = rb"{\rtf1 Low{\footnote\pard By the\par chart.} at noon.\par High{\*\annotation when?} at six.\par}"
    assert lines(raw) == ["Low at noon.", "By the chart.", "High at six.", "Comment: when?"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb"{\pict\bin12 {{{{\par}}}}x} after\par", ["after"]),
        (rb"{\pict\bin-5 x} after\par", ["after"]),
        (rb"{\v unseen \plain seen}\par", ["seen"]),
        (rb"{\deleted old}new\par", ["new"]),
        (rb"{\shp{\*\shpinst{\sp{\sn shapeType}{\sv 202}}{\shptxt In a box\par}}}\par", ["In a box"]),
        (rb"{\xe index entry}word\par", ["word"]),
        (rb"\mac \'8a\'9a\par", ["\u00e4\u00f6"]),
        (rb"{\*\unknown{\nested x}}word\par", ["word"]),
    ],
    ids=["binary", "negative binary", "plain ends hidden", "deleted", "shape", "index", "mac", "optional"],
)
def test_only_text_that_a_reader_sees_is_read(body: bytes, expected: list[str]) -> None:
    assert lines(rb"{\rtf1 " + body + b"}") == expected


def test_binary_data_longer_than_the_file_ends_it() -> None:
    assert lines(rb"{\rtf1 before\par{\pict\bin2147483647 x} after\par}") == ["before"]


def test_a_text_box_of_old_programs_is_read_where_it_stands_and_once() -> None:
    box = rb"{\*\do\dobxpage\dptxbx{\dptxbxtext \pard In the box\par}\dpx9}"
    assert lines(rb"{\rtf1 Before\par" + box + rb"After\column Next\par}") == ["Before", "In the box", "After", "Next"]
    shape = rb"{\shp{\*\shpinst{\shptxt \pard In the box\par}}{\shprslt" + box + rb"}}"
    assert lines(rb"{\rtf1 Before\par" + shape + rb"After\par}") == ["Before", "In the box", "After"]


def test_signs_of_the_fonts_symbol_and_wingdings_are_what_they_show() -> None:
    fonts = rb"{\fonttbl{\f0\fnil\fcharset0 Arial;}{\f3\froman\fcharset2\fprq2 Symbol;}{\f4\fcharset2 Wingdings;}}"
    by_word = rb"{\fonttbl{\f3\fbidi \froman\fcharset2\fprq2{\*\panose 05050102010706020507}Symbol;}}"
    assert lines(rb"{\rtf1\ansi" + by_word + rb"{\f3\'b3} 5\par}") == ["\u2265 5"]
    body = rb"\f0 Above {\f3\'b3} 5 {\f3 m}m, {\f3\u-3917?} 6 {\f4\'fc}, 5\'b3\par"
    assert lines(rb"{\rtf1\ansi" + fonts + body + rb"}") == ["Above \u2265 5 \u03bcm, \u2265 6 \u2713, 5\u00b3"]
