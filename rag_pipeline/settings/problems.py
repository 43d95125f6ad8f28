"""What is wrong with a pipeline.yaml, in words.

Belongs here: errors of pydantic as sentences with the field's path, without secrets.
Does not belong here: finding them (`load.py`).
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, get_args

from rag_pipeline.settings.engine import ENGINE_KINDS
from rag_pipeline.settings.enrichments import ENRICHMENT_KINDS
from rag_pipeline.settings.sections import SECTIONS, Settings
from rag_pipeline.settings.sources import BUILT_IN, OTHER, CommonSourceSettings

# What stands there may be a password or hold one, and is not shown.
_HOLD_SECRETS = {"storage_options", "lake_options", "location", "lake", "base_url", "url", "password"}
# Where a union of kinds says in the path of a field which one it took: sources, name, kind.
_KIND_AT = 2
_KINDS: dict[str, Collection[str]] = {"sources": (*BUILT_IN, OTHER), "enrichments": ENRICHMENT_KINDS}
# Aliases can make a few lines of YAML a value whose text would fill the memory.
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel, _SHOWN.maxstring, _SHOWN.maxother = 3, 200, 200
# Pydantic's words for what people write: a list in YAML is read as a tuple, a mapping as a dictionary.
_WANTED = dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "want a list, like [{}]")
_WANTED |= dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "want keys with values")
_WANTED |= {"missing": "is missing", "bool_type": "want true or false", "bool_parsing": "want true or false"}


def problem_of(detail: dict[str, Any]) -> str:
    """One of pydantic's errors as a sentence: the path of the field, and what is allowed there."""
    if _HOLD_SECRETS.intersection(detail["loc"]):
        detail["input"] = {}
    kind, detail["loc"] = _without_kind(detail["loc"])
    path = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = _unknown_key(str(detail["loc"][-1]), _allowed_keys(detail["loc"][:-1], kind))
    elif detail["type"] == "string_pattern_mismatch":
        message = f"{_SHOWN.repr(detail['input'])} does not match {detail['ctx']['pattern']}"
    else:
        message = _wanted(detail, message)
        message = (
            f"{message} (got {_SHOWN.repr(detail['input'])})" if not isinstance(detail["input"], dict) else message
        )
    return f"{path}: {message}" if path else message


def _unknown_key(key: str, allowed: list[str]) -> str:
    near = get_close_matches(key, allowed, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"unknown key{meant or ';'} allowed: {', '.join(allowed)}"


def _wanted(detail: dict[str, Any], message: str) -> str:
    """What is wanted, with the value as a list where it should have been one: that can be copied."""
    given = detail["input"]
    plain = given if isinstance(given, str | int | float) and not isinstance(given, bool) else "..."
    known = _WANTED.get(detail["type"])
    return known.format(_SHOWN.repr(plain).strip("'\"")) if known else message.replace("Input should be", "want", 1)


def _without_kind(path: tuple[int | str, ...]) -> tuple[str, tuple[int | str, ...]]:
    """The kind of source or enrichment that a field belongs to, and its path as people write it, without the kind."""
    if path[:1] == ("engine",) and len(path) > 1:
        # There is one, without a name.
        return str(path[1]), (path[0], *path[2:])
    if len(path) < _KIND_AT + 1 or path[_KIND_AT] not in _KINDS.get(str(path[0]), ()):
        return "", path
    return str(path[_KIND_AT]), (*path[:_KIND_AT], *path[_KIND_AT + 1 :])


def _allowed_keys(path: tuple[int | str, ...], kind: str) -> list[str]:
    section: Any = Settings
    for part in path:
        section = SECTIONS.get(str(part), section)
    if path[:1] == ("engine",):
        return sorted(ENGINE_KINDS[kind].model_fields)
    if path[:1] == ("enrichments",):
        return sorted((ENRICHMENT_KINDS[kind] if len(path) == _KIND_AT else section).model_fields)
    if kind and len(path) >= _KIND_AT:
        section = BUILT_IN.get(kind, CommonSourceSettings)
        if path[_KIND_AT:] == ("groups",):
            # What a kind has of its own for its groups.
            section = next(each for each in get_args(section.model_fields["groups"].annotation) if each is not None)
        elif len(path) > _KIND_AT:
            section = SECTIONS.get(str(path[-1]), section)
    return sorted(section.model_fields)
