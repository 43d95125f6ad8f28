"""Values of pipeline.yaml: what is taken, and what is refused before anything runs."""

from __future__ import annotations

import traceback
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rag_pipeline.errors import SettingsError
from rag_pipeline.settings import load_pipeline
from rag_pipeline.settings.types import Cron, Duration, Owner
from rag_pipeline_tests.pipeline.project import Project

CRON: TypeAdapter[str] = TypeAdapter(Cron)
DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)
OWNER: TypeAdapter[str] = TypeAdapter(Owner)
HASHING = {"kind": "hashing", "model": "hashing", "dimension": 64}
SMALLEST = """\
sources:
  docs:
    location: docs
    allowed_principals: [public]
embedding_models: {small: {kind: hashing, model: hashing, dimension: 64}}
serve: small
"""


def refusal(folder: Path, text: str, environment: dict[str, str] | None = None) -> str:
    path = folder / "pipeline.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError) as caught:
        load_pipeline(path, environment or {})
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "0 * * * *",
        "*/15 9-17 * * mon-fri",
        "0 0 1,15 JAN-jun/2 *",
        "5/10 0 31 4,5 7",
        "0 0 29 feb sun",
        "59 23 31 12 0",
    ],
)
def test_a_cron_expression_of_five_fields_is_taken(text: str) -> None:
    assert CRON.validate_python(f" {text}\n") == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("99 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "the day-of-month '0' cannot be: want numbers of 1 to 31"),
        ("* * * 13 *", "the month '13' cannot be: want numbers of 1 to 12, or jan to dec"),
        ("* * * * 8", "the day-of-week '8' cannot be: want numbers of 0 to 7, or sun to sat"),
        ("a b c d e", "minute"),
        ("*/0 * * * *", "the minute '\\*/0' cannot be"),
        ("*/60 * * * *", "the minute '\\*/60' cannot be"),
        ("* */24 * * *", "the hour '\\*/24' cannot be"),
        ("5-1 * * * *", "ranges .least-most."),
        ("1,,2 * * * *", "minute"),
        ("1- * * * *", "minute"),
        ("\u0663 * * * *", "minute"),
        ("0 0 * * \u017fun", "day-of-week"),
        ("0 0 * * 5#2", "day-of-week"),
        ("0 0 L * *", "day-of-month"),
        ("0 0 * * 5L", "day-of-week"),
        ("mon * * * *", "minute"),
        ("0 0 30 2 *", "the day-of-month '30' cannot be: .* a day that a month chosen has"),
        ("0 0 31 4,6 *", "the day-of-month '31' cannot be"),
        ("0 0 31 2 mon", "the day-of-month '31' cannot be"),
        ("* * * *", "five cron fields"),
        ("@hourly", "five cron fields"),
    ],
)
def test_a_cron_expression_that_never_runs_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CRON.validate_python(text)


_NUMBERS = st.integers(0, 70).map(str) | st.sampled_from(["jan", "DEC", "mon", "Sun", "l", "w"])
_ITEMS = st.builds(
    "".join,
    st.tuples(st.just("*") | _NUMBERS, st.just("") | st.builds("{}{}".format, st.sampled_from("/-#"), _NUMBERS)),
)
_FIELDS = st.lists(_ITEMS, min_size=1, max_size=2).map(",".join)


@given(st.text("0123456789*/-, janmosu", max_size=30) | st.lists(_FIELDS, min_size=5, max_size=5).map(" ".join))
def test_a_cron_expression_that_is_taken_runs_in_dagster(text: str) -> None:
    with suppress(ValidationError):
        dg.ScheduleDefinition(job_name="job", cron_schedule=CRON.validate_python(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [("90s", timedelta(seconds=90)), ("30 min", timedelta(minutes=30)), ("36500d", timedelta(days=36_500))],
)
def test_a_duration_is_a_number_and_a_unit(text: str, value: timedelta) -> None:
    assert DURATION.validate_python(text) == value


@pytest.mark.parametrize(
    "value", ["0d", "-3d", "3", 3, -3, 0, 1.5, True, "36501d", "99999999999999d", "9" * 5_000 + "d", "\u0663d", "3d\n"]
)
def test_a_duration_of_nothing_or_for_ever_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="want a number and a unit"):
        DURATION.validate_python(value)


@pytest.mark.parametrize("text", ["team:docs", "team:the docs", "ann.lee+docs@example.co.uk"])
def test_an_owner_is_a_team_or_an_address(text: str) -> None:
    assert OWNER.validate_python(text) == text


@pytest.mark.parametrize("text", ["", "x y", "docs", "team:", "team: ", "a@b", "@example.com", "a b@example.com"])
def test_another_owner_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="e-mail"):
        OWNER.validate_python(text)


@pytest.mark.parametrize("key", ["lake", "cache"])
@pytest.mark.parametrize("value", ["", " ", "a\0b"])
def test_a_folder_has_a_name(tmp_path: Path, key: str, value: str) -> None:
    assert f"{key}: " in refusal(tmp_path, SMALLEST + yaml.safe_dump({key: value}))


def test_a_home_folder_of_nobody_is_refused(tmp_path: Path) -> None:
    assert "~nobody-of-this-name" in refusal(tmp_path, SMALLEST.replace(": docs", ": ~nobody-of-this-name/x"))


@pytest.mark.parametrize(
    "line", ["parse_timeout_seconds: .inf", "parse_timeout_seconds: .nan", "worker_processes: 99999"]
)
def test_a_number_without_measure_is_refused(tmp_path: Path, line: str) -> None:
    assert line.partition(":")[0] in refusal(tmp_path, SMALLEST + line)


def test_a_source_that_stands_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    said = refusal(tmp_path, SMALLEST.replace("sources:\n", "sources:\n  docs: {location: other}\n"))
    assert "'docs'" in said
    assert "line 2, column 3 and at line 3, column 3" in said


def test_permission_rules_that_stand_twice_are_refused(tmp_path: Path) -> None:
    rules = '    permission_rules: [{pattern: "hr/**", allowed_principals: [hr]}]\n    "permission_rules": []\n'
    assert "'permission_rules'" in refusal(tmp_path, SMALLEST.replace("embedding_models", rules + "embedding_models"))


def test_a_key_that_stands_twice_in_an_override_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, SMALLEST, {"RAG_PIPELINE__CHUNKING": "{max_tokens: 9, max_tokens: 8}"})
    assert "RAG_PIPELINE__CHUNKING" in said
    assert "'max_tokens'" in said


def test_a_merged_mapping_may_be_overridden(tmp_path: Path) -> None:
    people = "  people:\n    <<: *docs\n    location: people\n"
    text = SMALLEST.replace("docs:\n", "docs: &docs\n").replace("embedding_models", people + "embedding_models")
    (tmp_path / "pipeline.yaml").write_text(text, "utf-8")
    sources = load_pipeline(tmp_path / "pipeline.yaml", {}).settings.sources
    assert [sources[name].location for name in ("docs", "people")] == ["docs", "people"]
    assert sources["people"].allowed_principals == ("public",)


def test_an_override_changes_one_of_two_aliased_sources(tmp_path: Path) -> None:
    text = SMALLEST.replace("docs:\n", "docs: &docs\n").replace("embedding_models", "  people: *docs\nembedding_models")
    (tmp_path / "pipeline.yaml").write_text(text, "utf-8")
    environment = {"RAG_PIPELINE__SOURCES__PEOPLE__LOCATION": "people"}
    sources = load_pipeline(tmp_path / "pipeline.yaml", environment).settings.sources
    assert [sources[name].location for name in ("docs", "people")] == ["docs", "people"]


@pytest.mark.parametrize(
    "text",
    ["[" * 5_000, "a: " + "{b: " * 5_000, "a: 2024-13-45", "a: " + "9" * 5_000, "!!bool x: y", "!!timestamp x", "\x01"],
)
def test_what_is_no_sound_yaml_is_a_settings_error(tmp_path: Path, text: str) -> None:
    assert "pipeline.yaml" in refusal(tmp_path, text)


def test_a_value_that_would_fill_the_memory_is_shown_short(tmp_path: Path) -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 20)]
    said = refusal(tmp_path, "\n".join([SMALLEST, "l0: &l0 [x]", *levels]))
    assert len(said) < 20_000


def test_one_model_under_two_aliases_is_refused(tmp_path: Path) -> None:
    twins: dict[str, dict[str, Any]] = {"small": HASHING, "twin": HASHING | {"batch_texts": 7, "device": "cpu"}}
    with pytest.raises(SettingsError, match=r"embedding_models\.small and embedding_models\.twin"):
        Project.create(tmp_path, embedding_models=twins).pipeline()


def test_one_model_under_two_spellings_of_its_folder_is_refused(tmp_path: Path) -> None:
    twins = {"small": {"model": "m", "folder": "models/m"}, "twin": {"model": "m", "folder": "./models/m"}}
    with pytest.raises(SettingsError, match="the same model"):
        Project.create(tmp_path, embedding_models=twins).pipeline()


def test_models_that_give_other_vectors_are_taken(tmp_path: Path) -> None:
    models = {"small": HASHING, "wide": HASHING | {"dimension": 96}}
    assert (
        Project.create(tmp_path, embedding_models=models).pipeline().settings.embedding_models.keys() == models.keys()
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('allowed_principals: ["fin\\u200bance"]', "type 'finance'"),
        ("allowed_principals: [' ']", "blank"),
        ("include: [' docs/**']", "type 'docs/**'"),
        ("exclude: ['']", "blank"),
        ('permission_rules: [{pattern: "hr/**", allowed_principals: ["hr\\u00ad"]}]', "type 'hr'"),
    ],
)
def test_a_name_or_pattern_that_cannot_be_meant_is_refused(tmp_path: Path, line: str, said: str) -> None:
    text = f"sources:\n  docs:\n    location: docs\n    {line}\n"
    text += "embedding_models: {h: {kind: hashing, model: hashing, dimension: 8}}\nserve: h\n"
    message = refusal(tmp_path, text)
    assert said in message
    assert "sources.docs." in message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "allowed_principals: [public]",
            "allowed_principals: public",
            "sources.docs.allowed_principals: want a list, like [public] (got 'public')",
        ),
        ("location: docs", "locations: docs", "sources.docs.locations: unknown key; did you mean location? allowed: "),
        ("location: docs", "zebra: docs", "sources.docs.zebra: unknown key; allowed: "),
        ("location: docs", "include: ['*.md']", "sources.docs.location: is missing"),
        ("location: docs", "location: docs\n    use_sidecars: maybe", "sources.docs.use_sidecars: want true or false"),
        ("serve: small", "serve: small\nlimits: 3", "limits: want keys with values (got 3)"),
        (
            "serve: small",
            "serve: small\nevaluation: {questions: {a: b}}",
            "evaluation.questions: want a list, like [...]",
        ),
    ],
)
def test_a_problem_is_said_in_the_words_of_yaml(tmp_path: Path, old: str, new: str, said: str) -> None:
    message = refusal(tmp_path, SMALLEST.replace(old, new))
    assert said in message
    assert "Input should" not in message


@pytest.mark.parametrize(
    "line",
    [
        "storage_options: {password: [b0at]}",
        "storage_options: {password: 80047}",
        "storage_options: b0at",
        'location: ["ftp://amy:b0at@host"]',
        "storage_options: {password: b0at: 1: 2}",
        "storage_options: {password: *b0at}",
        "storage_options: {password: !b0at}",
        "storage_options: {password: %b0at}",
        "storage_options: {password: $b0at!}",
    ],
)
def test_a_password_is_in_no_message(tmp_path: Path, line: str) -> None:
    text = f"sources: {{docs: {{location: docs}}, x: {{location: y, {line}}}}}\n" if "location" not in line else ""
    text = text or f"sources: {{docs: {{{line}}}}}\n"
    path = tmp_path / "pipeline.yaml"
    path.write_text(text + "embedding_models: {h: {kind: hashing, model: h, dimension: 8}}\nserve: h\n", "utf-8")
    with pytest.raises(SettingsError) as caught:
        load_pipeline(path, {}).source_spec("x")
    shown = "".join(traceback.format_exception_only(caught.value)) + str(caught.value.facts)
    assert "b0at" not in shown
    assert "80047" not in shown
