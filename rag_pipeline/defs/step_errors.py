"""What a failed step says of itself: the error's code, and a message anybody may see.

Belongs here: reading it out of Dagster's event.
Does not belong here: what a run makes of it (`launch.py`), who is told (`alerts.py`).
"""

from typing import Any

import dagster as dg


def step_error(event: dg.DagsterEvent) -> dict[str, Any] | None:
    """Step, code, message and exit code of a step's failure; None: it stopped after a failed check, which says why."""
    data = event.step_failure_data
    failure = data.user_failure_data
    if failure is not None:
        facts = {key: value.value for key, value in (failure.metadata or {}).items()}
        if "rag/error_code" in facts:
            return {
                "step": event.step_key,
                "code": facts["rag/error_code"],
                "message": failure.description,
                "exit_code": facts["rag/exit_code"],
            }
    trace = data.error.to_string() if data.error is not None else ""
    kind = data.error.cls_name if data.error is not None else None
    if kind == "DagsterAssetCheckFailedError":
        return None
    if kind == "DagsterExecutionInterruptedError":
        message = "the run was interrupted; what it had committed is kept, and the next run goes on from there"
        return {"step": event.step_key, "code": "interrupted", "message": message, "exit_code": 130}
    return {"step": event.step_key, "code": "unexpected", "message": trace, "exit_code": 3}
