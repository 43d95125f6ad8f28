"""What cells of a spreadsheet hold and do not show is left out and counted, by colours, formats and formulas."""

from __future__ import annotations

import io
from time import process_time

import openpyxl
import pytest
from openpyxl.formatting.rule import CellIsRule
from openpyxl.styles import Color, Font, GradientFill, PatternFill
from openpyxl.worksheet.table import Table
from openpyxl.worksheet.worksheet import Worksheet

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.containers.archives import Archive
from rag_pipeline.parsing.office.sheet_view import style_codes, uncomputed_formulas
from rag_pipeline.transforms.left_out import left_out
from rag_pipeline_tests.parsing.office_files import container
from rag_pipeline_tests.parsing.test_sheets_hostile import sheet

WHITE, DARK = "FFFFFFFF", "FF1F3864"


def parsed(raw: bytes, name: str = "a.xlsx") -> ParsedDocument:
    (document,) = parse(raw, media_type_of(name, raw), name, ParseLimits())
    return document


def book(font: Font, fill: PatternFill | GradientFill | None = None, extra: str = "", number: str = "") -> bytes:
    file = openpyxl.Workbook()
    page = file.active
    assert isinstance(page, Worksheet)
    for cells in (["berth", "due", "note"], ["North", 4, "secret"], ["South", 5, "seen"]):
        page.append(cells)
    page["C2"].font = font
    if number:
        page["B3"].font, page["B3"].number_format = font, number
    if fill:
        page["C2"].fill = fill
    if extra == "condition":
        page.conditional_formatting.add(
            "C2", CellIsRule(operator="equal", formula=["1"], fill=PatternFill(bgColor=DARK))
        )
    elif extra == "table":
        page.add_table(Table(displayName="Dues", ref="A1:C3"))
    elif extra == "format":
        page["C2"].number_format = ";;;"
    buffer = io.BytesIO()
    file.save(buffer)
    return buffer.getvalue()


def solid(colour: str | Color) -> PatternFill:
    return PatternFill("solid", fgColor=colour)


@pytest.mark.parametrize(
    "raw",
    [
        book(Font(color=WHITE)),
        book(Font(color=WHITE), solid(WHITE)),
        book(Font(color=DARK), solid(DARK)),
        book(Font(color=Color(theme=4)), solid(Color(theme=4))),
        book(Font(), extra="format"),
    ],
    ids=["white on nothing", "white on white", "dark on dark", "theme on theme", "format"],
)
def test_a_cell_that_shows_nothing_is_left_out_and_counted(raw: bytes) -> None:
    document = parsed(raw)
    assert document.text == "Sheet\n\nberth\tdue\tnote\nNorth\t4\nSouth\t5\tseen"
    assert left_out(document.metadata) == {"hidden_cell": 1}


@pytest.mark.parametrize(
    "raw",
    [
        book(Font(color=WHITE), solid(DARK)),
        book(Font(color=WHITE), PatternFill("darkGrid", fgColor=WHITE)),
        book(Font(color=WHITE), GradientFill(stop=(DARK, DARK))),
        book(Font(color=DARK)),
        book(Font(color=Color(theme=0))),
        book(Font(color=Color(theme=4, tint=0.4)), solid(Color(theme=4))),
        book(Font(color=WHITE), extra="condition"),
        book(Font(color=WHITE), extra="table"),
    ],
    ids=["dark fill", "pattern", "gradient", "dark", "theme", "tint", "condition", "table"],
)
def test_what_may_be_seen_stays(raw: bytes) -> None:
    document = parsed(raw)
    assert "North\t4\tsecret" in document.text
    assert left_out(document.metadata) == {}


def test_a_cell_that_a_condition_may_colour_keeps_its_format() -> None:
    raw = book(Font(color=WHITE), extra="condition", number="0%")
    assert "South\t500%" in parsed(raw).text


@pytest.mark.parametrize(
    ("styles", "cell"),
    [
        ((), '<c r="A1"><f>1+1</f><v></v></c>'),
        (("<fonts>", "<font>", "</fonts>"), ""),
        (("", "<fonts>", ""), ""),
        (
            ("<fonts>", '<font><color rgb="FFFFFFFF"/></font>', "</fonts>"),
            "",
        ),
    ],
    ids=["formulas", "fonts that do not end", "lists that do not end", "fonts by fills"],
)
def test_looks_and_formulas_cost_no_square(styles: tuple[str, str, str] | tuple[()], cell: str) -> None:
    def cost(count: int) -> float:
        begin, each, end = styles or ("", "", "")
        looks = f"<s>{begin}{each * count}{end}<fills>{'<fill/>' * count}</fills></s>"
        archive = Archive(container({"xl/styles.xml": looks}), "a.xlsx", ParseLimits())
        content = (cell * count).encode()
        before = process_time()
        style_codes(archive)
        uncomputed_formulas(content)
        return process_time() - before

    small = max(min(cost(500) for _ in range(3)), 2e-4)
    assert min(cost(8_000) for _ in range(2)) < 64 * small


def test_formulas_without_a_kept_value_are_counted() -> None:
    file = openpyxl.Workbook()
    page = file.active
    assert isinstance(page, Worksheet)
    page.append(["berth", "due"])
    page.append(["North", "=1+1"])
    page.append(["South", "=SUM(B2:B2)"])
    buffer = io.BytesIO()
    file.save(buffer)
    assert left_out(parsed(buffer.getvalue()).metadata) == {"unread_formula": 2}


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ('<c r="A1"><f>1+1</f></c>', 1),
        ('<c r="A1" s="4"><f>1+1</f><v/></c>', 1),
        ('<c r="A1"><f t="shared" si="0"/></c>', 1),
        ('<x:c r="A1"><x:f>1+1</x:f><x:v></x:v></x:c>', 1),
        ('<c r="A1"><f>1+1</f><v>2</v></c>', 0),
        ('<c r="A1"><f t="shared" si="0"/><v>2</v></c>', 0),
        # A formula may give an empty text.
        ('<c r="A1" t="str"><f>IF(1,"","")</f><v></v></c>', 0),
        ('<c r="A1"/><c r="B1" t="n"><v>3</v></c>', 0),
    ],
)
def test_a_formula_is_uncomputed_only_without_a_value(cell: str, count: int) -> None:
    assert uncomputed_formulas(f"<row>{cell}</row>".encode()) == count


def test_a_sheet_of_scattered_cells_counts_its_formulas() -> None:
    far = '<row r="1048576"><c r="XFD1048576"><v>9</v></c></row>'
    document = parsed(sheet(f'<row r="1"><c r="A1"><v>1</v></c><c r="B1"><f>A1</f></c></row>{far}'))
    assert left_out(document.metadata) == {"unread_formula": 1}


def test_an_open_sheet_gives_values_that_it_does_not_show_and_counts_formulas_without() -> None:
    cells = [
        '<t:table-cell o:value-type="string"><x:p>North</x:p></t:table-cell>',
        '<t:table-cell t:formula="of:=1+1" o:value-type="float" o:value="2"/>',
        '<t:table-cell o:value-type="date" o:date-value="2026-05-03"/>',
        '<t:table-cell o:value-type="string" o:string-value="said"/>',
        '<t:table-cell t:formula="of:=1+1"/>',
        '<t:table-cell t:style-name="plain"/>',
        '<t:table-cell o:value-type="float" o:value="5"><x:p/></t:table-cell>',
    ]
    content = (
        f'<o:d xmlns:o="urn:o" xmlns:t="urn:t" xmlns:x="urn:x"><t:table t:name="Dues"><t:table-row>{"".join(cells)}'
        "</t:table-row></t:table></o:d>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    document = parsed(container({"mimetype": kind, "content.xml": content}, stored_first=True), "a.ods")
    assert document.text == "Dues\n\nNorth\t2\t2026-05-03\tsaid"
    assert left_out(document.metadata) == {"hidden_cell": 1, "unread_formula": 1}
