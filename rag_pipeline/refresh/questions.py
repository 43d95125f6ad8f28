"""Questions that a program writes from what is published: sampled, verified, and added to a file for people to look at.

Belongs here: reading the published index for given readers, finding what could answer a draft, the two files.
Does not belong here: the sample and the wording (`evaluation/`), asking the questions (`evaluation.py`).

All is read as a search of the readers reads it: what they may not read is in no question, no reason and no count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rag_pipeline.answering.asking import chat_client
from rag_pipeline.contracts.evaluation import Question
from rag_pipeline.contracts.names import principal
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import AnswerError, UsageError
from rag_pipeline.evaluation import sample, verify
from rag_pipeline.evaluation.chat_writer import ChatWriter, Estimate, estimate
from rag_pipeline.evaluation.diversity import Diversity, diversity_of
from rag_pipeline.evaluation.drafts import Draft, Passage, question_of
from rag_pipeline.evaluation.templates import TemplateWriter
from rag_pipeline.refresh.question_corpus import Corpus
from rag_pipeline.refresh.question_diversity import diversity_over_published
from rag_pipeline.refresh.question_files import append_lines, is_asked, questions_beside, target_file, writing_to
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.questions import line_of, line_with, read_questions
from rag_pipeline.settings.places import rejected_beside

# Passages looked at for one question that is wanted: many say nothing that can be asked for.
_PASSAGES_A_QUESTION = 8


@dataclass(frozen=True, slots=True)
class Generated:
    """What one call added.

    Attributes:
        questions: Those that were added, in their order.
        rejected: Drafts that were not, with the reason.
        known: Questions of a program that stood in the file before.
        readable: Chunks that the readers may read.
        diversity: Of all questions of a program in the file.
        stopped: Why a chat model was asked no more before there were enough.
        is_asked: Whether pipeline.yaml names the file, so that runs ask its questions.
    """

    file: Path
    rejected_file: Path
    questions: tuple[Question, ...] = ()
    rejected: tuple[verify.Rejected, ...] = ()
    known: int = 0
    readable: int = 0
    is_asked: bool = False
    diversity: Diversity = field(default_factory=lambda: diversity_of(()))
    stopped: AnswerError | None = None

    @property
    def kinds(self) -> dict[str, int]:
        """Questions that were added, by kind."""
        return dict(sorted(Counter(question.kind for question in self.questions).items()))

    @property
    def reasons(self) -> dict[str, int]:
        """Drafts that were rejected, by reason."""
        return dict(sorted(Counter(each.reason for each in self.rejected).items()))


def generate(
    workspace: Workspace,
    file: Path | None = None,
    *,
    count: int,
    principals: Iterable[str] = (PUBLIC,),
    kinds: Sequence[str] = (),
    seed: str = "",
    chat: str | None = None,
    before: Callable[[Loop, int], None] | None = None,
) -> Generated:
    """Fill a file up to so many questions that a program wrote, and keep the drafts that were rejected beside it.

    What stands in the file stays as it is, whatever people said of it; what they dropped is not written again.

    Args:
        file: Where to; None: the one file that pipeline.yaml names under `evaluation.questions`.
        principals: Who asks. Only chunks that one of them, or `public`, may read are used.
        kinds: Only these; none: all that the writer knows.
        seed: Another one takes other passages.
        chat: The chat model that writes and verifies them; None: templates do.
        before: Is called once before anything is asked, where anything is wanted.

    Raises:
        NothingPublished: There is no index to ask about.
        UsageError: There is no one file, it lies where a source would take it for a document, or one of `principals` is
            no name.
        SettingsError: A file of questions is not valid; nothing was changed.
        QuestionsNotWritten: A file could not be written.
    """
    target = target_file(workspace, file)
    askers = _askers(principals)
    beside = rejected_beside(target)
    with writing_to(workspace, target):
        there = questions_beside(workspace, target)
        known = 0
        if target.exists():
            known = sum(each.synthetic is not None for each in read_questions([target], with_dropped=True))
        corpus = Corpus.open(workspace, askers)
        with closing(_writer(workspace, corpus, chat)) as writer:
            loop = Loop(corpus, there, checked_kinds(kinds, writer.kinds), writer)
            wanted = max(0, count - known)
            if before is not None and wanted:
                before(loop, wanted)
            kept = _Kept(target, beside, askers, workspace.now().date().isoformat(), loop)
            try:
                ids = sample.sampled(corpus.rows, wanted * _PASSAGES_A_QUESTION, seed)
                for draft in loop.run(corpus.passages(ids), wanted):
                    kept.add(draft)
            finally:
                # What was found up to here was paid for, whatever happened then.
                kept.write()
    figures = written_diversity(workspace, [target] if target.exists() else [])
    return Generated(
        target, beside, tuple(kept.questions), tuple(loop.rejected), known, corpus.rows.height,
        is_asked(workspace, target), figures, writer.stopped,
    )  # fmt: skip


def _askers(principals: Iterable[str]) -> tuple[str, ...]:
    """Names as they stand in a file of questions, which no other name may get into: no run could read it any more."""
    try:
        return tuple(principal(name) for name in principals)
    except ValueError as error:
        raise UsageError(f"--as: {error}") from error


def told_before(tell: Callable[[Estimate], None]) -> Callable[[Loop, int], None]:
    """Has somebody told what a chat model would cost, before it is asked anything."""

    def before(loop: Loop, wanted: int) -> None:
        if isinstance(loop.writer, ChatWriter):
            tell(estimate(loop.writer.spec, loop.kinds, wanted, loop.corpus.mean_chars))

    return before


def _writer(workspace: Workspace, corpus: Corpus, chat: str | None) -> Writer:
    """What writes the questions: templates, or one of the pipeline's chat models.

    Raises:
        UsageError: There is no such chat model.
        SettingsError: The `openai` package or the key is missing.
    """
    if chat is None:
        return TemplateWriter(lambda: corpus.vocabulary)
    known = workspace.settings.chat_models
    if chat not in known:
        named = ", ".join(sorted(known)) or "none is configured under chat_models"
        raise UsageError(f"there is no chat model {chat!r}; allowed: {named}", model=chat)
    return ChatWriter(chat_client(workspace.pipeline, chat), corpus.partner)


def written_diversity(workspace: Workspace, files: Iterable[Path] | None = None) -> Diversity:
    """How diverse the questions are that a program wrote and nobody dropped.

    Args:
        files: Of these; None: those that pipeline.yaml names.

    Raises:
        SettingsError: A file of questions is not valid.
    """
    there = read_questions(workspace.pipeline.question_files if files is None else files)
    return diversity_over_published(workspace, [each for each in there if each.synthetic is not None])


def checked_kinds(kinds: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The kinds that are asked for; all that there are, where none is.

    Raises:
        UsageError: There is no such kind.
    """
    for kind in kinds:
        if kind not in known:
            raise UsageError(f"there is no kind {kind!r}; allowed: {', '.join(known)}", kind=kind)
    return tuple(dict.fromkeys(kinds)) or tuple(known)


class Writer(Protocol):
    """Writes drafts and verifies what only it can tell.

    Attributes:
        batch: So many questions are kept together.
        stopped: Why it writes no more; None: it goes on.
    """

    generator: str
    verifier: str
    kinds: tuple[str, ...]
    batch: int

    @property
    def stopped(self) -> AnswerError | None: ...

    def close(self) -> None: ...

    def drafts(self, passage: Passage, kinds: Sequence[str]) -> Iterable[Draft | verify.Rejected]: ...

    def problem(self, draft: Draft, candidates: Sequence[Passage]) -> verify.Rejected | None: ...


@dataclass
class Loop:
    """Takes passages one by one, and of each the first draft that is a good question.

    Attributes:
        there: Questions that there are, in whatever file.
    """

    corpus: Corpus
    there: Sequence[Question]
    kinds: Sequence[str]
    writer: Writer
    rejected: list[verify.Rejected] = field(default_factory=list)

    def run(self, passages: Iterable[Passage], wanted: int) -> Iterator[Draft]:
        """Good questions, at most as many as are wanted."""
        asked = verify.Asked()
        for question in self.there:
            asked.add(question.id, question.question)
        counts = Counter(question.kind for question in self.there if question.synthetic is not None)
        known = {question.id for question in self.there}
        for passage in passages:
            if wanted <= 0 or self.writer.stopped is not None:
                return
            if self._is_asked_about(passage):
                continue
            # The kind that there are fewest of comes first.
            order = sorted(self.kinds, key=lambda kind: (counts[kind], self.kinds.index(kind)))
            draft = next(self._good(passage, order, asked, known), None)
            if draft is not None:
                counts[draft.kind] += 1
                asked.add(draft.id, draft.plain or draft.question)
                wanted -= 1
                yield draft

    def _good(self, passage: Passage, order: Sequence[str], asked: verify.Asked, known: set[str]) -> Iterator[Draft]:
        """Drafts of a passage that nothing speaks against; the others are noted."""
        for draft in self.writer.drafts(passage, order):
            if isinstance(draft, verify.Rejected):
                self.rejected.append(draft)
                continue
            if draft.id in known:
                continue
            candidates = self.corpus.candidates(draft)
            # What needs no model first: nothing is paid for what is no question anyway.
            problem = verify.rejected(draft, candidates, asked) or self.writer.problem(draft, candidates)
            if problem is None:
                yield draft
            else:
                self.rejected.append(problem)

    def _is_asked_about(self, passage: Passage) -> bool:
        """Whether a question of a program was made from a passage before."""
        return any(
            expected.quote is not None
            and expected.address in (passage.uri, passage.document_id)
            and expected.quote in passage.text
            for question in self.there
            if question.synthetic is not None
            for expected in question.expected
        )


@dataclass
class _Kept:
    """Adds questions and rejected drafts to their files as they come."""

    target: Path
    beside: Path
    principals: tuple[str, ...]
    made_on: str
    loop: Loop
    questions: list[Question] = field(default_factory=list)
    _written: int = 0
    _noted: int = 0

    def add(self, draft: Draft) -> None:
        self.questions.append(self._question(draft, self.loop.corpus.shared_uris))
        if len(self.questions) - self._written >= self.loop.writer.batch:
            self.write()

    def write(self) -> None:
        """Add what is new, the reasons first: whoever is stopped in between adds no question twice."""
        known = _ids_in(self.beside)
        new = {each.draft.id: self._line(each) for each in self.loop.rejected[self._noted :]}
        lines = [line for name, line in new.items() if name not in known]
        if lines:
            append_lines(self.beside, lines, _AGAIN)
        self._noted = len(self.loop.rejected)
        if self.questions[self._written :]:
            append_lines(self.target, map(line_of, self.questions[self._written :]), _AGAIN)
        self._written = len(self.questions)

    def _question(self, draft: Draft, shared_uris: frozenset[str] = frozenset()) -> Question:
        writer = self.loop.writer
        return question_of(
            draft, self.principals, generator=writer.generator, verifier=writer.verifier, made_on=self.made_on,
            shared_uris=shared_uris,
        )  # fmt: skip

    def _line(self, each: verify.Rejected) -> str:
        return line_with(json.loads(line_of(self._question(each.draft))) | {"reason": each.reason, "why": each.why})


# For the message that a file could not be written.
_AGAIN = "generate the questions again"


def _ids_in(file: Path) -> set[str]:
    """Ids of a file of rejected drafts; a line that a person made something else of has none."""
    found = set()
    try:
        lines = file.read_text("utf-8", "replace").splitlines() if file.exists() else []
    except OSError:
        # Who adds to it says what is wrong with it.
        return set()
    for line in lines:
        try:
            found.add(json.loads(line)["id"])
        except (ValueError, TypeError, KeyError):
            continue
    return found
