"""Findings of budgets that are reached, and of a stream of hints that does not answer.

Belongs here: their words. Does not belong here: looking (`refresh/outside.py`), telling (`cycle.py`).
"""

from __future__ import annotations

from datetime import datetime

from rag_pipeline.contracts.alerts import AlertState, Finding
from rag_pipeline.errors import BudgetReached
from rag_pipeline.refresh.outside import Outside, look_outside, outside_keys
from rag_pipeline.settings import Pipeline

STREAM_RUNBOOK = "hint-stream"


def outside_findings(pipeline: Pipeline, now: datetime) -> list[Finding]:
    """How each stands now."""
    return [_finding(pipeline, each, now.timestamp()) for each in look_outside(pipeline, now)]


def outside_is_told(state: AlertState, pipeline: Pipeline, now: datetime) -> bool:
    """Whether what is open of them is what is wrong now."""
    keys = outside_keys(pipeline.settings)
    bad = {finding.key for finding in outside_findings(pipeline, now) if finding.is_bad}
    open_ones = {key for key, finding in state.open.items() if finding.event in ("budget", "hints")}
    # Whether a budget of another machine is reached is not known here.
    budgets = {key for key in open_ones if key in keys and state.open[key].event == "budget"}
    return open_ones - budgets == bad - budgets


def _finding(pipeline: Pipeline, each: Outside, at: float) -> Finding:
    if each.kind == "hints":
        return Finding(
            key=each.key,
            at=at,
            is_bad=bool(each.problem),
            event="hints",
            severity="warning",
            title="The stream of hints does not answer",
            means="Changes that are told in the stream are looked at within seconds; until it answers, schedules do.",
            found=each.problem,
            next_step="rag-pipeline status",
            runbook=STREAM_RUNBOOK,
        )
    answers = pipeline.settings.answers
    is_asked = answers is not None and answers.model == each.name
    return Finding(
        key=each.key,
        at=at,
        is_bad=True,
        event="budget",
        severity="error" if is_asked else "warning",
        title=f"Chat model {each.name} may cost no more today",
        means="Questions are answered and texts are read within what a chat model may cost a day.",
        found=each.problem,
        next_step="raise `chat_models.NAME.budget_per_day` or `chat_models.NAME.tokens_per_day`, or wait for 00:00 UTC",
        runbook=f"error-{BudgetReached.code}",
        until=0.0 if each.until is None else each.until.timestamp(),
    )
