"""A chat model writes questions and verifies them: answerable from its passage, not without it, by no other passage.

Belongs here: the calls and their order, what a fault of the server means, what it costs.
Does not belong here: the words (`chat_prompts.py`), the checks that need no model (`verify.py`), the client
(`endpoints/chat.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from rag_pipeline.contracts.chat import ChatModelSpec, Message
from rag_pipeline.endpoints.chat import CHARS_PER_TOKEN, ChatClient
from rag_pipeline.errors import AnswerError, BudgetReached
from rag_pipeline.evaluation import chat_prompts as prompts
from rag_pipeline.evaluation.drafts import Draft, Passage
from rag_pipeline.evaluation.verify import Rejected

T = TypeVar("T")
# After so many questions in a row that the server failed at, it is down, and is asked no more.
MOST_FAILURES = 3
# Passages beside its own that a judge looks at: what could answer it is found among the best.
_JUDGED_PASSAGES = 5
# Languages that a question is asked in of a text in another one.
_LANGUAGES = ("en", "de", "fr", "es")
# Calls of a question about two texts, or one: it is written, answered from its texts, from none and from each of two
# alone, and judged.
_CALLS = {True: 6, False: 4}
# Written, judged.
_CALLS_WITHOUT_ANSWER = 2
# Of a prompt without its texts, and of an answer.
_PROMPT_TOKENS = 250
_ANSWER_TOKENS = 80


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some questions would cost at most, if none had to be written twice; `price` is None where it is unknown."""

    calls: int
    tokens_in: int
    tokens_out: int
    price: float | None


def estimate(spec: ChatModelSpec, kinds: Sequence[str], count: int, chunk_chars: float) -> Estimate:
    """What so many questions of some kinds cost, from the mean length of a chunk."""
    calls = texts = 0
    for at in range(count):
        kind = kinds[at % len(kinds)]
        is_open, two = kind in prompts.WITHOUT_ANSWER, kind in prompts.TWO_TEXTS
        calls += _CALLS_WITHOUT_ANSWER if is_open else _CALLS[two]
        own = 2 if two else 1
        # Own texts to write and to answer from, once more each of two alone, and those that are judged.
        texts += (1 if is_open else 2) * own + (own if two else 0) + _JUDGED_PASSAGES + is_open
    tokens_in = calls * _PROMPT_TOKENS + round(texts * chunk_chars / CHARS_PER_TOKEN)
    tokens_out = calls * _ANSWER_TOKENS
    return Estimate(calls, tokens_in, tokens_out, spec.cost(tokens_in, tokens_out))


class ChatWriter:
    """Has one chat model write and verify questions; asks one thing at a time.

    Args:
        client: Is asked within the model's budget.
        partner: A passage of another document that is near to one; None: there is none.
    """

    # What a kill loses of what was paid.
    batch = 1

    def __init__(self, client: ChatClient, partner: Callable[[Passage], Passage | None]) -> None:
        self._client = client
        self.spec = client.spec
        self._partner = partner
        self._failures = 0
        self.stopped: AnswerError | None = None
        """Why no more is asked: the budget is used up, or the server is down."""
        named = f"{client.spec.alias} {client.spec.fingerprint}, prompts {prompts.VERSION}"
        self.generator = f"chat {named}"
        self.verifier = f"chat judge {named}"
        self.kinds = tuple(prompts.KINDS)
        self.tokens = 0

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def drafts(self, passage: Passage, kinds: Sequence[str]) -> Iterator[Draft | Rejected]:
        """One question of the passage, of the first kind that it can give, or why it gave none."""
        for kind in kinds:
            partner = self._partner(passage) if kind in prompts.TWO_TEXTS else None
            if kind in prompts.TWO_TEXTS and partner is None:
                continue
            passages = (passage,) if partner is None else (passage, partner)
            found = self._guarded(Draft(kind, "", passages, (), ()), partial(self._written, kind, passages))
            if found is not None:
                yield found
            return

    def problem(self, draft: Draft, candidates: Sequence[Passage]) -> Rejected | None:
        """Why the model says that a draft is no question; None: it says that it is one."""
        found = self._guarded(draft, lambda: self._problem(draft, candidates))
        return found if isinstance(found, Rejected) else None

    def _guarded(self, draft: Draft, ask: Callable[[], Draft | Rejected | None]) -> Draft | Rejected | None:
        """What asking gives; a fault of the server is a reason against this draft alone."""
        try:
            found = ask()
        except BudgetReached as error:
            self.stopped = error
            return Rejected(draft, "server_failed", error.message)
        except AnswerError as error:
            self._failures += 1
            if self._failures >= MOST_FAILURES:
                self.stopped = error
            return Rejected(draft, "server_failed", error.message)
        except prompts.NotValid as error:
            self._failures = 0
            return Rejected(draft, "not_valid", str(error))
        self._failures = 0
        return found

    def _written(self, kind: str, passages: tuple[Passage, ...]) -> Draft:
        language = passages[0].language
        if kind == "other-language":
            language = next(each for each in _LANGUAGES if each != (language or _LANGUAGES[0]))
        messages = prompts.to_write(kind, passages, language)
        written = self._said(messages, prompts.WRITTEN, lambda text: prompts.written_of(text, kind, passages))
        return Draft(kind, written.question, passages, written.quotes, (), asks_by="judge", answer=written.answer)

    def _problem(self, draft: Draft, candidates: Sequence[Passage]) -> Rejected | None:
        if draft.kind not in prompts.WITHOUT_ANSWER:
            said = self._answered(draft.question, draft.passages)
            if said is None or not prompts.agree(said, draft.answer):
                return Rejected(draft, "not_answerable", "nothing was answered" if said is None else said)
            alone = [draft.passages[:at] + draft.passages[at + 1 :] for at in range(len(draft.passages))]
            # From nothing, and from each of two texts alone.
            for fewer in dict.fromkeys([(), *alone]):
                said = self._answered(draft.question, fewer)
                if said is not None and prompts.agree(said, draft.answer):
                    return Rejected(draft, "answerable_without", f"from {fewer[0].uri}" if fewer else "from no text")
        return self._judged(draft, candidates)

    def _judged(self, draft: Draft, candidates: Sequence[Passage]) -> Rejected | None:
        """Whether a passage answers it that should not."""
        own = {passage.chunk_id for passage in draft.passages}
        others = [each for each in candidates if each.chunk_id not in own][:_JUDGED_PASSAGES]
        shown = [*draft.passages, *others] if draft.kind in prompts.WITHOUT_ANSWER else others
        if not shown:
            return None
        messages = prompts.to_judge(draft.question, shown)
        answering = self._said(messages, prompts.JUDGED, lambda text: prompts.answering_of(text, len(shown)))
        if not answering:
            return None
        reason = "has_an_answer" if draft.kind in prompts.WITHOUT_ANSWER else "not_unique"
        return Rejected(draft, reason, shown[answering[0]].uri)

    def _answered(self, question: str, passages: Sequence[Passage]) -> str | None:
        return self._said(prompts.to_answer(question, passages), prompts.ANSWERED, prompts.answered_of)

    def _said(self, messages: Sequence[Message], schema: Mapping[str, Any], read: Callable[[str], T]) -> T:
        """What the model says, by the schema; it is told once what is wrong with its answer."""
        said = self._completed(messages, schema)
        try:
            return read(said)
        except prompts.NotValid as error:
            again = f"That is not valid: {error}. Answer again, with one JSON object of the schema and nothing else."
            turns = [*messages, Message("assistant", said), Message("user", again)]
            return read(self._completed(turns, schema))

    def _completed(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        completion = self._client.complete(messages, schema)
        self.tokens += completion.ended.tokens_in + completion.ended.tokens_out
        if completion.ended.end == "refused":
            raise prompts.NotValid("the model, or a filter of its server, refused to answer")
        return completion.text
