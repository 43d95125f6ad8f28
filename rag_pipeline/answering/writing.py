"""An answer as it is written: pieces of a model's text become events, checked on the way.

Belongs here: citations that were given or not, an abstention that is held back until it is one, the verdict.
Does not belong here: asking the model (`answerer.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from rag_pipeline.answering.answer import AnswerCitation, AnswerEvent, AnswerText, Verdict
from rag_pipeline.answering.marks import MOST_MARK_CHARS, Cited, Marks, Part, Struck, opens
from rag_pipeline.answering.prompt import ABSTENTION, abstains, may_abstain

# In the place of a mark that is struck out of another bracket.
STRUCK_WITHIN = "?"


class Writing:
    """One answer.

    Attributes:
        struck: Citations of what was not given.
        cited: Numbers in the order of first mention.
    """

    def __init__(self, given: int) -> None:
        self.struck = 0
        self.cited: list[int] = []
        self._marks = Marks(given)
        self._held: list[Part] | None = []
        self._begun = ""
        self._text: list[str] = []

    @property
    def text(self) -> str:
        """What was given out, with marks."""
        return "".join(self._text).strip()

    def feed(self, piece: str, *, end: bool = False) -> Iterator[AnswerEvent]:
        """Events that are certain by now."""
        for part in self._marks.feed(piece, end=end):
            if self._held is None:
                yield from self._shown(part)
                continue
            self._held.append(part)
            if not isinstance(part, Cited | Struck):
                self._begun += part.text
            if not may_abstain(self._begun):
                yield from self._released()
        if end and self._held is not None:
            if abstains(self._begun) and not any(isinstance(part, Cited) for part in self._held):
                self.struck += sum(isinstance(part, Struck) for part in self._held)
                self._held = None
                self._text.append(ABSTENTION)
                yield AnswerText(ABSTENTION)
            else:
                yield from self._released()

    def verdict(self, *, is_whole: bool) -> Verdict:
        """What the answer is worth, once it has ended."""
        if not is_whole:
            return "cut_short"
        if self.text == ABSTENTION:
            return "no_information"
        return "answered" if self.cited else "unsupported"

    def _released(self) -> Iterator[AnswerEvent]:
        held, self._held = self._held or [], None
        for part in held:
            yield from self._shown(part)

    def _shown(self, part: Part) -> Iterator[AnswerEvent]:
        if isinstance(part, Struck):
            self.struck += 1
            if opens("".join(self._text[-MOST_MARK_CHARS:])):
                # What stands around it would close up to a mark of its own: [[9]7] is not to become [7].
                self._text.append(STRUCK_WITHIN)
                yield AnswerText(STRUCK_WITHIN)
        elif isinstance(part, Cited):
            if part.number not in self.cited:
                self.cited.append(part.number)
            self._text.append(f"[{part.number}]")
            yield AnswerCitation(part.number)
        else:
            self._text.append(part.text)
            yield AnswerText(part.text)
