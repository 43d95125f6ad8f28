"""What no reader of a page sees is left out and counted; what only looks hidden stays."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline_tests.parsing.office_files import container, docx, relations

PROSE = "<p>The harbour master keeps this page for everybody who lands at the quay, and for no one else.</p>"


def page(body: str, head: str = "") -> ParsedDocument:
    html = f"<html><head><title>Quay</title>{head}</head><body><main><h1>Quay</h1>{PROSE}{body}</main></body></html>"
    (document,) = parse(html.encode(), "text/html", "quay.html", ParseLimits())
    return document


@pytest.mark.parametrize(
    ("attributes", "cause"),
    [
        ("hidden", "attribute"),
        ('style="position:relative; top:-5000px"', "style"),
        ('style="position:absolute; inset:-9999px auto auto -9999px"', "style"),
        ('style="display:none"', "style"),
        ('style="color:red; DISPLAY : none !important"', "style"),
        ('style="visibility: hidden"', "style"),
        ('style="visibility: collapse"', "style"),
        ('style="opacity:0"', "style"),
        ('style="opacity: 0.0;"', "style"),
        ('style="font-size:0"', "style"),
        ('style="font-size: 0px"', "style"),
        ('style="height:0;overflow:hidden"', "style"),
        ('style="width:1px;height:1px;overflow:hidden"', "style"),
        ('style="max-height:0;overflow:hidden"', "style"),
        ('style="position:absolute; left:-9999px"', "style"),
        ('style="position:fixed; top:-100em"', "style"),
        ('style="text-indent:-9999px"', "style"),
        ('style="position:absolute;clip:rect(0,0,0,0)"', "style"),
        ('style="clip: rect(1px, 1px, 1px, 1px)"', "style"),
        ('style="clip-path:inset(50%)"', "style"),
        ('style="color:#fff;background-color:white"', "style"),
        ('style="background: rgb(10, 20, 30); color: #0a141e"', "style"),
        ('style="color:white"', "style"),
        ('style="color:transparent"', "style"),
        ('style="mso-hide:all"', "style"),
        ('style="font-size:1px"', "style"),
        ('style="font:0/0 a"', "style"),
        ('style="filter: opacity(0)"', "style"),
        ('style="clip-path: circle(0)"', "style"),
        ('style="transform: translateX(-9999px)"', "style"),
        ('style="transform: translate(0, -500vh)"', "style"),
        ('style="zoom:0"', "style"),
        ('style="text-indent:100%;white-space:nowrap;overflow:hidden"', "style"),
        ('style="color:hsl(0, 0%, 100%)"', "style"),
        ('style="color:hsl(210deg 40% 100%)"', "style"),
        ('style="color:rgb(255 255 255)"', "style"),
        ('style="color:rgb(1 2 3 / 0)"', "style"),
        ('style="opacity:.01"', "style"),
        ('style="text-indent:-99em"', "style"),
        ('style="color:#fefefe;background:#fff"', "style"),
        ('style="color:#fdfdfd"', "style"),
        ('style="text-decoration:line-through"', "deletion"),
        ('class="hidden"', "class"),
        ('class="sr-only"', "class"),
        ('class="invisible"', "class"),
        ('class="note visually-hidden"', "class"),
        ('class="screen-reader-text"', "class"),
    ],
)
@pytest.mark.parametrize("tag", ["p", "span", "div"])
def test_what_is_hidden_is_left_out_and_counted(attributes: str, cause: str, tag: str) -> None:
    document = page(f"<div>Seen before. <{tag} {attributes}>Unseen <b>words</b></{tag}> Seen after.</div>")
    assert "Unseen" not in document.text
    assert "Seen before." in document.text
    assert "Seen after." in document.text
    assert document.metadata[f"hidden_{cause}_count"] == "1"


@pytest.mark.parametrize(
    "attributes",
    [
        'style="color:#fff;background:#123456"',
        'style="opacity:0.5"',
        'style="opacity:0;transform:translateY(20px)"',
        'style="font-size:0.8em"',
        'style="left:-9999px"',
        'style="margin:0;padding:0;height:0"',
        'style="text-indent:-2em"',
        'aria-hidden="false"',
        'aria-hidden="true"',
        'hidden="until-found"',
        'style="position:relative;z-index:-1"',
        'style="display:var(--unknown)"',
        'class="hidden-gem unhidden"',
        'class="d-none d-md-block"',
        'class="hidden md:block"',
        'style="font-size:11px"',
        'style="clip-path:circle(50%)"',
        'style="transform:translateX(-50%)"',
        'style="transform:translateY(-120%) scale(1.2)"',
        'style="text-indent:100%"',
        'style="color:hsl(0, 0%, 10%)"',
        'style="text-decoration:underline"',
        'style="display:block"',
    ],
)
def test_what_is_seen_stays(attributes: str) -> None:
    document = page(f"<p {attributes}>Seen words of the page.</p>")
    assert "Seen words" in document.text
    assert not any(name.startswith("hidden_") for name in document.metadata)


@pytest.mark.parametrize(
    ("sheet", "is_seen"),
    [
        (".box .note {display:none}", False),
        ("main > .note {display:none}", True),
        ("div.box > .note, .other {visibility:hidden}", False),
        ("@media screen {.note {display:none}}", False),
        ("@media print {.note {display:none}}", True),
        (".elsewhere .note {display:none}", True),
        (".box .note {display:none} .box.open .note {display:block}", True),
        (".note + .note {display:none}", True),
        (".note {font-size:0}", False),
        (".note {color:#fff; background:#fff}", False),
        (".note {background-color:#FFFFFF;color:white}", False),
        (".note {color:#fff; background:#000}", True),
        (".note {font-size:0} @media print {.x {y:z}} .box .note {font-size:12px}", True),
        (".box {font-size:0}", True),
        (".note {opacity:.02}", False),
        ("[data-role] {display:none}", False),
        ('p[data-role="draft"] {display:none}', False),
        ("[data-role='other'] {display:none}", True),
        ("[class^=no] {display:none}", False),
        ("[class$=te], [lang|=de] {display:none}", False),
        ("[class~=not] {display:none}", True),
        ("[data-role*=raf] {display:none} [data-role] {display:block}", True),
        ("p:not(.x) {display:none}", True),
        (":root {--shown: none} .note {display: var(--shown)}", False),
        (".note {display: var(--unset, none)}", False),
        (".note {display: var(--unset)}", True),
        (":root {--ink: #fff} .note {color: var(--ink); background: #fff}", False),
        ("main .note {display:none !important} .note {display:block}", False),
        (".note {display:none !important} .note {display:block !important}", True),
        ("@supports (display: grid) {.note {display:none}}", False),
        ("@supports not (display: grid) {.note {display:none}}", True),
        ("@layer base {.note {display:none}}", False),
        (".box > p {display:none}", False),
        (".box > p {display:none} .open p {display:block}", True),
    ],
)
def test_a_style_sheet_hides_what_stands_where_it_says(sheet: str, is_seen: bool) -> None:
    document = page(
        '<div class="box"><p class="note" data-role="draft" lang="de-AT">Aside words</p></div>',
        f"<style>{sheet}</style>",
    )
    assert ("Aside words" in document.text) == is_seen


def test_white_text_is_seen_where_a_style_sheet_may_colour_what_is_behind() -> None:
    assert "Seen" in page('<p style="color:#fff">Seen words</p>', "<style>main {background: navy}</style>").text
    assert "Seen" in page('<div style="background:navy"><p style="color:#fff">Seen words</p></div>').text
    assert "Seen" in page('<div style="font-size:0"><p style="font-size:12px">Seen words</p></div>').text


def test_a_page_that_fades_in_is_seen() -> None:
    html = f'<html><body><div style="opacity:0"><h1>Quay</h1>{PROSE * 3}</div><p>Foot.</p></body></html>'
    (document,) = parse(html.encode(), "text/html", "quay.html", ParseLimits())
    assert "harbour master" in document.text


def test_comments_templates_and_deletions_are_counted() -> None:
    document = page(
        "<!-- was 9 --><script>a('<!-- no -->')</script><template><p>Unseen</p></template><p>Now <del>9</del> 12.</p>"
        "<!--[if IE]> Unseen <![endif]-->"
    )
    assert "Unseen" not in document.text
    assert {name: value for name, value in document.metadata.items() if name.startswith("hidden")} == {
        "hidden_comment_count": "1", "hidden_deletion_count": "1", "hidden_template_count": "1",
    }  # fmt: skip


def test_what_html_in_markdown_hides_is_counted() -> None:
    source = b'# Quay\n\n<div><p style="display:none">Unseen</p>\n<p>Seen</p></div>\n'
    (document,) = parse(source, "text/markdown", "quay.md", ParseLimits())
    assert "Unseen" not in document.text
    assert "Seen" in document.text
    assert document.metadata["hidden_style_count"] == "1"


WORD_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SLIDES_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
DRAWING = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
SHOW = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'


def test_hidden_runs_of_word_are_counted() -> None:
    body = "<w:p><w:r><w:t>Seen words.</w:t></w:r><w:r><w:rPr><w:vanish/></w:rPr><w:t>Unseen</w:t></w:r></w:p>"
    (document,) = parse(docx(body), WORD_TYPE, "a.docx", ParseLimits())
    assert document.text == "Seen words."
    assert document.metadata["hidden_run_count"] == "1"


def slide(words: str, slide_facts: str = "", shape_facts: str = "") -> str:
    return (
        f"<p:sld {SHOW} {DRAWING} {slide_facts}><p:cSld><p:spTree><p:sp><p:nvSpPr>"
        f'<p:cNvPr id="1" name="x" {shape_facts}/><p:nvPr/></p:nvSpPr>'
        f"<p:txBody><a:p><a:r><a:t>{words}</a:t></a:r></a:p>"
        "</p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
    )


def test_hidden_slides_and_shapes_are_left_out_and_slides_keep_their_numbers() -> None:
    slides = [slide("First words"), slide("Unseen", 'show="0"'), slide("Unseen", "", 'hidden="1"'), slide("Last words")]
    names = "".join(f'<p:sldId id="{n}" r:id="r{n}"/>' for n in range(len(slides)))
    office = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
    show = {
        "_rels/.rels": relations(("r1", "officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f"<p:presentation {SHOW} {office}><p:sldIdLst>{names}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(*[(f"r{n}", "slide", f"s{n}.xml") for n in range(len(slides))]),
    } | {f"ppt/s{n}.xml": content for n, content in enumerate(slides)}
    (document,) = parse(container(show), SLIDES_TYPE, "a.pptx", ParseLimits())
    assert [document.text[block.start_char : block.end_char] for block in document.blocks] == [
        "First words",
        "Last words",
    ]
    assert [block.page for block in document.blocks] == [1, 4]
    assert document.metadata["hidden_slide_count"] == "1"


@pytest.mark.parametrize(
    ("rule", "is_gone"),
    [
        (".old { text-decoration: line-through }", True),
        ("span.old{text-decoration-line:line-through;color:grey} .old{display:inline}", True),
        (".old { text-decoration: line-through } .old.again { text-decoration: none }", False),
        (".old:hover { text-decoration: line-through }", False),
    ],
)
def test_what_a_style_sheet_strikes_through_is_deleted(rule: str, is_gone: bool) -> None:
    document = page('<p>It costs <span class="old">90</span> 120 euros.</p>', f"<style>{rule}</style>")
    assert ("90" not in document.text) is is_gone
    assert document.metadata.get("hidden_deletion_count") == ("1" if is_gone else None)


@pytest.mark.parametrize("tag", ["span", "div", "i", "a"])
def test_signs_and_windows_that_only_programs_pass_over_are_left_out(tag: str) -> None:
    document = page(f'<div>Seen before. <{tag} aria-hidden="true">Unseen words</{tag}> Seen after.</div>')
    assert "Unseen" not in document.text
    assert document.metadata["hidden_attribute_count"] == "1"


def test_what_is_painted_behind_what_it_lies_in_is_hidden() -> None:
    inner = '<p style="position:absolute;z-index:-1">Unseen words</p>'
    assert "Unseen" not in page(f'<div style="background:#fff">{inner}</div>').text
    assert "Unseen" in page(f'<div style="background:none">{inner}</div>').text


def test_variables_count_in_a_style_of_an_element_and_closed_details_are_read() -> None:
    sheet = "<style>:root{--gone:none; --again:var(--gone)}</style>"
    shown = page(
        '<p style="display:var(--again)">Unseen words</p><details><summary>More</summary>Inner words</details>', sheet
    )
    assert "Unseen" not in shown.text
    assert "Inner words" in shown.text


def test_a_sheet_of_many_rules_costs_no_square() -> None:
    sheet = "".join(f"[data-a{n}]{{display:none}} .b{n}{{display:block}}" for n in range(6_000))
    assert "Seen" in page("<p class='b1' data-x='1'>Seen words</p>" * 2_000, f"<style>{sheet}</style>").text
