"""Reasons against a draft: it copies its text, something else answers it, or it is asked already."""

from __future__ import annotations

from dataclasses import replace

from rag_pipeline.evaluation.drafts import Draft
from rag_pipeline.evaluation.verify import Asked, rejected
from rag_pipeline_tests.evaluation.test_templates import drafts, passage

OTHER = passage("Nothing of the kind.", chunk_id="c2", document_id="d2", uri="docs/other.md", title="Other", section=())


def reason(draft: Draft, *candidates: object, asked: Asked | None = None) -> str | None:
    found = rejected(draft, candidates, asked or Asked())  # type: ignore[arg-type]
    return found and found.reason


def test_good_drafts_of_every_kind_pass_beside_their_own_passage_and_another() -> None:
    for draft in drafts().values():
        assert reason(draft, passage(), OTHER) is None, draft.kind


def test_a_question_in_the_words_of_its_text_is_none_unless_it_asks_for_them() -> None:
    copied = replace(drafts()["number"], question="Does each barrel holds 220 litres of diluted glycerine?")
    assert reason(copied) == "copies_its_text"
    assert reason(replace(drafts()["phrase"], question=copied.question)) is None


def test_another_passage_that_says_it_too_makes_it_ambiguous() -> None:
    said = replace(OTHER, text=f"Something else. {drafts()['number'].quotes[0]}")
    assert reason(drafts()["number"], OTHER, said) == "not_unique"
    assert reason(drafts()["typo"], said) == "not_unique"
    assert reason(drafts()["phrase"], replace(OTHER, text=passage().text)) == "not_unique"
    # The words in several sentences are no answer.
    apart = replace(OTHER, text=". ".join(f"We like {term}" for term in drafts()["number"].terms))
    assert reason(drafts()["number"], apart) is None


def test_the_same_heading_elsewhere_is_as_good_an_answer_and_what_goes_on_under_it_is_none() -> None:
    draft = drafts()["heading"]
    copy = replace(passage(), chunk_id="c2", document_id="d2")
    assert reason(draft, copy) == "not_unique"
    assert reason(draft, replace(passage("It goes on here."), chunk_id="c2")) is None
    again = replace(passage("## Winter storage Once more."), chunk_id="c2")
    assert reason(draft, again) == "not_unique"


def test_an_overlapping_neighbour_is_the_same_answer() -> None:
    draft = drafts()["number"]
    assert reason(draft, replace(passage(f"{draft.quotes[0]} And more."), chunk_id="c2")) is None


def test_what_nothing_should_say_must_be_said_by_nothing() -> None:
    draft = drafts()["unanswerable"]
    assert reason(draft, replace(OTHER, text=f"See {draft.terms[0]}s.")) == "has_an_answer"


def test_a_question_that_is_asked_already_is_not_asked_again() -> None:
    asked = Asked()
    asked.add("q1", drafts()["number"].question.upper())
    found = rejected(drafts()["number"], (), asked)
    assert found is not None
    assert (found.reason, found.why) == ("near_duplicate", "it asks nearly what q1 asks")
    # With a typing error it asks for the same.
    asked.add("q2", drafts()["typo"].plain)
    assert reason(drafts()["typo"], asked=asked) == "near_duplicate"
