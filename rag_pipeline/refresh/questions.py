"""Questions that a program writes from what is published: sampled, verified, and added to a file for people to look at.

Belongs here: reading the published index for given readers, finding what could answer a draft, the two files.
Does not belong here: the sample and the wording (`evaluation/`), asking the questions (`evaluation.py`).

All is read as a search of the readers reads it: what they may not read is in no question, no reason and no count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from rag_pipeline.contracts.evaluation import Question
from rag_pipeline.contracts.filters import Filter
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.errors import NothingPublished, UsageError
from rag_pipeline.evaluation import sample, templates, verify
from rag_pipeline.evaluation.diversity import Diversity, diversity_of
from rag_pipeline.evaluation.drafts import Draft, Passage, question_of
from rag_pipeline.evaluation.words import Vocabulary
from rag_pipeline.refresh.evaluation import embedder
from rag_pipeline.refresh.evaluation_targets import Target, published_target
from rag_pipeline.refresh.question_diversity import diversity_over_published
from rag_pipeline.refresh.question_files import append_lines, writing_to
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.questions import line_of, line_with, read_questions
from rag_pipeline.settings.places import rejected_beside
from rag_pipeline.stores.selection import Selection

# How rare a word is shows in so many passages; each is read.
_VOCABULARY_PASSAGES = 5_000
# Passages looked at for one question that is wanted: many say nothing that can be asked for.
_PASSAGES_A_QUESTION = 8
# What could answer a question too is found among the best of each retriever.
_CANDIDATES = 20
_COLUMNS = [
    "chunk_id", "document_id", "source", "uri", "title", "language", "section_path", "kind", "header_chars",
    "embedded_text", "allowed_principals",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Generated:
    """What one call added.

    Attributes:
        questions: Those that were added, in their order.
        rejected: Drafts that were not, with the reason.
        known: Questions of a program that stood in the file before.
        readable: Chunks that the readers may read.
        diversity: Of all questions of a program in the file.
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
    kinds: Sequence[str] = templates.KINDS,
    seed: str = "",
) -> Generated:
    """Fill a file up to so many questions that a program wrote, and keep the drafts that were rejected beside it.

    What stands in the file stays as it is, whatever people said of it; what they dropped is not written again.

    Args:
        file: Where to; None: the one file that pipeline.yaml names under `evaluation.questions`.
        principals: Who asks. Only chunks that one of them, or `public`, may read are used.
        seed: Another one takes other passages.

    Raises:
        NothingPublished: There is no index to ask about.
        UsageError: There is no one file, or it lies where a source would take it for a document.
        SettingsError: A file of questions is not valid; nothing was changed.
        QuestionsNotWritten: A file could not be written.
    """
    target = target_file(workspace, file)
    configured = workspace.pipeline.question_files
    with writing_to(workspace, target):
        files = [path for path in dict.fromkeys((target, *configured)) if path.exists()]
        there = read_questions(files, with_dropped=True)
        known = 0
        if target.exists():
            known = sum(each.synthetic is not None for each in read_questions([target], with_dropped=True))
        corpus = Corpus.open(workspace, principals)
        loop = Loop(corpus, there, kinds)
        wanted = max(0, count - known)
        ids = sample.sampled(corpus.rows, wanted * _PASSAGES_A_QUESTION, seed)
        drafts = loop.run(corpus.passages(ids), wanted)
        made_on = workspace.now().date().isoformat()
        shared = corpus.shared_uris
        questions = tuple(
            question_of(
                draft, principals, generator=templates.GENERATOR, verifier=verify.VERIFIER, made_on=made_on,
                shared_uris=shared,
            )
            for draft in drafts
        )  # fmt: skip
        beside = rejected_beside(target)
        _keep(target, beside, questions, loop.rejected, principals, made_on)
    is_asked = target.resolve() in {path.resolve() for path in configured}
    figures = written_diversity(workspace, [target] if target.exists() else [])
    return Generated(target, beside, questions, tuple(loop.rejected), known, corpus.rows.height, is_asked, figures)


def written_diversity(workspace: Workspace, files: Iterable[Path] | None = None) -> Diversity:
    """How diverse the questions are that a program wrote and nobody dropped.

    Args:
        files: Of these; None: those that pipeline.yaml names.

    Raises:
        SettingsError: A file of questions is not valid.
    """
    there = read_questions(workspace.pipeline.question_files if files is None else files)
    return diversity_over_published(workspace, [each for each in there if each.synthetic is not None])


def checked_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds that are asked for; all, where none is.

    Raises:
        UsageError: There is no such kind.
    """
    for kind in kinds:
        if kind not in templates.KINDS:
            raise UsageError(f"there is no kind {kind!r}; allowed: {', '.join(templates.KINDS)}", kind=kind)
    return tuple(dict.fromkeys(kinds)) or templates.KINDS


def target_file(workspace: Workspace, file: Path | None) -> Path:
    """The file that questions go to.

    Raises:
        UsageError: There is no one file, or it lies where a source would take it for a document.
    """
    configured = workspace.pipeline.question_files
    if file is None and len(configured) != 1:
        named = f"several files of questions ({', '.join(map(str, configured))})" if configured else "no questions"
        raise UsageError(f"pipeline.yaml names {named}; say which file is to have them, like --to questions.jsonl")
    target = configured[0] if file is None else file
    source = None if target in configured else workspace.pipeline.source_around(target)
    if source is not None:
        raise UsageError(
            f"{target} lies in the source {source}, which would take its questions for documents; name a file outside "
            f"of all sources with --to, or this one in pipeline.yaml under evaluation.questions",
            source=source,
        )
    return target


@dataclass(frozen=True)
class Corpus:
    """What some readers may read of the published index, as of one version."""

    workspace: Workspace
    target: Target
    selection: Selection
    rows: pl.DataFrame

    @classmethod
    def open(cls, workspace: Workspace, principals: Iterable[str]) -> Corpus:
        target = published_target(workspace)
        if target is None:
            raise NothingPublished(
                "nothing has been published, so there is nothing to ask about; run: rag-pipeline run"
            )
        table = workspace.vectors.open(
            target.table_name,
            target.space_fingerprint,
            version=target.table_version,
            refine_factor=target.refine_factor,
        )
        selection = Selection(table, Filter(frozenset({*principals, PUBLIC})))
        return cls(workspace, target, selection, selection.read([*sample.COLUMNS, "uri"]))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Of a sample of the passages."""
        ids = sample.sampled(self.rows, _VOCABULARY_PASSAGES, "vocabulary")
        return Vocabulary.of(passage.text for passage in self.passages(ids))

    @cached_property
    def shared_uris(self) -> frozenset[str]:
        """Addresses of several documents."""
        documents = self.rows.unique("document_id")["uri"].value_counts()
        return frozenset(documents.filter(pl.col("count") > 1)["uri"])

    @cached_property
    def _input_keys(self) -> dict[str, str]:
        rows = self.workspace.lake.read(DOCUMENTS, ["document_id", "input_key"])
        return dict(rows.iter_rows())

    @cached_property
    def _embed(self) -> Callable[[str], object]:
        return embedder(self.workspace, self.target)

    def passages(self, chunk_ids: Sequence[str]) -> list[Passage]:
        """Passages by id, in the order of the ids."""
        found = {row["chunk_id"]: row for row in self.selection.read_of("chunk_id", chunk_ids, _COLUMNS).to_dicts()}
        return [self._passage(found[name]) for name in chunk_ids if name in found]

    def candidates(self, draft: Draft) -> Iterator[Passage]:
        """What both retrievers find for a draft, and the words of its text by words."""
        asked = draft.plain or draft.question
        by_words = self.selection.matching(asked, _CANDIDATES, _COLUMNS)
        said = self.selection.matching(" ".join(draft.terms), _CANDIDATES, _COLUMNS)
        near = self.selection.nearest(self._embed(asked), _CANDIDATES, _COLUMNS)  # type: ignore[arg-type]
        found = {row["chunk_id"]: row for rows in (by_words, said, near) for row in rows.to_dicts()}
        for row in found.values():
            yield self._passage(row)

    def _passage(self, row: dict[str, object]) -> Passage:
        text = str(row["embedded_text"])[int(str(row["header_chars"])) :]
        return Passage(
            chunk_id=str(row["chunk_id"]),
            document_id=str(row["document_id"]),
            source=str(row["source"]),
            uri=str(row["uri"]),
            title=" ".join(str(row["title"] or "").split()),
            language=str(row["language"] or ""),
            section=tuple(row["section_path"] or ()),  # type: ignore[arg-type]
            kind=str(row["kind"]),
            text=" ".join(text.split()),
            readable_by=tuple(row["allowed_principals"] or ()),  # type: ignore[arg-type]
            input_key=self._input_keys.get(str(row["document_id"]), ""),
        )


@dataclass
class Loop:
    """Takes passages one by one, and of each the first draft that is a good question.

    Attributes:
        there: Questions that there are, in whatever file.
    """

    corpus: Corpus
    there: Sequence[Question]
    kinds: Sequence[str]
    rejected: list[verify.Rejected] = field(default_factory=list)

    def run(self, passages: Iterable[Passage], wanted: int) -> list[Draft]:
        asked = verify.Asked()
        for question in self.there:
            asked.add(question.id, question.question)
        found: list[Draft] = []
        counts = Counter(question.kind for question in self.there if question.synthetic is not None)
        known = {question.id for question in self.there}
        for passage in passages:
            if len(found) >= wanted:
                break
            if self._is_asked_about(passage):
                continue
            # The kind that there are fewest of comes first.
            order = sorted(self.kinds, key=lambda kind: (counts[kind], self.kinds.index(kind)))
            for draft in templates.drafts_of(passage, order, self.corpus.vocabulary):
                if draft.id in known:
                    continue
                problem = verify.rejected(draft, self.corpus.candidates(draft), asked)
                if problem is None:
                    found.append(draft)
                    counts[draft.kind] += 1
                    asked.add(draft.id, draft.plain or draft.question)
                    break
                self.rejected.append(problem)
        return found

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


def _keep(
    target: Path,
    beside: Path,
    questions: Sequence[Question],
    rejected: Sequence[verify.Rejected],
    principals: Iterable[str],
    made_on: str,
) -> None:
    """Add both, the reasons first: whoever is stopped in between writes the same ones again, and no question twice."""
    kept = _ids_in(beside)
    lines = {each.draft.id: _rejected_line(each, principals, made_on) for each in rejected}
    new = [line for name, line in lines.items() if name not in kept]
    if new:
        append_lines(beside, new, "generate the questions again")
    if questions:
        append_lines(target, map(line_of, questions), "generate the questions again")


def _rejected_line(each: verify.Rejected, principals: Iterable[str], made_on: str) -> str:
    question = question_of(
        each.draft, principals, generator=templates.GENERATOR, verifier=verify.VERIFIER, made_on=made_on
    )
    return line_with(json.loads(line_of(question)) | {"reason": each.reason, "why": each.why})


def _ids_in(file: Path) -> set[str]:
    """Ids of a file of rejected drafts; a line that a person made something else of has none."""
    found = set()
    for line in file.read_text("utf-8", "replace").splitlines() if file.exists() else ():
        try:
            found.add(json.loads(line)["id"])
        except (ValueError, TypeError, KeyError):
            continue
    return found
