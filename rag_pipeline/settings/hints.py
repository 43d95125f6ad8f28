"""Settings of change hints: where others say that a source is worth a look.

Belongs here: the section, and the folder that it names.
Does not belong here: reading what is in it (`stores/hints.py`).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator

from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.types import Place

# What the folder is called where it would lie in a source.
HINTS = "folder of hints"


class HintsSettings(Section):
    """Who saw a change leaves a file that names the source, and it is looked at within a minute."""

    folder: Place
    """Folder on a disk in which each file is a hint, like `{"source": "handbook"}`; it is seen within seconds."""

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
