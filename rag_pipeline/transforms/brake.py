"""When so much of a source is lost at once that losing it has to be allowed by a person: pure decisions.

Belongs here: what counts as too much, for vanished and for refused documents, and how it is said.
Does not belong here: what is held back and what goes on (`refresh/bronze.py`, `refresh/documents.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_pipeline.errors import MassDeletion

# An emptied source and a share that is not mounted list the same: nothing. Of one or two documents a person may well
# delete the last, so these go; from here on somebody has to say that it is meant.
SMALLEST_EMPTIED = 3


@dataclass(frozen=True, slots=True)
class Brake:
    """How much of one source may be lost in one run.

    Attributes:
        max_share: The largest share of the documents that were fine; 1 never holds anything back.
        floor: Sources with fewer fine documents are held back only when nothing at all is left of them.
    """

    source: str
    max_share: float
    floor: int

    def is_pulled(self, lost_count: int, fine_count: int, *, is_emptied: bool = False) -> bool:
        """Whether losing so many is too much.

        Args:
            fine_count: Documents that readers could see before.
            is_emptied: No document that can be read is left in the source.
        """
        if lost_count <= self.max_share * fine_count:
            return False
        return fine_count >= self.floor or (is_emptied and fine_count >= SMALLEST_EMPTIED)

    def check_lost(self, lost: Sequence[str], fine_count: int, left_count: int, *, why: str) -> None:
        """Refuse that too much vanishes from a source, or becomes unreadable.

        Args:
            lost: Addresses of the documents that were fine and no longer are.
            fine_count: Documents that were fine before.
            left_count: Documents that can be read now.

        Raises:
            MassDeletion: More than the share of a source that reaches the floor, or all of a smaller one.
        """
        if not self.is_pulled(len(lost), fine_count, is_emptied=left_count == 0):
            return
        measure = "nothing else is left, which" if left_count == 0 else f"more than {self.max_share:.0%}"
        raise MassDeletion(
            f"{len(lost)} of {fine_count} documents of source {self.source} {why} at once (first: "
            f"{', '.join(lost[:3])}); {measure} looks like a broken source, so nothing was deleted and readers keep "
            f"what they had. Changed permissions and new texts were taken in. {self._release()} (in the Dagster UI: "
            f"run config allow_mass_deletion: true on bronze/{self.source})",
            source=self.source,
            lost=len(lost),
            live=fine_count,
        )

    def describe_refused(self, reason_codes: Iterable[str], fine_count: int) -> str:
        """What to say when too many documents that were fine are refused in one run."""
        counts = sorted(Counter(reason_codes).items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{count} {code}" for code, count in counts)
        return (
            f"{sum(count for _, count in counts)} of {fine_count} documents of source {self.source} were refused at "
            f"once ({reasons}); more than {self.max_share:.0%} looks like a broken source or setting, so readers keep "
            "the last good texts, with the permissions of today. See why: rag-pipeline quarantine list. "
            f"{self._release()} (in the Dagster UI: run config allow_mass_deletion: [{self.source}] on "
            "silver_documents)"
        )

    def _release(self) -> str:
        return f"If it is meant, allow it once: rag-pipeline run --allow-mass-deletion {self.source}"
