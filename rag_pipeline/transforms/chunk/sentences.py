"""Where sentences end.

Belongs here: the sentence splitter and the guards around what it is known to get wrong.
Does not belong here: what is done with a sentence that is too long (`units.py`).
"""

from __future__ import annotations

import re

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
_LOOK_BACK_CHARS = 40


def sentence_cuts(text: str, start: int, end: int, language: str) -> list[int]:
    """Positions inside `text[start:end]` at which a sentence begins, the first one left out.

    Args:
        language: ISO 639-1; unknown codes are handled by the splitter like English.
    """
    # Imported late: worker processes that meet no long prose never load the extension.
    from sentencex import get_sentence_boundaries  # type: ignore[import-untyped]

    prose = text[start:end]
    cuts: list[int] = []
    for boundary in get_sentence_boundaries(language or DEFAULT_LANGUAGE, prose)[1:]:
        cut = _guarded(prose, boundary["start_index"])
        if cut and (not cuts or start + cut > cuts[-1]):
            cuts.append(start + cut)
    return cuts


def _guarded(prose: str, cut: int) -> int:
    """The cut, moved before a numbering that belongs to the next sentence; 0 where none should be."""
    before = prose[max(0, cut - _LOOK_BACK_CHARS) : cut]
    if _UNFINISHED.search(before):
        return 0
    numbering = _NUMBER_OF_THE_NEXT.search(before)
    return cut - len(before) + numbering.start("number") if numbering else cut
