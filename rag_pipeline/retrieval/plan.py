"""The plan of a search: everything that decides what is found, but for what is asked, by whom, and of which index.

Belongs here: the values that search, evaluation and gate share, and the fingerprint that names them.
Does not belong here: the filter (`contracts/filters.py`), the steps themselves (`candidates.py`, `ranking.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from rag_pipeline.contracts.evaluation import EVALUATOR_VERSION
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.modes import MODES as MODES
from rag_pipeline.contracts.modes import Mode as Mode
from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.errors import BadQuery
from rag_pipeline.retrieval.fusion import FUSION
from rag_pipeline.settings import Settings

# All are ranked in memory; a page of answers needs a hundred.
MAX_HITS = 10_000
# Each retriever must look deeper than k, or a chunk that is good in both but first in none is never fused.
LEAST_DEPTH = 100
DEPTH_PER_HIT = 5


# Part of the fingerprint: raise it when the rules of what supersedes what change.
SUPERSESSION_VERSION = "3"


@dataclass(frozen=True, slots=True)
class SourceRules:
    """How documents of one source are ordered, as pipeline.yaml says it.

    Attributes:
        half_life: At this age a score counts three quarters; None: age does not count.
        version_pattern, archive_folders: Which of its documents are versions of one; `transforms/supersession.py`.
    """

    source: str
    half_life: timedelta | None = None
    version_pattern: str | None = None
    archive_folders: tuple[str, ...] = ()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is said."""
        return self.half_life is None and self.version_pattern is None and not self.archive_folders


def rules_of(settings: Settings) -> tuple[SourceRules, ...]:
    """Rules of the sources that have any, in the order of their names."""
    rules = (
        SourceRules(name, source.half_life, source.version_pattern, source.archive_folders)
        for name, source in sorted(settings.sources.items())
    )
    return tuple(rule for rule in rules if not rule.is_idle)


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How a search finds.

    Attributes:
        k: Most hits, 1 to 10,000.
        mode: `vector` finds by meaning, `text` by words, `hybrid` by both, fused by their scores.
        per_document: So many hits of one document before any more of it, at least 1; None: as they come.
        recipe: What the publication adds.
        diversity: How much a hit counts less for words that better hits have already, 0 to 1; 0: not at all.
        rules: What single sources say of the order of their documents.
        depth: How many rows each retriever looks for; 0: as `k` needs it. What is found hangs on it, so that a plan of
            more hits that is made from this one keeps it, and begins with the same hits.

    Raises:
        BadQuery: One of them is out of its range.
    """

    k: int = 10
    mode: Mode = "hybrid"
    per_document: int | None = None
    diversity: float = 0.0
    recipe: SearchRecipe = field(default_factory=SearchRecipe)
    rules: tuple[SourceRules, ...] = ()
    depth: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise BadQuery(f"there is no search mode {self.mode!r}; allowed: {', '.join(MODES)}", mode=self.mode)
        if not isinstance(self.k, int) or not 1 <= self.k <= MAX_HITS:
            raise BadQuery(f"k is {self.k!r}, want a whole number from 1 to {MAX_HITS:,}", k=self.k)
        if self.per_document is not None and (not isinstance(self.per_document, int) or self.per_document < 1):
            raise BadQuery(f"per_document is {self.per_document!r}, want a whole number from 1 on, or None")

        if not isinstance(self.diversity, int | float) or not 0 <= self.diversity <= 1:
            raise BadQuery(f"diversity is {self.diversity!r}, want a number from 0 to 1")
        if not self.depth:
            object.__setattr__(self, "depth", max(LEAST_DEPTH, DEPTH_PER_HIT * self.k))

    @property
    def retrievers(self) -> Sequence[str]:
        """The retrievers that the mode needs."""
        return ("vector", "text") if self.mode == "hybrid" else (self.mode,)

    @property
    def fingerprint(self) -> str:
        """How results come about, apart from the table and the questions; an evaluation asks in every mode."""
        order = [f"supersession {SUPERSESSION_VERSION}", *map(repr, self.rules), *self._diversity()]
        added = [self.recipe.fingerprint] if self.recipe.fingerprint else []
        return fingerprint("evaluator", EVALUATOR_VERSION, str(self.k), FUSION, str(self.depth), *order, *added)

    def _diversity(self) -> list[str]:
        return [f"diversity {self.diversity:g}"] if self.diversity else []
