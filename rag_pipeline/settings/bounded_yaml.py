"""YAML of bounded size, in which a key stands once.

Belongs here: reading the file and its YAML so that neither can take long or fill the memory, whatever they hold.
Does not belong here: what the keys mean (`sections.py`).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rag_pipeline.errors import SettingsError

# A thousand sources with three settings each fit.
MAX_BYTES = 256 * 1024
MAX_VALUES = 12_000
MAX_DEPTH = 40


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        OSError, UnicodeDecodeError: It cannot be read as text.
        SettingsError: It is no ordinary file, or larger than `MAX_BYTES`.
    """
    # A pipe or a device may never end, or never begin.
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise SettingsError(f"{path} is not an ordinary file", path=str(path))
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise SettingsError(
            f"{path} is larger than {MAX_BYTES:,} bytes, which is the most that settings may have. Take whole folders "
            "as sources instead of listing files.",
            path=str(path),
        )
    return raw.decode("utf-8")


def read_yaml(text: str, where: str) -> Any:
    """The one value that a YAML text holds.

    Raises:
        SettingsError: It is no YAML, holds a key twice, or is too large, with aliases and merged keys written out.
    """
    try:
        loader = _BoundedLoader(text)
        loader.name = where
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SettingsError(f"{where} cannot be read as YAML: {_fault(error)}", path=where) from None
    except RecursionError as error:
        raise SettingsError(f"{where} cannot be read as YAML: it is nested too deeply", path=where) from error
    except (ValueError, LookupError, AttributeError) as error:
        # The library fails so at a date or number that is none, like 2024-13-45.
        raise SettingsError(f"{where} holds a value that cannot be read: {error}", path=where) from error


class _BoundedLoader(yaml.SafeLoader):
    """YAML in which a key stands once (of two, readers elsewhere take the last without a word), of bounded size."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        self._values += 1
        self._depth += 1
        if self._values > MAX_VALUES or self._depth > MAX_DEPTH:
            what = f"more than {MAX_VALUES:,} values" if self._values > MAX_VALUES else f"more than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=f"{what} up to here", problem_mark=self.get_mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[str, yaml.Mark] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                first, again = seen[key.value], key.start_mark
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice in one mapping, at line {first.line + 1}, column "
                    f"{first.column + 1} and at line {again.line + 1}, column {again.column + 1}; keep one",
                    problem_mark=again,
                )
            seen[key.value] = key.start_mark
        return node

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _check_written_out(node)
        return node


def _check_written_out(root: yaml.Node) -> None:
    """Refuse a document whose aliases and merged keys stand for far more than is written, or for themselves."""
    sizes: dict[int, int] = {}
    if _size_written_out(root, sizes) <= MAX_VALUES:
        return
    path: list[str] = []
    node = root
    inside = {id(root)}
    # Down to the smallest part that is too large by itself: that is the field to look at.
    while larger := next((pair for pair in _parts(node) if sizes[id(pair[1])] > MAX_VALUES), None):
        path.append(larger[0])
        node = larger[1]
        if id(node) in inside:
            raise yaml.MarkedYAMLError(problem=f"{'.'.join(path)} contains itself", problem_mark=node.start_mark)
        inside.add(id(node))
    raise yaml.MarkedYAMLError(
        problem=f"{'.'.join(path) or 'the whole'} stands for {sizes[id(node)]:,} values once its aliases and merged "
        f"keys are written out, and at most {MAX_VALUES:,} are allowed",
        problem_mark=node.start_mark,
    )


def _size_written_out(node: yaml.Node, sizes: dict[int, int]) -> int:
    size = sizes.get(id(node))
    if size is None:
        # What is met again before it is finished contains itself.
        sizes[id(node)] = MAX_VALUES + 1
        size = sizes[id(node)] = 1 + sum(_size_written_out(part, sizes) for _, part in _parts(node))
    return size


def _parts(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            yield name, value
            if not isinstance(key, yaml.ScalarNode):
                yield name, key
    elif isinstance(node, yaml.SequenceNode):
        yield from ((str(position), part) for position, part in enumerate(node.value))


_NAMES_VALUE = re.compile("undefined alias|could not determine a constructor|tag handle")


def _fault(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the line itself: it may hold a password."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return "it holds a character that YAML does not allow"
    fault = "an alias or tag is not known" if _NAMES_VALUE.search(str(error.problem)) else error.problem
    at = error.problem_mark or error.context_mark
    place = f" at line {at.line + 1}, column {at.column + 1}" if at else ""
    return f"{f'{error.context}, ' if error.context else ''}{fault}{place}"
