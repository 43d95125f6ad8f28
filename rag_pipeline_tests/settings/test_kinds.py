"""Kinds of sources: the union of their settings, and kinds that other packages bring."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from pydantic import Field

from rag_pipeline.contracts.sources import Source, SourceKind, SourceSpec
from rag_pipeline.errors import SettingsError
from rag_pipeline.settings import sources
from rag_pipeline.settings.load import Pipeline, load_pipeline
from rag_pipeline.settings.sources import BUILT_IN, CommonSourceSettings
from rag_pipeline.sources import KINDS, open_source


class PigeonSettings(CommonSourceSettings):
    """Messages that pigeons bring."""

    kind: Literal["pigeon"]
    loft: str = ""
    """Where they land."""
    keys: dict[str, str] = Field(default_factory=dict)
    """What opens it."""


def _opened(spec: SourceSpec) -> Source:
    return SimpleNamespace(name=spec.name, fields=spec.fields)  # type: ignore[return-value]


PIGEON = SourceKind(PigeonSettings, _opened)
NO_KIND = "no kind"

Install = Callable[..., None]


class Package(Distribution):
    """An installed package with a name and nothing else."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def read_text(self, filename: str) -> str | None:
        raise FileNotFoundError(filename)

    def locate_file(self, path: Any) -> Any:
        return path


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Have packages bring kinds: the value of an entry point, by package."""

    def do(value: str, *packages: str, name: str = "pigeon") -> None:
        points = [EntryPoint(name, value, sources.GROUP)._for(Package(each)) for each in packages]  # type: ignore[attr-defined]
        monkeypatch.setattr(
            sources, "entry_points", lambda **wanted: [p for p in points if wanted.get("name") in (None, p.name)]
        )

    return do


def pipeline_of(folder: Path, **source: Any) -> Pipeline:
    settings = {
        "sources": {"docs": {"location": "loft", **source}},
        "embedding_models": {"small": {"kind": "hashing", "model": "hashing", "dimension": 64}},
        "serve": "small",
    }
    path = folder / "pipeline.yaml"
    path.write_text(json.dumps(settings), "utf-8")
    return load_pipeline(path, {"LOFT": "roof", "KEY": "b0at"})


def test_every_kind_has_settings_and_is_opened() -> None:
    assert {name: kind.settings for name, kind in KINDS.items()} == BUILT_IN


@pytest.mark.parametrize("kind", ["pigeon", "Files", "", 7, ["files"], None])
def test_an_unknown_kind_is_refused_with_the_kinds_there_are(tmp_path: Path, kind: object) -> None:
    with pytest.raises(SettingsError, match=r"sources\.docs: there is no kind of source .*; kinds: files"):
        pipeline_of(tmp_path, kind=kind)


def test_problems_of_a_source_name_the_field_as_it_is_written(tmp_path: Path) -> None:
    for kind in ({}, {"kind": "files"}):
        with pytest.raises(
            SettingsError, match=r"sources\.docs\.locaton: unknown key; did you mean location\? allowed: .*, location, "
        ):
            pipeline_of(tmp_path, locaton="x", **kind)


def test_a_kind_of_another_package_has_its_own_fields(tmp_path: Path, install: Install) -> None:
    install(f"{__name__}:PIGEON", "pigeon-post")
    fields = {"kind": "pigeon", "loft": "$LOFT", "keys": {"door": "$KEY", "roof": "open"}, "stale_after": "2d"}
    pipeline = pipeline_of(tmp_path, **fields)
    assert pipeline.settings.sources["docs"].stale_after.days == 2
    assert open_source(pipeline.source_spec("docs")).fields == {  # type: ignore[attr-defined]
        "loft": "roof",
        "keys": {"door": "b0at", "roof": "open"},
    }
    assert json.loads(pipeline.settings.model_dump_json())["sources"]["docs"]["loft"] == "$LOFT"
    with pytest.raises(SettingsError, match=r"sources\.docs\.loft: want a valid string"):
        pipeline_of(tmp_path, kind="pigeon", loft=[1])
    with pytest.raises(SettingsError, match=r"there is no kind of source 'owl'; kinds: files.*, pigeon"):
        pipeline_of(tmp_path, kind="owl")


@pytest.mark.parametrize(
    ("value", "packages", "says"),
    [
        ("no_such_module:KIND", ["pigeon-post"], "of pigeon-post.* cannot be loaded: ModuleNotFoundError"),
        (f"{__name__}:NO_KIND", ["pigeon-post"], "of pigeon-post.* is not a SourceKind"),
        (f"{__name__}:PIGEON", ["pigeon-post", "pigeon-express"], "brought by pigeon-express and pigeon-post"),
    ],
)
def test_a_kind_that_cannot_be_had_names_its_package(
    tmp_path: Path, install: Install, value: str, packages: list[str], says: str
) -> None:
    install(value, *packages)
    with pytest.raises(SettingsError, match=says):
        pipeline_of(tmp_path, kind="pigeon")
    # Whoever does not use it is not disturbed.
    assert pipeline_of(tmp_path).settings.sources["docs"].kind == "files"


def test_a_built_in_kind_cannot_be_replaced(tmp_path: Path, install: Install) -> None:
    install(f"{__name__}:PIGEON", "pigeon-post", name="files")
    assert pipeline_of(tmp_path).source_spec("docs").include == ("**/*",)
