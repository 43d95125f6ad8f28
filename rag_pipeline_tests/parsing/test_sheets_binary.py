"""A binary workbook (XLSB) is read as it is shown: formats, hidden rows, columns and sheets, merged ranges, bounds."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline_tests.parsing.office_files import container, relations
from rag_pipeline_tests.parsing.rendering import outcome

ROW, NUMBER, INLINE = 0, 5, 6


def record(kind: int, content: bytes = b"") -> bytes:
    head = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
    return head + bytes([len(content) & 0x7F | 0x80, len(content) >> 7]) + content


def text(words: str) -> bytes:
    return struct.pack("<I", len(words)) + words.encode("utf-16-le")


def row(number: int, *cells: bytes, is_hidden: bool = False) -> bytes:
    head = struct.pack("<IIHBBBI", number, 0, 300, 0, 0x10 if is_hidden else 0, 0, 0)
    return record(ROW, head) + b"".join(cells)


def words(column: int, said: str) -> bytes:
    return record(INLINE, struct.pack("<II", column, 0) + text(said))


def number(column: int, style: int, value: float) -> bytes:
    return record(NUMBER, struct.pack("<IId", column, style, value))


def sheet(*rows: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    size = record(148, struct.pack("<IIII", 0, 9, 0, 9))
    return record(129) + size + before + record(145) + b"".join(rows) + record(146) + after + record(130)


def binary_workbook(sheets: Sequence[tuple[str, int, bytes]], formats: Sequence[str] = ()) -> bytes:
    """Sheets as (name, whether hidden, records); style N has the Nth format from 1 on."""
    bundles = b"".join(
        record(156, struct.pack("<II", state, index) + text(f"r{index}") + text(name))
        for index, (name, state, _) in enumerate(sheets, 1)
    )
    own = b"".join(record(44, struct.pack("<H", 164 + index) + text(code)) for index, code in enumerate(formats))
    styles = b"".join(record(47, struct.pack("<HH12x", 0, key)) for key in (0, *range(164, 164 + len(formats))))
    members: dict[str, str | bytes] = {
        "_rels/.rels": relations(("w", "officeDocument", "xl/workbook.bin")),
        "xl/workbook.bin": record(131) + record(143) + bundles + record(144) + record(132),
        "xl/_rels/workbook.bin.rels": relations(
            *((f"r{index}", "worksheet", f"worksheets/s{index}.bin") for index in range(1, len(sheets) + 1)),
            ("st", "styles", "styles.bin"),
        ),
        # Styles that cells are based on come first, and are not theirs.
        "xl/styles.bin": record(615, struct.pack("<I", len(formats)))
        + own
        + record(616)
        + record(626, struct.pack("<I", 1))
        + record(47, struct.pack("<HH12x", 0xFFFF, 9))
        + record(627)
        + record(617, struct.pack("<I", 1 + len(formats)))
        + styles
        + record(618),
    }
    return container(members | {f"xl/worksheets/s{index}.bin": data for index, (_, _, data) in enumerate(sheets, 1)})


def parsed(raw: bytes) -> ParsedDocument:
    (document,) = parse(raw, media_type_of("a.xlsb", raw), "a.xlsb", ParseLimits())
    return document


def test_a_binary_workbook_is_read_as_it_is_shown() -> None:
    prices = sheet(
        row(0, words(0, "Zone"), words(1, "Share"), words(2, "Zip"), words(3, "Day"), words(4, "Gone")),
        row(1, words(0, "North"), number(1, 1, 0.125), number(2, 2, 1001), number(3, 3, 46143), number(4, 0, 7)),
        row(2, number(1, 1, 0.25), number(2, 2, 1002), number(3, 3, 46144), number(4, 0, 8)),
        row(3, words(0, "Unseen"), is_hidden=True),
        before=record(390) + record(60, struct.pack("<IIIIH", 4, 4, 2048, 0, 1)) + record(391),
        after=record(177, struct.pack("<I", 1)) + record(176, struct.pack("<IIII", 1, 2, 0, 0)) + record(178),
    )
    pay = sheet(row(0, words(0, "Name"), words(1, "Pay")), row(1, words(0, "Jo"), number(1, 0, 9999)))
    book = binary_workbook(
        [("Prices", 0, prices), ("Pay", 1, pay), ("Secret", 2, pay)], ["0.0%", "00000", "yyyy\\-mm\\-dd"]
    )
    document = parsed(book)
    assert document.text == (
        "Prices\n\nZone\tShare\tZip\tDay\nNorth\t12.5%\t01001\t2026-05-01\nNorth\t25.0%\t01002\t2026-05-02\n\n"
        "Pay (hidden sheet)\n\nName\tPay\nJo\t9999"
    )
    assert document.metadata == {
        "sheets": "2",
        "hidden_row_count": "1",
        "hidden_column_count": "1",
        "hidden_sheet_count": "1",
    }


def test_two_cells_at_the_corners_of_a_binary_sheet_are_refused() -> None:
    raw = binary_workbook([("A", 0, sheet(row(0, words(0, "first")), row(1_048_575, words(16_383, "last"))))])
    assert getattr(outcome(raw, media_type_of("a.xlsb", raw)), "code", "") == "limit_exceeded"


def test_a_look_that_is_cut_short_costs_no_value() -> None:
    cut = sheet(row(0, words(0, "Zone")), after=record(176, b"\1") + record(60, b"\1") + b"\xff\xff\xff")
    assert "Zone" in parsed(binary_workbook([("A", 0, cut)])).text
