"""Every limit that a message tells a person to raise has a setting of that name, and the setting counts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from rag_pipeline.parallel.pool import IsolatedPool
from rag_pipeline.parsing.limits import SETTING_OF, ParseLimits
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings.limits import LimitsSettings, Section
from rag_pipeline.settings.sections import SECTIONS, Settings
from rag_pipeline.settings.sources import BUILT_IN
from rag_pipeline_tests.house.test_house import MODULES, ROOT
from rag_pipeline_tests.pipeline.project import Project

# That SQL raises an exception is no advice.
ADVICE = re.compile(r"(?!raise exception )\b(?:raise|increase) (.*?)(?=[.;]\s|\.?$)", re.IGNORECASE | re.DOTALL)


def messages(tree: ast.AST) -> Iterator[str]:
    """Every text of a module but its docstrings; `{}` stands for what is put in."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside | said:
            yield node.value


def advised() -> list[tuple[str, str]]:
    found = []
    for path in MODULES:
        for message in messages(ast.parse(path.read_text("utf-8"))):
            found += [(path.relative_to(ROOT).as_posix(), advice[0]) for advice in ADVICE.finditer(message)]
    return found


def is_field(section: type[BaseModel], path: list[str]) -> bool:
    """Whether a section has a field, which may lie in sections, or in those of a list, within it."""
    field = section.model_fields.get(path[0])
    if field is None or not path[1:]:
        return field is not None
    within = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
    return any(is_field(kind, path[1:]) for kind in within if issubclass(kind, BaseModel))


def is_setting(path: str) -> bool:
    section: type[Section] | None = Settings
    *outer, last = path.split(".")
    if outer[:2] == ["sources", "NAME"]:
        return any(is_field(kind, [*outer[2:], last]) for kind in BUILT_IN.values())
    for part in outer:
        # The name of a source stands between its section and its keys.
        section = section if part == "NAME" else SECTIONS.get(part)
    return section is not None and last in section.model_fields


def test_every_limit_that_a_message_names_is_a_setting() -> None:
    found = advised()
    assert len(found) >= 12
    for where, advice in found:
        named = re.findall(r"`([a-z_A-Z.{}]+)`", advice)
        assert named, f"{where}: {advice!r} names no setting in backticks"
        for path in named:
            assert path in ("limits.{}", "{}") or is_setting(path), f"{where}: there is no setting {path}"


def test_what_is_counted_has_a_setting_of_the_limit_it_is_compared_with() -> None:
    for path in ROOT.rglob("parsing/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == "check_count" and isinstance(node.args[1], ast.Attribute):
                assert isinstance(node.args[2], ast.Constant)
                assert SETTING_OF[str(node.args[2].value)] == node.args[1].attr, path.name
            if node.func.id == "check_bytes" and isinstance(node.args[3], ast.Constant):
                assert isinstance(node.args[1], ast.Attribute)
                assert str(node.args[3].value).rpartition(".")[2] == node.args[1].attr
                assert is_setting(str(node.args[3].value)), path.name


def test_limits_and_their_defaults_are_those_of_the_parsers() -> None:
    of_sources = {"max_document_bytes", "max_text_bytes"}
    defaults = {field.name: field.default for field in fields(ParseLimits) if field.name not in of_sources}
    assert LimitsSettings().parsing == defaults


def project_with(tmp_path: Any, **settings: Any) -> Workspace:
    return Project.create(tmp_path, **settings).workspace()


def test_the_settings_reach_parsers_and_workers(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(IsolatedPool, "__init__", lambda _self, *arguments: given.extend(arguments))
    monkeypatch.setattr(IsolatedPool, "close", lambda _self: None)
    limits = {"parse_timeout_seconds": 90.5, "memory_bytes": 2**30, "max_pages": 7}
    with project_with(tmp_path, limits=limits) as workspace:
        assert workspace.parse_recipe("docs").limits.max_pages == 7
        assert workspace.engine is not None
    assert (given[1].wall_seconds, given[1].cpu_seconds, given[1].memory_bytes) == (90.5, 91, 2**30)


def test_the_old_name_of_the_time_limit_still_counts_but_not_beside_the_new(tmp_path: Any) -> None:
    with project_with(tmp_path, parse_timeout_seconds=5, limits={"max_pages": 3}) as workspace:
        assert workspace.settings.limits.parse_timeout_seconds == 5
        assert workspace.settings.limits.max_pages == 3
    with pytest.raises(Exception, match=r"old name of limits\.parse_timeout_seconds"):
        project_with(tmp_path, parse_timeout_seconds=5, limits={"parse_timeout_seconds": 3})
