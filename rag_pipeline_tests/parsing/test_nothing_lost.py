"""Every field, row and cue of a record format reaches the text or the metadata."""

from __future__ import annotations

import json

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, media_type_of, parse


def _parsed(address: str, text: str) -> list[ParsedDocument]:
    raw = text.encode()
    return parse(raw, media_type_of(address, raw), address, ParseLimits())


def _tickets(count: int) -> list[dict[str, object]]:
    return [
        {
            "id": f"Q-{number}",
            "title": f"Crane {number}",
            "body": f"The crane {number} creaks when the north wind blows.",
        }
        for number in range(1, count + 1)
    ]


def test_an_object_with_a_name_keeps_its_other_fields() -> None:
    value = {
        "cache": {"name": "tide", "host": "c3.inner", "port": 6111},
        "teams": [{"name": "Crew", "phone": "99-12", "lead": {"id": 4, "name": "Ida", "room": "B7"}}],
    }
    text = _parsed("a.json", json.dumps(value))[0].text
    for word in ("tide", "c3.inner", "6111", "Crew", "99-12", "Ida", "B7"):
        assert word in text


def test_a_ticket_keeps_the_fields_of_its_people_products_and_comments() -> None:
    ticket = _tickets(1)[0] | {
        "product": {"id": 7, "name": "Crane X", "load": "31 tons", "page": "https://crane.example/x"},
        "comments": [{"author": {"name": "Ole", "team": "Night"}, "body": "Greased it.", "hours": 3.50}],
    }
    document = _parsed("t.json", json.dumps(ticket).replace("3.5", "3.50"))[0]
    for word in ("31 tons", "Night", "Greased it.", "3.50"):
        assert word in document.text
    assert document.metadata["product"] == "Crane X"
    assert "https://crane.example/x" in document.metadata["product.fields"]


def test_an_odd_empty_or_repeated_record_changes_nothing_for_the_others() -> None:
    plain = {document.part: document.text for document in _parsed("a.ndjson", _lines(_tickets(12)))}
    for odd in (None, 7, "loose", [1], {}, _tickets(3)[2], {"note": "without an id"}):
        documents = {document.part: document.text for document in _parsed("a.ndjson", _lines([*_tickets(12), odd]))}
        assert documents.items() >= plain.items()
        array = {document.part: document.text for document in _parsed("a.json", json.dumps([odd, *_tickets(12)]))}
        assert array.items() >= plain.items()


def test_a_value_that_is_no_record_is_a_part_that_says_so() -> None:
    stray = _parsed("a.ndjson", _lines([*_tickets(3), "loose end"]))[-1]
    assert (stray.part, stray.text.strip()) == ("stray-values", "loose end")
    assert stray.metadata["parse_error"] == "1 value is no record"


def test_values_and_lines_that_are_no_records_are_counted_with_their_line() -> None:
    lines = [json.dumps(ticket) for ticket in _tickets(4)]
    lines[2:2] = ['"loose end"', "{broken", "[7, 8]", "null"]
    found = {document.part.partition("-")[0]: document for document in _parsed("a.ndjson", "\n".join(lines))}
    facts = found["stray"].metadata
    assert (facts["bad_record_count"], facts["bad_record_lines"]) == ("3", "3, 5, 6")
    assert [block.line for block in found["stray"].blocks] == [3, 5, 6]
    assert found["bad"].metadata["bad_record_lines"] == "4"
    whole = _parsed("b.json", '[\n{"a": 1},\n"loose",\n{"a": 2}\n]')[0]
    assert (whole.metadata, whole.blocks[1].line) == ({"bad_record_count": "1", "bad_record_lines": "3"}, 3)


def test_rows_with_other_cells_than_the_names_are_counted_with_their_line() -> None:
    table = _parsed("a.csv", "berth,load,unit\nB1,17,t\nB2,20\nB3,9,t,,\nB4,8,t,wet\n\nSum\n")[0]
    assert (table.metadata["bad_record_count"], table.metadata["bad_record_lines"]) == ("3", "3, 5, 7")
    said = "The crane on the south pier was out of order for two days"
    rows = [f'{n},Crane,"{said}"' for n in range(1, 4)]
    rows[1] += ",more"
    found = _parsed("b.csv", "\n".join(["id,title,description", *rows, "# a remark", "5,Rope"]))
    assert [document.metadata.get("bad_record_lines") for document in found] == [None, "3", None, "5", "6"]
    assert _parsed("c.csv", "a,b\nx,1\ny,2\n")[0].metadata == {"row_count": "2"}


@pytest.mark.parametrize(
    "value",
    [
        {"columns": ["berth", "load"], "index": [0, 1], "data": [["B1", 17.5], ["B2", 20]]},
        {"berth": {"0": "B1", "1": "B2"}, "load": {"0": 17.5, "1": 20}},
        {"0": {"berth": "B1", "load": 17.5}, "1": {"berth": "B2", "load": 20}},
        {"columns": ["berth", "load"], "data": [["B1", 17.5], ["B2", 20]]},
    ],
    ids=["split", "columns", "index", "split without index"],
)
def test_a_table_of_pandas_is_read_by_rows(value: object) -> None:
    [document] = _parsed("a.json", json.dumps(value))
    assert document.text == "berth: B1\nload: 17.5\n\nberth: B2\nload: 20"


def test_names_of_rows_and_of_several_levels_stay() -> None:
    split = {"columns": [["load", "t"], ["load", "%"]], "index": ["B1", "B2"], "data": [[1, 2], [3, 4]]}
    assert _parsed("a.json", json.dumps(split))[0].text == (
        "index: B1\nload t: 1\nload %: 2\n\nindex: B2\nload t: 3\nload %: 4"
    )
    series = {"name": "load", "index": ["B1", "B2"], "data": [17.5, 20]}
    assert _parsed("a.json", json.dumps(series))[0].text == "index: B1\nload: 17.5\n\nindex: B2\nload: 20"


def test_tickets_of_pandas_are_documents_each_with_its_line() -> None:
    tickets = _tickets(2)
    rows = ",\n".join(json.dumps([*ticket.values()]) for ticket in tickets)
    split = _parsed("a.json", f'{{"columns": {json.dumps([*tickets[0]])},\n"data": [\n{rows}\n]}}')
    assert [(document.part, document.blocks[0].line) for document in split] == [("Q-1", 3), ("Q-2", 4)]
    table = {"schema": {"fields": [{"name": "id"}, {"name": "title"}], "primaryKey": ["id"]}, "data": tickets}
    assert [document.part for document in _parsed("a.json", json.dumps(table))] == ["Q-1", "Q-2"]


def test_objects_that_only_look_like_tables_stay_what_they_are() -> None:
    for value in ({"columns": ["a"], "data": [[1, 2]]}, {"0": {"a": 1}}, {"a": {"0": {"deep": 1}, "1": {"deep": 2}}}):
        [document] = _parsed("a.json", json.dumps(value))
        assert [block.kind for block in document.blocks] == ["field"] * len(value)


def test_rows_of_cells_are_a_table_each_in_its_line() -> None:
    rows = '[["berth", "load"],\n["B1", 17.50],\n["B2", null]]'
    [table] = _parsed("a.json", rows)[0].blocks
    assert (table.kind, table.line, table.holds_lines) == ("table", 1, True)
    assert _parsed("a.json", rows)[0].text == "berth\tload\nB1\t17.50\nB2"
    sheet = _parsed("b.json", f'{{"range": "A1:B3", "values": {rows}}}')[0]
    assert [block.kind for block in sheet.blocks] == ["field", "field", "table"]
    assert "B1\t17.50" in sheet.text


def _lines(values: list[object] | list[dict[str, object]]) -> str:
    return "\n".join(json.dumps(value) for value in values)


def test_scalars_stay_as_they_were_written() -> None:
    front = _parsed("a.md", "---\ntitle: 2.40\nat: 12:30\nopen: No\nzip: 0123\n---\n\nWords.\n")[0]
    assert front.title == "2.40"
    assert front.metadata == {"at": "12:30", "open": "No", "zip": "0123"}
    toml = _parsed("b.md", "+++\nversion = 2.40\n+++\n\nWords.\n")[0]
    assert toml.metadata == {"version": "2.40"}
    assert "version: 2.40" in _parsed("a.json", '{"version": 2.40}')[0].text


def test_the_hint_on_the_delimiter_is_no_row() -> None:
    for first in ("sep=;", '"sep=;"', "SEP=;"):
        document = _parsed("a.csv", f"{first}\nShip;Length\nGull;31,5\nTern;28,0\n")[0]
        assert document.title is None
        assert document.text.startswith("Ship\tLength\n")
        assert document.blocks[0].line == 2


def test_a_header_may_begin_with_a_digit_sign_or_bracket() -> None:
    document = _parsed("a.csv", "Port,2nd visit,(EUR),18-25,%\nOslo,4,7,1,2\nBergen,5,8,2,3\n")[0]
    assert document.metadata["row_count"] == "2"
    assert "row_count" not in _parsed("b.csv", "Oslo,4,7\nBergen,5,8\n")[0].metadata
    assert "row_count" not in _parsed("c.csv", "Oslo,4 tons\nBergen,5 tons\n")[0].metadata


def test_a_name_that_comes_twice_in_an_object_says_both() -> None:
    for source in (
        '{"port": 1, "port": [2, 3], "x": {"y": 4, "y": 5}}',
        '{\n"port": 1,\n"port": [2, 3],\n"x": {"y": 4, "y": 5}\n}',
    ):
        document = _parsed("a.json", source)[0]
        assert "port: 1, 2, 3" in document.text
        assert "y: 4, 5" in document.text


def test_attributes_of_records_reach_the_text() -> None:
    source = '<ships><ship id="7"><title>Gull</title>sails on</ship><note at="quay">Due at noon</note></ships>'
    text = _parsed("a.xml", source)[0].text
    for words in ("id=7", "Gull", "sails on", "at=quay", "Due at noon"):
        assert words in text
    assert "Gullsails" not in text


def test_two_voices_of_one_cue_are_two_speakers() -> None:
    cues = "00:01.000 --> 00:02.000\n<v Ada>Aye.</v> <v Bo>Nay.</v>\n<v Cy>Aye.\nSo be it.\n"
    document = _parsed("a.vtt", f"WEBVTT\n\n{cues}")[0]
    assert [block.label for block in document.blocks] == ["Ada", "Bo", "Cy"]
    assert document.text.endswith("Cy: Aye. So be it.")
    assert document.metadata["cue_count"] == "1"


def test_equal_cues_by_other_speakers_or_at_other_times_stay() -> None:
    cues = [
        ("01", "02", "<v Ada>Yes."),
        ("02", "03", "<v Bo>Yes."),
        ("05", "06", "<v Bo>Yes."),
        ("06", "07", "<v Bo>Yes."),
    ]
    body = "\n\n".join(f"00:00:{start}.000 --> 00:00:{end}.000\n{words}" for start, end, words in cues)
    document = _parsed("a.vtt", f"WEBVTT\n\n{body}\n\nlater --> 00:00:09.000\nBroken.\n")[0]
    assert document.text.count("Yes.") == 4
    assert document.metadata["speakers"] == "Ada, Bo"
    assert document.metadata["bad_cue_count"] == "1"


def test_objects_in_a_row_keep_their_numbers_and_lines() -> None:
    document = _parsed("a.json", '{\n "id": 1, "v": 1.10\n}\n\x1e{\n "id": 2, "v": 2.20\n},\n[\n 7\n]\n')[0]
    assert [block.line for block in document.blocks[:2]] == [1, 4]
    assert "v: 1.10" in document.text
    assert "v: 2.20" in document.text


def test_a_long_title_and_many_addresses_are_text_to_their_end() -> None:
    links = [{"rel": "see", "href": f"https://quay.example/{number}"} for number in range(90)]
    ticket = _tickets(1)[0] | {"title": "Crane " + "word " * 100 + "at last", "links": links}
    document = _parsed("t.json", json.dumps(ticket))[0]
    assert "at last" in document.text
    assert "https://quay.example/89" in document.text
    few = _parsed("t.json", json.dumps(ticket | {"links": links[:3]}))[0]
    assert "https://quay.example/2" in few.metadata["links"]
    assert "https://quay.example" not in few.text


def test_a_name_over_two_lines_and_a_caption_of_one_cell_cost_no_header() -> None:
    wrapped = _parsed("a.csv", 'Name,"Remark\n(free)",\nGull,"first\nsecond",x\nTern,,y\n')[0]
    assert wrapped.text.startswith("Name\tRemark (free)\tcolumn 3\n\nGull")
    assert wrapped.metadata["row_count"] == "2"
    captioned = _parsed("b.csv", "Report of March\n\nName,Quantity\nGull,1\nTern,2\n")[0]
    assert captioned.title == "Report of March"
    assert [(block.kind, block.line) for block in captioned.blocks] == [("heading", 1), ("table", 3)]


BANK = '"Account:";"DE12 3456"\n"From:";"01.01."\n\n"Booked";"Words";"Amount"\n"02.01.";"Rent of May";"-500,00"\n'


def test_lines_before_a_table_cost_no_header_and_are_text() -> None:
    for lead, first, row in (
        ("Dues of March\nMade on 2020-01-01\n\nname,due,berth\nGull,1,7\nTern,2,8\n\nTotal,3,\n", 4, "Gull\t1\t7"),
        (f'{BANK}"03.01.";"Wages";"1.000,00"\n', 4, "02.01.\tRent of May\t-500,00"),
    ):
        document = _parsed("a.csv", lead)[0]
        table = document.blocks[-1]
        assert (table.kind, table.line) == ("table", first)
        assert document.text[table.start_char : table.end_char].split("\n")[1] == row
        assert "Made on 2020-01-01" in document.text or "Account:\tDE12 3456\n\nFrom:\t01.01." in document.text
    tickets = "".join(f"{number},Leak {number},{'The pump lost oil on the way out. ' * 2}\n" for number in range(3))
    lead_part, *rest = _parsed("t.csv", f"Tickets of the harbour\nnumber,title,body\n{tickets}")
    assert (lead_part.text, [document.part for document in rest]) == ("Tickets of the harbour", ["0", "1", "2"])


@pytest.mark.parametrize("rows", ["a,,\n1,2,3\n4,5,6\n", "id,name\n1,A,x,y\n2,B,x,y\n3,C,x,y\n", "k,v\na,1\nb,2\n"])
def test_rows_of_the_table_itself_are_no_lines_before_it(rows: str) -> None:
    (block,) = _parsed("a.csv", rows)[0].blocks
    assert (block.kind, block.line) == ("table", 1)


def test_a_group_over_columns_names_each_of_them() -> None:
    text = _parsed("a.csv", "Region;Q1;;Q2;\n;Plan;Real;Plan;Real\n" + "North;1;2;3;4\n" * 3)[0].text
    assert text.startswith("Region\tQ1\tQ1\tQ2\tQ2\n\tPlan\tReal\tPlan\tReal\nNorth")


def test_only_tags_of_html_are_taken_out_of_xml() -> None:
    fields = "<a>Map&lt;K, V&gt;</a><b><![CDATA[ask <your-name> or <b>all</b>]]></b><c>&lt;p&gt;One&lt;/p&gt;Two</c>"
    text = _parsed("a.xml", f"<notes><note>{fields}</note></notes>")[0].text
    for words in ("Map<K, V>", "ask <your-name> or all", "One\nTwo"):
        assert words in text


def test_values_side_by_side_in_mixed_xml_stay_apart_and_keep_their_attributes() -> None:
    source = '<r><i id="1"><n>Pump</n><p cur="EUR">1.10</p>spare</i>ask <who no="7">Ann</who>, now</r>'
    text = _parsed("a.xml", source)[0].text
    for words in ("Pump 1.10 (cur=EUR) spare", "(id=1)", "ask Ann (no=7), now"):
        assert words in text
