"""Formats that are no text give exactly what their golden shows, for files made here; every format has a golden.

Goldens are written by running with RAG_PIPELINE_WRITE_GOLDENS=1. A golden names the version of its parser, so that
changed output asks for a new version and a look.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import openpyxl
import pytest

from rag_pipeline.parsing import ParseLimits, media_type_of, parse, registry
from rag_pipeline_tests.parsing.compound_files import compound, workbook
from rag_pipeline_tests.parsing.office_files import container, docx, paragraph
from rag_pipeline_tests.parsing.old_office_files import old_presentation, old_word
from rag_pipeline_tests.parsing.pdf_files import Tag, tagged_pdf
from rag_pipeline_tests.parsing.rendering import check_invariants, render
from rag_pipeline_tests.parsing.seven_zip_files import seven_zip
from rag_pipeline_tests.parsing.test_mail_formats import DATA, SIGNED, der
from rag_pipeline_tests.parsing.test_office import book, office_text, shape, slides
from rag_pipeline_tests.parsing.test_old_office import ASIDES, CELLS, LETTER, LOOKS, SHOW
from rag_pipeline_tests.parsing.test_one_cause import in_tar
from rag_pipeline_tests.parsing.test_pdf import manual
from rag_pipeline_tests.parsing.test_pdf_tags import page

GOLDEN = Path(__file__).parent / "golden"
MAIL = (
    b"From: Ada <ada@harbour.example>\nTo: Bo <bo@harbour.example>\nSubject: Tides\nMIME-Version: 1.0\n"
    b'Date: Thu, 29 Feb 2024 18:00:00 +0000\nContent-Type: multipart/mixed; boundary="b"\n\n'
    b"--b\nContent-Type: text/html\n\n<p>High at <b>six</b>.</p><ul><li>Low at noon</li></ul>\n"
    b"--b\nContent-Type: text/markdown; name=plan.md\nContent-Disposition: attachment; filename=plan.md\n\n"
    b"# Plan\n\nSail at dawn.\n--b--\n"
)


def outlined_pdf() -> bytes:
    return manual([("Opening it", 1), ("Closing it", 2), ("Cleaning parts", 3), ("Storage and care", 4)])


def sane_tags_pdf() -> bytes:
    tags = [Tag("H1", [0]), Tag("P", [1]), Tag("H2", [2]), Tag("P", [3])]
    return tagged_pdf(page("Landing", "Fees"), [Tag("Document", tags)])


def letter_docx() -> bytes:
    cells = "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in ("Boat", "Alma"))
    style = '<w:pStyle w:val="H"/>'
    return docx(
        paragraph("Landing", style) + paragraph("Boats land here.") + f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>",
        styles='<w:style w:type="paragraph" w:styleId="H"><w:name w:val="heading 1"/></w:style>',
    )


def prices_xlsx() -> bytes:
    file = openpyxl.Workbook()
    sheet = file.active
    sheet.title = "Prices"
    for row in (["Zone", "Share", "Zip"], ["North", 0.125, 1001], [None, 0.25, 1002]):
        sheet.append(row)
    for row in (2, 3):
        sheet.cell(row, 2).number_format, sheet.cell(row, 3).number_format = "0.0%", "00000"
    sheet.merge_cells("A2:A3")
    file.create_sheet("Pay").append(["Name", "Pay"])
    file["Pay"].sheet_state = "hidden"
    buffer = io.BytesIO()
    file.save(buffer)
    return buffer.getvalue()


def wide(text: str) -> bytes:
    return text.encode("utf-16-le")


def message_msg() -> bytes:
    """A message with people, a date, a page for its body, a file, and a message within."""
    moment = 133_537_032_000_000_000
    inner = "__attach_version1.0_#00000001/__substg1.0_3701000D"
    return compound(
        {
            "__properties_version1.0": bytes(32) + struct.pack("<HHIQ", 0x40, 0x0039, 0, moment),
            "__substg1.0_0037001F": wide("Tides"),
            "__substg1.0_0C1A001F": wide("Ada"),
            "__substg1.0_0C1F001F": wide("ada@harbour.example"),
            "__substg1.0_0E04001F": wide("Bo; Cy"),
            "__substg1.0_10130102": b"<p>High at <b>six</b>.</p><ul><li>Low at noon</li></ul>",
            "__attach_version1.0_#00000000/__substg1.0_3707001F": wide("plan.md"),
            "__attach_version1.0_#00000000/__substg1.0_37010102": b"# Plan\n\nSail at dawn.".ljust(4096),
            "__attach_version1.0_#00000001/__substg1.0_3707001F": wide("Older"),
            f"{inner}/__properties_version1.0": bytes(24),
            f"{inner}/__substg1.0_0037001F": wide("Fees"),
            f"{inner}/__substg1.0_1000001F": wide("Fees are paid at once."),
        }
    )


def signed_p7m() -> bytes:
    inner = der(0x04, b"Content-Type: text/plain\r\n\r\nLow at noon.\r\n")
    return der(0x30, SIGNED + der(0xA0, der(0x30, DATA + der(0xA0, inner))))


def chapters_epub() -> bytes:
    return book(
        {
            "b": "<h1>One</h1><p>First, of 10<sup>6</sup> boats.</p><table><tr><th>Boat</th><th>Berth</th></tr>"
            "<tr><td>Alma</td><td>7</td></tr></table>",
            "a": "<h1>Two</h1><ul><li>Dues<ol><li>by day</li></ol></li></ul><p hidden>Unseen</p><pre>pay --all</pre>",
        }
    )


def text_odt() -> bytes:
    return office_text(
        '<text:h text:outline-level="1">Rules</text:h><text:p>One<text:s/>two.</text:p><text:list><text:list-item>'
        "<text:p>a</text:p></text:list-item></text:list><table:table><table:table-row><table:table-cell>"
        "<text:p>x</text:p></table:table-cell><table:table-cell><text:p>y</text:p></table:table-cell>"
        "</table:table-row></table:table>"
    )


FILES: dict[str, Callable[[], bytes]] = {
    "outlined.pdf": outlined_pdf,
    "tagged.pdf": sane_tags_pdf,
    "letter.docx": letter_docx,
    "slides.pptx": lambda: slides(shape("Plan", "title") + shape("One|Two"), notes=shape("Say hello.", "body")),
    "prices.xlsx": prices_xlsx,
    "sums.xls": lambda: compound({"Workbook": workbook(*CELLS, in_globals=LOOKS)}),
    "rules.odt": text_odt,
    "chapters.epub": chapters_epub,
    "notes.rtf": lambda: rb"{\rtf1\ansi{\pard\outlinelevel0 Notes\par}{\pard Caf\'e9 {\b bold}.\par}}",
    "mail.eml": lambda: MAIL,
    "signed.p7m": signed_p7m,
    "message.msg": message_msg,
    "folder.zip": lambda: container({"a.md": "# A\n\nWords.", "in/b.csv": "x,y\n1,2\n", "c.exe": b"MZ\0\0\0\1" * 9}),
    "folder.7z": lambda: seven_zip({"a.md": b"# A\n\nWords.", "in/b.csv": b"x,y\n1,2\n", "c.exe": b"MZ\0\0\0\1" * 9}),
    "folder.tar": lambda: in_tar("a.md", b"# A\n\nWords.", "w:"),
    "folder.tar.gz": lambda: in_tar("a.md", b"# A\n\nWords.", "w:gz"),
    "old.doc": lambda: old_word(LETTER, ASIDES),
    "old.ppt": lambda: old_presentation(SHOW),
}


def head(media_type: str) -> str:
    """Format and version of its own parser: what other parsers give to a container is in their goldens."""
    found = registry.FORMATS[media_type]
    return f"{media_type} {found.name}/{import_module(f'rag_pipeline.parsing.{found.module}').VERSION}"


@pytest.mark.parametrize("name", FILES)
def test_a_file_made_here_parses_to_its_golden(name: str) -> None:
    raw = FILES[name]()
    media_type = media_type_of(name, raw)
    documents = parse(raw, media_type, name, ParseLimits())
    check_invariants(documents)
    shown = f"{head(media_type)}\n{render(documents)}"
    golden = GOLDEN / f"{name}.golden"
    if os.environ.get("RAG_PIPELINE_WRITE_GOLDENS"):
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


def test_every_format_has_a_golden_that_names_the_version_of_its_parser() -> None:
    heads = [path.read_text("utf-8").split("\n", 1)[0].split() for path in GOLDEN.glob("*.golden")]
    named = {
        (registry.FORMATS[media_type].name, said.partition("/")[2].partition(".")[0]) for media_type, said in heads
    }
    assert named == {
        (each.name, import_module(f"rag_pipeline.parsing.{each.module}").VERSION) for each in registry.FORMATS.values()
    }
