"""Where a block stands in its file: each line of its text is the line of the file that it says."""

from __future__ import annotations

from rag_pipeline.parsing import ParseLimits, parse


def lines_of(raw: str, media_type: str, address: str) -> dict[str, int]:
    """Line of the file that each line of the document's blocks claims to be."""
    (document,) = parse(raw.encode(), media_type, address, ParseLimits())
    found: dict[str, int] = {}
    for block in document.blocks:
        assert block.line is not None
        for offset, line in enumerate(document.text[block.start_char : block.end_char].split("\n")):
            found[line] = block.line + offset
    return found


def test_rows_of_a_csv_stand_in_their_own_lines() -> None:
    raw = 'sep=;\n\nberth;depth\nNorth;"4\nmetres"\n;\nSouth;7\n\nEast;9\n'
    found = lines_of(raw, "text/csv", "berths.csv")
    assert found["berth\tdepth"] == 3
    assert found["North\t4 metres"] == 4
    assert found["South\t7"] == 7
    assert found["East\t9"] == 9


def test_rows_below_a_caption_stand_in_their_own_lines() -> None:
    raw = "Dues of 2025,,\nberth,due,unit\nNorth,4,euro\n\nSouth,7,euro\n"
    found = lines_of(raw, "text/csv", "dues.csv")
    assert found == {
        "Dues of 2025": 1, "berth\tdue\tunit": 2, "North\t4\teuro": 3, "": 4, "South\t7\teuro": 5,
    }  # fmt: skip
