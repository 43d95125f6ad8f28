"""Where sentences end.

Belongs here: the sentence splitter and the guards around what it is known to get wrong.
Does not belong here: what is done with a sentence that is too long (`units.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# The rules for sentences look at so much at once; pages are shorter.
SLICE_CHARS = 8_000
DEFAULT_LANGUAGE = "en"

# Abbreviations and numberings that the splitter takes for a sentence end. A wrong merge costs a slightly
# longer unit; a wrong split costs a sentence, so the list errs towards merging.
_UNFINISHED = re.compile(
    r"(?:(?:^|[\s(\[])"
    r"(?:approx|ca|cf|vs|viz|ver|version|vers|rev|no|nr|fig|figs|eq|eqs|sec|ch|vol|art|par|pp?|ed|eds|est|min"
    r"|max|incl|excl|resp|dept|tel|ext|st|dr|mr|mrs|ms|prof|jr|sr|bzw|evtl|ggf|inkl|vgl|usw|zzgl|e\.g|i\.e|z\.\s?b)"
    r"\.|\b(?:version|release|no|fig|figure|table|section|chapter|step|item)\s+\d{1,3}\.)\s*\Z",
    re.IGNORECASE,
)
_NUMBER_OF_THE_NEXT = re.compile(r"(?:^|[\n.!?)\]\"'”]\s*)(?P<number>\(?\d{1,3}[.)]\s*)\Z")
# The longest abbreviation before a full stop.
_LOOK_BACK_CHARS = 40


def sentence_cuts(text: str, start: int, end: int, language: str) -> list[int]:
    """Positions inside `text[start:end]` at which a sentence begins, the first one left out.

    Args:
        language: ISO 639-1; unknown codes are handled by the splitter like English.
    """
    cuts: list[int] = []
    for begin in _sentence_starts(text, start, end, language or DEFAULT_LANGUAGE):
        cut = _guarded(text, start, begin)
        if cut > (cuts[-1] if cuts else start):
            cuts.append(cut)
    return cuts


def _sentence_starts(text: str, start: int, end: int, language: str) -> Iterator[int]:
    """What the splitter says, asked slice by slice: its time grows with the square of the length.

    A slice begins where the last sentence of the one before began, so no sentence is seen in halves unless
    it is longer than a slice.
    """
    # Imported late: worker processes that meet no long prose never load the extension.
    from sentencex import get_sentence_boundaries  # type: ignore[import-untyped]

    while start < end:
        stop = min(start + SLICE_CHARS, end)
        starts = [start + found["start_index"] for found in get_sentence_boundaries(language, text[start:stop])[1:]]
        yield from starts
        start = starts[-1] if starts and stop < end else stop


def _guarded(text: str, start: int, cut: int) -> int:
    """The cut, moved before a numbering that belongs to the next sentence; `start` where none should be."""
    before = text[max(start, cut - _LOOK_BACK_CHARS) : cut]
    if _UNFINISHED.search(before):
        return start
    numbering = _NUMBER_OF_THE_NEXT.search(before)
    return cut - len(before) + numbering.start("number") if numbering else cut
