"""An embedding space is named by everything that changes a vector, and by nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from rag_pipeline.contracts.embedding import EmbeddingModelSpec, EmbeddingSpace
from rag_pipeline.embedding import locate
from rag_pipeline.embedding.file_hashes import file_sha256, remembered
from rag_pipeline.embedding.open import resolve_space
from rag_pipeline.errors import ModelUnavailable, SettingsError

from .conftest import MINILM, MakeFolder

SPACE = EmbeddingSpace("a", "m", "w", "t", "mean", True, "d", "q", 256, 384, "fp32")


def spec_of(folder: Path, **changes: Any) -> EmbeddingModelSpec:
    return EmbeddingModelSpec(alias="small", model="small", folder=str(folder), **changes)


@pytest.mark.parametrize("name", [field.name for field in fields(EmbeddingSpace)])
def test_every_field_but_the_names_for_people_changes_the_fingerprint(name: str) -> None:
    old = getattr(SPACE, name)
    changed = replace(SPACE, **{name: (not old) if isinstance(old, bool) else old + type(old)(1)})
    if name in ("alias", "model"):
        assert changed.fingerprint == SPACE.fingerprint
        assert changed.difference(SPACE) == []
    else:
        assert changed.fingerprint != SPACE.fingerprint
        assert [line.partition(":")[0] for line in changed.difference(SPACE)] == [name]


def test_a_space_survives_being_stored_as_plain_values() -> None:
    again = EmbeddingSpace(**json.loads(json.dumps(asdict(SPACE))))
    assert again == SPACE
    assert again.fingerprint == SPACE.fingerprint
    assert len(again.fingerprint) == 16


def test_the_same_files_elsewhere_are_the_same_space(transformer_folder: MakeFolder, tmp_path: Path) -> None:
    here = resolve_space(spec_of(transformer_folder("one")), tmp_path / "cache")
    there = resolve_space(spec_of(transformer_folder("two")), tmp_path / "other-cache")
    assert here.fingerprint == there.fingerprint
    assert (here.dimension, here.max_tokens, here.pooling) == (8, 32, "mean")


def test_changed_weights_change_the_space_although_the_name_stays(
    transformer_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = transformer_folder()
    before = resolve_space(spec_of(folder), tmp_path / "cache")
    save_file({"weights": np.zeros((4, 8), dtype=np.float32)}, folder / "model.safetensors")
    os.utime(folder / "model.safetensors", ns=(1, 1))
    after = resolve_space(spec_of(folder), tmp_path / "cache")
    assert [line.partition(":")[0] for line in after.difference(before)] == ["weights_hash"]


def test_a_changed_configuration_changes_the_space(transformer_folder: MakeFolder, tmp_path: Path) -> None:
    one = resolve_space(spec_of(transformer_folder("one")), tmp_path / "cache")
    two = resolve_space(spec_of(transformer_folder("two", hidden_act="relu")), tmp_path / "cache")
    assert one.weights_hash != two.weights_hash


def test_truncation_stored_in_the_tokenizer_is_no_part_of_the_space(
    transformer_folder: MakeFolder, tmp_path: Path
) -> None:
    one, two = transformer_folder("one"), transformer_folder("two")
    content = json.loads((two / "tokenizer.json").read_text())
    content["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    (two / "tokenizer.json").write_text(json.dumps(content))
    cache = tmp_path / "cache"
    assert resolve_space(spec_of(one), cache).tokenizer_hash == resolve_space(spec_of(two), cache).tokenizer_hash


def test_prompts_come_from_the_settings_else_from_the_model(transformer_folder: MakeFolder, tmp_path: Path) -> None:
    folder = transformer_folder()
    declared = {"prompts": {"query": "query: ", "document": "passage: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(declared))
    space = resolve_space(spec_of(folder), tmp_path)
    assert (space.query_prompt, space.document_prompt) == ("query: ", "passage: ")
    space = resolve_space(spec_of(folder, query_prompt="", document_prompt="text: "), tmp_path)
    assert (space.query_prompt, space.document_prompt) == ("", "text: ")


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"dimension": 9}, "dimension"), ({"max_tokens": 65}, "max_tokens"), ({"kind": "static"}, "kind")],
)
def test_what_the_model_cannot_give_is_refused_by_name(
    transformer_folder: MakeFolder, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        resolve_space(spec_of(transformer_folder(), **changes), tmp_path)


def test_a_missing_model_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    spec = EmbeddingModelSpec(alias="gone", model="nobody/nothing", folder=str(tmp_path / "empty"))
    with pytest.raises(ModelUnavailable) as raised:
        resolve_space(spec, tmp_path / "cache")
    for part in ("gone", "empty", "no such folder", "model hub", "downloads are off", "RAG_PIPELINE_ALLOW_MODEL_HUB"):
        assert part in raised.value.message


def test_a_folder_without_weights_is_refused(transformer_folder: MakeFolder, tmp_path: Path) -> None:
    folder = transformer_folder()
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="no weights"):
        resolve_space(spec_of(folder), tmp_path / "cache")


def test_a_package_with_other_weights_than_it_should_have_is_refused(
    transformer_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = transformer_folder()
    installed = SimpleNamespace(locate_file=lambda _: folder)
    monkeypatch.setattr(locate.importlib.metadata, "distribution", lambda _: installed)
    with pytest.raises(ModelUnavailable, match="SHA-256"):
        resolve_space(MINILM, tmp_path / "cache")


@pytest.mark.model
def test_the_packaged_model_is_found_without_being_configured(model_cache: Path) -> None:
    space = resolve_space(MINILM, model_cache)
    assert (space.dimension, space.max_tokens, space.pooling, space.normalized) == (384, 256, "mean", True)


def test_a_file_is_hashed_again_only_when_it_may_have_changed(tmp_path: Path) -> None:
    file, cache = tmp_path / "weights", tmp_path / "cache"
    calls: list[Path] = []

    def compute(path: Path) -> str:
        calls.append(path)
        return path.read_text()

    file.write_text("one")
    assert [remembered(file, cache, "test", compute) for _ in range(2)] == ["one", "one"]
    assert len(calls) == 1
    file.write_text("longer")
    assert remembered(file, cache, "test", compute) == "longer"
    assert len(calls) == 2


def test_a_damaged_or_unwritable_hash_cache_costs_nothing_but_time(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    expected = file_sha256(file, tmp_path / "cache")
    (entry,) = (tmp_path / "cache" / "file-hashes").iterdir()
    entry.write_text("{broken")
    assert file_sha256(file, tmp_path / "cache") == expected
    (tmp_path / "a-file").write_text("")
    assert file_sha256(file, tmp_path / "a-file") == expected
