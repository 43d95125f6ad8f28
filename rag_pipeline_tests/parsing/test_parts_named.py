"""Parts of long tables and fields say whose they are, in every markup, and cite the line they begin in."""

from __future__ import annotations

import json
import re

import pytest

from rag_pipeline.contracts.documents import Chunk, ParsedDocument
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.transforms.chunk import ChunkParams, chunk_document
from rag_pipeline.transforms.chunk.markup_tables import marked_names, marked_row_cuts, marked_table
from rag_pipeline_tests.transforms.chunk.counters import WordCounter

ROWS = [(f"North {number}", f"{number} m", f"{number}.50") for number in range(40)]


def cut(name: str, source: str) -> tuple[ParsedDocument, list[Chunk]]:
    (document,) = parse(source.encode(), media_type_of(name, source.encode()), name, ParseLimits())
    return document, chunk_document(document, ChunkParams(60, header_max_tokens=20), WordCounter())


def each(form: str) -> str:
    return "".join(form.format(*row) for row in ROWS)


TABLES = {
    "a.wiki": '{| class="x"\n|+ Dues\n! scope="col" | Berth !! Depth !! Due\n'
    + each("|-\n| {} || {} || {}\n")
    + "|}\n",
    "b.wiki": "{|\n|-\n! Berth\n! Depth\n! Due\n" + each("|-\n| {}\n| {}\n| {}\n") + "|}\n",
    "a.adoc": '[options="header"]\n|===\n|Berth |Depth |Due\n' + each("|{} |{} |{}\n") + "|===\n",
    "b.adoc": "|===\n|Berth |Depth |Due\n\n" + each("|{}\n|{}\n|{}\n\n") + "|===\n",
    "a.rst": ".. list-table:: Dues\n   :header-rows: 1\n\n   * - Berth\n     - Depth\n     - Due\n"
    + each("   * - {}\n     - {}\n     - {}\n"),
    "b.rst": '.. csv-table:: Dues\n   :header: "Berth","Depth","Due"\n\n' + each("   {},{},{}\n"),
    "a.md": "+---------+-----+-----+\n| Berth   | Depth | Due |\n+=========+=====+=====+\n"
    + each("| {} | {} | {} |\n+---------+-----+-----+\n"),
    "a.tex": "\\begin{{document}}\n\\begin{{tabular}}{{lll}}\nBerth & Depth & Due \\\\\n\\hline\n".format()
    + each("{} & {} & {} \\\\\n")
    + "\\end{tabular}\n\\end{document}",
}


@pytest.mark.parametrize("name", TABLES)
def test_each_part_of_a_table_names_its_columns_and_cites_its_row(name: str) -> None:
    source = TABLES[name]
    document, chunks = cut(name, source)
    lines = source.split("\n")
    rows = [chunk for chunk in chunks if "North" in document.text[chunk.start_char : chunk.end_char]][1:]
    assert len(rows) > 3
    for chunk in rows:
        assert all(column in chunk.header for column in ("Berth", "Depth", "Due"))
        text = document.text[chunk.start_char : chunk.end_char]
        first = re.search(r"North \d+\b", text)
        assert first is not None
        assert chunk.line is not None
        assert any(re.search(rf"{first.group()}\b", line) for line in lines[chunk.line - 1 : chunk.line + 1])


def test_options_of_a_table_are_no_names_and_rows_of_it_stay_whole() -> None:
    for name, names in (("b.wiki", "Berth | Depth | Due"), ("b.adoc", "Berth | Depth | Due")):
        source = TABLES[name]
        lines = [(0, source.split("\n")[0])]
        for line in source.split("\n")[1:]:
            lines.append((lines[-1][0] + len(lines[-1][1]) + 1, line))
        kind = marked_table(lines[0][1])
        assert marked_names(kind, lines) == names
        for at in marked_row_cuts(kind, lines):
            assert "North" in source[at:].split("\n", 2)[0] + source[at:].split("\n", 2)[1]
    assert not marked_names("asciidoc", [(0, "|==="), (5, "|1 |2"), (11, "|3 |4")])
    assert not marked_names("list", [(0, ".. list-table::"), (16, "   * - a"), (25, "     - b")])


FIELDS = {
    "a.yaml": (
        "service:\n  berths:\n" + each("    - berth: {}\n      depth: {}\n      due: {}\n"),
        "service:\nberths:",
    ),
    "b.yaml": ("berths:\n" + each("- berth: {}\n  depth: {}\n  due: {}\n"), "berths:"),
    "a.ini": ("[quay]\n" + "".join(f"key{n} = value {n}\n" for n in range(90)), "[quay]"),
    "a.json": (
        json.dumps(
            {"quay": {"rows": [dict(zip(("berth", "depth", "due"), row, strict=True)) for row in ROWS]}}, indent=1
        ),
        "quay.rows:",
    ),
    "b.json": (json.dumps({"notes": " ".join(f"Word {n} of it." for n in range(90)), "x": {"y": 1}}), "notes:"),
    "c.json": (json.dumps({"matrix": [[n, n + 1, n + 2] for n in range(90)]}), "matrix:"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_each_part_of_a_field_says_what_it_lies_in(name: str) -> None:
    source, above = FIELDS[name]
    _, chunks = cut(name, source)
    assert len(chunks) > 2
    assert {chunk.header for chunk in chunks[1:] if chunk.kind == "field"} - {"", "x:"} == {above}
    assert chunks[1].header == above


def test_rows_of_a_list_within_objects_cite_their_own_line() -> None:
    source, _ = FIELDS["a.json"]
    document, chunks = cut("a.json", source)
    for chunk in chunks[1:]:
        berth = document.text[chunk.start_char : chunk.end_char].split("berth: ")[1].split("\n")[0]
        assert chunk.line is not None
        assert f'"{berth}"' in "".join(source.split("\n")[chunk.line - 1 : chunk.line + 2])
