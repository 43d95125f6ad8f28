"""What parsing left out of a document, counted by cause from the facts that parsers state.

Belongs here: which facts of a document's metadata are such counts, and adding them up.
Does not belong here: leaving anything out (`parse/`), or showing it (`cli/`, `defs/`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

# `hidden_row_count`, `bad_cue_count` and the like: a parser names the cause and the count in one.
_COUNT = re.compile(
    r"(?P<cause>(?:hidden|bad|unread|lost|skipped|deleted|removed)_[a-z_]+?|artifact|running_line|ocr_unsure_lines|ocr_failures)"
    r"_count$"
)
_MARK = (
    r'"(?:(?:hidden|bad|unread|lost|skipped|deleted|removed)_|pages_needing_ocr|artifact_count|running_line_count|ocr_)'
)
# Fewer than this are no trend, and a little more than ever is none either.
LEAST_COUNT = 5
MORE_THAN_USUAL = 1.5
# What no reader misses grows with the pages, and is no loss.
_EXPECTED = frozenset({"documents", "running_line"})
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


def left_out_by_source(documents: pl.DataFrame) -> dict[str, dict[str, int]]:
    """By source what its documents lack, by cause, and under `documents` how many there are.

    Args:
        documents: source and metadata (JSON) of silver/documents.
    """
    totals = dict(documents.group_by("source").len().iter_rows())
    found: dict[str, Counter[str]] = {str(source): Counter() for source in sorted(totals)}
    for source, metadata in (
        documents.filter(pl.col("metadata").str.contains(_MARK)).select("source", "metadata").rows()
    ):
        found[source].update(left_out(json.loads(metadata)))
    return {
        source: {"documents": int(totals[source]), **dict(sorted(causes.items()))} for source, causes in found.items()
    }


@dataclass(frozen=True, slots=True)
class Loss:
    """A source that lost more by one cause than it ever did.

    Attributes:
        count, documents: What is lacking now, in how many documents of the source.
        usual: The most that as many documents lacked before.
    """

    source: str
    cause: str
    count: int
    documents: int
    usual: float


def is_expected(cause: str) -> bool:
    """Whether nobody misses what is lacking, however much it is: running lines, characters that nobody sees."""
    return cause in _EXPECTED or cause.startswith("removed_")


def losses(now: Mapping[str, Mapping[str, int]], history: Sequence[Mapping[str, Mapping[str, int]]]) -> list[Loss]:
    """What lacks clearly more of a source than in any earlier state, measured by document; the largest first.

    Args:
        now, history: As `left_out_by_source` gives them. A source without history has nothing to be measured by.
    """
    found: list[Loss] = []
    for source, counts in now.items():
        earlier = [state[source] for state in history if state.get(source, {}).get("documents")]
        documents = counts.get("documents", 0)
        if not earlier or not documents:
            continue
        for cause, count in counts.items():
            usual = documents * max(state.get(cause, 0) / state["documents"] for state in earlier)
            if not is_expected(cause) and count >= LEAST_COUNT and count > MORE_THAN_USUAL * usual:
                found.append(Loss(source, cause, count, documents, usual))
    return sorted(found, key=lambda loss: (-loss.count, loss.source, loss.cause))
