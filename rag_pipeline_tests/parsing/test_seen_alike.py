"""Powers, deletions, hidden text, pictures and merged cells read alike in every format that has them."""

from __future__ import annotations

import io
import zipfile

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import NeedsOcr
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline_tests.parsing.office_files import container, docx, relations
from rag_pipeline_tests.parsing.rendering import check_invariants

DRAWN = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
OPEN = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in (
        *(("office", "office"), ("text", "text"), ("table", "table"), ("style", "style"), ("draw", "drawing")),
        *(("fo", "xsl-fo-compatible"), ("svg", "svg-compatible"), ("presentation", "presentation")),
    )
)


def parsed(name: str, raw: bytes) -> ParsedDocument:
    documents = parse(raw, media_type_of(name, raw), name, ParseLimits())
    check_invariants(documents)
    return documents[0]


def word_run(text: str, look: str = "") -> str:
    return f'<w:r><w:rPr>{look}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def word(*runs: tuple[str, str], tail: str = "") -> bytes:
    styles = '<w:style w:type="character" w:styleId="gone"><w:rPr><w:vanish/></w:rPr></w:style>'
    return docx(f"<w:p>{''.join(word_run(*run) for run in runs)}</w:p>{tail}", styles)


def slide_show(*shapes: str) -> bytes:
    slide = f"<p:sld {DRAWN}><p:cSld><p:spTree>{''.join(shapes)}</p:spTree></p:cSld></p:sld>"
    show = '<p:sldIdLst><p:sldId id="256" r:id="s"/></p:sldIdLst><p:sldSz cx="9000" cy="6000"/>'
    return container(
        {
            "_rels/.rels": relations(("r1", "officeDocument", "ppt/presentation.xml")),
            "ppt/presentation.xml": f"<p:presentation {DRAWN}>{show}</p:presentation>",
            "ppt/_rels/presentation.xml.rels": relations(("s", "slide", "s.xml")),
            "ppt/s.xml": slide,
            "ppt/_rels/s.xml.rels": relations(("i", "image", "i.png")),
            "ppt/i.png": b"png",
        }
    )


def shape(*runs: tuple[str, str], place: str = "") -> str:
    text = "".join(f"<a:r><a:rPr {look}/><a:t>{words}</a:t></a:r>" for words, look in runs)
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="n"/><p:nvPr/></p:nvSpPr><p:spPr>{place}</p:spPr>'
        f"<p:txBody><a:p>{text}</a:p></p:txBody></p:sp>"
    )


def open_text(body: str, kind: str = "text", more: dict[str, bytes] | None = None) -> bytes:
    looks = {
        "up": 'style:text-position="super 58%"',
        "down": 'style:text-position="-25% 58%"',
        "gone": 'text:display="none"',
        "struck": 'style:text-line-through-style="solid"',
        "white": 'fo:color="#ffffff"',
    }
    styles = "".join(
        f'<style:style style:name="{name}"><style:text-properties {look}/></style:style>'
        for name, look in looks.items()
    )
    styles += (
        '<style:style style:name="off"><style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
    )
    content = (
        f"<office:document-content {OPEN}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    mimetype = f"application/vnd.oasis.opendocument.{kind}"
    return container({"mimetype": mimetype, "content.xml": content, **(more or {})}, stored_first=True)


def span(style: str, words: str) -> str:
    return f'<text:span text:style-name="{style}">{words}</text:span>'


UP, DOWN, STRUCK = (
    '<w:vertAlign w:val="superscript"/>',
    '<w:vertAlign w:val="subscript"/>',
    "<w:strike/>",
)
WHITE = '<w:color w:val="FFFFFF"/>'
RICH = r"{\rtf1\ansi{\colortbl;\red255\green255\blue255;}" + "\n"
ALIKE = {
    "a.docx": word(
        *(("10", ""), ("1", UP), ("2", UP), (" H", ""), ("2", DOWN), ("O was ", ""), ("90 ", STRUCK), ("120", "")),
        *(("Unseen", "<w:vanish/>"), ("Unseen", WHITE), ("Unseen", '<w:rStyle w:val="gone"/>')),
    ),
    "a.pptx": slide_show(
        shape(
            *(("10", ""), ("12", 'baseline="30000"'), (" H", ""), ("2", 'baseline="-25000"'), ("O was ", "")),
            *(("90 ", 'strike="sngStrike"'), ("120", 'baseline="0"')),
        ),
        shape(("Unseen", ""), place='<a:xfrm><a:off x="-900" y="0"/><a:ext cx="800" cy="100"/></a:xfrm>'),
    ),
    "a.odt": open_text(
        f"<text:p>10{span('up', '12')} H{span('down', '2')}O was {span('struck', '90 ')}120{span('gone', 'Unseen')}"
        f'{span("white", "Unseen")}</text:p><text:section text:display="none"><text:p>Unseen</text:p></text:section>'
    ),
    "a.rtf": (
        RICH + r"10{\super 1}{\super 2} H{\sub 2}O was {\strike 90 }120{\v Unseen}{\cf1 Unseen}{\fs2 Unseen}\par}"
    ).encode(),
    "a.html": b"<p>10<sup>12</sup> H<sub>2</sub>O was <s>90 </s>120<span hidden>Unseen</span></p>",
}


@pytest.mark.parametrize("name", ALIKE)
def test_powers_stay_powers_and_what_no_reader_sees_is_left_out_and_counted(name: str) -> None:
    document = parsed(name, ALIKE[name])
    assert document.text == "10^12 H2O was 120"
    assert document.metadata["hidden_deletion_count"] == "1"
    assert sum(int(count) for key, count in document.metadata.items() if key.startswith("hidden_")) > 1


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.docx", word(("Seen", WHITE + '<w:shd w:fill="000080"/>'))),
        (
            "a.docx",
            docx(f"<w:tbl><w:tr><w:tc><w:p>{word_run('Seen', WHITE)}</w:p></w:tc></w:tr></w:tbl>"),
        ),
        ("a.odt", open_text(f"<text:p><draw:rect><text:p>{span('white', 'Seen')}</text:p></draw:rect></text:p>")),
        ("a.rtf", (RICH + r"{\cf1\cb2 Seen}\par}").encode()),
    ],
    ids=["shaded", "cell", "shape", "background"],
)
def test_white_text_on_something_else_than_paper_is_seen(name: str, raw: bytes) -> None:
    assert parsed(name, raw).text == "Seen"


TABLE = "Region\tDepth\tDepth\nRegion\tleast\tmost\nNorth\t1\t2"


def test_merged_cells_name_each_of_their_rows_and_columns_and_hidden_rows_are_left_out() -> None:
    def cell(text: str, look: str = "") -> str:
        return f"<w:tc><w:tcPr>{look}</w:tcPr><w:p>{word_run(text) if text else ''}</w:p></w:tc>"

    rows = [
        cell("Region", '<w:vMerge w:val="restart"/>') + cell("Depth", '<w:gridSpan w:val="2"/>'),
        cell("", "<w:vMerge/>") + cell("least") + cell("most"),
        "<w:trPr><w:hidden/></w:trPr>" + cell("Unseen") + cell("8") + cell("9"),
        "<w:trPr><w:del/></w:trPr>" + cell("Unseen") + cell("8") + cell("9"),
        cell("North") + cell("1") + cell("2"),
    ]
    document = parsed("a.docx", docx(f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"))
    assert (document.text, document.metadata["hidden_row_count"]) == (TABLE, "2")

    def drawn(text: str, look: str = "") -> str:
        return f"<a:tc {look}><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"

    rows = [
        drawn("Region", 'rowSpan="2"') + drawn("Depth", 'gridSpan="2"') + drawn("", 'hMerge="1"'),
        drawn("", 'vMerge="1"') + drawn("least") + drawn("most"),
        drawn("North") + drawn("1") + drawn("2"),
    ]
    table = f"<a:tbl>{''.join(f'<a:tr>{row}</a:tr>' for row in rows)}</a:tbl>"
    assert parsed("a.pptx", slide_show(f"<p:graphicFrame>{table}</p:graphicFrame>")).text == TABLE

    def opened(text: str, look: str = "") -> str:
        return f"<table:table-cell {look}><text:p>{text}</text:p></table:table-cell>"

    rows = [
        opened("Region", 'table:number-rows-spanned="2"')
        + opened("Depth", 'table:number-columns-spanned="2"')
        + "<table:covered-table-cell/>",
        "<table:covered-table-cell/>" + opened("least") + opened("most"),
        opened("North") + opened("1") + opened("2"),
    ]
    unseen = f'<table:table-row table:visibility="collapse">{opened("Unseen")}</table:table-row>'
    table = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows) + unseen
    document = parsed("a.odt", open_text(f"<table:table>{table}</table:table>"))
    assert (document.text, document.metadata["hidden_row_count"]) == (TABLE, "1")


DESCRIBED = "Map of the quay"
WORD_PICTURE = f'<w:drawing><x:docPr xmlns:x="urn:x" descr="{DESCRIBED}"/></w:drawing>'
SHOWN_PICTURE = f'<p:pic><p:nvPicPr><p:cNvPr id="4" name="Picture 3" descr="{DESCRIBED}"/></p:nvPicPr></p:pic>'
OPEN_PICTURE = f"<draw:frame><draw:image/><svg:desc>{DESCRIBED}</svg:desc></draw:frame>"


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.docx", docx(f"<w:p>{word_run('Seen ')}<w:r>{WORD_PICTURE}</w:r></w:p>")),
        ("a.pptx", slide_show(shape(("Seen", "")), SHOWN_PICTURE)),
        ("a.odt", open_text(f"<text:p>Seen {OPEN_PICTURE}</text:p>")),
        ("a.html", f'<p>Seen <img src="a.png" alt="{DESCRIBED}"></p>'.encode()),
    ],
)
def test_a_picture_is_what_it_is_said_to_show(name: str, raw: bytes) -> None:
    assert parsed(name, raw).text.split() == ["Seen", *DESCRIBED.split()]


def test_a_file_of_pictures_only_needs_ocr_whatever_they_are_said_to_show() -> None:
    with pytest.raises(NeedsOcr):
        parsed("a.pptx", slide_show(SHOWN_PICTURE))


def test_a_hidden_slide_and_a_title_of_an_open_presentation() -> None:
    def page(words: str, style: str = "", kind: str = "title") -> str:
        box = f"<draw:text-box><text:p>{words}</text:p></draw:text-box>"
        frame = f'<draw:frame presentation:class="{kind}">{box}</draw:frame>'
        return f'<draw:page draw:style-name="{style}">{frame}</draw:page>'

    show = open_text(page("Plan") + page("Unseen", "off") + page("Last words", kind="outline"), "presentation")
    document = parsed("a.odp", show)
    assert [(block.kind, block.page) for block in document.blocks] == [("heading", 1), ("paragraph", 3)]
    assert (document.title, document.metadata["hidden_slide_count"]) == ("Plan", "1")


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("<mfrac><mn>1</mn><mn>2</mn></mfrac>", "1/2"),
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mn>1</mn></mrow><mi>b</mi></mfrac>", "(a+1)/b"),
        ("<msup><mi>x</mi><mn>3</mn></msup><mo>=</mo><msub><mi>y</mi><mn>4</mn></msub>", "x^3=y_4"),
        ("<msqrt><mi>a</mi><mo>+</mo><mi>b</mi></msqrt>", "sqrt(a+b)"),
        ("<mroot><mi>a</mi><mn>3</mn></mroot>", "root(3, a)"),
        ("<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>", "x_1^2"),
    ],
)
def test_fractions_and_powers_of_a_formula_do_not_run_together(inner: str, text: str) -> None:
    assert parsed("a.html", f"<p>So <math>{inner}</math></p>".encode()).text == f"So {text}"


def test_formulas_of_word_are_read_as_those_of_pages() -> None:
    def number(name: str, value: str) -> str:
        return f"<m:{name}><m:r><m:t>{value}</m:t></m:r></m:{name}>"

    formula = (
        f"<m:f><m:fPr/>{number('num', '1')}{number('den', '20')}</m:f><m:r><m:t>=</m:t></m:r>"
        f"<m:sSup>{number('e', 'x')}{number('sup', '3')}</m:sSup>"
        f"<m:rad>{number('deg', '')}{number('e', 'y')}</m:rad><m:d>{number('e', 'z')}</m:d>"
        f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr>{number("sub", "1")}{number("sup", "9")}{number("e", "i")}'
        "</m:nary>"
    )
    body = f'<w:p>{word_run("So ")}<m:oMath xmlns:m="urn:m">{formula}</m:oMath></w:p>'
    assert parsed("a.docx", docx(body)).text == "So 1/20=x^3sqrt(y)(z)∑_1^9 i"


def test_an_object_of_an_open_document_is_read_in_place_and_once() -> None:
    frame = '<draw:frame><draw:object xlink:href="./Object 1" xmlns:xlink="urn:x"/></draw:frame>'
    cell = "<table:table-cell><text:p>7 tons</text:p></table:table-cell>"
    table = f"<table:table><table:table-row>{cell}</table:table-row></table:table>"
    outer, inner = (
        open_text(f"<text:p>Load{frame}</text:p>"),
        open_text(f"<text:p>{frame}</text:p>{table}", "spreadsheet"),
    )
    members: dict[str, str | bytes] = {}
    for prefix, raw in (("", outer), ("Object 1/", inner)):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members |= {f"{prefix}{name}": archive.read(name) for name in archive.namelist()}
    assert parsed("a.odt", container(members, stored_first=True)).text == "Load\n\n7 tons"
