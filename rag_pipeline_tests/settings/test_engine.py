"""`engine` of pipeline.yaml: what is taken, and what is refused with the path of the field."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from rag_pipeline.errors import SettingsError
from rag_pipeline.settings import load_pipeline

SMALLEST = "sources: {docs: {location: docs}}\nembedding_models: {m: {kind: hashing, model: h}}\nserve: m\n"


def test_the_kinds_with_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(SMALLEST)
    assert load_pipeline(path, {}).settings.engine.kind == "local"
    path.write_text(f"{SMALLEST}engine: {{kind: ray}}\n")
    engine = load_pipeline(path, {}).settings.engine
    assert engine.kind == "ray"
    assert (engine.address, engine.timeout) == ("auto", timedelta(minutes=1))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{kind: spark}", "engine"),
        ("{kind: local, address: auto}", "engine.address: unknown key; allowed: kind"),
        ("{kind: ray, nodes: 3}", "engine.nodes: unknown key; allowed: address, kind, timeout"),
        ("{kind: ray, address: ray://head:10001}", "engine.address: want auto, local or host:port"),
        ("{kind: ray}\nworker_processes: 0", "worker_processes: 0"),
    ],
)
def test_what_is_refused_is_named(written: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(f"{SMALLEST}engine: {written}\n")
    with pytest.raises(SettingsError) as caught:
        load_pipeline(path, {})
    assert said in caught.value.message
