"""In which line each object of a JSON file begins, so that what is made of it cites that line.

Belongs here: reading values together with their places. Does not belong here: what they say (`json_records.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rag_pipeline.parsing.markup.front_matter import WrittenFloat

# Deeper objects are cited by the one that holds them.
MAX_DEPTH = 4
# The fields of a shorter object, and what a shorter list holds, are cited by the line of the whole.
LONG_LINES = 60

_SPACE = re.compile(r"[ \t\n\r]*")


class Placed(dict[str, Any]):
    """An object with its place.

    Attributes:
        line: Where it begins, from 1.
        field_lines: Where each of its fields begins, as far as they stand in lines of their own.
    """

    __slots__ = ("field_lines", "line")

    def __init__(self, fields: dict[str, Any], line: int, field_lines: dict[str, int] | None = None) -> None:
        super().__init__(fields)
        self.line = line
        self.field_lines = field_lines or {}


class PlacedList(list[Any]):
    """A list with the places of its items, as far as they are known.

    Attributes:
        lines: Where each item begins, from 1.
    """

    __slots__ = ("lines",)

    def __init__(self, items: Iterable[Any], lines: Sequence[int]) -> None:
        super().__init__(items)
        self.lines = lines

    def line_at(self, number: int) -> int | None:
        """The line in which an item begins."""
        return self.lines[number] if number < len(self.lines) else None


def line_of(value: Any, field: str | None = None) -> int | None:
    """The line in which an object, or a field of it, begins; None where that is not known."""
    if not isinstance(value, Placed):
        return None
    return value.line if field is None else value.field_lines.get(field, value.line)


def load_placed(text: str, parse_int: Callable[[str], Any]) -> Any:
    """The value of JSON `text` as `json.loads` has it, its objects with their places.

    Raises ValueError, RecursionError.
    """
    reader = _Reader(text, parse_int)
    value, end = reader.read(_after_space(text, 0), 0)
    if _after_space(text, end) != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def every_field(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these fields; what a name says that comes twice becomes a list, so that nothing is lost."""
    value = dict(pairs)
    if len(value) < len(pairs):
        value = {}
        for name, item in pairs:
            value[name] = [*_several(value[name]), *_several(item)] if name in value else item
    return value


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class _Reader:
    def __init__(self, text: str, parse_int: Callable[[str], Any]) -> None:
        self._text = text
        decoder = json.JSONDecoder(parse_float=WrittenFloat, parse_int=parse_int, object_pairs_hook=every_field)
        self._decode = decoder.raw_decode
        self._line = 1
        self._counted = 0

    def read(self, start: int, depth: int) -> tuple[Any, int]:
        """The value at `start`, and where it ends."""
        opening = self._text[start : start + 1]
        if opening not in ("{", "["):
            return self._decode(self._text, start)
        line = self._line_at(start)
        if depth:
            value, end = self._decode(self._text, start)
            is_long = self._text.count("\n", start, end) >= LONG_LINES
            # A list of numbers has no places that are worth the time.
            is_plain = opening == "[" and not any(isinstance(item, dict | list) for item in value)
            is_listed = opening == "[" and depth == 1
            if not value or is_plain or depth >= MAX_DEPTH or not (is_long or is_listed):
                return (Placed(value, line) if value and opening == "{" else value), end
        return self._object(start, line, depth) if opening == "{" else self._list(start, depth)

    def _list(self, start: int, depth: int) -> tuple[list[Any], int]:
        text = self._text
        items: list[Any] = []
        lines: list[int] = []
        position = _after_space(text, start + 1)
        if text[position : position + 1] == "]":
            return items, position + 1
        while True:
            lines.append(self._line_at(position))
            item, end = self.read(position, depth + 1)
            items.append(item)
            end = _after_space(text, end)
            sign = text[end : end + 1]
            if sign == "]":
                return PlacedList(items, lines), end + 1
            if sign != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, end)
            position = _after_space(text, end + 1)

    def _object(self, start: int, line: int, depth: int) -> tuple[dict[str, Any], int]:
        text = self._text
        value: dict[str, Any] = {}
        lines: dict[str, int] = {}
        position = _after_space(text, start + 1)
        if text[position : position + 1] == "}":
            return value, position + 1
        while True:
            if text[position : position + 1] != '"':
                raise json.JSONDecodeError("Expecting property name", text, position)
            key, end = self._decode(text, position)
            lines.setdefault(key, self._line_at(position))
            end = _after_space(text, end)
            if text[end : end + 1] != ":":
                raise json.JSONDecodeError("Expecting ':' delimiter", text, end)
            item, end = self.read(_after_space(text, end + 1), depth + 1)
            value[key] = [*_several(value[key]), *_several(item)] if key in value else item
            end = _after_space(text, end)
            sign = text[end : end + 1]
            if sign == "}":
                return Placed(value, line, lines), end + 1
            if sign != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, end)
            position = _after_space(text, end + 1)

    def _line_at(self, position: int) -> int:
        """The line of a position; positions that follow one another cost least."""
        if position < self._counted:
            self._line -= self._text.count("\n", position, self._counted)
        else:
            self._line += self._text.count("\n", self._counted, position)
        self._counted = position
        return self._line


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
