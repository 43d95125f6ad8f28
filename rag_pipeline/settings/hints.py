"""Settings of change hints: where others say that a source is worth a look.

Belongs here: the section, and the folder that it names.
Does not belong here: reading what is in it (`stores/hints.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator

from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import SettingsError
from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.places import below
from rag_pipeline.settings.servers import ServerAddress, address_of_server
from rag_pipeline.settings.types import Place, Principal

# What the folder is called where it would lie in a source.
HINTS = "folder of hints"


class HintStreamSettings(Section):
    """A stream of a Redis or Valkey server whose entries are hints."""

    url: ServerAddress = Field(max_length=4_096)
    """The server, like `redis://localhost:6379/0`. A value like `$NAME` is read from the environment."""
    key: str = Field(default="rag-pipeline:hints", min_length=1, max_length=4_096)
    """Key of the stream. It is only read, so several pipelines may read one."""

    def address(self, environment: Mapping[str, str]) -> str:
        """The server's address.

        Raises:
            SettingsError: It is to be read from a variable that is not set, or that holds no such address.
        """
        return address_of_server(self.url, "hints.stream.url", environment)


class HintsSettings(Section):
    """Who saw a change leaves a file that names the source, which is looked at within seconds."""

    folder: Place
    """Folder on a disk in which each file is a hint, like `{"source": "handbook"}`; it is seen within seconds.

    It is a folder of its own: hints that were taken in are removed, and what is no hint is put aside."""

    stream: HintStreamSettings | None = None
    """Where hints come in a stream, too: entries with `source` and `address`, or notifications of an object store."""

    allowed_principals: tuple[Principal, ...] = ()
    """Who may give hints over HTTP (`POST /v1/hints`): names and groups of callers; none: nobody.

    They learn which sources there are, and nothing of what is in them."""

    @field_validator("allowed_principals")
    @classmethod
    def _are_not_everybody(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if PUBLIC in names:
            raise ValueError("public is everybody; name the callers or groups that may give hints, like webhooks")
        return names

    @field_validator("folder")
    @classmethod
    def _is_on_a_disk(cls, folder: str) -> str:
        if "://" in folder:
            raise ValueError(
                "a folder of hints lies on a disk of this machine, like hints; addresses are not looked at"
            )
        return folder


def hints_folder(settings: HintsSettings | None, base: Path) -> Path | None:
    """The folder, a relative one below `base`; None: nobody gives hints."""
    return None if settings is None else (base / Path(settings.folder).expanduser()).absolute()


def check_hints_apart(own: Mapping[str, str], config: Path) -> None:
    """Refuse a folder of hints that is no folder of its own: files that are taken in there are removed.

    Args:
        own: The folders that the pipeline writes to, by what each is.

    Raises:
        SettingsError: It is, holds or lies in another one of them, or it holds pipeline.yaml.
    """
    if HINTS not in own:
        return
    hints = own[HINTS]
    others = {what: place for what, place in own.items() if what != HINTS}
    for what, place in (others | {"file": str(config)}).items():
        if below(hints, place) is None and below(place, hints) is None:
            continue
        raise SettingsError(
            f"hints.folder {hints} is not a folder of its own: it is, holds or lies in the {what} {place}, whose files "
            f"are no hints. Name an empty folder for hints alone, like: hints: {{folder: hints}}",
            location=hints,
            folder=place,
        )
