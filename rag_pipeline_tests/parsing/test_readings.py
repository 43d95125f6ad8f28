"""Readings above words, tables within tables, what stands in cells: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import pytest

from rag_pipeline.parsing.readings import in_brackets, with_readings
from rag_pipeline_tests.parsing.office_files import docx
from rag_pipeline_tests.parsing.test_seen_alike import open_text, parsed, span


def word_ruby(words: str, reading: str) -> str:
    above, below = (f"<w:r><w:t>{text}</w:t></w:r>" for text in (reading, words))
    return f"<w:r><w:ruby><w:rt>{above}</w:rt><w:rubyBase>{below}</w:rubyBase></w:ruby></w:r>"


def open_ruby(words: str, reading: str) -> str:
    return (
        f"<text:ruby><text:ruby-base>{words}</text:ruby-base>"
        f'<text:ruby-text text:style-name="Rubies">{reading}</text:ruby-text></text:ruby>'
    )


RUBIES = [
    ([("漢字", "かんじ")], "漢字(かんじ)"),
    ([("漢", "かん"), ("字", "じ")], "漢字(かんじ)"),
    ([("北", "Bei"), ("京", "jing")], "北京(Bei jing)"),
    ([("字", "")], "字"),
]


@pytest.mark.parametrize(("rubies", "shown"), RUBIES)
def test_words_stay_together_and_their_reading_follows_in_every_format(
    rubies: list[tuple[str, str]], shown: str
) -> None:
    in_word = "".join(word_ruby(*ruby) for ruby in rubies)
    written = "".join(open_ruby(*ruby) for ruby in rubies)
    for name, raw in {
        "a.docx": docx(f"<w:p>{in_word}<w:r><w:t>を読む</w:t></w:r></w:p>"),
        "a.odt": open_text(f"<text:p>{written}を読む</text:p>"),
        # With styles that change what is seen, text is gathered by looks.
        "b.odt": open_text(f"<text:p>{written}を読む{span('gone', 'x')}</text:p>"),
        "c.odt": open_text(
            f"<table:table><table:table-row><table:table-cell><text:p>{written}を読む</text:p></table:table-cell>"
            "</table:table-row></table:table>"
        ),
    }.items():
        assert parsed(name, raw).text == f"{shown}を読む"


def test_marks_of_readings_that_do_not_pair_take_no_words_along() -> None:
    assert with_readings("\ufffaa\ufff9b\ufffac") == "\ufffaa\ufff9b\ufffac"
    assert with_readings("\ufff9a\ufff9b\ufffac\ufffb" * 2) == "\ufff9ab(c)\ufff9ab(c)"
    assert in_brackets(["", " "]) == ""


def cell(inner: str) -> str:
    return f"<table:table-cell>{inner}</table:table-cell>"


def table(*rows: str) -> str:
    return f"<table:table>{''.join(f'<table:table-row>{row}</table:table-row>' for row in rows)}</table:table>"


def words(text: str) -> str:
    return f"<text:p>{text}</text:p>"


def test_a_table_in_a_cell_of_an_open_document_comes_once_and_whole() -> None:
    inner = table(cell(words("Berth")) + cell(words("Due")), cell(words("North")) + cell(words("7")))
    hidden = cell(words("Unseen"))
    outer = table(cell(words("Before")) + cell(words("Left") + inner), cell(words("After")))
    outer = outer.replace(
        "</table:table>",
        f'<table:table-row table:visibility="collapse">{hidden}</table:table-row></table:table>',
    )
    document = parsed("a.odt", open_text(outer))
    # Hidden in both tables.
    assert document.text == "Before\n\nLeft\n\nBerth\tDue\nNorth\t7\n\nAfter"
    assert document.metadata["hidden_row_count"] == "2"


def test_what_hangs_on_the_text_of_a_cell_follows_the_table() -> None:
    note = "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>In euros.</text:p>"
    note += "</text:note-body></text:note>"
    picture = "<draw:frame><draw:image/><svg:desc>Map of the quay</svg:desc></draw:frame>"
    hidden = '<text:p><text:hidden-paragraph text:is-hidden="true"/>Unseen</text:p>'
    items = f"<text:list><text:list-item>{words('a')}{hidden}</text:list-item></text:list>"
    rows = (cell(words("Berth")) + cell(words("Due" + note)), cell(items) + cell(words("7" + picture) + hidden))
    document = parsed("a.odt", open_text(table(*rows) + items))
    assert document.text == "Berth\tDue\na\t7\n\nIn euros.\n\nMap of the quay\n\n- a"
    assert document.metadata["hidden_paragraph_count"] == "3"


def test_raised_pieces_side_by_side_are_one_in_an_open_document() -> None:
    assert parsed("a.odt", open_text(words(f"10{span('up', '1')}{span('up', '2')} boats"))).text == "10^12 boats"


def test_a_table_of_data_in_an_open_document_keeps_its_columns_beside_a_table_in_a_cell() -> None:
    inner = table(cell(words("From")) + cell(words("Price")), cell(words("May")) + cell(words("9")))
    names = cell(words("Berth")) + cell(words("Due"))
    rows = [cell(words(f"Berth on the north side {n}")) + cell(words(f"{n} euros a day")) for n in range(4)]
    rows[1] = cell(words("Berth on the south side")) + cell(words("See below") + inner)
    document = parsed("a.odt", open_text(table(names, *rows)))
    kinds = [(block.kind, document.text[block.start_char : block.end_char]) for block in document.blocks]
    assert [kind for kind, _ in kinds] == ["table", "table"]
    assert kinds[0][1].split("\n")[:3] == [
        "Berth\tDue",
        "Berth on the north side 0\t0 euros a day",
        "Berth on the south side\tSee below",
    ]
    assert kinds[1][1] == "From\tPrice\nMay\t9"


def test_a_row_of_names_says_that_a_table_with_others_in_it_holds_data() -> None:
    inner = table(cell(words("From")) + cell(words("Price of the berth")), cell(words("May")) + cell(words("9")))
    outer = table(cell(words("Berth")) + cell(words("Due")), cell(words("North")) + cell(inner))
    first, *rest = outer.removeprefix("<table:table>").split("</table:table-row>")
    head = f"<table:table-header-rows>{first}</table:table-row></table:table-header-rows>"
    with_head = parsed("a.odt", open_text(f"<table:table>{head}{'</table:table-row>'.join(rest)}"))
    assert with_head.text == "Berth\tDue\nNorth\n\nFrom\tPrice of the berth\nMay\t9"
    assert parsed("b.odt", open_text(outer)).text.startswith("Berth\n\nDue\n\nNorth")
