"""Reads JSON safely: numbers as written, lone surrogates mended, comments and values in a row where allowed.

Belongs here: from text to values. Does not belong here: what the values say (`json_records.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from rag_pipeline.parsing.markup.front_matter import WrittenFloat
from rag_pipeline.parsing.records.json_places import Placed, PlacedList, every_field, load_placed

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
# What is never closed runs to the end, so that no character is looked at twice.
_JSONC = re.compile(r'"(?>(?:[^"\\\n]++|\\.)*)"?|//[^\n]*|/\*.*?(?:\*/|\Z)|,(?=\s*[}\]])', re.S)
_SEPARATORS = re.compile(r"[\s,\x1e]*")
_SEPARATOR_SIGNS = re.compile(r"[,\x1e]")
_MAX_INTEGER_DIGITS = 4_000


def load_json(text: str) -> Any:
    """The value of JSON `text`, lone surrogates as "?". Raises ValueError, RecursionError."""
    try:
        value = _loaded(text, int)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Python reads no integer of more than 4300 digits.
        value = _loaded(text, _integer)
    # A lone surrogate is valid JSON but no character: it could not be stored as UTF-8. Pairs are characters.
    return _mended(value) if _SURROGATE_ESCAPE.search(text) else value


def _mended(value: Any) -> Any:
    """The value with lone surrogates as "?"; places and numbers stay as they were read."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, PlacedList):
        return PlacedList(map(_mended, value), value.lines)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {_mended(name): _mended(item) for name, item in value.items()}
    if isinstance(value, Placed):
        return Placed(fields, value.line, {_mended(name): line for name, line in value.field_lines.items()})
    return fields


def _loaded(text: str, parse_int: Callable[[str], Any]) -> Any:
    if "\n" not in text.strip():
        return json.loads(text, parse_int=parse_int, parse_float=WrittenFloat, object_pairs_hook=every_field)
    try:
        return load_placed(text, parse_int)
    except json.JSONDecodeError:
        # The plain reader says best where the fault is.
        return json.loads(text, parse_int=parse_int, parse_float=WrittenFloat, object_pairs_hook=every_field)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else digits


def load_leniently(text: str) -> Any:
    """The value of JSON with comments and trailing commas, or the list of values that follow one another.

    Raises ValueError, RecursionError.
    """
    try:
        return load_json(_JSONC.sub(_without_comment, text))
    except json.JSONDecodeError:
        return load_json(_as_list(text))


def _as_list(text: str) -> str:
    """Containers that follow one another as one list, each in the line and with the numbers that it has.

    Raises ValueError, RecursionError.
    """
    decoder = json.JSONDecoder(parse_int=_integer)
    pieces: list[str] = []
    end = 0
    start = _after_separators(text, 0)
    while start < len(text):
        if text[start] not in "[{":
            raise json.JSONDecodeError("Expecting an object or a list", text, start) from None
        pieces.append(_SEPARATOR_SIGNS.sub("", text[end:start]) + ("," if pieces else ""))
        _, end = decoder.raw_decode(text, start)
        pieces.append(text[start:end])
        start = _after_separators(text, end)
    # The bracket takes no line of its own.
    return f"[{''.join(pieces)}]"


def _after_separators(text: str, position: int) -> int:
    found = _SEPARATORS.match(text, position)
    return found.end() if found else position


def _without_comment(match: re.Match[str]) -> str:
    token = match.group()
    # Line ends stay: what follows is cited by its line.
    return token if token.startswith('"') else "\n" * token.count("\n")
