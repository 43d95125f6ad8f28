"""Evaluate the newest audited version of an index on the configured questions, once, and keep how it came out.

Belongs here: which version is evaluated, on which questions, and the two tables that keep the results.
Does not belong here: asking (`retrieval/evaluate.py`), what follows from the results (`refresh/gate.py`).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.contracts.evaluation import (
    EVALUATIONS,
    QUESTION_RESULTS,
    EvaluationRow,
    Metrics,
    Question,
    QuestionResult,
)
from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.contracts.tables import BOILERPLATE, DOCUMENTS, DUPLICATES
from rag_pipeline.errors import EmbeddingError, EmbeddingSpaceMismatch, SettingsError, StoreError
from rag_pipeline.refresh.evaluation_targets import Target, newest_audited, place_of, published_target
from rag_pipeline.refresh.generations import served_alias
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.comparison import metrics_of
from rag_pipeline.retrieval.evaluate import Answers, CanonicalDocuments, KnownDocument, Score, evaluate, latency_of
from rag_pipeline.retrieval.fit import Fit, fit_of, fitted, other_scales
from rag_pipeline.retrieval.groups import metrics_of_groups, weak_languages, weak_sentence
from rag_pipeline.retrieval.plan import MODES, SearchPlan, rules_of
from rag_pipeline.retrieval.questions import by_standing, questions_hash, read_questions
from rag_pipeline.transforms.paired import LEAST_QUESTIONS

if TYPE_CHECKING:
    from rag_pipeline.embedding.model import EmbeddingModel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation as it is kept: its row of gold/evaluations, and a result per question and mode.

    Attributes:
        tried: Results at other weights of the vector retriever, where a fit tried them.
    """

    row: EvaluationRow
    results: tuple[QuestionResult, ...]
    tried: tuple[QuestionResult, ...] = ()

    @classmethod
    def of(cls, row: EvaluationRow, results: Iterable[QuestionResult]) -> Evaluation:
        """From all that is kept."""
        kept = tuple(results)
        served = tuple(result for result in kept if result.mode in MODES)
        return cls(row, served, tuple(result for result in kept if result.mode not in MODES))

    def metrics(self, mode: str) -> Metrics:
        return metrics_of(self.results, mode)


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What one call of `refresh_evaluation` found and did.

    Attributes:
        evaluation: Of the newest audited version; None: no questions are configured.
        published: Of what readers see now, on the same questions; None: nothing else is published, or it could
            not be evaluated.
        computed: Evaluations that were not kept already.
        unconfirmed: Of the newest audited version, on synthetic questions that nobody confirmed; None: there are none.
    """

    alias: str
    evaluation: Evaluation | None
    published: Evaluation | None
    computed: int
    commits: int
    seconds: float
    unconfirmed: Evaluation | None = None


@step("gold/evaluation")
def refresh_evaluation(
    workspace: Workspace, alias: str | None = None, *, files: Sequence[Path] | None = None
) -> EvaluationReport:
    """Evaluate the newest audited version of a model's index, and what readers see now on the same questions.

    Nothing is computed, loaded or committed for a version that was evaluated on these questions already.

    Args:
        alias: Embedding model; the one that is served if none is named.
        files: Questions; those that pipeline.yaml names if none are given.

    Raises:
        SettingsError: A file of questions is not valid.
        AuditFailed: The index has no audit that passed; its figures would mean nothing.
    """
    started = time.monotonic()
    alias = alias or served_alias(workspace)
    # Files that are named by hand are asked as they are.
    asked, unconfirmed = (
        by_standing(read_questions(workspace.pipeline.question_files)) if files is None else (read_questions(files), ())
    )
    if not asked and not unconfirmed:
        return EvaluationReport(alias, None, None, 0, 0, time.monotonic() - started)
    first_commit = workspace.lake.commits
    target = newest_audited(workspace, alias)
    computed = _evaluated(workspace, target, asked, fits=True)[1] if files is None and asked else 0
    target = replace(target, recipe=fitted(workspace.recipe, fit_for(workspace, target.audit_id)))
    figures = {}
    for name, questions in (("unconfirmed", unconfirmed), ("asked", asked)):
        figures[name] = _beside_published(workspace, target, questions) if questions else _Figures()
        computed += figures[name].computed
    return EvaluationReport(
        alias=alias,
        evaluation=figures["asked"].evaluation,
        published=figures["asked"].published,
        computed=computed,
        commits=workspace.lake.commits - first_commit,
        seconds=time.monotonic() - started,
        unconfirmed=figures["unconfirmed"].evaluation,
    )


@dataclass(frozen=True, slots=True)
class _Figures:
    """Evaluations of the newest version and of what readers see, and how many were computed for them."""

    evaluation: Evaluation | None = None
    published: Evaluation | None = None
    computed: int = 0


def _beside_published(workspace: Workspace, target: Target, questions: Sequence[Question]) -> _Figures:
    evaluation, computed = _evaluated(workspace, target, questions)
    published = None
    before = published_target(workspace)
    if before is not None and place_of(before) != place_of(target):
        try:
            published, added = _evaluated(workspace, before, questions)
            computed += added
            computed += _evaluated_as_before(workspace, target, before, questions)
        except (EmbeddingError, EmbeddingSpaceMismatch, SettingsError, StoreError) as error:
            # The new version was evaluated; publication refuses to go on without a comparison, and says so.
            log.warning("what is published cannot be evaluated: %s", error.message)
    return _Figures(evaluation, published, computed)


def _evaluated_as_before(workspace: Workspace, target: Target, before: Target, questions: Sequence[Question]) -> int:
    """Evaluate the newest version searched as readers search now; 1 if it was computed.

    Should publication refuse another reranking, readers get the version without it.
    """
    same_table = before.table_name == target.table_name and before.table_version != target.table_version
    if not same_table or before.recipe.fingerprint == target.recipe.fingerprint:
        return 0
    return _evaluated(workspace, replace(target, recipe=before.recipe), questions)[1]


def fit_for(workspace: Workspace, audit_id: str) -> Fit:
    """What the configured questions say of the weight of the vector retriever, from an audited version's evaluation."""
    if not workspace.settings.evaluation.fit_weight:
        return Fit()
    try:
        # The words of a question that a program wrote are those of its text: they would speak for searching by words.
        asked, _ = by_standing(read_questions(workspace.pipeline.question_files))
    except SettingsError:
        # The gate says so.
        return Fit()
    if len(asked) < LEAST_QUESTIONS:
        return Fit(questions=len(asked))
    evaluation = stored_evaluation(workspace, audit_id, workspace.recipe, asked)
    return Fit() if evaluation is None else fit_of([*evaluation.results, *evaluation.tried])


def stored_evaluation(
    workspace: Workspace, audit_id: str, recipe: SearchRecipe, questions: Sequence[Question]
) -> Evaluation | None:
    """The evaluation of an audited version on some questions, searched by a recipe, if there is one."""
    return read_evaluation(workspace, _evaluation_id(audit_id, questions, _plan(workspace, recipe)))


def read_evaluation(workspace: Workspace, evaluation_id: str) -> Evaluation | None:
    """One evaluation by its id, or by the beginning of it if that names one alone."""
    lake = workspace.lake
    chosen = pl.col("evaluation_id").str.starts_with(evaluation_id)
    rows = lake.read(EVALUATIONS, where=chosen)
    if rows.height != 1:
        return None
    row = EvaluationRow.of(rows.row(0, named=True))
    same = pl.col("evaluation_id") == row.evaluation_id
    results = lake.read(QUESTION_RESULTS, where=same).sort("question_id", "mode")
    return Evaluation.of(row, (QuestionResult.of(result) for result in results.iter_rows(named=True)))


def evaluation_history(workspace: Workspace, alias: str, limit: int = 20) -> list[EvaluationRow]:
    """A model's last evaluations, newest first; without those of questions that nobody confirmed."""
    decides = (pl.col("alias") == alias) & pl.col("is_confirmed").fill_null(True)
    rows = workspace.lake.read(EVALUATIONS, where=decides)
    newest = rows.sort("evaluated_at", descending=True).head(limit)
    return [EvaluationRow.of(row) for row in newest.iter_rows(named=True)]


def _evaluation_id(audit_id: str, questions: Sequence[Question], plan: SearchPlan) -> str:
    # The audit and not the version names what is evaluated: a table that was retired and made again counts anew.
    unconfirmed = () if all(question.is_confirmed for question in questions) else ("unconfirmed",)
    return digest("evaluation", audit_id, questions_hash(questions), plan.fingerprint, *unconfirmed)[:32]


def _plan(workspace: Workspace, recipe: SearchRecipe) -> SearchPlan:
    """How questions are asked: as readers search, for as many hits as count."""
    return SearchPlan(workspace.settings.evaluation.k, recipe=recipe, rules=rules_of(workspace.settings))


def _evaluated(
    workspace: Workspace, target: Target, questions: Sequence[Question], *, fits: bool = False
) -> tuple[Evaluation, int]:
    """The evaluation of a version, and 1 if it had to be computed.

    Args:
        fits: Try other weights of the vector retriever as well, if the questions are enough for a fit.
    """
    plan = _plan(workspace, target.recipe)
    name = _evaluation_id(target.audit_id, questions, plan)
    stored = read_evaluation(workspace, name)
    if stored is not None:
        return stored, 0
    table = workspace.vectors.open(
        target.table_name,
        target.space_fingerprint,
        version=target.table_version,
        refine_factor=target.refine_factor,
    )
    model = query_model(workspace, target)
    answers = evaluate(
        table,
        model.embed_query,
        questions,
        _known_documents(workspace),
        _canonical_documents(workspace),
        plan=plan,
        letters_per_token=model.letters_per_token,
        score=_scorer(workspace, target.recipe),
        scales=other_scales(target.recipe, len(questions)) if fits and workspace.settings.evaluation.fit_weight else (),
    )
    _warn_of_time(target.recipe, answers)
    grouped = metrics_of_groups(answers.results, answers.groups)
    if weak := weak_sentence(weak_languages(grouped, workspace.settings.evaluation.mode)):
        log.warning("embedding model %s: %s", target.alias, weak)
    hybrid = [result for result in answers.results if result.mode == "hybrid"]
    row = EvaluationRow(
        evaluation_id=name,
        audit_id=target.audit_id,
        alias=target.alias,
        space_fingerprint=target.space_fingerprint,
        table_name=target.table_name,
        table_version=target.table_version,
        questions_hash=questions_hash(questions),
        evaluator_fingerprint=plan.fingerprint,
        k=plan.k,
        questions=len(questions),
        scored=sum(result.status == "scored" for result in hybrid),
        stale=sum(result.status == "stale" for result in hybrid),
        unanswerable=sum(result.status == "no-answer" for result in hybrid),
        leaks=sum(result.leaks for result in answers.results),
        metrics=(*(metrics_of(answers.results, mode) for mode in MODES), *grouped),
        **latency_of(answers),
        evaluated_at=workspace.now(),
        run_id=workspace.run_id,
        is_confirmed=all(question.is_confirmed for question in questions),
    )
    results = tuple(sorted(answers.results, key=lambda result: (result.question_id, result.mode)))
    _keep(workspace, row, results)
    return Evaluation.of(row, results), 1


def _keep(workspace: Workspace, row: EvaluationRow, results: Sequence[QuestionResult]) -> None:
    lake = workspace.lake
    name = row.evaluation_id
    with lake.writing():
        if read_evaluation(workspace, name) is not None:
            return
        # Results first: the row of the evaluation says that they are whole. A kill between leaves them to be replaced.
        frame = QUESTION_RESULTS.frame([result.row(name) for result in results])
        lake.merge(QUESTION_RESULTS, frame)
        lake.append(EVALUATIONS, EVALUATIONS.frame([row.row()]))


def query_model(workspace: Workspace, target: Target) -> EmbeddingModel:
    """The model whose space a target is in."""
    configured = target.alias in workspace.settings.embedding_models
    if configured and workspace.space(target.alias).fingerprint == target.space_fingerprint:
        return workspace.model(target.alias)
    from rag_pipeline.embedding.open import open_model

    spec = EmbeddingModelSpec(**json.loads(target.model_spec or "{}"))
    model = open_model(spec, workspace.pipeline.cache_folder)
    if model.space.fingerprint != target.space_fingerprint:
        raise EmbeddingSpaceMismatch(
            f"model {spec.model} is embedding space {model.space.fingerprint} here, but the published index is of "
            f"{target.space_fingerprint}; it was not evaluated. Install the weights it was made with.",
            found=model.space.fingerprint,
            published=target.space_fingerprint,
        )
    return model


def _scorer(workspace: Workspace, recipe: SearchRecipe) -> Score | None:
    """The reranking model, without any limit of time: an evaluation must not hang on how busy the machine is."""
    if recipe.rerank is None:
        return None
    from rag_pipeline.embedding.reranker import open_reranker

    model = open_reranker(recipe.rerank, workspace.pipeline.cache_folder)
    if model.fingerprint != recipe.reranker:
        raise EmbeddingSpaceMismatch(
            f"the reranking model {recipe.rerank.model} is {model.fingerprint} here, but the published order is "
            f"of {recipe.reranker}; it was not evaluated. Install the files it was published with.",
            found=model.fingerprint,
            published=recipe.reranker,
        )
    return model.scores


def _warn_of_time(recipe: SearchRecipe, answers: Answers) -> None:
    """Figures are of hits that were all read; readers who wait for less get another order."""
    if recipe.rerank is None or not answers.rerank_seconds:
        return
    budget = recipe.rerank.time_budget_seconds
    late = sum(seconds > budget for seconds in answers.rerank_seconds)
    if late:
        log.warning(
            "reranking took longer than rerank.time_budget_seconds (%g) for %d of %d questions of the evaluation; in "
            "a search what was not read in that time keeps its place. Lower rerank.candidates or rerank.max_tokens, "
            "or allow more time",
            budget,
            late,
            len(answers.rerank_seconds),
        )


def _canonical_documents(workspace: Workspace) -> CanonicalDocuments:
    """Documents that keep the boilerplate of others."""

    def canonical(documents: Iterable[str]) -> list[str]:
        ids = pl.Series(sorted(documents), dtype=pl.String)
        columns = ["document_id", "source", "block_hashes"]
        rows = workspace.lake.read(DOCUMENTS, columns, where=pl.col("document_id").is_in(ids.implode()))
        blocks = rows.explode("block_hashes").rename({"block_hashes": "block_hash"})
        found = workspace.lake.read(BOILERPLATE).join(blocks, on=BOILERPLATE.key, how="semi")
        return found["kept_in"].explode().drop_nulls().unique().to_list()

    return canonical


def _known_documents(workspace: Workspace) -> list[KnownDocument]:
    documents = workspace.lake.read(DOCUMENTS, ["document_id", "uri", "input_key"])
    copies = workspace.lake.read(DUPLICATES, ["document_id", "duplicate_of"])
    joined = documents.join(copies, on="document_id", how="left")
    standing = joined.with_columns(pl.col("duplicate_of").fill_null(pl.col("document_id")))
    return [
        KnownDocument(*row) for row in standing.select("document_id", "uri", "duplicate_of", "input_key").iter_rows()
    ]
