"""Word, PowerPoint and Excel files of 1997, made byte by byte, parse to exactly what their goldens say."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError, EncryptedDocument, UnparsableDocument, UnsupportedMediaType
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.media_type import DOC, PPT, XLS
from rag_pipeline.parsing.registry import recipe_version
from rag_pipeline_tests.parsing.compound_files import compound, label, record, workbook
from rag_pipeline_tests.parsing.old_office_files import (
    DELETED,
    FONT_SIZE,
    HIDDEN,
    LOWERED,
    RAISED,
    STRUCK,
    UNKNOWN_LONG,
    Paragraph,
    Slide,
    old_presentation,
    old_word,
)
from rag_pipeline_tests.parsing.rendering import check_invariants, is_surprise, outcome, render


def parsed(name: str, raw: bytes) -> ParsedDocument:
    documents = parse(raw, media_type_of(name, raw), name, ParseLimits())
    check_invariants(documents)
    return documents[0]


def plain(text: str, style: int = 0, end: str = "\r") -> Paragraph:
    return Paragraph([(text, b"")], style, end)


LETTER = [
    plain("Harbour rules", 1),
    Paragraph([("Low water is 10", FONT_SIZE), ("2", RAISED + FONT_SIZE), (" cm, H", b""), ("2", LOWERED), ("O", b"")]),
    Paragraph([("Pay ", b""), ("90 ", STRUCK), ("80 ", UNKNOWN_LONG + DELETED), ("120", b""), (" secretly", HIDDEN)]),
    plain("Dues", 2),
    *(plain(text, end="\x07") for text in ("Berth", "Due", "", "North", "7", "")),
    plain("See \x13 HYPERLINK x \x14the plan\x15."),
    Paragraph([("All of it", HIDDEN)]),
]
LETTER_GOLDEN = """document part='' title='Harbour rules' author=None
  metadata hidden_deletion_count='2'
  metadata hidden_run_count='2'
  heading level=1 label='Harbour rules' 'Harbour rules'
  paragraph label=None 'Low water is 10^2 cm, H2O'
  paragraph label=None 'Pay 120'
  heading level=2 label='Dues' 'Dues'
  table label=None 'Berth\\tDue\\nNorth\\t7'
  paragraph label=None 'See the plan.'
  paragraph label=None 'Without tax.'
  paragraph label=None 'In a box.'
  paragraph label=None 'Running head'
"""
ASIDES = ["Without tax.\r", "Running head\r", "", "", "", "In a box.\r"]


@pytest.mark.parametrize("is_narrow", [False, True])
@pytest.mark.parametrize("flags", [0, 0x200])
def test_a_word_file_of_1997_parses_to_its_golden(is_narrow: bool, flags: int) -> None:
    document = parsed("a.doc", old_word(LETTER, ASIDES, is_narrow, flags))
    assert render([document]) == LETTER_GOLDEN


def test_what_no_parser_can_read_of_old_word_files_is_refused_with_its_cause() -> None:
    raw = old_word([plain("Words")], flags=0x100)
    assert isinstance(outcome(raw, DOC), EncryptedDocument)
    older = bytearray(0x400)
    struct.pack_into("<H", older, 2, 0x68)
    assert isinstance(outcome(compound({"WordDocument": bytes(older)}), DOC), UnsupportedMediaType)
    damaged = bytearray(0x400)
    struct.pack_into("<H", damaged, 2, 0xC1)
    assert isinstance(outcome(compound({"WordDocument": bytes(damaged)}), DOC), UnparsableDocument)
    assert isinstance(outcome(compound({"Other": b"x"}), DOC), UnsupportedMediaType)


SHOW = [
    Slide(
        [(0, "Tides"), (1, "High at six\rLow at noon")],
        [(-1, "0"), (-1, "1"), (4, "Größe: 4 m")],
        notes="Say it slowly.",
    ),
    Slide([(0, "Unseen")], is_hidden=True),
    Slide(own=[(6, "Storms\x0band ice"), (1, "Stay in port"), (1, "*")]),
]
SHOW_GOLDEN = """document part='' title='Tides' author=None
  metadata slides='3'
  metadata hidden_slide_count='1'
  heading level=1 label='Tides' page=1 'Tides'
  list label=None page=1 '- High at six\\n- Low at noon'
  paragraph label=None page=1 'Größe: 4 m'
  paragraph label=None page=1 'Say it slowly.'
  heading level=1 label='Storms and ice' page=3 'Storms and ice'
  paragraph label=None page=3 'Stay in port'
"""


def test_a_presentation_of_1997_parses_to_its_golden() -> None:
    assert render([parsed("a.ppt", old_presentation(SHOW))]) == SHOW_GOLDEN


def test_an_encrypted_presentation_is_refused_as_encrypted() -> None:
    user = bytes(12) + b"\xdf\xc4\xd1\xf3" + bytes(8)
    assert isinstance(outcome(old_presentation(SHOW, user), PPT), EncryptedDocument)


def number(row: int, column: int, style: int, value: float) -> bytes:
    return record(0x0203, struct.pack("<HHHd", row, column, style, value))


def style(code: int) -> bytes:
    return record(0x00E0, struct.pack("<HH16x", 0, code))


WIDE = "0.0%".encode("utf-16-le")
LOOKS = (
    record(0x041E, struct.pack("<HHB", 164, 5, 0) + b"00000")
    + record(0x041E, struct.pack("<HHB", 165, 4, 1) + WIDE)
    + b"".join(map(style, (0, 164, 165, 14)))
)
CELLS = [
    *(label(0, column, name) for column, name in enumerate(("Port", "Zip", "Share", "Day", "Gone"))),
    label(1, 0, "North"),
    number(1, 1, 1, 1001),
    record(0x027E, struct.pack("<HHHI", 1, 2, 2, (1250 << 2 | 3))),
    number(1, 3, 3, 46143),
    label(2, 0, ""),
    # Two numbers in a row of cells.
    record(0x00BD, struct.pack("<HHHIHIH", 2, 1, 1, 1002 << 2 | 2, 2, 25 << 2 | 3, 2)),
    label(3, 0, "Hidden"),
    number(3, 1, 1, 5),
    record(0x0208, struct.pack("<HHHHHHHH", 3, 0, 5, 255, 0, 0, 0x20, 0)),
    record(0x007D, struct.pack("<HHHHHH", 4, 4, 2048, 0, 1, 0)),
    record(0x00E5, struct.pack("<HHHHH", 1, 1, 2, 0, 0)),
]
SHEET_GOLDEN = """document part='' title=None author=None
  metadata sheets='1'
  metadata hidden_row_count='1'
  metadata hidden_column_count='1'
  heading level=1 label='Sums' page=1 line=1(beginning) 'Sums'
  table label=None page=1 line=1 'Port\\tZip\\tShare\\tDay\\n\
North\\t01001\\t1250.0%\\t2026-05-01\\nNorth\\t01002\\t25.0%'
"""


def test_a_workbook_of_1997_parses_to_its_golden() -> None:
    raw = compound({"Workbook": workbook(*CELLS, in_globals=LOOKS)})
    assert render([parsed("a.xls", raw)]) == SHEET_GOLDEN


def test_goldens_of_old_files_are_bound_to_the_versions_of_their_parsers() -> None:
    # Whoever changes what these parsers give raises their version, and says here that the goldens were looked at.
    assert [recipe_version(each).partition("/")[2].partition(".")[0] for each in (DOC, XLS)] == ["5", "13"]


ORIGINALS = {
    DOC: old_word(LETTER, ASIDES),
    PPT: old_presentation(SHOW),
}


@pytest.mark.parametrize("media_type", ORIGINALS)
@given(data=st.data())
def test_damage_anywhere_is_read_or_refused_and_never_a_surprise(media_type: str, data: st.DataObject) -> None:
    raw = bytearray(ORIGINALS[media_type])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(512, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    result = outcome(bytes(raw), media_type)
    assert not is_surprise(result)
    if not isinstance(result, DocumentError):
        check_invariants(result)
