"""A figure is unusual by the weeks before and by its weekday, and nothing is where there is no history."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.history import Snapshot, SourceFigures, line_of, newest_lines, snapshots_of
from rag_pipeline.transforms.fields import FIELDS_NAMED, field_figures, fields_moved
from rag_pipeline.transforms.history import (
    Moved,
    ReadersMoved,
    languages_moved,
    lengths_moved,
    notable_readers,
    openness_moved,
    quality_moved,
    readers_moved,
    refusals_moved,
    volumes_moved,
)

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
LOOKS = (
    volumes_moved, refusals_moved, languages_moved, lengths_moved, openness_moved, quality_moved, fields_moved
)  # fmt: skip
USUAL = {"documents": 100, "chunks": 400, "bytes": 10**6, "public": 50, "tokens_p50": 200.0, "tokens_p90": 300.0}


def at(days: float, **figures: Any) -> Snapshot:
    """The state of so many days ago."""
    return Snapshot(NOW - timedelta(days=days), f"r{days}", f"s{days}", {"docs": SourceFigures(**USUAL | figures)})


def month(**now: Any) -> list[Snapshot]:
    """A month of days that are alike, and another state of now."""
    return [*(at(days, documents=100 + days % 3) for days in range(30, 0, -1)), at(0, **now)]


def test_what_is_as_usual_moves_nothing_and_neither_does_a_young_lake() -> None:
    for look in LOOKS:
        assert look(month(), NOW) == []
        assert look([], NOW) == []
        assert look([at(3), at(0, documents=9_000, chunks=1, public=0, tokens_p50=1.0)], NOW) == []


def test_half_and_twice_of_a_source_are_seen_and_a_few_more_are_not() -> None:
    assert volumes_moved(month(documents=201), NOW) == []
    assert volumes_moved(month(documents=300, chunks=100), NOW) == [
        Moved("docs", "documents", 300, 101), Moved("docs", "chunks", 100, 400),
    ]  # fmt: skip
    few = [at(30, documents=4), at(0, documents=16)]
    assert volumes_moved(few, NOW) == []
    assert volumes_moved([at(30), at(0, documents=0, chunks=0, bytes=0)], NOW) != []


def test_a_weekday_that_is_always_so_is_usual() -> None:
    weekly = [at(days, documents=500 if days % 7 == 0 else 100) for days in range(30, 0, -1)]
    assert volumes_moved([*weekly, at(0, documents=500)], NOW) == []
    assert volumes_moved([*weekly, at(0, documents=1_500)], NOW) == [Moved("docs", "documents", 1_500, 100)]


def test_what_is_new_is_usual_after_ten_days() -> None:
    grown = [at(30), *(at(days, documents=900) for days in range(11, -1, -1))]
    assert volumes_moved(grown, NOW) == []
    assert volumes_moved([at(30), at(5, documents=900), at(0, documents=900)], NOW) != []


def test_reasons_languages_lengths_and_openness_are_held_to_their_shares() -> None:
    assert refusals_moved(month(refused={"encrypted": 30}), NOW) == [
        Moved("docs", "refused as encrypted", 30 / 130, 0.0, is_share=True)
    ]
    assert refusals_moved(month(refused={"encrypted": 4}), NOW) == []
    mixed = [at(20, languages={"en": 90, "de": 10}), at(0, languages={"en": 40, "": 50, "de": 10})]
    assert [(each.what, each.now) for each in languages_moved(mixed, NOW)] == [
        ("in no known language", 0.5), ("in en", 0.4),
    ]  # fmt: skip
    assert [each.what for each in lengths_moved(month(tokens_p50=90.0), NOW)] == ["tokens in the median chunk"]
    assert [each.what for each in openness_moved(month(public=100, closed=30), NOW)] == [
        "public",
        "closed to everybody",
    ]


def schema(*documents: object, times: int = 40, **rest: Any) -> dict[str, Any]:
    """Figures of documents with such metadata."""
    names, fields = field_figures(json.dumps(each) for each in [*documents] * times)
    return {"sampled": len(documents) * times, "field_names": names, "fields": fields, "quality_mean": 0.9} | rest


def told(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, float]]:
    found: Iterable[Moved] = fields_moved([*(at(days, **before) for days in range(30, 0, -1)), at(0, **now)], NOW)
    return [(each.what, each.now) for each in found]


def test_a_field_that_vanishes_or_has_values_of_another_type_is_seen_and_its_values_are_nowhere() -> None:
    usual = schema({"author": "Ann", "pages": 3, "draft": None}, {"author": "Bob", "pages": 4.5})
    assert usual["fields"] == {"number pages": 80, "text author": 80}
    assert told(usual, usual) == []
    assert told(usual, schema({"pages": 3})) == [("with the field author", 0.0)]
    assert told(usual, schema({"author": "Ann", "pages": "3"})) == [
        ("of the values of the field pages are of type text", 1.0)
    ]
    # A third of them is somebody's own matter, and so are a new field, no documents at all, and a handful.
    for other in (
        schema({"author": "Ann", "pages": 3}, {"author": "Ann", "pages": 4}, {"author": "Ann", "pages": "5"}),
        schema({"author": "Ann", "pages": 3, "tags": []}),
        schema(),
        schema({"pages": "3"}, times=19),
    ):
        assert told(usual, other) == []


def test_a_flood_of_fields_is_seen_and_names_that_few_have_or_nobody_would_write_are_not_kept() -> None:
    flood = schema(*({f"row {number}": 1, "author": "Ann"} for number in range(90)), times=1)
    assert flood["fields"] == {"text author": 90}
    assert told(schema({"author": "Ann"}), flood) == [("different fields of metadata", 91)]
    assert told(flood, schema({"author": "Ann"})) == []
    names, kept = field_figures(json.dumps({f"f{number}": 1 for number in range(300)} | {"x" * 61: 1}) for _ in "abc")
    assert (names, len(kept)) == (301, FIELDS_NAMED)
    assert field_figures([None, "", "[1]", '"text"', "3"]) == (0, {})


def test_quality_that_falls_is_seen_above_each_threshold_and_better_texts_are_not() -> None:
    def seen(mean: float, low: int) -> list[tuple[str, float]]:
        before = [at(days, sampled=100, quality_mean=0.95, low_quality=2) for days in range(30, 0, -1)]
        moved = quality_moved([*before, at(0, sampled=100, quality_mean=mean, low_quality=low)], NOW)
        return [(each.what, each.now) for each in moved]

    assert seen(0.95, 2) == seen(1.0, 0) == seen(0.9, 10) == []
    assert seen(0.8, 2) == [("quality on average", 0.8)]
    assert seen(0.9, 30) == [("of low quality", 0.3)]


def test_what_an_older_version_recorded_is_no_history_of_figures_that_it_did_not_have() -> None:
    old = [at(days) for days in range(30, 0, -1)]
    now = at(0, **schema({f"f{number}": 1 for number in range(60)}, quality_mean=0.1, low_quality=40))
    assert fields_moved([*old, now], NOW) == quality_moved([*old, now], NOW) == []


def test_a_reader_of_much_that_appears_or_vanishes_is_named_for_a_day() -> None:
    before = at(2, readers={"a": 9, "b": 9})
    assert readers_moved([before, at(0, readers={"a": 9, "c": 9})], NOW) == [ReadersMoved("docs", ("c",), ("b",))]
    assert readers_moved([before, at(1.5, readers={"a": 9, "c": 9}), at(0, readers={"a": 9, "c": 8})], NOW) == []
    assert readers_moved([at(0.5, readers={"a": 9}), at(0)], NOW) == []
    assert notable_readers({"a": 3, "b": 2, "c": 50}, 20) == {"a": 3, "c": 50}
    assert notable_readers({"a": 3, "c": 50}, 1_000) == {"c": 50}


def test_however_often_runs_are_weeks_are_kept_and_few_lines() -> None:
    """Every five minutes a run that changed something: what is kept still says what was usual three weeks ago."""
    often = [at(minutes / 1_440, documents=5_000 + minutes % 2) for minutes in range(50 * 1_440, 0, -5)]
    kept = snapshots_of(newest_lines(b"".join(map(line_of, often))))
    assert len(kept) <= 100
    assert timedelta(days=41) <= kept[-1].at - kept[0].at <= timedelta(days=42)
    assert kept[-1] == often[-1]
    moved = volumes_moved([*kept, at(0, documents=100)], NOW)
    assert [(each.what, each.now) for each in moved] == [("documents", 100)]
    # To look again takes nothing more away.
    assert snapshots_of(newest_lines(b"".join(map(line_of, kept)))) == kept


junk = st.binary(max_size=40) | st.sampled_from([b"{}", b"[]", b"null", b'{"at": 3}', b'{"sources": {"a": 1}}'])


@given(st.lists(junk, max_size=5))
def test_whatever_stands_in_the_file_sound_lines_are_read(lines: list[bytes]) -> None:
    sound = at(1, refused={"encrypted": 2}, readers={"a": 3})
    assert sound in snapshots_of(b"\n".join([*lines, line_of(sound)]))
    assert newest_lines(line_of(sound)) == line_of(sound)


def test_a_figure_that_is_none_makes_a_line_no_snapshot() -> None:
    def line(figures: Mapping[str, Any]) -> bytes:
        return line_of(at(1)).replace(b'"closed": 0', b'"closed": ' + str(figures["closed"]).encode())

    assert len(snapshots_of(line({"closed": 7}))) == 1
    for wrong in ("-1", "NaN", "true", '"x"', "null"):
        assert snapshots_of(line({"closed": wrong})) == []
