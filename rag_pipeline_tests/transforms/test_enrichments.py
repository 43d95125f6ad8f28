"""Which texts are read, what documents then say, and labels by words and by nearness: without a lake or a model."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.enrichments import Enrichment
from rag_pipeline.transforms.enrichments import (
    enriched_documents,
    failed_at,
    labels_by_nearness,
    labels_by_rules,
    moved_shares,
    refused_texts,
    texts_due,
)
from rag_pipeline.transforms.facts import facts_of

TOPIC = Enrichment(
    name="topic",
    kind="rules",
    fields=("topic",),
    recipe="r1",
    labels=(("pumps", ("pump", "red lever")), ("lamps", ("lamp", "C++"))),
)
NOW = datetime(2026, 3, 9, tzinfo=UTC)
STATE = {name: pl.String for name in ("recipe", "input_hash", "value", "reason_code", "asked_as")}


def documents(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["document_id", "source", "media_type", "content_hash"], orient="row")


def state(*rows: tuple[str, str, str | None, str | None, str], at: datetime = NOW) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=STATE, orient="row").with_columns(computed_at=pl.lit(at))


DOCUMENTS = documents(
    ("d3", "docs", "text/plain", "h1"), ("d1", "docs", "text/plain", "h1"), ("d2", "wiki", "text/html", "h2")
)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The PUMP stands here.", "pumps"),
        ("Pull the red\n  Lever.", "pumps"),
        ("Pumps and pumping, lamppost.", "none"),
        ("Written in C++, mostly.", "lamps"),
        ("A lamp beside a pump.", "pumps"),
        ("", "none"),
    ],
)
def test_a_rule_finds_words_as_words_and_the_first_label_counts(text: str, label: str) -> None:
    assert labels_by_rules(TOPIC, None, text) == [label]


def test_a_title_is_read_too_and_many_labels_are_given_where_many_may_be() -> None:
    assert labels_by_rules(TOPIC, "On lamps: a lamp", "") == ["lamps"]
    assert labels_by_rules(replace(TOPIC, takes_many=True), "lamp", "pump") == ["pumps", "lamps"]


def test_the_nearest_prototype_decides_and_what_is_near_none_is_none() -> None:
    unit = np.eye(3, dtype=np.float32)
    prototypes = {"east": unit[:1], "north": unit[1:2]}
    texts = np.stack([unit[0], 0.8 * unit[1] + 0.6 * unit[0], unit[2]])
    nearest = replace(TOPIC, kind="nearest", threshold=0.5)
    assert labels_by_nearness(nearest, texts, prototypes) == [["east"], ["north"], ["none"]]
    several = labels_by_nearness(replace(nearest, takes_many=True), texts, prototypes)
    assert several == [["east"], ["north", "east"], ["none"]]


def test_a_text_is_read_once_however_many_documents_have_it() -> None:
    due = texts_due(DOCUMENTS, TOPIC, state(), NOW)
    assert due.rows() == [("d1", "h1"), ("d2", "h2")]
    assert texts_due(DOCUMENTS, TOPIC, state(("r1", "h1", "[]", None, "")), NOW).rows() == [("d2", "h2")]
    assert texts_due(DOCUMENTS, replace(TOPIC, sources=("wiki",)), state(), NOW).rows() == [("d2", "h2")]
    assert texts_due(DOCUMENTS, replace(TOPIC, media_types=("text/plain",)), state(), NOW).rows() == [("d1", "h1")]


def test_what_came_to_nothing_is_read_again_once_the_model_is_asked_otherwise() -> None:
    rows = state(("r1", "h1", None, "cut_short", "short"), ("r0", "h2", "[]", None, "short"))
    asked = replace(TOPIC, asked_as="short")
    assert texts_due(DOCUMENTS, asked, rows, NOW)["content_hash"].to_list() == ["h2"]
    assert texts_due(DOCUMENTS, replace(TOPIC, asked_as="long"), rows, NOW)["content_hash"].to_list() == ["h1", "h2"]
    assert refused_texts(DOCUMENTS, asked, rows)["reason_code"].to_list() == ["cut_short"]
    gone = DOCUMENTS.filter(pl.col("content_hash") != "h1")
    assert refused_texts(gone, asked, rows).is_empty()


def test_what_a_server_failed_at_is_asked_about_again_a_day_later() -> None:
    rows = state(("r1", "h1", None, "server_failed", ""), ("r1", "h2", None, "reading_refused", ""))
    assert texts_due(DOCUMENTS, TOPIC, rows, NOW + timedelta(hours=23)).is_empty()
    assert texts_due(DOCUMENTS, TOPIC, rows, NOW + timedelta(hours=24))["content_hash"].to_list() == ["h1"]
    assert failed_at(rows) == [NOW]
    # It failed by a clock that was ahead.
    assert texts_due(DOCUMENTS, TOPIC, rows, NOW - timedelta(days=1))["content_hash"].to_list() == ["h1"]


def test_of_a_source_that_hides_secrets_nothing_sensitive_is_shown_that_a_model_put_together() -> None:
    rows = state(("r1", "h1", '["ada@example.org"]', None, ""), ("r1", "h2", '["ada@example.org"]', None, ""))
    said = enriched_documents(DOCUMENTS, [TOPIC], rows, hiding=["docs"])
    assert {name: json.loads(text or "null")["topic"] for name, text in said.items()} == {
        "d1": ["[redacted:email]"],
        "d3": ["[redacted:email]"],
        "d2": ["ada@example.org"],
    }


def test_documents_say_what_was_read_and_of_a_name_without_a_reading_nothing() -> None:
    owner = replace(TOPIC, name="owner", recipe="r2", fields=("owner", "cost"), sources=("wiki",))
    rows = state(("r1", "h1", '["lamps"]', None, ""), ("r2", "h2", '{"owner": ["ada"], "spy": ["x"]}', None, ""))
    said = enriched_documents(DOCUMENTS, [TOPIC, owner], rows)
    assert {name: json.loads(text or "null") for name, text in said.items()} == {
        "d1": {"topic": ["lamps"]},
        "d3": {"topic": ["lamps"]},
        "d2": {"topic": [], "owner": ["ada"], "cost": []},
    }
    assert enriched_documents(DOCUMENTS, [], rows) == dict.fromkeys(("d1", "d2", "d3"))


def test_a_document_cannot_label_itself() -> None:
    declared = json.dumps({"extra": {"topic": "pumps", "Topic": "lamps", "status": "final"}})
    own = facts_of('{"topic": "own"}', declared)
    assert "topic=pumps" in own or "topic=lamps" in own
    assert facts_of('{"topic": "own"}', declared, '{"topic": ["none"]}') == [
        "topic",
        "topic=none",
        "status",
        "status=final",
    ]
    assert not [fact for fact in facts_of("{}", declared, '{"topic": []}') if fact.startswith("topic")]


def read(source: str, counts: dict[str, int], days_ago: int) -> pl.DataFrame:
    labels = [label for label, count in counts.items() for _ in range(count)]
    at = datetime(2026, 3, 9, tzinfo=UTC) - timedelta(days=days_ago)
    return pl.DataFrame({"source": source, "label": labels, "computed_at": [at] * len(labels)})


def test_a_share_that_moves_is_said_where_there_are_texts_enough() -> None:
    since = datetime(2026, 3, 8, tzinfo=UTC)
    rows = pl.concat(
        [
            read("docs", {"pumps": 30, "lamps": 30}, 9),
            read("docs", {"pumps": 36, "none": 4}, 0),
            read("few", {"pumps": 40}, 9),
            read("few", {"lamps": 29}, 0),
            read("same", {"pumps": 40}, 9),
            read("same", {"pumps": 33, "lamps": 7}, 0),
        ]
    )
    moved = moved_shares(TOPIC, rows, since)
    assert [(each.source, each.label, each.before, each.now) for each in moved] == [
        ("docs", "lamps", 0.5, 0.0),
        ("docs", "pumps", 0.5, 0.9),
    ]
    assert moved_shares(TOPIC, rows.filter(pl.col("computed_at") >= since), since) == [], "a first load"


@given(st.lists(st.sampled_from("abcd"), max_size=8), st.sets(st.sampled_from("abcd")))
def test_what_is_due_and_what_is_known_are_all_texts_and_share_none(texts: list[str], read: set[str]) -> None:
    frame = documents(*((f"d{at}", "docs", "text/plain", text) for at, text in enumerate(texts)))
    rows = state(*(("r1", text, "[]", None, "") for text in sorted(read)))
    due = texts_due(frame.with_columns(pl.all().cast(pl.String)), TOPIC, rows, NOW)["content_hash"].to_list()
    assert due == sorted(set(texts) - read)
