"""Markup of HTML that carries meaning: raised figures, pictures, merged cells, Confluence's storage format."""

from __future__ import annotations

import pytest

from rag_pipeline.parsing import ParseLimits, parse

PROSE = "<p>The harbour master keeps this page for everybody who lands at the quay, and for no one else.</p>"


def text_of(body: str) -> str:
    page = f"<html><head><title>Quay</title></head><body><main><h1>Quay</h1>{PROSE}{body}</main></body></html>"
    (document,) = parse(page.encode(), "text/html", "quay.html", ParseLimits())
    return document.text


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ("10<sup>6</sup> litres", "10^6 litres"),
        ("10<sup>-3</sup> bar", "10^-3 bar"),
        ("<b>10<sup>6</sup></b> litres", "10^6 litres"),
        ("4 m<sup>2</sup> wide", "4 m^2 wide"),
        ("2<sup>n</sup> ways", "2^n ways"),
        ("H<sub>2</sub>O runs", "H2O runs"),
        ("101<sub>2</sub> is 5", "101_2 is 5"),
        ("the 21<sup>st</sup> day", "the 21st day"),
        ("Acme<sup>TM</sup> pumps", "AcmeTM pumps"),
        ('built in 1990<sup><a href="#fn3">3</a></sup> anew', "built in 1990[3] anew"),
        ('built in 1990<a href="#fn3"><sup>3</sup></a> anew', "built in 1990[3] anew"),
        ('built in 1990<sup class="reference"><a href="#cite3">[3]</a></sup> anew', "built in 1990[3] anew"),
    ],
)
@pytest.mark.parametrize(
    "frame", ["<p>{}</p>", "<ul><li>{}</li></ul>", "<table><tr><td>a</td><td>{}</td></tr></table>"]
)
def test_raised_and_lowered_figures_do_not_run_into_others(markup: str, shown: str, frame: str) -> None:
    assert shown in text_of(frame.format(markup))


def test_what_a_picture_says_is_text_and_names_of_files_are_not() -> None:
    text = text_of(
        '<p>Press <img src="s.png" alt="Save"> twice.</p><p><img src="plan.png" alt="Plan of the north quay"></p>'
        '<table><tr><td>ok</td><td><img alt="yes" src="y.png"></td></tr></table><p><img alt="IMG_4711.jpg" src="a"></p>'
        '<p><img alt="" src="b"><img alt="spacer" src="c"></p>'
    )
    assert "Press Save twice." in text
    assert "Plan of the north quay" in text
    assert "ok\tyes" in text
    assert "IMG_4711" not in text
    assert "spacer" not in text


def test_two_rows_of_column_names_become_one_and_merged_cells_are_filled() -> None:
    text = text_of(
        "<table><tr><th colspan=3>Dues of the year</th></tr><tr><th rowspan=2>Berth</th><th colspan=2>2024</th></tr>"
        "<tr><th>Q1</th><th>Q2</th></tr><tr><td rowspan=2>North</td><td colspan=2>7</td></tr>"
        "<tr><td>8</td><td>9</td></tr><tr><td colspan=3>All in euros.</td></tr></table>"
    )
    assert "Dues of the year\n\nBerth\t2024 Q1\t2024 Q2\nNorth\t7\t7\nNorth\t8\t9\nAll in euros." in text


MACRO = '<ac:structured-macro ac:name="{}"><ac:parameter ac:name="{}">{}</ac:parameter>{}</ac:structured-macro>'
RICH = "<ac:rich-text-body><p>{}</p></ac:rich-text-body>"
CODE = '<ac:plain-text-body><![CDATA[if [ $a < 3 ] && b; then\n  echo "<i>"\nfi]]></ac:plain-text-body>'


@pytest.mark.parametrize(
    ("storage", "shown", "unseen"),
    [
        (
            MACRO.format("code", "language", "bash", CODE),
            '```bash\nif [ $a < 3 ] && b; then\n  echo "<i>"\nfi\n```',
            "",
        ),
        (MACRO.format("noformat", "nopanel", "true", CODE), "if [ $a < 3 ] && b; then", "true"),
        (MACRO.format("info", "icon", "false", RICH.format("Keep dry.")), "Keep dry.", "false"),
        (MACRO.format("expand", "title", "More", RICH.format("Inner.")), "More\n\nInner.", ""),
        (f"<p>It is {MACRO.format('status', 'title', 'DONE', '')} now</p>", "DONE", ""),
        (MACRO.format("toc", "maxLevel", "4711", ""), "Quay", "4711"),
        (
            '<p>See <ac:link><ri:page ri:content-title="Plan"/><ac:plain-text-link-body><![CDATA[the <plan>]]>'
            "</ac:plain-text-link-body></ac:link>.</p>",
            "See the <plan>.",
            "",
        ),
        ('<p>See <ac:link><ri:page ri:content-title="Plan B" /></ac:link>.</p>', "See Plan B.", ""),
        (
            "<ac:task-list><ac:task><ac:task-id>4711</ac:task-id><ac:task-status>complete</ac:task-status>"
            "<ac:task-body>Order <b>seals</b></ac:task-body></ac:task></ac:task-list>",
            "- [x] Order seals",
            "4711",
        ),
        (
            '<ac:image ac:alt="Plan of the quay"><ri:attachment ri:filename="p.png"/></ac:image>',
            "Plan of the quay",
            "p.png",
        ),
        ('<p>Fine <ac:emoticon ac:name="smile" ac:emoji-fallback=":-)"/> tail</p>', "Fine :-) tail", "smile"),
    ],
)  # fmt: skip
def test_the_storage_format_of_confluence_reads_as_the_page_does(storage: str, shown: str, unseen: str) -> None:
    text = text_of(storage)
    assert shown in text
    assert not unseen or unseen not in text


def test_character_data_of_a_script_is_no_text() -> None:
    assert "nope" not in text_of("<script>//<![CDATA[\nlet x = 'nope';\n//]]></script>")
    assert "1 < 2 holds" in text_of("<p><![CDATA[1 < 2 holds]]></p>")


def test_boxes_of_a_task_list_say_what_is_done() -> None:
    text = text_of("<ul><li><input type=checkbox checked disabled> Seal</li><li><input type='checkbox'> Oil</li></ul>")
    assert "- [x] Seal\n- [ ] Oil" in text


@pytest.mark.parametrize("tag", ["li", "p", "div"])
def test_a_note_stands_below_what_it_explains(tag: str) -> None:
    note = f'<{tag} id="fn:{{0}}">Except for {{1}}. <a href="#r{{0}}">\u21a9</a></{tag}>'
    frame = "<ol>{}</ol>" if tag == "li" else "<section>{}</section>"
    text = text_of(
        '<p>The due is nine euros.<sup><a href="#fn:1">1</a></sup> It holds.<sup><a href="#fn:2">2</a></sup></p>'
        '<ul><li>Water is free<a href="#fn:3">[3]</a></li></ul><h2>Access</h2><p>The gate is open.</p>'
        + frame.format(note.format(1, "tugs") + note.format(2, "ferries") + note.format(3, "cruisers"))
    )
    assert (
        "nine euros.[1] It holds.[2]\n\n[1] Except for tugs.\n\n[2] Except for ferries.\n\n"
        "- Water is free[3]\n  [3] Except for cruisers.\n\n## Access\n\nThe gate is open."
    ) in text
    assert text.endswith("The gate is open.")


def test_terms_stay_with_all_their_meanings() -> None:
    text = text_of(
        "<dl><dt>Draught</dt><dt>Depth</dt><dd>Of the keel</dd><dd>Of the sea</dd><dt>Berth</dt><dd>Place</dd></dl>"
    )
    assert "Draught\nDepth\nOf the keel\nOf the sea\n\nBerth\nPlace" in text


@pytest.mark.parametrize(
    "frame",
    [
        "<main><article><h1>Quay</h1>{0}</article><section><h2>Dues</h2><p>Nine euros a night.</p></section></main>",
        "<article><h1>Quay</h1>{0}</article><article><h2>Dues</h2><p>Nine euros a night.</p></article>",
    ],
)
def test_containers_beside_the_largest_are_content_too(frame: str) -> None:
    body = f'<nav><a href="/">Home</a></nav>{frame.format(PROSE * 8)}<footer><a href="/x">Imprint</a></footer>'
    page = f"<html><head><title>Quay</title></head><body>{body}</body></html>"
    (document,) = parse(page.encode(), "text/html", "quay.html", ParseLimits())
    assert "## Dues\n\nNine euros a night." in document.text
    assert "Imprint" not in document.text


@pytest.mark.parametrize(
    ("ruby", "shown"),
    [
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rt>じ</rt></ruby>を", "漢字(かんじ)を"),
        ("<ruby><rb>東</rb><rb>京</rb><rtc><rt>とう</rt><rt>きょう</rt></rtc></ruby>へ", "東京(とうきょう)へ"),
        ("<ruby>北<rt>Bei</rt>京<rt>jing</rt></ruby> now", "北京(Bei jing) now"),
    ],
)
def test_words_under_their_reading_stay_together_and_the_reading_follows(ruby: str, shown: str) -> None:
    assert shown in text_of(f"<p>{ruby}</p>")


def test_a_drawing_says_its_name_and_the_words_on_it() -> None:
    text = text_of(
        '<figure><svg><title>Tides</title><defs><text>Unused</text></defs><text x="1">High <tspan>water</tspan></text>'
        '<text>12:30</text><foreignObject><div>Low <b>water</b></div></foreignObject><text style="display:none">Gone'
        "</text></svg></figure><p>Press <svg aria-label='Save as'><path d='M0'/></svg> now.</p>"
        '<svg aria-hidden="true"><text>Unseen</text></svg><svg style="display:none"><text>Sprite</text></svg>'
    )
    assert "Tides\nHigh water\n12:30\nLow water" in text
    assert "Press Save as now." in text
    assert not any(word in text for word in ("Unused", "Gone", "Unseen", "Sprite"))


def test_an_open_dialog_is_seen_and_a_closed_one_counted() -> None:
    page = f"<main><h1>Quay</h1>{PROSE}<dialog open>Seen</dialog><dialog>Unseen</dialog></main>"
    (document,) = parse(page.encode(), "text/html", "quay.html", ParseLimits())
    assert document.text.endswith("Seen")
    assert document.metadata["hidden_attribute_count"] == "1"


@pytest.mark.parametrize("media_type", ["text/html", "text/markdown"])
def test_the_foot_of_a_table_stands_below_its_body_wherever_it_is_written(media_type: str) -> None:
    foot = "<tfoot><tr><td>Sum</td><td>9</td></tr></tfoot>"
    table = f"<table><thead><tr><th>Berth</th><th>Due</th></tr></thead>{foot}"
    table += "<tbody><tr><td>North</td><td>4</td></tr><tr><td>South</td><td>5</td></tr></tbody></table>"
    (document,) = parse(f"{table}\n".encode(), media_type, "a", ParseLimits())
    assert document.text.split() == ["Berth", "Due", "North", "4", "South", "5", "Sum", "9"]


def test_the_foot_of_a_table_that_holds_tables_stands_below_its_body_too() -> None:
    inner = "<table><tfoot><tr><td>Sum</td><td>9</td></tr></tfoot><tr><td>North</td><td>9</td></tr></table>"
    text = text_of(f"<table><tfoot><tr><td>Foot</td></tr></tfoot><tbody><tr><td>{inner}</td></tr></tbody></table>")
    assert text.split()[-5:] == ["North", "9", "Sum", "9", "Foot"]


def test_a_table_of_data_keeps_its_columns_where_a_cell_holds_a_table() -> None:
    inner = "<table><tr><td>Key<table><tr><td>deep</td><td>er</td></tr></table></td><td>7</td></tr></table>"
    rows = f"<tr><td>1</td><td>before {inner} after</td></tr><tr><td>2</td><td>of the second row of all</td></tr>"
    text = text_of(f"<table><tr><th>Berth</th><th>What is kept at the berth</th></tr>{rows}</table>")
    assert "\n\nBerth\tWhat is kept at the berth\n1\tbefore after\n2\tof the second row of all\n\n" in text
    for words in ("Key", "7", "deep\ter"):
        assert words in text
    layout = text_of(f"<table><tr><td>Menu</td><td>{inner}</td></tr></table>")
    assert "Menu\n" in layout
