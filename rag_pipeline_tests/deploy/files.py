"""The files of `deploy/` as their programs read them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from rag_pipeline_tests.paths import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
# `$$`, `${NAME}`, `${NAME:-what else}` and `${NAME:?what is said}`.
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:[-?])([^}]*))?\})")


@dataclass(frozen=True)
class Use:
    """A variable that compose.yaml takes from `.env`."""

    name: str
    kind: str
    text: str


def uses(text: str) -> list[Use]:
    return [Use(name, kind or "", said or "") for name, kind, said in _VARIABLE.findall(text) if name]


def interpolated(text: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, kind, said = found.groups()
        if name is None:
            return "$"
        if values.get(name) or kind is None:
            return values.get(name, "")
        if kind == ":?":
            raise KeyError(f"{name}: {said}")
        return str(said)

    return _VARIABLE.sub(value, text)


def compose(values: Mapping[str, str]) -> dict[str, Any]:
    """compose.yaml with its variables put in, value by value, as Compose does."""

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return interpolated(value, values)
        if isinstance(value, list):
            return [filled(each) for each in value]
        return {name: filled(each) for name, each in value.items()} if isinstance(value, dict) else value

    read: dict[str, Any] = filled(read_yaml("compose.yaml"))
    return read


def read_yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def secrets() -> dict[str, str]:
    """Values of `env.example` as somebody would fill them in."""
    names = re.findall(r"^(\w+)=$", (DEPLOY / "env.example").read_text("utf-8"), re.M)
    return {name: f"a{number}filled{name.lower().replace('_', '')}" for number, name in enumerate(names)}


@dataclass(frozen=True)
class Image:
    """What the last stage of the Dockerfile, or another one, says of containers made from it."""

    environment: dict[str, str]
    command: list[str]
    health: list[str]
    user: str
    volumes: list[str]
    stages: dict[str, list[tuple[str, str]]]


def image(target: str = "cpu") -> Image:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.M)).splitlines()
    stages: dict[str, list[tuple[str, str]]] = {}
    parents: dict[str, str] = {}
    name = ""
    for line in filter(None, (line.strip() for line in lines)):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            parent, _, name = rest.partition(" AS ")
            stages[name], parents[name] = [], parent
        elif name:
            stages[name].append((word, rest))
    chain: list[tuple[str, str]] = []
    at = target
    while at in stages:
        chain = stages[at] + chain
        at = parents[at]
    said: dict[str, list[str]] = {}
    for word, rest in chain:
        said.setdefault(word, []).append(rest.strip())
    variables = dict(pair.partition("=")[::2] for rest in said["ENV"] for pair in shlex.split(rest))
    health = said["HEALTHCHECK"][-1]
    return Image(
        environment=variables,
        command=json.loads(said["CMD"][-1]),
        health=json.loads(health[health.index("[") :]),
        user=said["USER"][-1],
        volumes=json.loads(said["VOLUME"][-1]),
        stages=stages,
    )
