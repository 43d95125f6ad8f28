"""Settings of a source's groups: who is in which, for documents that name groups as their readers.

Belongs here: what every kind of source has of it.
Does not belong here: how one kind asks for its own groups (a module for each kind).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from rag_pipeline.contracts import names
from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.types import Place


def _prefix(value: str) -> str:
    if value and names.principal(f"{value}x") != f"{value}x":
        raise ValueError("want a text that nothing of is lost in a name, like staff: or crew/")
    return value


# What is left of a principal's length is enough for any name behind it.
Prefix = Annotated[str, Field(max_length=64), AfterValidator(_prefix)]


class SourceGroupsSettings(Section):
    """Who is in which group of the source. Searches look it up when somebody asks: a change touches no document."""

    file: Place | None = None
    """File with all groups, YAML or CSV, relative to this file."""
    prefix: Prefix | None = None
    """Put before each group's name: documents list `<prefix><group>` as their reader. None: the source's name and a
    colon, so that equal names of two sources are two groups; an empty text makes them one."""
    member_prefix: Prefix = ""
    """Put before each person's name, where callers are known by names with one, as by `serving.jwt.prefix`."""

    @model_validator(mode="after")
    def _one_way(self) -> SourceGroupsSettings:
        ways = ("file", *self.own_ways())
        given = [name for name in ways if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"groups: want one of {', '.join(ways)}, got {' and '.join(given) or 'none'}")
        return self

    @classmethod
    def own_ways(cls) -> tuple[str, ...]:
        """Fields of which one says that the source itself is asked."""
        return ()

    @property
    def own_fields(self) -> dict[str, Any]:
        """What only this kind of source has for its groups."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in _SHARED}


_SHARED = frozenset(SourceGroupsSettings.model_fields)
