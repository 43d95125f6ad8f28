"""How diverse a set of questions is, in its words and over what it is asked of, and whether that is enough.

Belongs here: the figures, their bounds, and what is said where one is broken.
Does not belong here: reading questions and vectors (`refresh/question_diversity.py`).

A program that writes questions tends to write one question: the same frame, about the same pages. Such a set says that
all is well whatever happens elsewhere. Words are counted in blocks: of more questions fewer are unlike all others. The
corpus is cut into cells of near texts, so that no bound on a cosine is needed, which would be another for each model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rag_pipeline.contracts.ids import digest
from rag_pipeline.evaluation.verify import Asked
from rag_pipeline.evaluation.words import words_of

Vectors = NDArray[np.float32]

# Of fewer questions no figure says anything.
LEAST_QUESTIONS = 20
# So many are read in one go, and are noticed to be alike.
_BLOCK = 50
# Two questions a cell: chance alone then leaves one cell of seven without any.
_QUESTIONS_A_CELL = 2
# As many subjects as a person still reads down a list of, and as few as a second of one core tells apart.
_MOST_CELLS = 50
# After so few rounds hardly any text changes its cell; nothing hangs on the last ones.
_ROUNDS = 5
# The largest cells that hold half of the corpus are its head.
_HEAD = 0.5

# The bounds stand between sets that were written on purpose and sets that collapsed (docs/evaluation.md).
LEAST_DISTINCT_PAIRS = 0.5
MOST_SELF_SIMILARITY = 0.55
LEAST_COVERAGE = 0.5
LEAST_LONG_TAIL = 0.2


@dataclass(frozen=True, slots=True)
class Diversity:
    """Figures of one set of questions, each from 0 to 1.

    Attributes:
        questions: How many there are.
        distinct_pairs: Of the pairs of words that follow each other in a block, how many are different ones.
        self_similarity: Share of words that a question shares with the one of its block most like it, on average.
        coverage: Of the cells of the corpus, how many are asked about; None: not known.
        long_tail: Of the questions, how many are about cells outside those that hold half of the corpus.
        cells: Into how many cells the corpus was cut.
    """

    questions: int
    distinct_pairs: float
    self_similarity: float
    coverage: float | None = None
    long_tail: float | None = None
    cells: int = 0


def diversity_of(questions: Sequence[str], sources: Vectors | None = None, corpus: Vectors | None = None) -> Diversity:
    """Figures of a set.

    Args:
        sources: A vector of unit length for each text that is asked about, one a row.
        corpus: Of a sample of all texts that may be asked about.
    """
    blocks = _blocks(questions)
    figures = Diversity(
        questions=len(questions),
        distinct_pairs=float(np.mean([_distinct_pairs(block) for block in blocks])) if blocks else 1.0,
        self_similarity=float(np.mean([_self_similarity(block) for block in blocks])) if blocks else 0.0,
    )
    if sources is None or corpus is None or not len(sources) or not len(corpus):
        return figures
    centres = cells_of(corpus, min(_MOST_CELLS, max(1, len(sources) // _QUESTIONS_A_CELL)))
    of_corpus = np.bincount(_nearest(corpus, centres), minlength=len(centres))
    of_sources = np.bincount(_nearest(sources, centres), minlength=len(centres))
    largest_first = np.argsort(-of_corpus, kind="stable")
    before = np.cumsum(of_corpus[largest_first]) - of_corpus[largest_first]
    tail = largest_first[before >= _HEAD * len(corpus)]
    return Diversity(
        figures.questions,
        figures.distinct_pairs,
        figures.self_similarity,
        coverage=float((of_sources > 0).mean()),
        long_tail=float(of_sources[tail].sum() / of_sources.sum()) if len(centres) > 1 else None,
        cells=len(centres),
    )


def problems_of(figures: Diversity) -> list[str]:
    """What is wrong with a set, a sentence each; few questions have no problem."""
    if figures.questions < LEAST_QUESTIONS:
        return []
    found = []
    if figures.distinct_pairs < LEAST_DISTINCT_PAIRS:
        found.append(
            f"of its pairs of words only {figures.distinct_pairs:.0%} are different ones (at least "
            f"{LEAST_DISTINCT_PAIRS:.0%}): the questions are worded alike"
        )
    if figures.self_similarity > MOST_SELF_SIMILARITY:
        found.append(
            f"a question shares {figures.self_similarity:.0%} of its words with the one most like it (at most "
            f"{MOST_SELF_SIMILARITY:.0%}): many ask the same"
        )
    if figures.coverage is not None and figures.coverage < LEAST_COVERAGE:
        found.append(
            f"only {figures.coverage:.0%} of {figures.cells} subjects of the corpus are asked about (at least "
            f"{LEAST_COVERAGE:.0%})"
        )
    if figures.long_tail is not None and figures.long_tail < LEAST_LONG_TAIL:
        found.append(
            f"only {figures.long_tail:.0%} of the questions are outside the subjects that half of the corpus is about "
            f"(at least {LEAST_LONG_TAIL:.0%})"
        )
    return found


def cells_of(vectors: Vectors, count: int) -> Vectors:
    """Centres of at most so many cells of near vectors, the same for the same vectors in the same order."""
    centres = _far_apart(vectors, count)
    for _ in range(_ROUNDS):
        nearest = _nearest(vectors, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, vectors)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        # A cell that nothing is nearest to stays where it was.
        centres = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), centres).astype(np.float32)
    return centres


def _far_apart(vectors: Vectors, count: int) -> Vectors:
    """The first vector, then each time the one that is farthest from all that were taken."""
    taken = [0]
    similarity = vectors @ vectors[0]
    # What is equal to a taken one, but for rounding, is no other subject.
    while len(taken) < count and float(similarity.min()) < 1 - _ROUNDING:
        taken.append(int(similarity.argmin()))
        similarity = np.maximum(similarity, vectors @ vectors[taken[-1]])
    return vectors[taken]


# Cosines of equal vectors in single precision.
_ROUNDING = 1e-5


def _nearest(vectors: Vectors, centres: Vectors) -> NDArray[np.int64]:
    return np.asarray((vectors @ centres.T).argmax(axis=1), dtype=np.int64)


def _blocks(questions: Sequence[str]) -> list[list[str]]:
    """Questions in blocks of about one size, whatever order they come in."""
    mixed = sorted(questions, key=lambda question: digest("diversity", question))
    count = -(-len(mixed) // _BLOCK)
    return [mixed[at::count] for at in range(count)]


def _distinct_pairs(questions: Sequence[str]) -> float:
    pairs = [pair for question in questions for pair in pairwise(words_of(question))]
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def _self_similarity(questions: Sequence[str]) -> float:
    asked = Asked()
    for number, question in enumerate(questions):
        asked.add(str(number), question)
    return float(np.mean([asked.nearest(each, but=str(number))[0] for number, each in enumerate(questions)]))
