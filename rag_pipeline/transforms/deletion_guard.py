"""When so much of a source is lost at once that losing it has to be allowed by a person: pure decisions.

Belongs here: what counts as too much, for vanished and for refused documents, what it is measured against, and how it
is said.
Does not belong here: what is held back and what goes on (`refresh/bronze.py`, `refresh/documents.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from rag_pipeline.contracts.holds import Hold

# An emptied source and a share that is not mounted list the same: nothing. Of one or two documents a person may well
# delete the last, so these go; from here on somebody has to say that it is meant.
SMALLEST_EMPTIED = 3
NAMED = 3


@dataclass(frozen=True, slots=True)
class DeletionGuard:
    """How much of one source may be lost in one run.

    Attributes:
        max_share: The largest share of the documents that were fine; 1 never holds anything back.
        floor: Sources with fewer fine documents are held back only when nothing at all is left of them.
    """

    source: str
    max_share: float
    floor: int

    def is_closed(self, lost_count: int, fine_count: int, *, is_emptied: bool = False) -> bool:
        """Whether losing so many is too much.

        Args:
            fine_count: Documents that readers could see before.
            is_emptied: No document that can be read is left in the source.
        """
        if lost_count <= self.max_share * fine_count:
            return False
        return fine_count >= self.floor or (is_emptied and fine_count >= SMALLEST_EMPTIED)

    def measure(
        self, lost: Set[str], fine: Set[str], *, is_emptied: bool, before: Hold | None = None
    ) -> frozenset[str] | None:
        """The documents that a loss which has to be held is measured against; None if it may pass.

        A guard that closed stays with what readers had then: what was added since never dilutes the loss. What is
        lost on top of it is measured too.

        Args:
            lost: Documents that readers have and the source no longer gives, those that are held already among them.
            fine: Documents that readers have.
            is_emptied: Nothing that can be read is left, where that counts; for a guard that closed before, nothing
                of what it is measured against.
            before: What is held already.
        """
        if before is not None:
            measured = before.measured | lost
            nothing_left = not (measured & fine) - lost
            if self.is_closed(len(lost), len(measured), is_emptied=nothing_left):
                return measured
        if self.is_closed(len(lost), len(fine), is_emptied=is_emptied):
            return frozenset(fine)
        return None

    def describe_vanished(self, addresses: Sequence[str], measured_count: int, *, why: str, is_emptied: bool) -> str:
        """What to say when too many documents vanished from the source or became unreadable.

        Args:
            addresses: Of the documents that are held.
            measured_count: Documents that they are measured against.
        """
        measure = "nothing else is left, which" if is_emptied else f"more than {self.max_share:.0%}"
        return (
            f"{len(addresses)} of {measured_count} documents of source {self.source} {why} at once (first: "
            f"{', '.join(addresses[:NAMED])}); {measure} looks like a broken source, so none of them was deleted and "
            "readers keep what they had. Changed permissions and new texts were taken in."
        )

    def describe_refused(self, reason_codes: Iterable[str], measured_count: int) -> str:
        """What to say when too many documents that were fine are refused in one run."""
        counts = sorted(Counter(reason_codes).items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{count} {code}" for code, count in counts)
        return (
            f"{sum(count for _, count in counts)} of {measured_count} documents of source {self.source} were refused "
            f"at once ({reasons}); more than {self.max_share:.0%} looks like a broken source or setting, so readers "
            "keep the last good texts, with the permissions of today. See why: rag-pipeline quarantine list."
        )


def release_command(sources: Iterable[str]) -> str:
    """What lets everything go that the guard holds of some sources."""
    return " ".join(["rag-pipeline run", *(f"--allow-mass-deletion {source}" for source in dict.fromkeys(sources))])


def describe_hold(hold: Hold) -> str:
    """What is held of one source, since when, and the command that lets it go."""
    since = f"{hold.since_at:%Y-%m-%d %H:%M}"
    in_ui = {
        "vanished": f"allow_mass_deletion: true on bronze/{hold.source}",
        "refused": f"allow_mass_deletion: [{hold.source}] on silver_documents",
    }
    return (
        f"{hold.reason} Held since {since} UTC. If it is meant, allow it once: {release_command([hold.source])} (in "
        f"the Dagster UI: run config {in_ui[hold.kind]})"
    )


def describe_holds(holds: Sequence[Hold]) -> str:
    """What is held of all sources in one sentence, with the one command that lets it go; empty if nothing is."""
    if not holds:
        return ""
    parts = ", ".join(
        f"{len(hold.held)} of {len(hold.measured)} documents of {hold.source} "
        f"({hold.kind} since {hold.since_at:%Y-%m-%d %H:%M} UTC)"
        for hold in holds
    )
    command = release_command(hold.source for hold in holds)
    return f"The deletion guard holds {parts}; if all of it is meant, let it go once: {command}"
