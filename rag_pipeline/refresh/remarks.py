"""What people said of hits and answers: listed, dismissed, or made a question of evaluation once a person agrees.

Belongs here: which documents a remark says are right, and that its question is added to a file once and whole.
Does not belong here: taking remarks (`serving/feedback.py`), the form of questions (`retrieval/questions.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from rag_pipeline.contracts.evaluation import ExpectedDocument, Question
from rag_pipeline.contracts.feedback import FEEDBACK, Decision, Remark
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline.errors import NoQuestion, UsageError
from rag_pipeline.refresh.question_files import append_lines, is_asked, questions_beside, target_file, writing_to
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.questions import line_of

# Fewer may be meant for another one; and so many name a question, beyond any chance.
LEAST_ID_CHARS = 6
_ID_CHARS = 16
_COLUMNS = ["document_id", "uri", "allowed_principals"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a remark that was accepted.

    Attributes:
        question: As it stands in the file; one that was there already may have another id.
        was_added: Whether the file was written now.
        is_asked: Whether pipeline.yaml names the file, so that runs ask its questions.
    """

    remark: Remark
    question: Question
    file: Path
    was_added: bool
    is_asked: bool


def read_remarks(workspace: Workspace, *, with_decided: bool = False) -> list[Remark]:
    """Remarks, newest first; those that nothing was decided on, or all."""
    rows = workspace.lake.read(FEEDBACK, where=None if with_decided else pl.col("decision").is_null())
    return [Remark.of(row) for row in rows.sort("given_at", "feedback_id", descending=True).iter_rows(named=True)]


def accept(workspace: Workspace, remark_id: str, file: Path | None = None, documents: Sequence[str] = ()) -> Accepted:
    """Add the question of a remark to a file of questions, and note that it was accepted.

    The file comes first: whoever is stopped in between finds the question there the next time, and adds none.

    Args:
        remark_id: Its id or the beginning of it.
        file: Where to; None: the one file that pipeline.yaml names under `evaluation.questions`.
        documents: Addresses, ends of addresses, or ids of the documents that answer the question; none: those of the
            remark, if it says that they do.

    Raises:
        UsageError: There is no such remark, or no one file, or it lies where a source would take it for a document.
        NoQuestion: A document is gone, its asker may not read it, or the remark does not say which one is right.
        SettingsError: A file of questions is not valid; nothing was changed.
        QuestionsNotWritten: The file could not be written; nothing was changed.
    """
    target = target_file(workspace, file)
    # The lake last: whoever has a model write questions holds the file for as long as that takes.
    with writing_to(workspace, target), workspace.lake.writing():
        remark = _remark(workspace, remark_id)
        question = _question(workspace, remark, documents)
        same = next((each for each in questions_beside(workspace, target) if _is_same(each, question)), None)
        if same is None and remark.decision == "accepted":
            files = (target, *workspace.pipeline.question_files)
            raise NoQuestion(
                f"remark {remark.feedback_id[:_ID_CHARS]} was accepted already on {remark.decided_at:%Y-%m-%d}, and "
                f"stands in none of {', '.join(map(str, dict.fromkeys(files)))}; nothing is added a second time"
            )
        if same is None:
            append_lines(target, [line_of(question)], "accept the remark again")
        _decide(workspace, remark, "accepted")
    return Accepted(remark, same or question, target, same is None, is_asked(workspace, target))


def dismiss(workspace: Workspace, remark_id: str) -> Remark:
    """Note that a remark is to become nothing.

    Raises:
        UsageError: There is no such remark, or it was accepted: its question stands in a file.
    """
    with workspace.lake.writing():
        remark = _remark(workspace, remark_id)
        if remark.decision == "accepted":
            raise UsageError(
                f"remark {remark.feedback_id[:_ID_CHARS]} was accepted; take the line {_name_of(remark)} out of its "
                f"file of questions instead"
            )
        _decide(workspace, remark, "dismissed")
    return remark


def _remark(workspace: Workspace, remark_id: str) -> Remark:
    rows = workspace.lake.read(FEEDBACK, where=pl.col("feedback_id").str.starts_with(remark_id))
    if rows.height != 1 or len(remark_id) < LEAST_ID_CHARS:
        what = "not the beginning of one remark's id" if rows.height else "no remark has the id"
        raise UsageError(f"{what}: {remark_id}; see which there are: rag-pipeline feedback list --all")
    return Remark.of(rows.row(0, named=True))


def _name_of(remark: Remark) -> str:
    return f"feedback-{remark.feedback_id[:_ID_CHARS]}"


def _question(workspace: Workspace, remark: Remark, named: Sequence[str]) -> Question:
    rows = workspace.lake.read(DOCUMENTS, _COLUMNS)
    if named:
        ids = [_document_named(rows, name) for name in named]
    elif remark.verdict == "down":
        raise NoQuestion(
            "this remark says what does not answer its question; name the document that does with --document, or "
            "dismiss it"
        )
    elif not remark.documents:
        raise NoQuestion("the answer cites nothing; name the document that answers the question with --document")
    else:
        ids = list(remark.documents)
    expected = tuple(_expected(rows, document, remark) for document in dict.fromkeys(ids))
    return Question(_name_of(remark), remark.query, expected, remark.principals)


def _document_named(rows: pl.DataFrame, name: str) -> str:
    fits = (pl.col("document_id") == name) | (pl.col("uri") == name) | pl.col("uri").str.ends_with(f"/{name}")
    found = rows.filter(fits)["document_id"].to_list()
    if len(found) != 1:
        raise UsageError(
            f"--document {name} names {f'{len(found):,} documents' if found else 'no document'}; write the whole "
            f"address or id of one: rag-pipeline trace {name}"
        )
    return str(found[0])


def _expected(rows: pl.DataFrame, document_id: str, remark: Remark) -> ExpectedDocument:
    """The document by its address, if that is its own alone."""
    found = rows.filter(pl.col("document_id") == document_id)
    if not found.height:
        where = remark.uri or f"document {document_id}"
        raise NoQuestion(
            f"{where} is gone, so it answers no question any more; name the document that does with --document, or "
            f"dismiss the remark"
        )
    row = found.row(0, named=True)
    asker = {*remark.principals, PUBLIC}
    if not asker.intersection(row["allowed_principals"]):
        raise NoQuestion(
            f"{row['uri']} may not be read by {', '.join(sorted(asker))}, for whom the question is asked, so it can be "
            f"no answer to it; dismiss the remark, or name another document with --document"
        )
    if rows.filter(pl.col("uri") == row["uri"]).height == 1:
        return ExpectedDocument(uri=row["uri"])
    return ExpectedDocument(document_id=document_id)


def _is_same(one: Question, other: Question) -> bool:
    """Whether both ask the same for the same readers, or came from one remark."""
    unnamed = replace(one, id=other.id, kind=other.kind)
    return one.id == other.id or unnamed.question_hash == other.question_hash


def _decide(workspace: Workspace, remark: Remark, decision: Decision) -> None:
    if remark.decision == decision:
        return
    decided = replace(remark, decision=decision, decided_at=workspace.now())
    columns = ["feedback_id", "decision", "decided_at"]
    workspace.lake.update(FEEDBACK, FEEDBACK.frame([decided.row()]).select(columns))
