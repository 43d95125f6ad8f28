"""Characters that cleaning takes out are counted by cause, in text and in formats that hold text."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.transforms.left_out import left_out, losses
from rag_pipeline_tests.parsing.office_files import container, docx, paragraph


def _parsed(address: str, raw: bytes) -> list[ParsedDocument]:
    return parse(raw, media_type_of(address, raw), address, ParseLimits())


@pytest.mark.parametrize(
    ("text", "cause", "count"),
    [
        ("Du\u200bes of the\u2060 qu\ufeffay", "zero_width", 3),
        ("Due\u202es\u202c of the quay\u200f", "direction", 3),
        ("Har\u00adbour du\u00ades", "soft_hyphen", 2),
        ("Dues\x07 of\x01 the \x1b[31mquay\x1b[0m", "control", 4),
        ("Dues\x81 of the quay", "control", 1),
        ("Dues\U000e0041\U000e0042 of the quay", "tag", 2),
        ("Dues\ufff9 of the quay", "other", 1),
        ("Du" + "\u0301" * 40 + "es", "mark", 9),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.docx", "a.html"])
def test_each_cause_is_counted_in_every_format(name: str, text: str, cause: str, count: int) -> None:
    if name == "a.docx":
        if cause == "control" and "\x07" in text:
            pytest.skip("XML holds no control characters")
        raw = docx(paragraph(text))
    elif name == "a.html":
        raw = f"<html><head><meta charset='utf-8'></head><body><p>{text}</p></body></html>".encode()
    else:
        raw = text.encode()
    [document] = _parsed(name, raw)
    assert document.metadata == {f"removed_{cause}_count": str(count)}
    assert left_out(document.metadata) == {f"removed_{cause}": count}


def test_bytes_of_no_encoding_are_counted_and_signs_that_were_written_are_not() -> None:
    raw = "Grüße aus dem Häfen und von der Mole, größer als \ufffd je zuvor. ".encode() * 30
    assert _parsed("a.txt", raw)[0].metadata == {}
    assert _parsed("a.txt", raw + b"\xff\xfe words")[0].metadata == {"lost_byte_count": "2"}


def test_line_ends_of_other_kinds_and_joiners_cost_nothing() -> None:
    assert _parsed("a.txt", "one\u2028two\x0bthree\u200d four\r\nfive".encode())[0].metadata == {}


def test_each_file_of_an_archive_counts_for_itself() -> None:
    found = _parsed("a.zip", container({"a.txt": "Du\u200bes", "b.txt": "Dues", "c.txt": "D\u200bu\u200bes"}))
    assert [document.metadata.get("removed_zero_width_count") for document in found] == ["1", None, "2"]


def test_titles_are_counted_once() -> None:
    head = "<head><title>Har\u00adbour</title></head>"
    page = f"<html>{head}<body><h1>Har\u00adbour</h1><p>Words of the page.</p></body></html>"
    [document] = _parsed("a.html", page.encode())
    assert (document.title, document.metadata) == ("Harbour", {"removed_soft_hyphen_count": "1"})


def test_what_nobody_sees_is_no_loss_and_bytes_are() -> None:
    before = [{"docs": {"documents": 10}}]
    now = {"docs": {"documents": 10, "removed_soft_hyphen": 900, "lost_byte": 9}}
    assert [loss.cause for loss in losses(now, before)] == ["lost_byte"]
