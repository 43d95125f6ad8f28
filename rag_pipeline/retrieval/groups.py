"""Figures of an evaluation by language and by source, and which languages are answered far worse than the best.

Belongs here: what groups a question belongs to, their figures, the verdict on languages.
Does not belong here: asking (`evaluate.py`), what is done about it (`defs/`, `cli/`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rag_pipeline.contracts.evaluation import Metrics, QuestionResult
from rag_pipeline.retrieval.comparison import metrics_of
from rag_pipeline.retrieval.plan import MODES
from rag_pipeline.transforms.language import language_of_line

LANGUAGE, SOURCE, ASKED_IN = "language", "source", "asked in"
# So much nDCG below the best language is more than questions of another difficulty explain.
FAR_BELOW = 0.15
# With fewer questions a mean says next to nothing.
LEAST_QUESTIONS = 5


def groups_of(question: str, answers: Iterable[tuple[str, str | None]]) -> tuple[str, ...]:
    """What a question's figures count in.

    Args:
        answers: Source and language of each document that answers it; a language that is not known is left out.
    """
    answers = list(answers)
    asked_in = language_of_line(question)
    names = {f"{SOURCE} {source}" for source, _ in answers}
    names |= {f"{LANGUAGE} {language}" for _, language in answers if language is not None}
    return tuple(sorted(names | ({f"{ASKED_IN} {asked_in}"} if asked_in is not None else set())))


def metrics_of_groups(results: Sequence[QuestionResult], groups: Mapping[str, tuple[str, ...]]) -> list[Metrics]:
    """Means by mode and group, as mode `hybrid, language de`; a kind of group that all questions share is left out."""
    found: list[Metrics] = []
    for kind in (LANGUAGE, SOURCE, ASKED_IN):
        names = sorted({name for each in groups.values() for name in each if name.startswith(f"{kind} ")})
        for name in names if len(names) > 1 else ():
            chosen = [result for result in results if name in groups.get(result.question_id, ())]
            figures = [metrics_of(chosen, mode) for mode in MODES]
            found += [replace(one, mode=f"{one.mode}, {name}") for one in figures if one.questions]
    return found


def by_group(metrics: Iterable[Metrics]) -> dict[str, dict[str, Metrics]]:
    """The same again by group and mode."""
    found: dict[str, dict[str, Metrics]] = {}
    for one in metrics:
        mode, _, group = one.mode.partition(", ")
        if group:
            found.setdefault(group, {})[mode] = one
    return found


def weak_languages(metrics: Iterable[Metrics], mode: str) -> dict[str, float]:
    """Groups of a language that are far below the best one of their kind in a mode, with how much nDCG."""
    groups = by_group(metrics)
    weak: dict[str, float] = {}
    for kind in (LANGUAGE, ASKED_IN):
        figures = {
            name: modes[mode].ndcg or 0.0
            for name, modes in groups.items()
            if name.startswith(f"{kind} ") and mode in modes and modes[mode].questions >= LEAST_QUESTIONS
        }
        best = max(figures.values(), default=0.0)
        weak |= {name: best - ndcg for name, ndcg in figures.items() if best - ndcg > FAR_BELOW}
    return weak


def weak_sentence(weak: Mapping[str, float]) -> str:
    """The same for a person; empty where no language is weak."""
    said = "; ".join(f"questions with {name} are {loss:.2f} nDCG below the best" for name, loss in weak.items())
    said = said.replace(f"with {LANGUAGE} ", "answered in ").replace(f"with {ASKED_IN} ", "asked in ")
    return f"{said}. A model that knows these languages finds more: try one beside this" if said else ""
