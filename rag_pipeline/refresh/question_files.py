"""Adding lines to a file of questions: once, whole, and by one writer at a time.

Belongs here: the lock and the replacement.
Does not belong here: the form of a line (`retrieval/questions.py`), which questions are added.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from rag_pipeline.contracts.ids import digest
from rag_pipeline.errors import QuestionsNotWritten
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.small_files import replace_file

# So many hex digits of a path name one lock beyond any chance.
_ID_CHARS = 16


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
