"""Types of single settings: durations, cron lines, names and places, each with what is allowed.

Belongs here: what several sections share.
Does not belong here: sections (`sections.py`, `sources/`).
"""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from rag_pipeline.contracts import names
from rag_pipeline.settings.cron import cron

_DURATION = re.compile(r"^([0-9]{1,12})\s*(s|min|h|d)$")
_DURATION_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
# A hundred years: a longer one would reach back behind the first day that a clock can tell.
_LONGEST = timedelta(days=36_500)

VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")
"""A value that is read from the environment."""
_EMAIL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")
_TEAM = re.compile(r"team:\S(.*\S)?")


def _duration(value: object) -> object:
    if isinstance(value, timedelta) and timedelta(0) < value <= _LONGEST:
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = int(match[1]) * _DURATION_SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST.total_seconds():
        raise ValueError(
            f"want a number and a unit, like 90s, 30min, 3h or 7d, above zero and at most {_LONGEST.days}d"
        )
    return timedelta(seconds=seconds)


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("want the name of a time zone, like UTC or Europe/Berlin") from error
    return value


def _place(value: str) -> str:
    if not value.strip():
        raise ValueError("want a folder or an address, not an empty text")
    if "\0" in value:
        raise ValueError("a folder or an address holds no NUL character")
    return value


def _network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r:.60} is no network; want one like 10.0.0.7, 10.0.0.0/8 or fd00::/8") from error
    return text


def out_of_the_environment(value: str) -> str:
    """Validator of what must not stand in the file itself."""
    if not VARIABLE.fullmatch(value):
        raise ValueError("want the name of a variable of the environment, like $TOKEN, never the value itself")
    return value


def _owner(value: str) -> str:
    if not _EMAIL.fullmatch(value) and not _TEAM.fullmatch(value):
        raise ValueError("want an e-mail address, or a team like team:docs")
    return value


def _versioned(value: str) -> str:
    if value.count("{version}") != 1:
        raise ValueError("want a glob that holds {version} once, like guides/v{version}/**")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    Field(json_schema_extra={"type": "string", "pattern": _DURATION.pattern, "format": None}),
]
Cron = Annotated[str, Field(max_length=1_024), AfterValidator(cron)]
Timezone = Annotated[str, Field(max_length=64), AfterValidator(_timezone)]
Place = Annotated[str, Field(max_length=4_096), AfterValidator(_place), Field(json_schema_extra={"minLength": 1})]
Owner = Annotated[str, Field(max_length=256), AfterValidator(_owner)]
Text = Annotated[str, Field(max_length=4_096)]
SourceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,62}$")]
ModelAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Principal = Annotated[
    str,
    AfterValidator(names.principal),
    Field(json_schema_extra={"minLength": 1, "maxLength": names.MAX_PRINCIPAL_CHARS}),
]
Pattern = Annotated[
    str, Field(max_length=1_024), AfterValidator(names.pattern), Field(json_schema_extra={"minLength": 1})
]
VersionPattern = Annotated[Pattern, AfterValidator(_versioned)]
Network = Annotated[str, Field(max_length=64), AfterValidator(_network)]
"""Machines by their addresses, like those of an intranet."""
Secret = Annotated[Text, AfterValidator(out_of_the_environment)]
"""A value that stands in the environment only."""
