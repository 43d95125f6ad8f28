"""Addresses of Redis and Valkey servers, which may hold a password and so may stand in the environment.

Belongs here: what an address may look like, and reading it.
Does not belong here: asking the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from rag_pipeline.errors import SettingsError
from rag_pipeline.settings.types import VARIABLE
from rag_pipeline.shown import keep_secret, secrets_of

_SCHEMES = ("redis://", "rediss://", "unix://")
_SERVERS = re.compile(r"(redis|rediss|unix)://\S+")


def _server(value: str) -> str:
    if not _SERVERS.fullmatch(value) and not VARIABLE.fullmatch(value):
        raise ValueError("want the address of a server like redis://localhost:6379/0, or leave it out")
    return value


ServerAddress = Annotated[str, AfterValidator(_server)]


def address_of_server(value: str, key: str, environment: Mapping[str, str]) -> str:
    """The address that a setting says or names a variable for; it is kept secret where it holds a password.

    Args:
        key: Where it stands in pipeline.yaml.

    Raises:
        SettingsError: It is to be read from a variable that is not set, or that holds no such address.
    """
    found = value
    if value.startswith("$"):
        found = environment.get(value[1:], "")
        if not found.startswith(_SCHEMES):
            raise SettingsError(
                f"{key} reads the environment variable {value[1:]}, which is not set or holds no "
                f"address like redis://localhost:6379/0",
                variable=value[1:],
            )
    keep_secret(secrets_of(found))
    return found
