"""What somebody who owns a source should look at, as values.

Belongs here: kinds of findings, one finding, the report.
Does not belong here: finding them (`refresh/curation.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

Kind = Literal[
    "contradicted", "says_the_same", "low_quality", "disliked", "old", "never_found", "found_often", "has_copies"
]
# In the order in which they are shown: what misleads readers first.
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Curated:
    """One document and what is the matter with it.

    Attributes:
        value: How much: of its kind, higher is more.
        detail: In words, without any of the texts: it may be told to whoever looks after the pipeline.
        example: What the texts say, for who may read them; empty where no text is needed to see it.
        other_uri: The other document, where it takes two.
        owners: People whose source it is, as pipeline.yaml says.
    """

    kind: Kind
    source: str
    uri: str
    document_id: str
    title: str | None
    modified_at: datetime | None
    value: float
    detail: str
    example: str = ""
    other_uri: str | None = None
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Curation:
    """A report; counts are of the published index.

    Attributes:
        compared: Chunks whose neighbours were looked at: the newest, where there are more than that.
        questions: Of the evaluation that says what is found; 0: none was, so nothing is said of that.
        findings: By kind in the order of `KINDS`, the most of each first.
    """

    documents: int
    chunks: int
    compared: int
    questions: int
    findings: tuple[Curated, ...]
