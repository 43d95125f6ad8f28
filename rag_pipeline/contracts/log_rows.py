"""Rows of the logs that runs go by, as values: what was published, and what was audited.

Belongs here: their fields, what follows from one row alone, and their form in the table.
Does not belong here: reading and writing them (`stores/lake.py`), what they decide (`refresh/`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from rag_pipeline.contracts.recipe import SearchRecipe

# An audit of a version that was compared with bronze alone: no version of silver has this number.
NO_SILVER = -1
# In the figures of a publication.
UNRECORDED = "unrecorded"
# Of its figures, those that say how it is searched, and by which audit.
_SEARCHED = ("audit_id", "search", "recipe", UNRECORDED)
# In its findings: whether the version that it was made from had passed an audit against silver, or was made from one.
MADE_FROM_PASSED = "made_from_passed"


@dataclass(frozen=True, slots=True)
class Publication:
    """A row of gold/publications: what readers were pointed to. The table's contract says what each column is.

    Attributes:
        figures: Figures of audit and evaluation; JSON in the table.
    """

    sequence: int
    action: str
    configured_alias: str
    alias: str
    space_fingerprint: str
    space: str
    model_spec: str
    table_name: str
    table_version: int
    rows: int
    documents: int
    figures: Mapping[str, Any]
    published_at: datetime
    run_id: str
    note: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Publication:
        """From a row of the table."""
        return cls(**{**row, "figures": json.loads(row["figures"])})

    def row(self) -> dict[str, Any]:
        """As it stands in the table."""
        return _row(self) | {"figures": json.dumps(self.figures, sort_keys=True)}

    def searched(self) -> dict[str, Any]:
        """The same as a row, less what is for operators: what searches need where the lake is not known."""
        figures = {name: self.figures[name] for name in _SEARCHED if name in self.figures}
        return replace(self, figures=figures, note="").row() | {"published_at": self.published_at.isoformat()}

    @classmethod
    def of_searched(cls, row: Mapping[str, Any]) -> Publication:
        """From what `searched` gave."""
        return cls.of({**row, "published_at": datetime.fromisoformat(row["published_at"])})

    @property
    def name(self) -> str:
        """Tells it from every other one, also from those of a log that was made again."""
        return f"{self.sequence}/{self.table_name}/{self.table_version}/{self.published_at.isoformat()}"

    @property
    def place(self) -> tuple[str, int]:
        """Index table and version that readers see."""
        return self.table_name, self.table_version

    @property
    def audit_id(self) -> str:
        """Audit that this version passed."""
        return str(self.figures["audit_id"])

    @property
    def is_whole(self) -> bool:
        """Whether readers were pointed to all that silver held then, and not to less of what they had."""
        # Rows that stand since the figure was called `withdrawn` count as they did.
        return not (self.figures.keys() & {"revoked", "withdrawn"} or self.figures.get("withheld"))

    @property
    def made_from(self) -> int:
        """Version of the index that it shows, before anything was revoked from it."""
        return int(self.figures.get("made_from", self.table_version))

    @property
    def unrecorded(self) -> frozenset[str]:
        """Sources of which bronze did not hold what they said when it was made."""
        return frozenset(self.figures.get(UNRECORDED, ()))

    @property
    def recipe(self) -> SearchRecipe:
        """How it is searched, beside its embedding space."""
        return SearchRecipe.of(self.figures)

    @property
    def search(self) -> Mapping[str, Any]:
        """How deep it has to be searched, as its audit said; empty if nothing was said."""
        return self.figures.get("search") or {}


@dataclass(frozen=True, slots=True)
class Audit:
    """A row of gold/audits: what was found in one version of an index. The table's contract says what each column is.

    Attributes:
        findings: Every finding, and how deep the version has to be searched; JSON in the table.
    """

    audit_id: str
    sequence: int
    alias: str
    space_fingerprint: str
    table_name: str
    table_version: int
    chunks_version: int
    documents_version: int
    rows: int
    documents: int
    repaired: int
    ghosts: int
    missing: int
    mismatched: int
    withheld: int
    findings: Mapping[str, Any]
    passed: bool
    audited_at: datetime
    run_id: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Audit:
        """From a row of the table."""
        return cls(**{**row, "findings": json.loads(row["findings"])})

    def row(self) -> dict[str, Any]:
        """As it stands in the table."""
        return _row(self) | {"findings": json.dumps(self.findings, sort_keys=True)}

    @property
    def place(self) -> tuple[str, int]:
        """Index table and version that were audited."""
        return self.table_name, self.table_version

    @property
    def silver(self) -> tuple[int, int]:
        """Versions of silver/chunks and silver/documents that it was compared with."""
        return self.chunks_version, self.documents_version

    @property
    def search(self) -> Mapping[str, Any]:
        """How deep the version has to be searched; empty without an approximate index."""
        return self.findings.get("search") or {}

    @property
    def is_sound(self) -> bool:
        """Whether texts and vectors of the version were looked at and found right, by this audit or one before."""
        if self.chunks_version != NO_SILVER:
            return self.passed
        return self.findings.get(MADE_FROM_PASSED) is True


def _row(value: Publication | Audit) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
