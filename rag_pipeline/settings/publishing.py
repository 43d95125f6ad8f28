"""Settings of what is published elsewhere too: the section `publish_to`.

Belongs here: each place of delivery with its settings.
Does not belong here: delivering (`stores/postgres/`, `refresh/deliver.py`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.types import Duration, Secret


def _not_of_the_system(name: str) -> str:
    if name.startswith("pg_"):
        raise ValueError("names that begin with pg_ are PostgreSQL's own; want another one, like rag")
    return name


# A name of PostgreSQL has 63 bytes at most.
SchemaName = Annotated[str, Field(max_length=63, pattern=r"^[a-z_][a-z0-9_]*$"), AfterValidator(_not_of_the_system)]
RoleName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]


class PostgresSettings(Section):
    """PostgreSQL with pgvector, for applications that search there with SQL."""

    dsn: Secret
    """Where it is, as `$NAME` of a variable that holds an address like `postgresql://writer:…@host/search`."""
    schema_name: SchemaName = "rag"
    """Schema of PostgreSQL, for the delivery alone; one lake has one."""
    readers: tuple[RoleName, ...] = ()
    """Roles of PostgreSQL that may search there, each what its principals may read; none: only its owner."""
    approximate_from_rows: int = Field(default=10_000, ge=0, le=1_000_000_000)
    """From this many rows on there is an HNSW index; fewer are searched exactly, which is as fast."""
    timeout: Duration = timedelta(hours=1)
    """A delivery that takes longer is broken off, and what was there stands; the first of many rows builds an index."""


class PublishToSettings(Section):
    """Where what is published is delivered, too; nowhere unless a place is named."""

    postgres: PostgresSettings | None = None
    """PostgreSQL with pgvector."""
