"""Drafts of questions without a model: what each kind asks of a passage, and that it asks the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline.evaluation.drafts import MOST_QUESTION_CHARS, Draft, Passage, question_of
from rag_pipeline.evaluation.templates import KINDS, QUOTE_CHARS, drafts_of
from rag_pipeline.evaluation.words import Vocabulary, words_of
from rag_pipeline.retrieval.questions import line_of, read_questions

TEXT = (
    "## Winter storage Barrels of glycerine rest beneath the boathouse until spring. "
    "Each barrel holds 220 litres of diluted glycerine. Barrels must never freeze beside the slipway."
)


def passage(text: str = TEXT, **more: object) -> Passage:
    values: dict[str, object] = {
        "chunk_id": "c1",
        "document_id": "d1",
        "source": "docs",
        "uri": "docs/harbour.md",
        "title": "Harbour handbook",
        "language": "en",
        "section": ("Harbour handbook", "Winter storage"),
        "kind": "paragraph",
        "text": text,
        "readable_by": ("public",),
        "input_key": "k1",
    }
    return Passage(**{**values, **more})  # type: ignore[arg-type]


VOCABULARY = Vocabulary.of([TEXT, "Other pages say nothing of it.", "The harbour opens in spring."])


def drafts(one: Passage | None = None) -> dict[str, Draft]:
    return {draft.kind: draft for draft in drafts_of(one or passage(), KINDS, VOCABULARY)}


def test_every_kind_is_drafted_and_quotes_its_passage() -> None:
    found = drafts()
    assert list(found) == list(KINDS)
    for draft in found.values():
        assert all(quote in TEXT and len(quote) <= QUOTE_CHARS for quote in draft.quotes), draft
    assert "Winter storage" in found["heading"].question
    assert "220" in found["number"].quotes[0]
    assert "220" not in found["number"].question
    assert "never" in found["negation"].quotes[0]
    assert set(found["number"].terms) <= set(words_of(found["number"].question))


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("Barrels of [diluted glycerine](https://harbour.example/2012/01/07/rest) rest beneath boathouses.", "number"),
        (
            "Barrels of diluted glycerine rest beneath boathouses: see https://harbour.example/legalcode-1.0/2.",
            "number",
        ),
        ("{% page 12 %} Barrels of diluted glycerine rest <b class='c7'>beneath</b> boathouses.", "number"),
        ("Whoever had COVID-19 rests beneath boathouses with diluted glycerine.", "number"),
        ("For 6 months, one year, two years or a month.", "number"),
        ("Barrels of diluted glycerine do not necessarily rest beneath boathouses.", "negation"),
        ("Whoever answered a Yes/No question about diluted glycerine rests beneath boathouses.", "negation"),
        ("The boathouse lends barrels of diluted glycerine at no extra cost beneath the slipway.", "negation"),
        ("Barrels rest not only beneath the boathouse but also beside diluted glycerine.", "negation"),
    ],
)
def test_what_looks_like_a_figure_or_a_denial_is_asked_for_as_none(sentence: str, kind: str) -> None:
    assert kind not in drafts(passage(sentence, section=()))


def test_words_of_an_address_ask_for_nothing() -> None:
    text = "Each of 12 barrels lies beneath the boathouse (https://harbour.example/osxdaily/creative)."
    assert not set(drafts(passage(text, section=()))["number"].terms) & {"harbour", "example", "osxdaily", "creative"}


@pytest.mark.parametrize("ahead", [0, 130, 150, 159, 160, 161, 400])
def test_the_quote_of_a_phrase_holds_it(ahead: int) -> None:
    text = f"{'of it ' * (ahead // 6)}{'7' * (ahead % 6)} diluted glycerine barrels stand in it for you."
    draft = drafts(passage(text.strip(), section=()))["phrase"]
    assert "diluted glycerine barrels" in draft.question
    assert "diluted glycerine barrels" in draft.quotes[0]
    assert draft.quotes[0] in text
    assert len(draft.quotes[0]) <= QUOTE_CHARS


def test_a_question_without_answer_asks_for_a_word_that_nobody_wrote() -> None:
    draft = drafts()["unanswerable"]
    (word,) = draft.terms
    assert word in draft.question
    assert word not in VOCABULARY
    assert question_of(draft, ["public"], generator="g", verifier="v", made_on="2026-01-01").expected == ()


def test_a_typing_error_makes_no_other_word() -> None:
    draft = drafts()["typo"]
    wrong = set(words_of(draft.question)) - set(words_of(draft.plain))
    assert len(wrong) == 1
    assert not wrong & set(VOCABULARY.counts)
    assert sorted(draft.question.casefold()) == sorted(draft.plain.casefold())


def test_the_same_passage_gives_the_same_questions_and_another_one_other_wordings() -> None:
    assert drafts() == drafts()
    wordings = {drafts(passage(chunk_id=f"c{number}"))["phrase"].question for number in range(20)}
    assert len(wordings) > 1


@pytest.mark.parametrize(("language", "word"), [("de", "Zahl|viel|Wert"), ("fr", "")])
def test_other_languages_are_asked_in_their_words_or_in_none(language: str, word: str) -> None:
    question = drafts(passage(language=language))["number"].question
    assert not word or any(each in question for each in word.split("|"))
    assert "figure" not in question


@pytest.mark.parametrize(
    "one",
    [
        passage("", section=()),
        passage("12 34 56", section=()),
        passage("見出し。これは文章です。数字は十二。", section=(), language="ja"),
        passage("x" * 5_000, section=()),
        passage("## " + "{terms} {0} %s \\1 " * 50, section=("{terms} {0} %s \\1",)),
    ],
)
def test_any_text_gives_drafts_or_none(one: Passage) -> None:
    for draft in drafts(one).values():
        assert draft.question.strip()
        assert all(len(quote) <= QUOTE_CHARS for quote in draft.quotes)


def test_a_question_says_who_wrote_it_who_may_read_its_source_and_what_that_was() -> None:
    question = question_of(
        drafts()["number"], ["b", "a"], generator="g 1", verifier="v 1", made_on="2026-01-01",
        shared_uris=frozenset({"docs/harbour.md"}),
    )  # fmt: skip
    assert question.expected[0].document_id == "d1"
    assert question.principals == ("a", "b")
    assert question.synthetic is not None
    assert (question.synthetic.readable_by, question.synthetic.inputs) == (("public",), ("k1",))
    assert not question.is_confirmed


def test_a_question_of_a_document_that_is_gone_since_it_was_published_can_be_read(tmp_path: Path) -> None:
    made = drafts(passage(input_key=""))["number"]
    question = question_of(made, ["public"], generator="g", verifier="v", made_on="2026-01-01")
    file = tmp_path / "questions.jsonl"
    file.write_text(line_of(question), "utf-8")
    assert read_questions([file]) == (question,)


@pytest.mark.parametrize("title", ["x" * 50_000, f"a {'b' * 50_000}"])
def test_a_title_without_blanks_makes_no_question_of_its_length(title: str) -> None:
    found = drafts(passage(title=title))
    assert found.keys() >= {"number", "negation"}
    assert max(len(draft.question) for draft in found.values()) <= MOST_QUESTION_CHARS
