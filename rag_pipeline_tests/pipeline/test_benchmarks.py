"""What the benchmarks of parsing and chunking count: speeds are not tested, sums and spans are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.chunking import Piece, Question
from benchmarks.chunking_search import Answer, letters_before, scores_of, window_span
from benchmarks.classify import accuracies, by_centroid, curve, labelled_texts
from benchmarks.parsing_formats import Cost, MeasuredFile, measure, table
from rag_pipeline.embedding.tokens import WordTokenCounter

TEXT = "One two.\n\n\nThree  four.\n\nOne two.\n\nFive."


def piece(start: int, end: int) -> Piece:
    return Piece("text", (start, end), (), TEXT[start:end])


@pytest.mark.parametrize(
    ("start", "body", "window", "expected"),
    [
        (0, "One two.", "One two.\n\nThree  four.", "One two.\n\n\nThree  four."),
        (25, "One two.", "Three  four.\n\nOne two.\n\nFive.", "Three  four.\n\nOne two.\n\nFive."),
        (25, "One two.", "One two.\n\nThree  four.\n\nOne two.", "One two.\n\n\nThree  four.\n\nOne two."),
    ],
)
def test_a_window_is_found_in_its_text_whatever_white_space_it_was_stitched_with(
    start: int, body: str, window: str, expected: str
) -> None:
    begin, end = window_span(TEXT, letters_before(TEXT), start, body, window)
    assert TEXT[begin:end] == expected


def test_a_text_that_stands_twice_counts_for_whole_recall_wherever_it_stands() -> None:
    question = Question("?", "text", ((25, 33),))
    ((recall, precision, overlap, whole, characters),) = scores_of([question], [Answer([piece(0, 8)], [piece(25, 33)])])
    assert (recall, precision, overlap) == (0, 0, 0)
    assert (whole, characters) == (100, 8)


def test_a_refused_file_is_counted_and_left_out_of_size_and_speed() -> None:
    read = MeasuredFile("a.md", "markdown", 1_000_000, Cost(0.25, 0.25, 2, 10, 0), "", 0)
    refused = MeasuredFile("b.md", "markdown", 1_000_000, None, "empty", 0)
    row = table([read, refused]).splitlines()[-1]
    assert row == "| markdown | 2 | 1 empty | 2 | 10 | 1.000 | 4 | 2.00 | 50% | 500.0 | 500.0 | 0 |"


@pytest.mark.slow
def test_every_file_of_a_folder_is_measured_or_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# Title\n\nSome words of a page.\n", "utf-8")
    (tmp_path / "empty.txt").write_bytes(b"")
    files = {file.address: file for file in measure(tmp_path, WordTokenCounter("words", 100), rounds=1)}
    assert files["empty.txt"].cost is None
    assert files["empty.txt"].reason_code == "empty"
    cost = files["page.md"].cost
    assert cost is not None
    assert (files["page.md"].format, cost.documents, cost.chunks) == ("markdown", 1, 1)


def test_a_document_is_labelled_by_the_first_field_that_says_a_label_and_stubs_are_left_out(tmp_path: Path) -> None:
    text = "Some words of a long page. " * 30
    (tmp_path / "a.md").write_text(f"---\ntype: Meta\ncategory: Core\n---\n\n{text}\n", "utf-8")
    (tmp_path / "b.md").write_text(f"---\ntype: Meta\n---\n\n{text}\n", "utf-8")
    (tmp_path / "c.md").write_text("---\ntype: Meta\n---\n\nMoved.\n", "utf-8")
    (tmp_path / "d.md").write_text(f"---\ntype: Else\n---\n\n{text}\n", "utf-8")
    found = labelled_texts(tmp_path, ["category", "type"], {"Core": [], "Meta": []})
    assert [label for label, _ in found] == ["Core", "Meta"]
    assert all("category" not in text for _, text in found)


def test_a_rare_label_counts_as_much_as_a_common_one_in_balanced_accuracy() -> None:
    assert accuracies(["a", "a", "a", "b"], ["a", "a", "a", "a"]) == (0.75, 0.5)


def test_no_document_is_labelled_by_its_own_label() -> None:
    """The only one of its label gets another: its own is not known when it is asked about."""
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 0, 0, 0, 1]]
    assert by_centroid(["a", "a", "a", "a", "a", "b"], vectors) == ["a"] * 6


def test_a_threshold_leaves_out_what_is_far_from_every_prototype() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    points = {threshold: rest for threshold, *rest in curve(["a", "a"], vectors, {"a": vectors[:1], "b": -vectors[:1]})}
    assert points[0.6] == [1.0, 1.0]
    assert curve(["b", "a"], vectors[:, ::-1], {"a": vectors[:1]})[-1][1:] == (0.5, 1.0)
