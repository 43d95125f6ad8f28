"""What each setting means, for those who are to be told: the text below it in the program.

Belongs here: reading these texts when they are asked for.
Does not belong here: showing them (`cli/`, docs).

pydantic can read them itself, as each section is made. At every start of every command, which shows none of them, that
is half of the time that settings take to load.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any, get_args

from pydantic import BaseModel


def describe(section: type[BaseModel]) -> None:
    """Give each setting of a section, and of those within it, what it means as its description."""
    _describe(section, set())


def _describe(section: type[BaseModel], seen: set[type[BaseModel]]) -> None:
    if section in seen:
        return
    seen.add(section)
    for field in section.model_fields.values():
        for within in _sections_in(field.annotation):
            _describe(within, seen)
    meanings = {name: text for base in reversed(section.__mro__) for name, text in _meanings(base).items()}
    for name, field in section.model_fields.items():
        if field.description is None:
            field.description = meanings.get(name)
    # After those within it, of which it keeps what it was made of.
    section.model_rebuild(force=True)


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)


def _meanings(section: type) -> dict[str, str]:
    module = inspect.getmodule(section)
    if module is None or not issubclass(section, BaseModel) or section is BaseModel:
        return {}
    return _texts_of(module).get(section.__name__, {})


@cache
def _texts_of(module: ModuleType) -> dict[str, dict[str, str]]:
    """The texts below the settings of each section of a module."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        # A program without its source text says no less, it only explains less.
        return {}
    classes = (each for each in ast.walk(tree) if isinstance(each, ast.ClassDef))
    return {each.name: dict(_texts_in(each)) for each in classes}


def _texts_in(section: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for setting, below in pairwise(section.body):
        if not (isinstance(setting, ast.AnnAssign) and isinstance(setting.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            yield setting.target.id, inspect.cleandoc(below.value.value)
