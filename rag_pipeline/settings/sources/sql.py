"""Settings of the kind `sql`.

Belongs here: what the rows of a database have.
Does not belong here: what every kind has (`common.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rag_pipeline.settings.sources.common import CommonSourceSettings
from rag_pipeline.settings.sources.groups import SourceGroupsSettings
from rag_pipeline.settings.types import Place, Text


class SqlGroupsSettings(SourceGroupsSettings):
    """Who is in which group, from a file or by a query to the same database."""

    query: str | None = Field(default=None, min_length=1, max_length=100_000)
    """A SELECT that gives one row for each member of a group; one without a member says that there is the group."""
    group: Text = "group_name"
    """Column with the group."""
    member: Text = "member_name"
    """Column with the member."""
    is_group: Text | None = None
    """Column that is true where the member is itself a group of the same query; none: all are persons."""

    @classmethod
    def own_ways(cls) -> tuple[str, ...]:
        return ("query",)


class SqlSettings(CommonSourceSettings):
    """Rows of a database, each a document; becomes the asset bronze/<name>."""

    kind: Literal["sql"]
    """Kind of source: rows of any database that SQLAlchemy reads."""
    location: Place
    """File of SQLite, file of DuckDB (`.duckdb`) or folder with Parquet and CSV files, relative to this file, or an
    address like `postgresql+psycopg://reader@host/tickets`; `$NAME` is read from the environment."""
    query: str = Field(min_length=1, max_length=100_000)
    """A SELECT that gives one row for each document."""
    key: tuple[Text, ...] = Field(min_length=1)
    """Columns that name a row for ever; their values are its address."""
    text: tuple[Text, ...] = ()
    """Columns whose text is the document, with an empty line between them. This, `template` or `content` is needed."""
    template: Annotated[str, Field(max_length=100_000)] | None = None
    """The document's text, with columns in braces, like `{body} (status: {status})`."""
    content: Text | None = None
    """Column that holds the bytes of a file."""
    media_type: Text | None = None
    """What the documents are, like `text/markdown`; none: plain text, and with `content` what the bytes are."""
    title: Text | None = None
    """Column with the title."""
    author: Text | None = None
    """Column with the author."""
    modified: Text | None = None
    """Column with the time of the last change."""
    revision: Text | None = None
    """Column that differs after every change of a row, so that only bodies of changed rows are read; none: all rows are
    read whole and compared."""
    principals: Text | None = None
    """Column with who may read the row: a list, an array, text that is a JSON list, or one name; NULL is nobody. None:
    `permission_rules` and `allowed_principals` decide."""
    groups: SqlGroupsSettings | None = None
    """Who is in which group, where rows name groups as readers; none: callers bring their groups along."""
    url: Text | None = None
    """Address of a row for people, with the columns of `key` in braces, like `https://tickets.example/{id}`."""

    @model_validator(mode="after")
    def _one_text(self) -> SqlSettings:
        given = [name for name in ("text", "template", "content") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"want one of text, template and content, got {' and '.join(given) or 'none'}")
        missing = [name for name in self.key if self.url is not None and f"{{{name}}}" not in self.url]
        if missing:
            raise ValueError(f"url: want every column of key in braces, {{{missing[0]}}} is missing")
        return self
