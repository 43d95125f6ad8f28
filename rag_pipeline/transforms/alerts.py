"""What follows from findings: what turned bad or good, and who is told.

Belongs here: one look folded into the state, the filters of sinks, when to try again.
Does not belong here: finding anything out (`defs/alerts.py`), the file (`stores/alerts.py`), sending (`alerts/`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rag_pipeline.contracts.alerts import (
    BUDGET_PREFIX,
    HINTS_PREFIX,
    SINK_PREFIX,
    AlertState,
    Finding,
    Message,
    Turn,
)
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.settings.alerts import AlertSinkSettings
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE

# A sink that is down for weeks must not fill the file that every look reads.
MOST_WAITING = 200
# First and longest distance between attempts.
FIRST_RETRY_SECONDS = 30.0
LONGEST_RETRY_SECONDS = 6 * 3_600.0
_RANK = {"warning": 0, "error": 1}
_NEVER = float("-inf")
# Keys of findings of checks begin with it.
CHECK_PREFIX = "check:"


def folded(
    state: AlertState,
    findings: Iterable[Finding],
    sinks: Mapping[str, AlertSinkSettings],
    now: float,
    *,
    sources: Iterable[str],
    looked: Mapping[str, float] | None = None,
    checks: Collection[str] | None = None,
    outside: Collection[str] | None = None,
) -> AlertState:
    """The state after a look, with a message in the outbox to each sink for what turned bad, and one for what is well.

    What is as bad as it was is told to nobody again; what got worse is. A finding that is not newer than what is known
    of its key is no news, so looks of several processes may overtake each other. However much turns at once, it is one
    message.

    Args:
        sources: Those of pipeline.yaml now; what concerns another one is over.
        looked: How far records were read, where that is new.
        checks: Keys of all checks that there are, where that is known; what another one found is over.
        outside: The same of budgets and of the stream of hints.
    """
    known = _Known(set(sources), set(sinks), checks, outside)
    opened, seen = dict(state.open), dict(state.seen)
    turned_bad: list[Finding] = []
    turned_good: list[Finding] = []
    for finding in _newest(findings, seen, now):
        seen[finding.key] = finding.at
        before = opened.get(finding.key)
        if not finding.is_bad:
            if before is not None:
                turned_good.append(replace(opened.pop(finding.key), at=finding.at, run_id=finding.run_id))
            continue
        if before is None or _RANK[finding.severity] > _RANK[before.severity]:
            turned_bad.append(finding)
        if finding.lasts:
            opened[finding.key] = finding
    for key, finding in list(opened.items()):
        if over := known.why_over(finding, now):
            turned_good.append(replace(opened.pop(key), at=now, found=over))
    after = replace(state, open=opened, seen=seen, looked={**state.looked, **(looked or {})})
    return _with_messages(state, after, turned_bad, turned_good, sinks, now)


@dataclass(frozen=True, slots=True)
class _Known:
    """What there is, so that nothing stays open for what there is no more; None: that is not known."""

    sources: Collection[str]
    sinks: Collection[str]
    checks: Collection[str] | None
    outside: Collection[str] | None

    def why_over(self, finding: Finding, now: float) -> str:
        """Why something that is open has ended, whether or not anything is found of it; empty: it has not."""
        key = finding.key
        if finding.source and finding.source not in self.sources:
            return "The source is no longer in pipeline.yaml."
        if key.startswith(SINK_PREFIX) and key.removeprefix(SINK_PREFIX) not in self.sinks:
            return "The sink is no longer in pipeline.yaml."
        if self.checks is not None and key.startswith(CHECK_PREFIX) and key not in self.checks:
            return "The check, or its model, is no longer there."
        if self.outside is not None and key.startswith((BUDGET_PREFIX, HINTS_PREFIX)) and key not in self.outside:
            return "pipeline.yaml no longer says so, or says it otherwise."
        return "The time for which it was so is over." if 0 < finding.until <= now else ""


def _newest(findings: Iterable[Finding], seen: Mapping[str, float], now: float) -> list[Finding]:
    """The newest finding of each key, without those that are no news, in the order in which they were found."""
    newest: dict[str, Finding] = {}
    for finding in findings:
        last = newest[finding.key].at if finding.key in newest else seen.get(finding.key, _NEVER)
        # A clock that ran ahead once must not silence everything until the others have caught up.
        if finding.at > (_NEVER if last > now + CLOCK_TOLERANCE.total_seconds() else last):
            newest[finding.key] = finding
    return sorted(newest.values(), key=lambda finding: (finding.at, finding.key))


def _with_messages(
    before: AlertState,
    state: AlertState,
    bad: Sequence[Finding],
    good: Sequence[Finding],
    sinks: Mapping[str, AlertSinkSettings],
    now: float,
) -> AlertState:
    told = {key: names for key, names in state.told.items() if key in state.open}
    outbox = [message for message in state.outbox if message.sink in sinks]
    for name, sink in sinks.items():
        # A sink that takes nothing is told to the others; it would take that no better.
        wanted = [finding for finding in bad if wants(sink, finding) and finding.key != SINK_PREFIX + name]
        for finding in wanted:
            if finding.key in state.open:
                told[finding.key] = tuple(dict.fromkeys((*told.get(finding.key, ()), name)))
        # Whoever was not told that it is bad need not be told that it is good.
        ended = [finding for finding in good if name in before.told.get(finding.key, ())]
        turns: tuple[tuple[Turn, list[Finding]], ...] = (("opened", wanted), ("resolved", ended))
        outbox += [message_of(name, turn, found, now) for turn, found in turns if found]
    kept, dropped = _bounded(outbox, state.dropped)
    return replace(state, told=told, outbox=tuple(kept), dropped={n: c for n, c in dropped.items() if n in sinks})


def _bounded(outbox: Sequence[Message], before: Mapping[str, int]) -> tuple[list[Message], dict[str, int]]:
    kept, dropped = list(outbox), dict(before)
    for name in {message.sink for message in outbox}:
        mine = [message for message in outbox if message.sink == name]
        for message in mine[: len(mine) - MOST_WAITING] if len(mine) > MOST_WAITING else ():
            kept.remove(message)
            dropped[name] = dropped.get(name, 0) + 1
    return kept, dropped


def message_of(sink: str, turn: Turn, findings: Sequence[Finding], now: float) -> Message:
    """A message; the worst stands first, then what was found first."""
    ordered = tuple(sorted(findings, key=lambda finding: (-_RANK[finding.severity], finding.at, finding.key)))
    keys = (f"{finding.key}@{finding.at}" for finding in ordered)
    return Message(fingerprint("alert", sink, turn, *keys), sink, turn, now, ordered)


def wants(sink: AlertSinkSettings, finding: Finding) -> bool:
    """Whether a sink takes a finding, by severity, event, source and owner."""
    return (
        _RANK[finding.severity] >= _RANK[sink.min_severity]
        and (not sink.events or finding.event in sink.events)
        and (not sink.sources or finding.source in sink.sources)
        and (not sink.owners or bool(set(sink.owners) & set(finding.owners)))
    )


def given_up(message: Message, state: AlertState) -> AlertState:
    """The state without a message that its sink will never take; it is counted."""
    kept = tuple(other for other in state.outbox if other.id != message.id)
    return replace(state, outbox=kept, dropped={**state.dropped, message.sink: state.dropped.get(message.sink, 0) + 1})


def redacted(state: AlertState, redact: Callable[[str], str]) -> AlertState:
    """The state with every text that people read passed through a function; keys, ids and times stay."""

    def of(finding: Finding) -> Finding:
        title, means, found, do = map(redact, (finding.title, finding.means, finding.found, finding.next_step))
        return replace(finding, title=title, means=means, found=found, next_step=do)

    outbox = [replace(m, findings=tuple(map(of, m.findings)), error=redact(m.error)) for m in state.outbox]
    return replace(state, open={key: of(finding) for key, finding in state.open.items()}, outbox=tuple(outbox))


def is_due(message: Message, now: float) -> bool:
    """Whether a message is to be sent now; a time that no waiting leads to is of a clock that was ahead."""
    return not now < message.next_at <= now + LONGEST_RETRY_SECONDS


def failed(message: Message, error: str, now: float, *, after: float = 0.0) -> Message:
    """A message that could not be sent, to be tried again at growing distance.

    Args:
        after: Seconds that the receiver asked to wait.
    """
    # A counter that grew for years must not overflow.
    doubled = FIRST_RETRY_SECONDS * 2 ** min(message.attempts, 20)
    wait = min(max(doubled, after), LONGEST_RETRY_SECONDS)
    return replace(message, attempts=message.attempts + 1, next_at=now + wait, error=error)
