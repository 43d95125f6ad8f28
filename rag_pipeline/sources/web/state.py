"""What is remembered of pages between two listings, so that those that did not change are not sent again.

It may be lost at any time: then every page is read once more, and nothing else changes.

Belongs here: the file and its form.
Does not belong here: what is made of it (`crawl.py`).
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sys import intern
from typing import Any

from rag_pipeline.contracts.sources import Remembered
from rag_pipeline.stores.small_files import replace_file

log = logging.getLogger(__name__)

# Whoever changes what is read off a page, or its form here, has every page read again.
STATE_VERSION = 2
_FILE = "pages.json.gz"


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was last read.

    Attributes:
        hash: Of its bytes as a document has them.
        media_type: As declared of the document; None: the bytes and the address tell.
        etag: As the server gave it, to be sent back.
        modified: The same for `Last-Modified`.
        modified_at: UTC, where the server tells and did not make it up on the spot.
        proper, links, left_links, is_listed, look: See `pages.Said`; links are those that the crawl may follow.
    """

    url: str
    hash: str
    size: int
    media_type: str | None
    etag: str | None
    modified: str | None
    modified_at: datetime | None
    proper: str | None
    links: tuple[str, ...]
    left_links: int
    is_listed: bool
    look: str


@dataclass(frozen=True, slots=True)
class State:
    """What the last listing left.

    Attributes:
        pages: By canonical address of the web.
        listed: By address of the document.
    """

    pages: Mapping[str, Page]
    listed: Mapping[str, Remembered]


NOTHING = State({}, {})


def load_state(folder: str | None, recipe: str) -> State:
    """What the last listing left; nothing where it is lost, damaged, or was made with other settings.

    Args:
        recipe: Digest of the settings that decide what is read off a page.
    """
    if folder is None:
        return NOTHING
    try:
        with gzip.open(Path(folder, _FILE), "rt", encoding="utf-8") as file:
            values = json.load(file)
        if values["version"] != STATE_VERSION or values["recipe"] != recipe:
            return NOTHING
        pages = {each["url"]: page_of(each) for each in values["pages"]}
        listed = {address: Remembered(stamp, _time_of(at)) for address, (stamp, at) in values["listed"].items()}
    except FileNotFoundError:
        return NOTHING
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("what is remembered of pages in %s cannot be read, so all are read again: %s", folder, error)
        return NOTHING
    return State(pages, listed)


def save_state(folder: str | None, recipe: str, state: State) -> None:
    """Replace what is remembered, all at once; a disk that is full costs nothing but the next listing's time."""
    if folder is None:
        return
    values = {
        "version": STATE_VERSION,
        "recipe": recipe,
        "pages": [values_of(page) for page in state.pages.values()],
        "listed": {address: (each.stamp, _text_of(each.modified_at)) for address, each in state.listed.items()},
    }
    try:
        content = gzip.compress(json.dumps(values, separators=(",", ":")).encode("utf-8"), 1)
        replace_file(Path(folder, _FILE), content)
    except OSError as error:
        log.warning("what is remembered of pages cannot be written to %s, so all are read again: %s", folder, error)


def values_of(page: Page) -> dict[str, Any]:
    """A page as JSON has it."""
    values = {name: getattr(page, name) for name in Page.__slots__}
    return values | {"modified_at": _text_of(page.modified_at)}


def page_of(values: dict[str, Any]) -> Page:
    """The inverse of `values_of`."""
    return Page(
        **{**values, "links": tuple(map(intern, values["links"])), "modified_at": _time_of(values["modified_at"])}
    )


def _text_of(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _time_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
