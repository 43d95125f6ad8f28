"""One look: fold what was found into the state, and send what waits.

Belongs here: the order of writing and sending, and how long sending may take.
Does not belong here: what follows from a finding (`transforms/alerts.py`), finding anything out (`defs/alerts.py`).

A message is in the file before it is sent, and leaves it when it was: a process that is killed between the two sends it
once more, under the same id, and none is lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from rag_pipeline.alerts.outside import outside_findings
from rag_pipeline.alerts.sinks import send
from rag_pipeline.contracts.alerts import SINK_PREFIX, AlertState, Finding, Message
from rag_pipeline.errors import AlertUndeliverable, RagPipelineError
from rag_pipeline.refresh.outside import outside_keys
from rag_pipeline.refresh.polls import NEVER_POLLED, PollStatus, poll_statuses
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.alerts import AlertFile
from rag_pipeline.transforms.alerts import CHECK_PREFIX, failed, folded, given_up, is_due, message_of

log = logging.getLogger(__name__)

# A run waits for this; what is not sent by then is sent after the next one.
SENDING_SECONDS = 30.0
# Of what is open, in one sentence.
MOST_TITLES = 5
OVERDUE_CHECK = "polled_in_time"

Sender = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Told:
    """What one look did; counts are messages.

    Attributes:
        titles: Of what is open, the worst first.
    """

    sent: int = 0
    waiting: int = 0
    open: int = 0
    titles: tuple[str, ...] = ()

    def sentence(self) -> str:
        named = "; ".join(self.titles[:MOST_TITLES]) + (" ..." if len(self.titles) > MOST_TITLES else "")
        what = f" ({named})" if named else ""
        return f"{self.open:,} open{what}; {self.sent:,} messages sent, {self.waiting:,} wait to be sent"


def alert_file(pipeline: Pipeline) -> AlertFile:
    """The state of alerts of a pipeline."""
    return AlertFile(pipeline.lake_root, pipeline.dagster_home)


def tell(
    workspace: Workspace,
    findings: Iterable[Finding] = (),
    *,
    looked: Mapping[str, float] | None = None,
    checks: Collection[str] | None = None,
    sender: Sender | None = None,
) -> Told:
    """Tell what turned bad or good since the last look, by any process, and try again what could not be sent.

    Sources that are overdue, budgets and the stream of hints are looked at here too, so that it is noticed when no run
    comes any more.

    Args:
        looked: How far records were read for the findings.
        checks: Keys of all checks that there are, where that is known.
        sender: What sends; the sinks of pipeline.yaml if none is given.

    Raises:
        StoreError: The state cannot be written; nobody was told anything.
    """
    pipeline = workspace.pipeline
    settings = pipeline.settings
    if not settings.alerts.sinks:
        return Told()
    file = alert_file(pipeline)
    moment = workspace.now()
    now = moment.timestamp()
    found = [*findings, *overdue_findings(workspace), *outside_findings(pipeline, moment)]
    known = outside_keys(settings)
    state = file.change(
        partial(
            folded,
            findings=found,
            sinks=settings.alerts.sinks,
            now=now,
            sources=settings.sources,
            looked=looked,
            checks=checks,
            outside=known,
        )
    )
    sent = 0
    # Once more for what is told of sinks that took nothing: the others hear of it in the same look.
    for _ in range(2):
        if not any(is_due(message, now) for message in state.outbox):
            break
        delivered = _deliver(file, now, sender or _sender(pipeline))
        sent += delivered.sent
        state = file.change(
            partial(
                folded,
                findings=delivered.findings(workspace.now().timestamp()),
                sinks=settings.alerts.sinks,
                now=now,
                sources=settings.sources,
            )
        )
    worst = sorted(state.open.values(), key=lambda finding: (finding.severity, finding.key))
    return Told(sent, len(state.outbox), len(state.open), tuple(finding.title for finding in worst))


def tell_quietly(workspace: Workspace, findings: Iterable[Finding] = ()) -> Told:
    """The same, and whatever goes wrong ends nothing but this look."""
    try:
        return tell(workspace, findings)
    except RagPipelineError as error:
        log.error("alerts: %s", error.message)
    except Exception:
        log.exception("alerts failed; what should be told is told after the next run")
    return Told()


def _sender(pipeline: Pipeline) -> Sender:
    return lambda message: send(message, pipeline.settings.alerts, pipeline.environment, pipeline.folder)


@dataclass(slots=True)
class _Delivered:
    """How sending went: messages sent, and by sink the error of the last attempt; empty: it took the message."""

    sent: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    def findings(self, at: float) -> list[Finding]:
        """Whether each sink that something was sent to took it."""
        return [_of_sink(name, error, at) for name, error in self.errors.items()]


def settle(pipeline: Pipeline, sink: str, now: float) -> None:
    """Note that a sink took a trial: what is open of it has ended, which the next look tells the others.

    Raises:
        StoreError: The state cannot be read or written.
    """
    file = alert_file(pipeline)
    settings = pipeline.settings
    if SINK_PREFIX + sink in file.read().open:
        well = [_of_sink(sink, "", now)]
        file.change(partial(folded, findings=well, sinks=settings.alerts.sinks, now=now, sources=settings.sources))


def _of_sink(name: str, error: str, at: float) -> Finding:
    return Finding(
        key=SINK_PREFIX + name,
        at=at,
        is_bad=bool(error),
        event="run",
        severity="error",
        title=f"Sink {name} does not take alerts",
        means="Each sink of pipeline.yaml takes what it is sent; what it does not is kept and tried again.",
        found=error,
        next_step=f"rag-pipeline alerts test {name}",
        runbook=f"error-{AlertUndeliverable.code}",
    )


def _deliver(file: AlertFile, now: float, sender: Sender) -> _Delivered:
    """Send what is due, in order; a sink that fails is left alone until its next attempt is due."""
    delivered, down = _Delivered(), set()
    stop_at = time.monotonic() + SENDING_SECONDS
    with file.sending() as is_ours:
        # Read again: whoever sent until now may have sent these.
        for message in file.read().outbox if is_ours else ():
            if message.sink in down or not is_due(message, now) or time.monotonic() > stop_at:
                down.add(message.sink)
                continue
            try:
                sender(message)
            except AlertUndeliverable as error:
                delivered.errors[message.sink] = error.message
                if error.facts.get("is_refused"):
                    # It would be refused for ever, and keep everything after it from being told.
                    log.error("%s", error.message)
                    file.change(partial(given_up, message))
                    continue
                down.add(message.sink)
                later = failed(message, error.message, now, after=float(error.facts.get("wait_seconds", 0)))
                log.warning("%s", error.message)
                file.change(partial(_exchanged, message, later))
            else:
                delivered.sent += 1
                delivered.errors.setdefault(message.sink, "")
                file.change(partial(_exchanged, message, None))
    return delivered


def _exchanged(old: Message, new: Message | None, state: AlertState) -> AlertState:
    outbox = [new if message.id == old.id else message for message in state.outbox]
    return replace(state, outbox=tuple(message for message in outbox if message is not None))


def overdue_findings(workspace: Workspace) -> list[Finding]:
    """Whether each source was polled in time, by the lake's own record and the clock of now."""
    now = workspace.now().timestamp()
    polls, _ = poll_statuses(workspace)
    return [_overdue(workspace, poll, now) for poll in polls if poll.is_overdue is not None]


def _overdue(workspace: Workspace, poll: PollStatus, now: float) -> Finding:
    source = workspace.settings.sources[poll.source]
    last = f"last polled with success {poll.polled_at:%Y-%m-%d %H:%M} UTC" if poll.polled_at else NEVER_POLLED
    why = f"; the last attempt failed: {poll.poll_error}" if poll.poll_error else "; no run has polled it since"
    return Finding(
        key=check_key(f"source/{poll.source}", OVERDUE_CHECK),
        at=now,
        is_bad=bool(poll.is_overdue),
        event="freshness",
        severity="warning",
        title=f"Source {poll.source} is overdue",
        means="The source was polled with success within its stale_after.",
        found=f"{last}{why}",
        next_step="rag-pipeline status",
        source=poll.source,
        owners=source.owners,
        asset=f"source/{poll.source}",
        runbook=OVERDUE_CHECK,
    )


def check_key(asset: str, check: str, model: str = "") -> str:
    """The key of a check's finding."""
    return f"{CHECK_PREFIX}{asset}:{check}" + (f":{model}" if model else "")


def trial(sink: str, now: float) -> Message:
    """A message that says that nothing is wrong."""
    finding = Finding(
        key="test",
        at=now,
        is_bad=True,
        event="test",
        severity="warning",
        title="This is a test of the sink; nothing is wrong",
        means=f"Sink {sink} of pipeline.yaml takes messages.",
        found="rag-pipeline alerts test was typed.",
        next_step="Nothing.",
        runbook="alerts",
        lasts=False,
    )
    return message_of(sink, "opened", [finding], now)
