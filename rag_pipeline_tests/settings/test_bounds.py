"""pipeline.yaml is bounded: whatever it holds, it is read or refused at once, with the path of the field."""

from __future__ import annotations

import os
import time
from pathlib import Path

import annotated_types
import pytest

from rag_pipeline.errors import SettingsError
from rag_pipeline.settings import load_pipeline
from rag_pipeline.settings.bounded_yaml import MAX_VALUES, read_yaml
from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.sections import SECTIONS, Settings
from rag_pipeline_tests.settings.test_values import SMALLEST, refusal

LEVELS = range(1, 40)
ALIAS_BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in LEVELS)
MERGE_BOMB = "a0: &a0 {k: v}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in LEVELS)
WIDE_MERGES = (
    "base: &base {"
    + ", ".join(f"k{i}: v" for i in range(1000))
    + "}\nall:\n"
    + "".join(f"  s{i}: {{<<: *base}}\n" for i in range(1000))
)


@pytest.fixture(scope="module")
def at_once() -> float:
    """Seconds: thrice what it takes on this machine to read as many values as there may be."""
    began = time.process_time()
    read_yaml("a: [" + "x, " * (MAX_VALUES - 10) + "]", "a")
    return 3 * (time.process_time() - began)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ALIAS_BOMB, "a12 stands for"),
        (MERGE_BOMB, "aliases and merged keys"),
        (WIDE_MERGES, "all stands for"),
        ("a: &a [*a]\n", "a.0 contains itself"),
        ("a: &a {b: {c: *a}}\n", "a.b.c contains itself"),
        ("a: " + "[" * 100 + "]" * 100, "more than 40 levels"),
        ("a: " + "[" * 100_000, "more than 40 levels"),
        ("a: [" + "x," * 100_000 + "]", "more than 12,000 values"),
        ("# " + "x" * 600_000, "larger than 262,144 bytes"),
        ("a: " + "9" * 10_000, "cannot be read"),
    ],
)
def test_yaml_that_is_or_stands_for_far_too_much_is_refused_at_once(
    tmp_path: Path, text: str, said: str, at_once: float
) -> None:
    began = time.process_time()
    assert said in refusal(tmp_path, SMALLEST + text + "\n")
    assert time.process_time() - began < at_once


def test_an_override_from_the_environment_is_bounded_too(tmp_path: Path) -> None:
    assert "RAG_PIPELINE__SOURCES" in refusal(tmp_path, SMALLEST, {"RAG_PIPELINE__SOURCES": ALIAS_BOMB})


def test_ordinary_aliases_and_merged_keys_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "sources:\n  a: &a {location: a, allowed_principals: [x]}\n  b: {<<: *a, location: b}\n"
        "embedding_models: {small: {kind: hashing, model: hashing, dimension: 64}}\nserve: small\n"
    )
    assert load_pipeline(path, {}).settings.sources["b"].allowed_principals == ("x",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipeline.yaml")
    with pytest.raises(SettingsError, match="not an ordinary file"):
        load_pipeline(tmp_path / "pipeline.yaml", {})
    with pytest.raises(SettingsError, match="not an ordinary file"):
        load_pipeline("/dev/zero", {})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("worker_processes", "100000"),
        ("parse_timeout_seconds", "1e300"),
        ("parse_timeout_seconds", ".nan"),
        ("chunking.max_tokens", "1000000000"),
        ("chunking.min_tokens", "-1"),
        ("embedding_models.small.dimension", "1000000000"),
        ("embedding_models.small.batch_texts", "1000000000"),
        ("embedding_models.small.price_per_million_tokens", ".inf"),
        ("sources.docs.max_document_bytes", "999999999999999999999"),
        ("sources.docs.include", f"['{'*a' * 5000}']"),
        ("sources.docs.location", "x" * 10_000),
        ("evaluation.k", "1000000"),
    ],
)
def test_an_absurd_value_is_refused_with_its_path(tmp_path: Path, path: str, value: str, at_once: float) -> None:
    variable = "RAG_PIPELINE__" + path.replace(".", "__").upper()
    began = time.process_time()
    message = refusal(tmp_path, SMALLEST, {variable: value})
    assert f"{path}" in message
    assert len(message) < 1500
    assert time.process_time() - began < at_once


@pytest.mark.parametrize("section", sorted({Settings, *SECTIONS.values()}, key=lambda section: section.__name__))
def test_every_number_has_a_range_and_every_text_a_length(section: type[Section]) -> None:
    """A new setting cannot be forgotten."""
    for name, field in section.model_fields.items():
        shown = str(field.annotation)
        if shown in ("<class 'int'>", "<class 'float'>", "int | None", "float | None"):
            kinds = {type(bound) for bound in field.metadata}
            assert kinds & {annotated_types.Ge, annotated_types.Gt}, name
            assert kinds & {annotated_types.Le, annotated_types.Lt}, name
        if shown == "<class 'str'>":
            assert annotated_types.MaxLen in {type(bound) for bound in field.metadata} or name == "serve", name
