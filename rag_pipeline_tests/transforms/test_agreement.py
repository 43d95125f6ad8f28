"""Labels that were read beside those that people gave."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline.enrichment.labelled import read_labelled
from rag_pipeline.errors import SettingsError
from rag_pipeline.transforms.agreement import SHOWN, agreement


def test_an_address_is_an_uri_or_its_end_by_whole_segments() -> None:
    by_people = {"a/b.md": {"x"}, "file:///docs/c.md": {"x"}, "b.md": {"y"}, "gone.md": {"x"}}
    read = {"file:///docs/a/b.md": ["x"], "file:///docs/c.md": ["x"], "file:///docs/bb.md": ["y"]}
    found = agreement(by_people, read, takes_many=False, least=0.8)
    # `b.md` is the end of the first by its name, and the longer address counts for that.
    assert (found.compared, found.agreed, found.absent) == (2, 2, 2)
    assert found.is_enough


@pytest.mark.parametrize(("takes_many", "agreed"), [(False, 2), (True, 1)])
def test_of_several_labels_one_is_enough_where_a_document_gets_one(takes_many: bool, agreed: int) -> None:
    by_people = {"a": {"x", "y"}, "b": {"x"}, "c": {"x"}}
    found = agreement(by_people, {"a": ["x"], "b": ["x"], "c": ["none"]}, takes_many=takes_many, least=0.9)
    assert (found.compared, found.agreed) == (3, agreed)
    assert not found.is_enough
    assert {(each.uri, each.read) for each in found.disagreements} >= {("c", "none")}


def test_nothing_compared_is_not_enough_and_long_lists_are_cut() -> None:
    assert not agreement({"a": {"x"}}, {}, takes_many=False, least=0.0).is_enough
    many = {str(number): {"x"} for number in range(3 * SHOWN)}
    assert len(agreement(many, {key: ["y"] for key in many}, takes_many=False, least=0.5).disagreements) == SHOWN


def test_a_table_as_a_spreadsheet_writes_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes('\ufeffuri,label,who\r\n/a.md,x,me\r\na.md,y,me\r\n,,\r\n"b, c.md",none,\r\n'.encode())
    assert read_labelled("s", file, ["x", "y"]) == {"a.md": {"x", "y"}, "b, c.md": {"none"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "labels nothing"),
        ("uri,label\n", "labels nothing"),
        ("file,topic\na.md,x\n", "labels nothing"),
        ("uri,label\na.md,z\n", "row 2: want the columns uri and label, a document and one of its labels: x, none"),
        ("uri,label\n,x\n", "row 2"),
        ("uri,label\na.md,x\nb.md\n", "row 3"),
        ('uri,label\n"a.md,x\n', "no table in CSV"),
        ("uri,label\na.md,\udcff\n", "cannot be read as text"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_row(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError, match=said):
        read_labelled("enrichments.topic.labelled", file, ["x"])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"enrichments\.topic\.labelled: .*gone\.csv"):
        read_labelled("enrichments.topic.labelled", tmp_path / "gone.csv", ["x"])
