"""What storage raises, as errors of ours.

Belongs here: telling damage, a store that does not answer and a missing right apart, and what to type after each.
Does not belong here: touching storage (`delta.py`, `vectors.py`, `sql.py`).

The libraries raise what they like: OSError, ValueError, RuntimeError, a bare Exception, and Rust panics that are no
Exception at all. So everything but our own errors and a stop by the user is taken for a failure of the store.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rag_pipeline.errors import LakeDamaged, RagPipelineError, StoreError, StoreUnavailable
from rag_pipeline.shown import masked
from rag_pipeline.stores.reserve import is_full

T = TypeVar("T")

# Two lines; libraries print their plan behind the reason.
REASON_CHARS = 400
# What nothing below can give again.
HOLDS = "silver/deletion_holds"
REMARKS = "gold/feedback"
NOTHING_WRITTEN = "Nothing of this commit was written. "
# What HTTP clients of the object stores say, and the file systems of networks. A number alone may be a time or a size.
_UNAVAILABLE = re.compile(
    r"error sending request|timed? ?out|connection|dns error|failed to lookup|unreachable|broken pipe|"
    r"service ?unavailable|slow ?down|too many requests|internal ?server ?error|bad ?gateway|temporarily|"
    r"after \d+ retries|stale file handle|\bstatus(?: code)?:? (?:50[0234]|429)\b",
    re.IGNORECASE,
)
_BRANCH = re.compile(r"\s*(?:\x1b\[\d+m)?↳(?:\x1b\[\d+m)?\s*")
_FORBIDDEN = re.compile(
    r"permission ?denied|access ?denied|forbidden|unauthorized|invalidaccesskeyid|\bstatus(?: code)?:? 40[13]\b", re.I
)
_EXHAUSTED = re.compile(r"no space left|disk quota|too many open files|cannot allocate memory|out of memory", re.I)


def is_failure(error: BaseException) -> bool:
    """Whether an exception tells of the store; panics of Rust libraries are named alike and have no common class."""
    if isinstance(error, (RagPipelineError, MemoryError)):
        return False
    return isinstance(error, Exception) or type(error).__name__ in ("PanicException", "RustPanic")


@contextmanager
def reading(what: str, place: str, table: str) -> Iterator[None]:
    """Turn every failure of the block into one of our errors.

    Args:
        what: What was tried, like `read` or `search`.
        place: The table's folder or address.
        table: Its path in the lake, like `silver/chunks`.

    Raises:
        StoreUnavailable: The store did not answer; trying again may help.
        LakeDamaged: The table cannot be read as it lies there.
        StoreError: Something that the machine's owner has to change first.
    """
    try:
        yield
    except BaseException as error:
        if not is_failure(error):
            raise
        raise failed(what, place, table, error) from cause_of(error)


def written(table: str, verb: str, place: str, action: Callable[[], T], *, note: str = NOTHING_WRITTEN) -> T:
    """Run a call that writes; a failure of it is an error of ours that says that nothing was written.

    Args:
        note: What the error says then; nothing for a call that only reads.

    Raises:
        StoreError: The call failed.
    """
    try:
        return action()
    except BaseException as error:
        if not is_failure(error):
            raise
        raise failed(verb, place, table, error, note=note) from cause_of(error)


class Stored:
    """Runs calls that write to tables whose commits nothing fences, while this process is the one that may.

    Args:
        still_writing: Raises where it is not any more; asked before, and after for what it missed.
    """

    def __init__(self, table: str, still_writing: Callable[[], None] | None = None) -> None:
        self._table = table
        self._still_writing = still_writing or (lambda: None)

    def __call__(self, verb: str, place: str, action: Callable[[], T]) -> T:
        self._still_writing()
        result = written(self._table, verb, place, action)
        self._still_writing()
        return result


def cause_of(error: BaseException) -> BaseException | None:
    """The library's error, or one like it without passwords, since its text goes into tracebacks and Dagster's log."""
    said = str(error)
    if masked(said) == said:
        return error
    return type(error)(masked(said)) if type(error) in (ValueError, OSError, RuntimeError, Exception) else None


def failed(what: str, place: str, table: str, error: BaseException, *, note: str = "") -> StoreError:
    """The error of ours for a failure.

    Args:
        note: What is true of the lake after it, for writes.
    """
    said, meant = f"could not {what} {place}: {reason_of(error)}. {note}", _without_names(error, place)
    if _EXHAUSTED.search(meant) or (note and _is_on_a_full_disk(place)):
        return StoreError(f"{said}Make room, then run: rag-pipeline run", table=table)
    if isinstance(error, PermissionError) or _FORBIDDEN.search(meant):
        return StoreError(f"{said}Give this user the right to {what} {place}, then run: rag-pipeline run", table=table)
    if _is_unavailable(error, meant, place):
        return StoreUnavailable(
            f"{said}The store did not answer; nothing is known to be damaged. Run the command again when it does.",
            table=table,
        )
    return LakeDamaged(f"{said}{cure(table, place)}", table=table, place=place)


def _is_on_a_full_disk(place: str) -> bool:
    """Whether a write failed for want of room, which not every library says."""
    folder = Path(place)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        return "://" not in place and is_full(folder)
    except OSError:
        return False


def _without_names(error: BaseException, place: str) -> str:
    """What a library said, to its end, without addresses and paths: a folder may be called `403` or `connections`."""
    said = _first_line(error)
    # With and without scheme and bucket, longest first; the name of what lies below goes with the slashes in it.
    below = place.partition("://")[2] or place
    for name in (place.strip("/"), below.strip("/"), below.strip("/").partition("/")[2]):
        # One word alone may be what went wrong.
        said = said.replace(name, "/") if "/" in name else said
    return re.sub(r"\S*/\S*", " ", said)


def _is_unavailable(error: BaseException, meant: str, place: str) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    # On a disk, words like these can only come out of the content.
    return ("://" in place and not place.startswith("file:")) and _UNAVAILABLE.search(meant) is not None


def reason_of(error: BaseException) -> str:
    """What a library said, in one line: some append their whole query plan, Lance the line of its own source."""
    return (_first_line(error)[:REASON_CHARS] or type(error).__name__).rstrip(". ,")


def _first_line(error: BaseException) -> str:
    # Delta draws the causes of some failures as a tree, a line each.
    first = _BRANCH.sub(": ", str(error)).strip().partition("\n")[0]
    return re.sub(r",? ?/[^ ,]*/\.cargo/registry/\S+", "", first)


def cure(table: str, place: str) -> str:
    """What to do about a damaged table."""
    if table.startswith("bronze/"):
        return (
            f"Bronze cannot be made again: restore the folder {place} from a backup, then run: rag-pipeline run. "
            f"Without a backup, move it away; the next run then reads the source again, and its history is lost."
        )
    if table == HOLDS:
        return (
            f"What the deletion guard held stands nowhere else, so all of it stays held: restore {place} from a "
            f"backup; or look whether each source is whole, and let the next run measure anew: {cure_command(table)}"
        )
    if table == REMARKS:
        return (
            f"What callers said of hits stands nowhere else: restore {place} from a backup, or go on with what can be "
            f"read of it: {cure_command(table)}"
        )
    return f"What it held can be made again. Run: {cure_command(table)}"


def cure_command(table: str) -> str:
    """The command that heals a derived table; bronze is restored by hand first."""
    if table.startswith("bronze/") or not table:
        return "rag-pipeline run"
    return f"rag-pipeline rebuild {table_argument(table)}"


def table_argument(table: str) -> str:
    """How a table is named on the command line: layer and name, joined by a dot."""
    return ".".join(table.split("/")[:2])
