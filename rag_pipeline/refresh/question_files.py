"""Adding lines to a file of questions: which file, once, whole, and by one writer at a time.

Belongs here: the choice of the file, what there is already, the lock and the replacement.
Does not belong here: the form of a line (`retrieval/questions.py`), which questions are added.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from rag_pipeline.contracts.evaluation import Question
from rag_pipeline.contracts.ids import digest
from rag_pipeline.errors import QuestionsNotWritten, UsageError
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.retrieval.questions import read_questions
from rag_pipeline.stores.small_files import replace_file

# So many hex digits of a path name one lock beyond any chance.
_ID_CHARS = 16


def target_file(workspace: Workspace, file: Path | None) -> Path:
    """The file that questions go to; None: the one that pipeline.yaml names.

    Raises:
        UsageError: There is no one file, or it lies where a source would take it for a document.
    """
    configured = workspace.pipeline.question_files
    if file is None and len(configured) != 1:
        named = f"several files of questions ({', '.join(map(str, configured))})" if configured else "no questions"
        raise UsageError(f"pipeline.yaml names {named}; say which one is to have it, like --to questions.jsonl")
    target = configured[0] if file is None else file
    source = None if is_asked(workspace, target) else workspace.pipeline.source_around(target)
    if source is not None:
        raise UsageError(
            f"{target} lies in the source {source}, which would take its questions for documents; name a file outside "
            f"of all sources with --to, or this one in pipeline.yaml under evaluation.questions",
            source=source,
        )
    return target


def is_asked(workspace: Workspace, file: Path) -> bool:
    """Whether pipeline.yaml names a file, so that runs ask its questions."""
    return file.resolve() in {path.resolve() for path in workspace.pipeline.question_files}


def questions_beside(workspace: Workspace, target: Path) -> tuple[Question, ...]:
    """Questions of a file and of those that pipeline.yaml names, dropped ones too.

    Raises:
        SettingsError: A file of questions is not valid.
    """
    # However whoever typed it wrote its name: a file that is read twice has each of its questions twice.
    files = {path.resolve(): path for path in (target, *workspace.pipeline.question_files) if path.exists()}
    return read_questions(files.values(), with_dropped=True)


def writing_to(workspace: Workspace, file: Path) -> FileLock:
    """Held while the file is read and replaced: a lake in an object store has no lock of its own."""
    folder = workspace.pipeline.cache_folder
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"questions-{digest('file', str(file.resolve()))[:_ID_CHARS]}.lock")


def append_lines(file: Path, lines: Iterable[str], then: str) -> None:
    """Replace a file by one with some lines more; a reader sees the one or the other.

    Args:
        then: What to do again once it can be written, for the message.

    Raises:
        QuestionsNotWritten: It could not be written; nothing was changed.
    """
    # Not the link to it.
    file = file.resolve()
    try:
        # A folder that is not there is a slip of whoever typed it.
        file.parent.stat()
        before = file.read_bytes() if file.exists() else b""
        if before and not before.endswith(b"\n"):
            before += b"\n"
        replace_file(file, before + "".join(f"{line}\n" for line in lines).encode("utf-8"))
    except OSError as error:
        raise QuestionsNotWritten(
            f"the questions in {file} cannot be written: {error.strerror or error}; nothing was changed. Mend that, or "
            f"name another file with --to, then {then}",
            path=str(file),
        ) from error
