"""Where folders and addresses of pipeline.yaml are, and which lies inside which.

Belongs here: comparing places, without opening any.
Does not belong here: what follows from it (`load.py`, `hints.py`).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from rag_pipeline.errors import SettingsError

_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs", "local": "file"}


def local_path(location: str) -> Path | None:
    """The path of a folder on this machine; None for an address elsewhere."""
    if location.startswith(("file://", "local://")):
        return Path(unquote(urlsplit(location).path))
    return None if "://" in location or "::" in location else user_expanded(location)


def below(outer: str, inner: str) -> tuple[str, ...] | None:
    """The folders that lead from one place to another inside it; () if they are the same, None if it is outside."""
    return beyond(steps_to(outer), inner)


def beyond(whole: tuple[str, ...], inner: str) -> tuple[str, ...] | None:
    """The same, for one place that many are asked about: following its links takes longer than comparing."""
    part = steps_to(inner)
    return part[len(whole) :] if part[: len(whole)] == whole else None


def steps_to(location: str) -> tuple[str, ...]:
    """What leads to a place, links followed: the same for each way to write it."""
    path = local_path(location)
    if path is not None:
        return ("file", *resolved(path).parts)
    wrapper, _, address = location.rpartition("::")
    if "://" in wrapper or "://" not in address:
        return (location,)
    scheme, _, rest = address.partition("://")
    return (_SCHEMES.get(scheme, scheme), *(step for step in rest.split("/") if step))


def rejected_beside(questions: Path) -> Path:
    """The file beside one of questions that has the drafts which are none, with the reason."""
    return questions.with_name(f"{questions.stem}.rejected{questions.suffix}")


def resolved(path: Path) -> Path:
    """A path without links.

    Raises:
        SettingsError: Its links lead in a circle.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise SettingsError(f"{path} cannot be followed: {error}", path=str(path)) from error


def user_expanded(location: str) -> Path:
    """A path whose `~` is the home folder.

    Raises:
        SettingsError: It names the home folder of nobody known.
    """
    try:
        return Path(location).expanduser()
    except RuntimeError as error:
        raise SettingsError(f"{location} names the home folder of nobody known here", path=location) from error
