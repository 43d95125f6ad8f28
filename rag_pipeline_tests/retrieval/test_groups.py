"""An evaluation is looked at by language and by source, and says which languages are answered far worse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag_pipeline.contracts.evaluation import Metrics
from rag_pipeline.retrieval.comparison import better_alone
from rag_pipeline.retrieval.groups import by_group, groups_of, metrics_of_groups, weak_languages, weak_sentence
from rag_pipeline_tests.retrieval.test_fit import result


def metrics(mode: str, ndcg: float, questions: int = 10) -> Metrics:
    return Metrics(mode, questions, 0, ndcg, ndcg, ndcg, None, None, None)


def test_a_question_belongs_to_the_languages_and_sources_of_its_answers_and_to_its_own() -> None:
    names = groups_of("Wie viele Wochen dauert die Elternzeit für Angestellte?", [("docs", "en"), ("wiki", None)])
    assert names == ("asked in de", "language en", "source docs", "source wiki")
    assert groups_of("v1.10.2", [("docs", "en")]) == ("language en", "source docs")
    assert groups_of("父母假有多少个星期的全薪?", []) == ("asked in zh",)


def test_figures_are_split_where_questions_differ_and_not_where_all_are_alike() -> None:
    results = [replace(result(n, mode, float(n % 2)), status="scored") for n in range(8) for mode in ("hybrid", "text")]
    groups = {f"q{n}": (f"language {'de' if n % 2 else 'en'}", "source docs") for n in range(8)}
    found = by_group(metrics_of_groups(results, groups))
    assert set(found) == {"language de", "language en"}
    assert found["language de"]["hybrid"].ndcg == 1
    assert found["language en"]["text"].ndcg == 0
    assert {one.questions for modes in found.values() for one in modes.values()} == {4}


def test_a_language_far_below_the_best_is_named_and_one_of_few_questions_is_not() -> None:
    found = [
        metrics("hybrid", 0.7, 99),
        metrics("hybrid, language en", 0.8),
        metrics("hybrid, language de", 0.7),
        metrics("hybrid, language th", 0.3),
        metrics("hybrid, language fi", 0.1, 4),
        metrics("vector, language de", 0.0),
        metrics("hybrid, asked in de", 0.9),
        metrics("hybrid, asked in en", 0.2),
        metrics("hybrid, source docs", 0.1),
    ]
    weak = weak_languages(found, "hybrid")
    assert weak == {"language th": pytest.approx(0.5), "asked in en": pytest.approx(0.7)}
    assert weak_sentence(weak).startswith(
        "questions answered in th are 0.50 nDCG below the best; questions asked in en"
    )
    assert weak_sentence({}) == ""
    assert weak_languages([], "hybrid") == {}


def test_figures_of_all_questions_belong_to_no_group() -> None:
    german = metrics("text, language de", 0.4)
    assert by_group([metrics("hybrid", 0.7), german]) == {"language de": {"text": german}}


def test_groups_are_no_retrievers() -> None:
    assert better_alone([metrics("hybrid", 0.5), metrics("hybrid, language en", 0.9), metrics("text", 0.4)]) == {}
