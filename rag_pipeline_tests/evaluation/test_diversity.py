"""Figures of a set of questions, and which sets count as collapsed."""

from __future__ import annotations

import numpy as np
import pytest

from rag_pipeline.contracts.ids import digest
from rag_pipeline.evaluation.diversity import LEAST_QUESTIONS, Diversity, Vectors, cells_of, diversity_of, problems_of

WIDTH = 16
SUBJECTS = 12


def unit(vectors: np.ndarray) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def texts_about(*subjects: int) -> Vectors:
    """Vectors of texts, near to one axis for each subject."""
    random = np.random.default_rng(7)
    return unit(np.eye(WIDTH)[list(subjects)] + 0.05 * random.standard_normal((len(subjects), WIDTH)))


# Half of the texts are about two subjects, the rest about ten.
CORPUS = texts_about(*[0] * 30, *[1] * 30, *[2 + number % 10 for number in range(60)])


def different(count: int) -> list[str]:
    """Questions that have hardly a word in common."""
    return [" ".join(digest(str(number), str(at))[:6] for at in range(6)) for number in range(count)]


def test_a_set_of_other_words_about_everything_is_diverse() -> None:
    figures = diversity_of(different(48), texts_about(*range(SUBJECTS), *range(SUBJECTS)), CORPUS)
    assert problems_of(figures) == []
    assert figures.coverage == 1
    assert figures.long_tail is not None
    assert figures.long_tail >= 0.5
    assert figures.distinct_pairs > 0.9
    assert figures.self_similarity < 0.1


def test_one_frame_for_all_is_seen_in_its_words() -> None:
    found = problems_of(diversity_of([f"What is the main purpose of {words.split()[0]}?" for words in different(40)]))
    assert len(found) == 2
    assert "worded alike" in found[0]
    assert "many ask the same" in found[1]


def test_a_set_about_one_corner_is_seen_in_the_corpus() -> None:
    narrow = diversity_of(different(40), texts_about(*[0] * 20, *[1] * 20), CORPUS)
    assert narrow.cells > 5
    found = " ".join(problems_of(narrow))
    assert "subjects of the corpus are asked about" in found
    assert narrow.long_tail is not None
    assert narrow.long_tail < 0.2


def test_of_few_questions_nothing_is_said() -> None:
    few = diversity_of(["What is it?"] * (LEAST_QUESTIONS - 1), texts_about(0), CORPUS)
    assert problems_of(few) == []
    assert few.cells == 1
    assert diversity_of([]) == Diversity(0, 1.0, 0.0)
    assert diversity_of(["", "?"], np.zeros((0, WIDTH), np.float32), CORPUS).coverage is None


@pytest.mark.parametrize("count", [50, 51, 400])
def test_word_figures_hang_neither_on_the_number_of_questions_nor_on_their_order(count: int) -> None:
    questions = [f"Which figure goes with {each}?" for each in different(count)]
    figures = diversity_of(questions)
    assert figures == diversity_of(list(reversed(questions)))
    assert figures.distinct_pairs == pytest.approx(diversity_of(questions[:50]).distinct_pairs, abs=0.03)


def test_equal_texts_are_one_cell_and_cells_are_the_same_each_time() -> None:
    assert len(cells_of(np.repeat(texts_about(3), 20, axis=0), 10)) == 1
    assert np.array_equal(cells_of(CORPUS, 10), cells_of(CORPUS, 10))
