"""How far the labels that were read agree with those that people gave.

Belongs here: comparing both, by document.
Does not belong here: reading the file of labels (`enrichment/labelled.py`), the lake (`refresh/agreement.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

# Of documents with another label so many are named: enough to see what kind they are.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A document that has another label than people gave it."""

    uri: str
    by_people: str
    read: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How an enrichment agrees with people; counts are documents.

    Attributes:
        compared: That people labelled and that have a reading.
        agreed: Of these, with the same labels.
        absent: That people labelled, and that are not indexed or have no reading yet.
        least: Share of `compared` that has to agree.
        disagreements: Some of the others.
        problem: Why nothing could be compared; empty if it could.
    """

    compared: int = 0
    agreed: int = 0
    absent: int = 0
    least: float = 0.0
    disagreements: tuple[Disagreement, ...] = ()
    problem: str = ""

    @property
    def share(self) -> float | None:
        return self.agreed / self.compared if self.compared else None

    @property
    def is_enough(self) -> bool:
        """Whether something was compared, and enough of it agrees."""
        return not self.problem and self.share is not None and self.share >= self.least


def agreement(
    by_people: Mapping[str, Collection[str]], read: Mapping[str, Collection[str]], *, takes_many: bool, least: float
) -> Agreement:
    """Compare.

    Args:
        by_people: Labels by address: a uri, or its end by whole path segments. One that fits several is theirs all.
        read: Labels by uri.
        takes_many: Whether all labels of a document have to be the same; else one of the people's is enough.
    """
    met: set[str] = set()
    agreed = compared = 0
    others: list[Disagreement] = []
    for uri in sorted(read):
        address = next((each for each in _ends(uri) if each in by_people), None)
        if address is None:
            continue
        met.add(address)
        wanted, given = set(by_people[address]), set(read[uri])
        compared += 1
        if wanted == given or (not takes_many and given <= wanted):
            agreed += 1
        elif len(others) < SHOWN:
            others.append(Disagreement(uri, ", ".join(sorted(wanted)), ", ".join(sorted(given))))
    return Agreement(compared, agreed, len(by_people.keys() - met), least, tuple(others))


def _ends(uri: str) -> Iterator[str]:
    """The uri and its ends by whole path segments, the longest first."""
    yield uri
    rest = uri
    while "/" in rest:
        rest = rest.partition("/")[2]
        yield rest
