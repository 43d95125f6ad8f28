"""Credentials of the lake's store stand in the environment, never in a file that people copy and commit.

Belongs here: telling which options of `lake_options` are credentials, and refusing those that are written out.
Does not belong here: reading variables (`load.py`), hiding what was written (`shown.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rag_pipeline.errors import SettingsError
from rag_pipeline.settings.types import VARIABLE
from rag_pipeline.shown import secrets_of

OPENS = re.compile(r"secret|pass|token|key|credential|signature|sas\b|connection_string|auth", re.I)
"""Options whose value opens a store; what comes out of an environment variable counts as such under any name."""
# Names like those above whose value opens nothing: switches, names of keys that the service holds, and of files.
_OPENS_NOTHING = re.compile(r"skip_signature|authority|kms_key_id|bucket_key_enabled|_(file|path)$", re.I)


def check_lake_credentials(written: Mapping[str, Any], path: str) -> None:
    """Refuse credentials of the lake that pipeline.yaml writes out.

    Args:
        written: The file's content, before the environment has its say.

    Raises:
        SettingsError: It holds some; none of them is in the message.
    """
    options = written.get("lake_options")
    pairs = options.items() if isinstance(options, dict) else ()
    named = [str(name) for name, value in pairs if isinstance(value, str) and _is_credential(str(name), value)]
    if named:
        first = named[0].upper() if re.fullmatch(r"\w+", named[0]) else "NAME"
        raise SettingsError(
            f"{path}: lake_options.{', lake_options.'.join(named)}: credentials stand in the environment, not in this "
            f"file. Put the value into a variable and write $ and its name, like {named[0]}: ${first}; or leave it "
            f"out where the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for one) or the platform says it",
            path=path,
        )
    lake = written.get("lake")
    if isinstance(lake, str) and "://" in lake and secrets_of(lake):
        raise SettingsError(
            f"{path}: lake: an address holds no credentials. Put them into variables of the environment, and name "
            f"these under lake_options, like aws_secret_access_key: $AWS_SECRET_ACCESS_KEY",
            path=path,
        )


def _is_credential(name: str, value: str) -> bool:
    if not value or VARIABLE.fullmatch(value):
        return False
    if "://" in value and secrets_of(value):
        return True
    return OPENS.search(name) is not None and _OPENS_NOTHING.search(name) is None
