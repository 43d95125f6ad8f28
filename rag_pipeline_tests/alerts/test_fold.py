"""What turned bad or good is told once to each sink that takes it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.alerts import LAUNCH, AlertState, Finding, is_told, state_bytes, state_of
from rag_pipeline.settings.alerts import AlertSinkSettings
from rag_pipeline.transforms.alerts import LONGEST_RETRY_SECONDS, MOST_WAITING, failed, folded, is_due

SINKS = {
    "all": AlertSinkSettings(kind="log"),
    "errors": AlertSinkSettings(kind="log", min_severity="error"),
    "docs": AlertSinkSettings(kind="log", sources=("docs",)),
    "team": AlertSinkSettings(kind="log", owners=("team:wiki",)),
    "guard": AlertSinkSettings(kind="log", events=("deletion_guard",)),
}
DOCS = Finding("check:docs", 1, is_bad=True, severity="warning", title="docs", source="docs")
WIKI = Finding("check:wiki", 1, is_bad=True, event="deletion_guard", title="wiki", source="wiki", owners=("team:wiki",))


def fold(
    state: AlertState, *findings: Finding, now: float = 10, sources: tuple[str, ...] = ("docs", "wiki")
) -> AlertState:
    return folded(state, findings, SINKS, now, sources=sources)


def told(state: AlertState) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(m.sink, m.turn, tuple(f.title for f in m.findings)) for m in state.outbox]


def test_each_sink_gets_one_message_with_what_it_takes() -> None:
    state = fold(AlertState(), DOCS, WIKI)
    assert told(state) == [
        ("all", "opened", ("wiki", "docs")),
        ("errors", "opened", ("wiki",)),
        ("docs", "opened", ("docs",)),
        ("team", "opened", ("wiki",)),
        ("guard", "opened", ("wiki",)),
    ]
    assert fold(state, replace(DOCS, at=2), replace(WIKI, at=2)).outbox == state.outbox
    well = fold(replace(state, outbox=()), Finding(DOCS.key, 3))
    assert told(well) == [("all", "resolved", ("docs",)), ("docs", "resolved", ("docs",))]
    assert fold(well, Finding(DOCS.key, 4)).outbox == well.outbox


def test_what_got_worse_is_told_again_and_what_got_better_is_not() -> None:
    state = replace(fold(AlertState(), DOCS), outbox=())
    worse = fold(state, replace(DOCS, at=2, severity="error"))
    assert [m[:2] for m in told(worse)] == [("all", "opened"), ("errors", "opened"), ("docs", "opened")]
    assert fold(worse, replace(DOCS, at=3)).outbox == worse.outbox


def test_what_is_older_is_no_news_and_a_clock_that_ran_ahead_silences_nothing() -> None:
    state = replace(fold(AlertState(), replace(DOCS, at=5), now=10), outbox=())
    assert fold(state, Finding(DOCS.key, 4)) == state
    ahead = fold(AlertState(), Finding(DOCS.key, 100_000), now=10)
    assert told(fold(ahead, replace(DOCS, at=11), now=11))


def test_what_concerns_a_source_that_is_gone_is_over() -> None:
    state = replace(fold(AlertState(), DOCS), outbox=())
    after = fold(state, sources=("wiki",))
    assert not after.open
    assert told(after)[0] == ("all", "resolved", ("docs",))


def test_what_a_check_found_that_is_gone_is_over_and_nothing_else_is() -> None:
    launch = Finding("run:launch", 1, is_bad=True, title="launch")
    state = replace(fold(AlertState(), DOCS, WIKI, launch), outbox=())
    after = folded(state, (), SINKS, 10, sources=("docs", "wiki"), checks={WIKI.key})
    assert set(after.open) == {WIKI.key, launch.key}
    assert told(after)[0] == ("all", "resolved", ("docs",))
    assert set(folded(state, (), SINKS, 10, sources=("docs", "wiki")).open) == set(state.open)


def test_what_happened_once_is_told_once_and_nothing_resolves_it() -> None:
    forced = Finding("forced", 1, is_bad=True, title="forced", lasts=False)
    state = replace(fold(AlertState(), forced), outbox=())
    assert not state.open
    assert not fold(state, forced).outbox
    assert told(fold(state, replace(forced, at=2)))[0] == ("all", "opened", ("forced",))


def test_a_sink_that_is_down_for_long_keeps_the_newest_and_counts_the_rest() -> None:
    state = AlertState()
    for at in range(MOST_WAITING + 5):
        state = fold(state, replace(DOCS, at=2 * at + 1), Finding(WIKI.key, at), now=3 * at + 3)
        state = fold(state, Finding(DOCS.key, 2 * at + 2), now=3 * at + 4)
    mine = [message for message in state.outbox if message.sink == "docs"]
    assert len(mine) == MOST_WAITING
    assert mine[-1].findings[0].at == 2 * (MOST_WAITING + 4) + 2
    assert state.dropped["docs"] == 2 * (MOST_WAITING + 5) - MOST_WAITING
    message = mine[0]
    for _ in range(100):
        message = failed(message, "no", 50)
    assert message.next_at == 50 + LONGEST_RETRY_SECONDS
    assert failed(mine[0], "no", 50, after=700).next_at == 750


def test_a_look_has_nothing_to_tell_where_all_was_told_after_the_run_before() -> None:
    launch = Finding(LAUNCH, 9)
    state = replace(fold(AlertState(), launch, DOCS), outbox=())
    assert is_told(state, since=8, now=10)
    assert not is_told(state, since=9.5, now=10), "nobody told anything after that run"
    assert not is_told(AlertState(), since=0.5, now=10)
    assert not is_told(fold(state, replace(WIKI, at=9.5)), since=8, now=10), "it is over, and was told by somebody else"
    waiting = fold(state, Finding(DOCS.key, 8))
    assert not is_told(waiting, since=8, now=10)
    later = tuple(failed(message, "no", 10) for message in waiting.outbox)
    assert is_told(replace(waiting, outbox=later), since=8, now=10)


looks = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.sampled_from(["warning", "error"])), max_size=12
)


@given(looks, st.lists(st.integers(0, 11), max_size=12))
def test_two_observers_tell_what_one_would(seen: list[tuple[str, bool, str]], again: list[int]) -> None:
    """Each look is folded once, and some of them once more later by another process: no message is added by that."""
    findings = [
        Finding(key, at + 1, is_bad=bad, severity=severity, title=key)  # type: ignore[arg-type]
        for at, (key, bad, severity) in enumerate(seen)
    ]
    once = twice = AlertState()
    for at, finding in enumerate(findings):
        once = fold(once, finding, now=100)
        twice = fold(twice, finding, now=100)
        for other in again:
            if other <= at:
                twice = fold(twice, findings[other], now=100)
    assert twice == once
    assert state_of(state_bytes(once)) == once
    turns = [m.turn for m in once.outbox if m.sink == "all" and m.findings[0].key == "a"]
    bad = [f.is_bad for f in findings if f.key == "a"]
    assert turns.count("resolved") == sum(x and not y for x, y in pairwise(bad))


def test_what_pipeline_yaml_names_no_more_is_over_and_so_is_what_has_its_time() -> None:
    day = Finding("budget:big:None:100", 1, is_bad=True, event="budget", title="big", until=100)
    stream = Finding("hints:k of redis://a", 1, is_bad=True, event="hints", title="stream")
    state = replace(fold(AlertState(), day, stream), outbox=())
    assert state_of(state_bytes(state)) == state

    def after(now: float, *findings: Finding, outside: tuple[str, ...] = (day.key, stream.key)) -> AlertState:
        return folded(state, findings, SINKS, now, sources=(), outside=outside)

    assert set(after(99).open) == {day.key, stream.key}
    assert set(after(100).open) == {stream.key}
    assert told(after(100)) == [("all", "resolved", ("big",)), ("errors", "resolved", ("big",))]
    # Spent again before anybody looked: it is as bad as it was.
    assert not after(100, replace(day, at=99, until=200)).outbox
    assert set(after(50, outside=(stream.key,)).open) == {stream.key}
    assert set(after(50, outside=(day.key, "hints:k of redis://b")).open) == {day.key}
    assert set(fold(state, now=50).open) == {day.key, stream.key}, "what there is was not said"


def test_a_run_that_only_looked_tells_that_the_time_of_something_is_over() -> None:
    day = Finding("budget:big:None:100", 1, is_bad=True, event="budget", until=100)
    state = replace(fold(AlertState(), day, Finding(LAUNCH, 2)), outbox=())
    assert is_told(state, since=2, now=99)
    assert not is_told(state, since=2, now=100)


def test_a_message_waits_no_longer_than_it_would_by_a_clock_that_is_right() -> None:
    [message, *_] = fold(AlertState(), DOCS).outbox
    assert is_due(message, 10)
    later = failed(message, "down", 100)
    assert not is_due(later, 100)
    assert is_due(later, later.next_at)
    # It failed a day ahead of now.
    assert is_due(failed(message, "down", 86_400), 100)
