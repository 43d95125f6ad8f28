"""Records cite the line where they begin however far down, and headers with odd names are headers all the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.records.json_places import Placed, load_placed
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline.transforms.worker_tasks import block_rows, blocks_of
from rag_pipeline_tests.transforms.chunk.counters import WordCounter

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def chunks(name: str, text: str) -> list[tuple[str, int | None]]:
    """Text and cited line of each chunk of every document of the file."""
    raw = text.encode()
    documents = parse(raw, media_type_of(name, raw), name, ParseLimits())
    return [
        (document.text[chunk.start_char : chunk.end_char], chunk.line)
        for document in documents
        for chunk in chunk_document(document, ChunkParams(max_tokens=60, header_max_tokens=10), WordCounter())
    ]


def reports(count: int) -> list[dict[str, object]]:
    return [{"berth": f"B{number}", "depth": number, "state": f"state of {number}"} for number in range(count)]


@pytest.mark.parametrize("indent", [2, 0])
def test_records_far_down_in_an_array_cite_their_line(indent: int) -> None:
    text = json.dumps(reports(60), indent=indent)
    lines = text.split("\n")
    found = chunks("reports.json", text)
    assert len(found) > 8
    for shown, line in found:
        assert line is not None
        first = shown.split("\n")[0].split(": ")[1]
        assert any(f'"{first}"' in near for near in lines[line - 1 : line + 1])


def test_records_of_one_line_each_cite_it() -> None:
    text = "\n\n".join(json.dumps(record) for record in reports(50))
    for shown, line in chunks("reports.ndjson", text):
        assert line is not None
        assert shown.split("\n")[0].split(": ")[1] in text.split("\n")[line - 1]


def test_tickets_within_an_envelope_cite_their_line() -> None:
    prose = "The crane stops when the wind is stronger than the limit that the yard has set."
    tickets = [{"id": f"T-{n}", "title": f"Crane {n}", "body": prose, "log": [{"by": "Ada"}]} for n in range(30)]
    text = json.dumps({"total": 30, "issues": tickets}, indent=1)
    documents = parse(text.encode(), "application/json", "export.json", ParseLimits())
    assert len(documents) == 30
    for document in documents:
        line = document.blocks[0].line
        assert line is not None
        assert document.part in text.split("\n")[line]


def test_a_long_list_within_a_configuration_has_the_places_of_its_items() -> None:
    text = json.dumps({"version": "1.10", "hosts": reports(40), "after": {"note": "last words"}}, indent=2)
    lines = text.split("\n")
    blocks = parse(text.encode(), "application/json", "c.json", ParseLimits())[0]
    shown = {blocks.text[block.start_char : block.end_char]: block.line for block in blocks.blocks}
    last = next(line for text, line in shown.items() if "B39" in text)
    assert last is not None
    assert "B39" in lines[last]
    assert lines[(shown["after:\n  note: last words"] or 0) - 1].strip().startswith('"after"')


def pretty_ticket() -> str:
    body = "\n".join(f"Matter {number} was looked at, and then at last closed." for number in range(60))
    parts = f"# Cause\n\n{body}\n\n- one\n- two\n\n```\n{body}\n```"
    return json.dumps({"id": 1, "title": "Ticket", "description": parts, "state": "open", "note": body}, indent=1)


def test_chunks_from_within_a_long_string_cite_the_line_that_it_stands_in() -> None:
    text = pretty_ticket()
    found = chunks("ticket.json", text)
    assert len(found) > 20
    assert {line for _, line in found} <= {3, 4, 5, 6}
    for shown, line in found:
        assert line is not None
        # JSON has a text of many lines in one.
        assert json.dumps(shown.split("\n")[-1])[1:-1] in text.split("\n")[line - 1] or line == 3


def test_what_a_parser_composes_cites_where_its_block_begins() -> None:
    hosts = json.dumps({"version": 2, "hosts": {f"h{n}": {"port": n, "tags": ["a", "b"]} for n in range(60)}}, indent=1)
    assert {line for _, line in chunks("hosts.json", hosts)} == {2, 3}
    words = "&lt;p&gt;".join(f"The crane of berth {number} was greased and tried." for number in range(40))
    feed = f"<feed>\n<entry>\n<summary>{words}</summary>\n</entry>\n</feed>"
    assert {line for _, line in chunks("feed.xml", feed)} == {3}
    rows = "\n".join(f"{number},said at noon {number},x" for number in range(3))
    note = "\n".join(f"Line {number} of a note that says what the crane did." for number in range(40))
    csv = f'id,text,note\n7,"{note}",y\n8,"{note}",y\n{rows}\n'
    assert {line for _, line in chunks("notes.csv", csv)} <= {2, 42, 82, 83, 84}


def test_places_are_the_same_once_they_were_stored() -> None:
    blocks = parse(pretty_ticket().encode(), "application/json", "t.json", ParseLimits())[0].blocks
    assert not any(block.holds_lines for block in blocks)
    source = parse(b"# Top\n\nwords\n", "text/markdown", "t.md", ParseLimits())[0].blocks
    assert all(block.holds_lines for block in source)
    assert blocks_of(block_rows((*blocks, *source))) == (*blocks, *source)


def test_signs_beyond_the_first_plane_and_halves_of_them_take_no_place() -> None:
    tickets = [{"id": n, "title": f"Crane {n}", "pay": "PAY", "said": "SAID"} for n in range(3)]
    text = json.dumps(tickets, indent=1).replace('"PAY"', "1.10")

    def shown(said: str) -> list[tuple[str, int | None]]:
        found = parse(text.replace("SAID", said).encode(), "application/json", "t.json", ParseLimits())[0]
        return [(found.text[block.start_char : block.end_char], block.line) for block in found.blocks]

    plain = shown("well")
    assert [line for _, line in plain] == [2, 8, 14]
    assert "pay: 1.10" in plain[0][0]
    for escaped, read in ((r"\ud83d\ude00", "\U0001f600"), (r"a \ud83d b", "a ? b"), (r"\\ud83d\ude00", r"\ud83d?")):
        assert shown(escaped) == [(words.replace("well", read), line) for words, line in plain]


def test_comments_take_no_lines() -> None:
    text = '/* Of\n the yard\n*/\n{\n "berths": {"a": 1}, // one\n\n /* and\n more\n */\n "cranes": {"b": 2},\n}\n'
    for line_end in ("\n", "\r\n"):
        document = parse(text.replace("\n", line_end).encode(), "application/json", "a.json", ParseLimits())[0]
        assert [(block.label, block.line) for block in document.blocks] == [("berths", 5), ("cranes", 10)]


@settings(max_examples=150)
@given(value=JSON, indent=st.sampled_from([None, 1]))
def test_values_are_read_as_the_plain_reader_reads_them(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert load_placed(f" {text}\n", int) == json.loads(text)


def test_fields_of_a_long_object_have_lines_of_their_own() -> None:
    text = json.dumps([{"list": [{"a": 1}] * 50, "end": 2}], indent=1)
    record = load_placed(text, int)[0]
    assert isinstance(record, Placed)
    assert text.split("\n")[record.field_lines["end"] - 1].strip() == '"end": 2'


@pytest.mark.parametrize(
    "text", ["[1,]", '{"a" 1}', '{"a": 1 "b": 2}', "[1\n2]", "{,}", '{"a": 1,}', "[", '{"a"', "1 2"]
)
def test_faults_are_faults(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        load_placed(text, int)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("1st,-delta,(x),[y],,name,name", "1st -delta (x) [y] column_5 name name_(2)"),
        ("+item,-item,%x,#n", "+item -item %x #n"),
        ("id,note,note,note", "id note note_(2) note_(3)"),
        ("id,a,a,a (2)", "id a a_(3) a_(2)"),
        ("id,a (2),a,a,a", "id a_(2) a a_(3) a_(4)"),
        ("id,a,a (2),a,a (2)", "id a a_(2) a_(3) a_(2)_(2)"),
        ("id,,column 2,a", "id column_2_(2) column_2 a"),
        ("id,column 3,,a", "id column_3 column_3_(2) a"),
        ("[A],[B],[C]", "[A] [B] [C]"),
        ("2nd dose,1st dose", "2nd_dose 1st_dose"),
        ("$price,@handle,&co", "$price @handle &co"),
    ],
)
def test_odd_and_double_names_name_their_columns(header: str, names: str) -> None:
    width = header.count(",") + 1
    rows = "\n".join(",".join(str(10 * row + column) for column in range(width)) for row in range(3))
    document = parse(f"{header}\n{rows}\n".encode(), "text/csv", "a.csv", ParseLimits())[0]
    assert document.text.split("\n")[0].split("\t") == [name.replace("_", " ") for name in names.split()]
    assert document.metadata["row_count"] == "3"


@pytest.mark.parametrize("text", ["red,green,red\nblue,green,red\n", "12,13,14\n15,16,17\n", "(a),(b)\n(c),(d)\n"])
def test_rows_of_data_are_no_header(text: str) -> None:
    assert parse(text.encode(), "text/csv", "a.csv", ParseLimits())[0].text.strip() == text.strip()


def test_rows_that_are_documents_cite_their_line_and_keep_double_fields() -> None:
    prose = "The pump stopped at noon, and nobody knows why it did so today."
    rows = "\n".join(f'{number},"{prose}\nSecond line of {number}.",x,y{number}' for number in range(20))
    documents = parse(f"id,text,note,note\n{rows}\n".encode(), "text/csv", "a.csv", ParseLimits())
    assert [document.part for document in documents] == [str(number) for number in range(20)]
    assert [document.blocks[0].line for document in documents] == [2 + 2 * number for number in range(20)]
    assert documents[7].metadata["note (2)"] == "y7"


@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "a (2) (2)", "column 2", "column 1 (2)", ""]), max_size=9))
def test_no_cell_is_lost_to_a_column_of_the_same_name(names: list[str]) -> None:
    prose = "The pump stopped at noon, and nobody knows why it did so today."
    cells = [f"cell {number}" for number in range(len(names))]
    header, row = ",".join(["id", "text", *names]), ",".join(cells)
    raw = f"{header}\n1,{prose},{row}\n2,{prose},{row}\n".encode()
    for document in parse(raw, "text/csv", "a.csv", ParseLimits()):
        for cell in cells:
            assert cell in document.text
