"""What a source found out and keeps for its next run, as a file of the cache folder that is distrusted.

Belongs here: writing such a file whole, and taking it only if it was written whole and by the same recipe.
Does not belong here: what is kept. All of it can be found out again.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.ids import digest
from rag_pipeline.stores.small_files import replace_file

log = logging.getLogger(__name__)


def read_kept(path: Path | None, recipe: str) -> Any:
    """The value that was kept; None: there is none, it is damaged, or it was found out in another way."""
    if path is None:
        return None
    try:
        mark, _, text = path.read_text("utf-8").partition("\n")
        return json.loads(text) if mark == _mark(recipe, text) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.info("what was known of a source is found out again: %s", type(error).__name__)
        return None


def write_kept(path: Path | None, recipe: str, value: Any) -> None:
    """Keep a value for the next run, if it can be kept."""
    if path is None:
        return
    text = json.dumps(value, separators=(",", ":"))
    try:
        replace_file(path, f"{_mark(recipe, text)}\n{text}".encode())
    except OSError as error:
        # A full disk makes the next run slower and nothing wrong.
        log.warning("what is known of a source cannot be kept: %s", error.strerror)


def _mark(recipe: str, text: str) -> str:
    return digest("kept", recipe, text)
