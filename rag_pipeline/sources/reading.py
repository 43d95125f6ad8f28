"""What both readers of files do alike: refuse by size, read what is declared, word what went wrong.

Belongs here: everything about a fetched object that does not depend on where its bytes came from.
Does not belong here: opening files (`local.py`, `remote.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rag_pipeline.contracts.sources import DeclaredMetadata, SourceSpec
from rag_pipeline.errors import (
    DocumentTooLarge,
    DocumentUnavailable,
    DocumentUnreadable,
    DocumentVanished,
    InvalidMetadata,
    LinkOutsideSource,
)
from rag_pipeline.transforms.metadata import merge_declared, read_front_matter, read_sidecar

# A file that changes this often is being written to; the next run reads it.
READ_ATTEMPTS = 3
# So long nothing more is asked of what is down: each question may take as long as a time-out.
DOWN_SECONDS = 30
# Objects in a row for which nothing at all was heard: each has taken all of its tries and time-outs.
_SILENT_IN_A_ROW = 2
# A server may break at some objects only. After each so many in a row it is looked whether it is there at all.
BROKEN_IN_A_ROW = 5


@dataclass(slots=True)
class _Failures:
    """What one host failed at since it last answered."""

    silent: int = 0
    broken: int = 0
    down_until: float = 0


class Down:
    """Which hosts stopped to answer while single objects were asked for, so that an outage costs a few time-outs.

    One object that a server breaks at says nothing about the others.

    Args:
        most_broken: So many objects in a row mean that a host is down, whatever else of it answers; None: never.
    """

    def __init__(self, most_broken: int | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_broken = most_broken
        self._clock = clock
        self._hosts: dict[str, _Failures] = {}

    def start(self) -> None:
        """Begin anew: something else has shown that it answers, or looks itself."""
        self._hosts = {}

    def look(self, what: str, host: str = "") -> None:
        """Go on only where a host may answer.

        Raises:
            DocumentUnavailable: It is down; `what` names it.
        """
        failures = self._hosts.get(host)
        if failures is not None and self._clock() < failures.down_until:
            raise unavailable(f"{what} does not answer")

    def answered(self, host: str = "") -> None:
        """It did, whatever it said."""
        self._hosts.pop(host, None)

    def failed(self, host: str = "", *, is_silent: bool, is_there: Callable[[], bool] | None = None) -> bool:
        """Take note that it gave no answer, or none but a fault of its own; say whether it is down.

        Args:
            is_silent: Nothing was heard of it.
            is_there: Whether another question is answered, asked before it is taken for down.
        """
        failures = self._hosts.setdefault(host, _Failures())
        failures.silent = failures.silent + 1 if is_silent else 0
        failures.broken += 1
        is_down = self._most_broken is not None and failures.broken >= self._most_broken
        if not is_down and (failures.silent >= _SILENT_IN_A_ROW or failures.broken % BROKEN_IN_A_ROW == 0):
            is_down = not is_there() if is_there is not None else failures.silent >= _SILENT_IN_A_ROW
            failures.silent = 0 if not is_down else failures.silent
        if is_down:
            failures.down_until = self._clock() + DOWN_SECONDS
        return is_down

    def close(self, host: str = "") -> None:
        """Ask nothing more of it for a while: what failed is needed for every object."""
        self._hosts.setdefault(host, _Failures()).down_until = self._clock() + DOWN_SECONDS


def declared_by(raw: bytes, sidecar: tuple[str, bytes] | None, spec: SourceSpec) -> DeclaredMetadata:
    """What an object's sidecar (its address and bytes) and front matter declare, the sidecar first.

    Raises:
        InvalidMetadata: See `read_sidecar` and `read_front_matter`.
    """
    declared = read_front_matter(raw) if spec.use_front_matter else DeclaredMetadata()
    if sidecar is not None:
        address, content = sidecar
        declared = merge_declared(read_sidecar(content, is_json=address.endswith(".json")), declared)
    return declared


def bounded_by_target(declared: DeclaredMetadata, target: str, of_target: DeclaredMetadata) -> DeclaredMetadata:
    """What is declared of a link, with what bounds its permissions."""
    return replace(declared, link_target=target, link_target_principals=of_target.allowed_principals)


def too_large(size_bytes: int | None, limit_bytes: int) -> DocumentTooLarge:
    shown = "larger" if size_bytes is None else f"{size_bytes} bytes, more"
    return DocumentTooLarge(
        f"The document is {shown} than the limit of {limit_bytes} bytes, and was not read. Split or exclude it, "
        "or raise `sources.NAME.max_document_bytes`.",
        size_bytes=size_bytes,
        limit_bytes=limit_bytes,
    )


def vanished() -> DocumentVanished:
    return DocumentVanished("The document was listed, and is gone now that it is read; it counts as not listed.")


def unreadable(reason: str) -> DocumentUnreadable:
    return DocumentUnreadable(
        f"The document cannot be read: {reason}. Correct it at the source; the next run tries again.", reason=reason
    )


def unavailable(reason: str) -> DocumentUnavailable:
    return DocumentUnavailable(
        f"The document cannot be read now: {reason}. What was read of it before stands; the next run tries again.",
        reason=reason,
    )


def unreadable_because(error: BaseException) -> DocumentUnreadable:
    return unreadable(words_of(error))


def words_of(error: BaseException) -> str:
    """What went wrong, without the error's own message, which may hold paths or credentials."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else type(error).__name__


def still_changing() -> DocumentUnreadable:
    return unreadable(f"it was changed while it was read, {READ_ATTEMPTS} times in a row")


def leads_outside() -> LinkOutsideSource:
    return LinkOutsideSource(
        "This is a symbolic link that leads out of what the source may read, so it was not followed. Put a copy "
        "in its place, or exclude it."
    )


def sidecar_unreadable(reason: str) -> InvalidMetadata:
    return InvalidMetadata(
        f"The document's sidecar cannot be read: {reason}. It may say who may read the document, so the document "
        "is held back. Correct the sidecar; the next run reads it again.",
        reason=reason,
    )


def several_sidecars(addresses: list[str]) -> InvalidMetadata:
    names = " and ".join(address.rpartition("/")[2] for address in addresses)
    return InvalidMetadata(
        f"The document has more than one sidecar ({names}), so it is not known who may read it. Keep one.",
        sidecars=names,
    )
