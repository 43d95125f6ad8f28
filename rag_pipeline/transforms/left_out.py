"""What parsing left out of a document, counted by cause from the facts that parsers state.

Belongs here: which facts of a document's metadata are such counts, and adding them up.
Does not belong here: leaving anything out (`parse/`), or showing it (`cli/`, `defs/`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

# `hidden_row_count`, `bad_cue_count` and the like: a parser names the cause and the count in one.
_COUNT = re.compile(r"(?P<cause>(?:hidden|bad|unread|lost|skipped|deleted)_[a-z_]+?)_count$")
# Facts that list what could not be read, their items parted by commas.
_LISTS = {
    "pages_needing_ocr": "pages_without_text",
    "unread_attachments": "unread_attachments",
    "unread_parts": "unread_parts",
    "unread_chapters": "unread_chapters",
    "unread_members": "unread_members",
}


def left_out(facts: Mapping[str, str]) -> dict[str, int]:
    """What the document lacks, by cause, such as `hidden_row` or `pages_without_text`; nothing for nothing.

    Args:
        facts: The document's metadata. A count beside a list, such as `pages_needing_ocr_count`, goes before it.
    """
    found: dict[str, int] = {}
    for name, value in facts.items():
        match = _COUNT.match(name)
        if match and value.isdecimal():
            found[match["cause"]] = int(value)
        elif name in _LISTS and value:
            stated = facts.get(f"{name}_count", "")
            found[_LISTS[name]] = int(stated) if stated.isdecimal() else len(value.split(","))
    return {cause: count for cause, count in sorted(found.items()) if count}


def added_up(documents: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """What several documents lack, by cause."""
    total: Counter[str] = Counter()
    for facts in documents:
        total.update(left_out(facts))
    return dict(sorted(total.items()))
