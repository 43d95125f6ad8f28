"""What is told to the people on duty, and what stands in the file that remembers it.

Belongs here: findings, messages, the state of alerts, and their form as JSON.
Does not belong here: what follows from a finding (`transforms/alerts.py`), sending (`alerts/`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Severity = Literal["warning", "error"]
Event = Literal["run", "check", "freshness", "publication", "deletion_guard", "budget", "hints", "test"]
Turn = Literal["opened", "resolved"]

# Key of whether a run could be made at all.
LAUNCH = "run:launch"
# Keys of what chat models may cost, and of the stream of hints, begin with one of them.
BUDGET_PREFIX, HINTS_PREFIX = "budget:", "hints:"
# Keys of whether a sink takes messages begin with it.
SINK_PREFIX = "sink:"
ALERTS_FILE = "alerts.json"
# Beside it: of whoever changes it, and of whoever sends.
ALERTS_LOCKS = (".alerts.lock", ".alerts.sending.lock")
# Raise it when an older reader would misread the file.
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one thing that can be wrong, at one moment.

    Attributes:
        key: Names the thing, like `check:source/docs:source_answers`; of findings with one key the newest counts.
        at: When it was found, seconds since 1970.
        is_bad: Something is wrong; else it is known to be well, and only `key` and `at` count.
        lasts: It stays wrong until it is found well; else it happened once, and nothing resolves it.
        means, found: What it means in general, and what was found this time.
        next_step: What to type or do; may be empty.
        source, owners: Whom it concerns; may be empty.
        asset: Asset key with slashes, without the prefix of a merged project.
        runbook: Anchor in docs/runbook.md.
        until: When it is over by itself, seconds since 1970; 0: when it is found well.
    """

    key: str
    at: float
    is_bad: bool = False
    event: Event = "check"
    severity: Severity = "error"
    title: str = ""
    means: str = ""
    found: str = ""
    next_step: str = ""
    source: str = ""
    owners: tuple[str, ...] = ()
    asset: str = ""
    run_id: str = ""
    runbook: str = ""
    lasts: bool = True
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one sink: what turned bad, or good, in one look.

    Attributes:
        id: The same however often it is sent, so that a receiver can tell a double.
        attempts, next_at, error: How sending it went so far; seconds since 1970.
    """

    id: str
    sink: str
    turn: Turn
    at: float
    findings: tuple[Finding, ...]
    attempts: int = 0
    next_at: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class AlertState:
    """What was told and what has still to be sent.

    Attributes:
        open: What is wrong, by key.
        told: By key of what is open, the sinks that were told.
        seen: By key, when it was last found bad or good, so that what is older is no news.
        looked: How far a record of things that happen was read, by its name.
        outbox: What waits to be sent, oldest first.
        dropped: By sink, messages that were given up: too many waited, or it refuses what they say.
    """

    open: Mapping[str, Finding] = field(default_factory=dict)
    told: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)
    looked: Mapping[str, float] = field(default_factory=dict)
    outbox: tuple[Message, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


def is_told(state: AlertState, since: float, now: float) -> bool:
    """Whether everything that was wrong at a moment was told after it, nothing else since, and no message is due.

    Args:
        since: Seconds since 1970; a run had ended by then, and nothing happened after it.
    """
    told_at = state.seen.get(LAUNCH, 0.0)
    is_due = any(message.next_at <= now for message in state.outbox)
    is_over = any(0 < finding.until <= now for finding in state.open.values())
    is_quiet = not is_due and not is_over
    return told_at >= since and is_quiet and all(finding.at <= told_at for finding in state.open.values())


def state_bytes(state: AlertState) -> bytes:
    """The state as the bytes of its file."""
    record = {"format": _FORMAT, **asdict(state)}
    return (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def state_of(content: bytes) -> AlertState:
    """The state out of the bytes of its file.

    Raises:
        ValueError: They are damaged.
    """
    try:
        record = json.loads(content)
        return AlertState(
            open={str(key): _finding(value) for key, value in record["open"].items()},
            told={str(key): tuple(map(str, value)) for key, value in record["told"].items()},
            seen={str(key): float(value) for key, value in record["seen"].items()},
            looked={str(key): float(value) for key, value in record["looked"].items()},
            outbox=tuple(_message(value) for value in record["outbox"]),
            dropped={str(key): int(value) for key, value in record["dropped"].items()},
        )
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"damaged ({type(error).__name__})") from error


def _finding(value: Mapping[str, Any]) -> Finding:
    known = {name: value[name] for name in (f.name for f in fields(Finding)) if name in value}
    return Finding(**known | {"owners": tuple(value.get("owners", ())), "at": float(value["at"])})


def _message(value: Mapping[str, Any]) -> Message:
    known = {name: value[name] for name in (f.name for f in fields(Message)) if name in value}
    found = tuple(map(_finding, value["findings"]))
    return Message(
        **known | {"findings": found, "attempts": int(value["attempts"]), "next_at": float(value["next_at"])}
    )
