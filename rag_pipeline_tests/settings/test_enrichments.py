"""`enrichments` of pipeline.yaml: what is taken, and what is refused with the path of the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline.settings import load_pipeline
from rag_pipeline_tests.settings.test_values import SMALLEST, refusal

CHAT = "chat_models: {big: {model: m}}\n"


def entry(text: str) -> str:
    return f"{SMALLEST}{CHAT}enrichments: {{topic: {{{text}}}}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: rules", "enrichments.topic.labels"),
        ("labels: {}", "enrichments.topic.labels"),
        ("labels: {none: [x y]}", "'none' is what a text without any label gets"),
        ("labels: {a: []}", "enrichments.topic.labels.a"),
        (
            "labels: {a: xy}, prompt: p.txt",
            "enrichments.topic.prompt: unknown key; allowed: field, kind, labelled, labels",
        ),
        ("labels: {a: xy}, field: Two Words", "enrichments.topic.field"),
        ("labels: {a: xy}, field: allowed_principals", "never says who may read"),
        ("labels: {a: xy}, sources: [wiki]", "enrichments.topic.sources: 'wiki' is not a source; allowed: docs"),
        ("kind: nearest, labels: {a: xy}, threshold: 2", "enrichments.topic.threshold"),
        ("kind: nearest, labels: {a: xy}, model: big", "enrichments.topic.model: 'big' is not an embedding model"),
        ("kind: classify, labels: {a: xy}", "enrichments.topic.model"),
        ("kind: classify, model: small, labels: {a: xy}", "'small' is not a chat model; chat_models: big"),
        ("kind: extract, model: big, fields: {}", "enrichments.topic.fields"),
        ("kind: extract, model: big, fields: {a: {type: money}}", "enrichments.topic.fields.a.type"),
        (
            "kind: extract, model: big, fields: {a: {typ: text}}",
            "unknown key; did you mean type? allowed: description, many, type, values",
        ),
        ("kind: extract, model: big, fields: {a: {type: number, values: [x]}}", "values are for type text"),
        ("kind: guess, labels: {a: xy}", "enrichments.topic"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(tmp_path: Path, text: str, said: str) -> None:
    message = refusal(tmp_path, entry(text))
    assert said in message
    assert "enrichments.topic" in message


def test_two_enrichments_never_fill_one_field(tmp_path: Path) -> None:
    text = f"{SMALLEST}enrichments: {{topic: {{labels: {{a: xy}}}}, other: {{labels: {{a: xy}}, field: topic}}}}\n"
    assert "enrichments.other and enrichments.topic both fill 'topic'" in refusal(tmp_path, text)


def test_the_smallest_entry_is_a_rule_and_one_phrase_needs_no_list(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(entry("labels: {invoice: amount due}"))
    topic = load_pipeline(path, {}).settings.enrichments["topic"]
    assert (topic.kind, topic.labels) == ("rules", {"invoice": ("amount due",)})  # type: ignore[union-attr]
