"""Answers over real HTTP from a model that does whatever models do, and worse."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.answering.answer import AnswerCitation, AnswerText, Finished, GivenSources
from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.answering.prompt import ABSTENTION
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.endpoints import chat
from rag_pipeline.errors import BadQuery, NothingPublished, SettingsError
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import (
    Reply,
    Scripted,
    event,
    obeys,
    page,
    raw,
    refuses,
    says,
    silent,
)
from rag_pipeline_tests.pipeline.project import Project

QUESTION = "How is the pump stopped with the red lever?"


def test_an_answer_carries_the_citations_it_makes(answerer: Answerer, server: Scripted) -> None:
    server.script(says("Pull the ", "red lever twice [", "1]."))
    answer = answerer.ask(QUESTION, {"public"})
    assert answer.verdict == "answered"
    assert answer.text == "Pull the red lever twice [1]."
    (citation,) = answer.citations
    assert (citation.number, citation.uri) == (1, "docs/guide.md")
    assert "red lever" in citation.text
    assert "Stopping it" in citation.place
    assert (answer.tokens_in, answer.tokens_out, answer.tokens_estimated) == (100, 20, False)
    assert answer.cost == pytest.approx((100 * 1 + 20 * 10) / 1e6)
    assert answer.latency_seconds > 0
    assert not answer.from_cache
    assert answer.plan_fingerprint


def test_what_is_streamed_is_the_answer_in_pieces(answerer: Answerer, server: Scripted) -> None:
    server.script(says("Pull ", "it [1][", "2].", pause=0.01))
    events = list(answerer.stream(QUESTION, {"public"}))
    assert isinstance(events[0], GivenSources)
    assert [citation.number for citation in events[0].citations] == list(range(1, len(events[0].citations) + 1))
    assert isinstance(events[-1], Finished)
    streamed = "".join(
        event.text if isinstance(event, AnswerText) else f"[{event.number}]"
        for event in events
        if isinstance(event, AnswerText | AnswerCitation)
    )
    assert streamed == events[-1].answer.text == "Pull it [1][2]."


def test_closing_the_iterator_closes_the_stream_of_the_model(answerer: Answerer, server: Scripted) -> None:
    server.script(says(*["word "] * 200, pause=0.05))
    began = time.monotonic()
    events = answerer.stream(QUESTION, {"public"})
    while not isinstance(next(events), AnswerText):
        continue
    events.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "said",
    [
        "I don't have that information.",
        "I DON’T have that information",  # noqa: RUF001 - as models write it
        "I'm sorry, but I don't have that information. Ask somebody else.",
        "I don't have that information about pumps [9].",
    ],
)
def test_an_abstention_is_shown_as_one(answerer: Answerer, server: Scripted, said: str) -> None:
    server.script(says(*said))
    answer = answerer.ask(QUESTION, {"public"})
    assert (answer.verdict, answer.text, answer.citations) == ("no_information", ABSTENTION, ())


def test_a_partial_answer_is_no_abstention(answerer: Answerer, server: Scripted) -> None:
    said = "I don't have that information about the key, but the lever is red [1]."
    server.script(says(*said))
    answer = answerer.ask(QUESTION, {"public"})
    assert (answer.verdict, answer.text) == ("answered", said)


def test_nothing_found_asks_no_model(answerer: Answerer, server: Scripted) -> None:
    answer = answerer.ask(QUESTION, {"public"}, filters=Filter(frozenset(), paths=("no/such/**",)))
    assert (answer.verdict, answer.text, server.asked) == ("no_information", ABSTENTION, [])
    assert (answer.tokens_in, answer.cost) == (0, 0.0)


def test_nothing_relevant_asks_no_model(published: Project, server: Scripted) -> None:
    strict = published.settings["answers"] | {"least_relevance": 0.99}
    with Answerer.open(Project(published.folder, published.settings | {"answers": strict}).pipeline()) as answerer:
        assert answerer.ask(QUESTION, {"public"}).verdict == "no_information"
        assert server.asked == []
        server.script(says("Pull it [1]."))
        assert answerer.ask("red lever", {"public"}, mode="text").verdict == "answered"
    published.pipeline()


def test_an_invented_citation_is_struck_and_counted(answerer: Answerer, server: Scripted) -> None:
    server.script(says("Pull the lever [1] [41], then wait [0, 42]."))
    answer = answerer.ask(QUESTION, {"public"})
    assert answer.text == "Pull the lever [1], then wait."
    assert answer.struck == 3
    assert [citation.number for citation in answer.citations] == [1]


def test_an_answer_without_citation_is_unsupported(answerer: Answerer, server: Scripted) -> None:
    server.script(says("Pull `lever[1]`, I think [41]."))
    answer = answerer.ask(QUESTION, {"public"})
    assert (answer.verdict, answer.citations) == ("unsupported", ())


def test_only_what_the_caller_may_read_reaches_the_model(answerer: Answerer, server: Scripted) -> None:
    answerer.ask("What does a pump keeper earn in gold coins?", {"public"})
    assert "twelve" not in server.prompt
    answerer.ask("What does a pump keeper earn in gold coins?", {"hr"})
    assert "twelve gold coins" in server.prompt


def test_documents_are_fenced_anew_each_time_and_cannot_pose_as_marks(answerer: Answerer, server: Scripted) -> None:
    for _ in range(2):
        answerer.ask("Tell me of the valve and of the pump's red lever", {"public"})
    fences = [asked["messages"][-1]["content"].split("<doc ")[1].split(" ")[0] for asked in server.asked]
    assert fences[0] != fences[1]
    assert all(len(fence) == 16 for fence in fences)
    assert "lever twice (7)" in server.prompt
    assert "[7]" not in server.prompt
    assert server.prompt.rstrip().endswith("Question: Tell me of the valve and of the pump's red lever")


def test_even_a_model_that_obeys_a_document_can_do_no_harm(answerer: Answerer, server: Scripted) -> None:
    """It can say what the document says, to whoever may read it; it can neither read nor cite anything else."""
    server.script(obeys)
    answer = answerer.ask("Tell me of the blue valve", {"public"})
    assert "secret gold" in answer.text
    assert answer.struck == 1
    assert "twelve" not in server.prompt
    assert {citation.uri for citation in answer.citations} <= {"docs/guide.md", "docs/valve.md"}
    assert "tools" not in server.asked[-1]


FAULTS: list[tuple[str, Reply, str, str]] = [
    ("cut off", says("Pull the", " red", finish=None), "chat_unavailable", "broke off"),
    ("silent", silent(3), "chat_unavailable", "silent for"),
    ("500", refuses(500), "chat_unavailable", "failed"),
    ("429", refuses(429), "chat_unavailable", "too often"),
    ("429 for long", refuses(429, retry_after="90"), "chat_unavailable", "wait 90 s"),
    ("401", refuses(401, "wrong key"), "chat_refused", "wrong key"),
    ("a page", page(), "chat_garbled", "base_url"),
    ("broken JSON", raw(b"data: {broken\n\n"), "chat_garbled", "cannot be read"),
    ("no choices", raw(event({"choices": []}) + b"data: [DONE]\n\n"), "chat_garbled", "no answer"),
    ("nested beyond measure", raw(b"data: " + b"[" * 100_000 + b"\n\n"), "chat_garbled", "cannot be read"),
    ("odd choices", raw(event({"choices": "odd"})), "chat_garbled", "choices"),
    ("odd content", raw(event({"choices": [{"delta": {"content": 5}}]})), "chat_garbled", "no text"),
    ("fault within", raw(b'data: {"error": {"message": "overloaded"}}\n\n'), "chat_unavailable", "overloaded"),
    ("a filter", says("Pull", finish="content_filter"), "chat_refused", "refused"),
]


@pytest.mark.parametrize(("reply", "code", "said"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_what_goes_wrong_is_an_answer_that_failed(
    answerer: Answerer, server: Scripted, monkeypatch: pytest.MonkeyPatch, reply: Reply, code: str, said: str
) -> None:
    monkeypatch.setattr(chat, "FIRST_WAIT_SECONDS", 0.01)
    server.script(reply)
    began = time.monotonic()
    answer = answerer.ask(QUESTION, {"public"})
    assert (answer.verdict, answer.problem_code) == ("failed", code)
    assert said in str(answer.problem)
    assert answer.citations == ()
    assert time.monotonic() - began < 8
    if said == "broke off":
        assert answer.text == "Pull the red"
        assert len(server.asked) == 1


def test_a_passing_fault_is_tried_again_as_the_server_asks(
    answerer: Answerer, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "FIRST_WAIT_SECONDS", 0.01)
    server.script(refuses(503), refuses(429, retry_after="0.1"), says("Pull it [1]."))
    assert answerer.ask(QUESTION, {"public"}).verdict == "answered"
    assert len(server.asked) == 3


def test_an_answer_that_never_ends_is_ended(published: Project, server: Scripted) -> None:
    models = {"scripted": published.settings["chat_models"]["scripted"] | {"deadline_seconds": 0.5}}
    server.script(says(*["word "] * 100, pause=0.1))
    with Answerer.open(Project(published.folder, published.settings | {"chat_models": models}).pipeline()) as answerer:
        began = time.monotonic()
        answer = answerer.ask(QUESTION, {"public"})
    assert time.monotonic() - began < 4
    assert answer.verdict == "failed"
    assert "deadline_seconds" in str(answer.problem)
    published.pipeline()


def test_an_answer_at_its_limit_is_cut_short(answerer: Answerer, server: Scripted) -> None:
    server.script(says("Pull [1] the", finish="length"))
    assert answerer.ask(QUESTION, {"public"}).verdict == "cut_short"


def test_a_server_that_counts_no_tokens_is_asked_without(answerer: Answerer, server: Scripted) -> None:
    server.script(refuses(400, "unknown field stream_options"), says("Pull it [1]."))
    answer = answerer.ask(QUESTION, {"public"})
    assert answer.verdict == "answered"
    assert answer.tokens_estimated
    assert answer.tokens_in > 100
    assert "stream_options" not in server.asked[-1]


@pytest.mark.parametrize(
    "counted", [-5, True, 10**400, 1.5, "7"], ids=["less than none", "truth", "huge", "half", "text"]
)
def test_what_is_no_count_of_tokens_is_estimated(answerer: Answerer, server: Scripted, counted: Any) -> None:
    usage = event({"choices": [], "usage": {"prompt_tokens": counted, "completion_tokens": 20}})
    server.script(raw(spoken("Pull it [1].") + usage))
    answer = answerer.ask(QUESTION, {"public"})
    assert (answer.verdict, answer.tokens_estimated) == ("answered", True)
    assert 100 < answer.tokens_in < 10_000


@pytest.mark.parametrize(
    ("pieces", "said"),
    [(("ok \ud83d", "", "\ude00 [1]"), "ok \U0001f600 [1]"), (("a \ud83d", "b [1]", "\ud83d"), "a \ufffdb [1]")],
    ids=["joined", "no half stays"],
)
def test_a_character_that_comes_in_two_pieces_is_one(
    answerer: Answerer, server: Scripted, pieces: tuple[str, ...], said: str
) -> None:
    """Servers that count in UTF-16 cut between the halves of one; alone none can be written to anywhere."""
    server.script(raw(spoken(*pieces)))
    answer = answerer.ask(QUESTION, {"public"})
    assert (answer.verdict, answer.text) == ("answered", said)


def spoken(*pieces: str) -> bytes:
    """An answer in these pieces, to its end."""
    said = b"".join(event({"choices": [{"index": 0, "delta": {"content": piece}}]}) for piece in pieces)
    return said + event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


def test_what_can_be_refused_is_refused_before_anything_streams(answerer: Answerer) -> None:
    with pytest.raises(BadQuery, match="principals"):
        answerer.stream(QUESTION, [])
    with pytest.raises(BadQuery, match="empty"):
        answerer.stream(" ", {"public"})
    with pytest.raises(BadQuery, match="mode"):
        answerer.stream(QUESTION, {"public"}, mode="odd")  # type: ignore[arg-type]


def test_one_answer_is_of_one_published_version(
    answerer: Answerer, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publication between search and reading makes both anew."""
    real = Searcher.published
    looks = iter([{"sequence": -1}])
    monkeypatch.setattr(Searcher, "published", lambda self: next(looks, None) or real(self))
    searched: list[str] = []
    search = Searcher.search
    monkeypatch.setattr(
        Searcher, "search", lambda self, query, **options: searched.append(query) or search(self, query, **options)
    )
    server.script(says("Pull it [1]."))
    assert answerer.ask(QUESTION, {"public"}).verdict == "answered"
    assert len(searched) == 2


def test_without_a_model_it_says_what_to_write(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    with pytest.raises(SettingsError, match="chat_models: "):
        Answerer.open(project.pipeline())
    project.settings["answers"] = {"model": "none"}
    with pytest.raises(SettingsError, match=r"answers.model.*chat_models"):
        project.pipeline()


def test_before_the_first_publication_it_says_so(tmp_path: Path, server: Scripted) -> None:
    project = answering_project(tmp_path, server.url)
    with Answerer.open(project.pipeline()) as answerer, pytest.raises(NothingPublished):
        answerer.stream(QUESTION, {"public"})


def test_a_prompt_of_ones_own_keeps_the_rules(tmp_path: Path, published: Project, server: Scripted) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("You answer as a {pirate} would.", "utf-8")
    answers: dict[str, Any] = published.settings["answers"] | {"prompt": str(path)}
    project = Project(published.folder, published.settings | {"answers": answers})
    with Answerer.open(project.pipeline()) as answerer:
        answerer.ask(QUESTION, {"public"})
    assert "{pirate}" in server.prompt
    assert ABSTENTION in server.prompt
    path.write_text(" ", "utf-8")
    with pytest.raises(SettingsError, match="is empty"):
        Answerer.open(project.pipeline())
    published.pipeline()
