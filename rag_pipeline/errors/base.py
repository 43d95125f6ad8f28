"""The root of the tree, and what belongs to no one part: settings, usage, processes, packages."""

from __future__ import annotations

from typing import Any, ClassVar

from rag_pipeline.shown import shown


class RagPipelineError(Exception):
    """Root of the tree.

    Args:
        message: One paragraph: what happened, where, what to do next. Passwords in addresses are taken out of it, and
            what is too long is cut, since names, titles and values come from anywhere.
        facts: The values named in the message, for logs and metadata; texts are treated alike.
    """

    code: ClassVar[str] = "rag_pipeline_error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, **facts: Any) -> None:
        self.message = shown(message)
        super().__init__(self.message)
        self.facts = {name: shown(value) if isinstance(value, str) else value for name, value in facts.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries, and pickle cannot guess keyword arguments.
        return _rebuild, (type(self), self.message, self.facts)


def _rebuild(cls: type[RagPipelineError], message: str, facts: dict[str, Any]) -> RagPipelineError:
    return cls(message, **facts)


class SettingsError(RagPipelineError):
    """pipeline.yaml or its environment overrides are not valid."""

    code = "settings"
    exit_code = 2


class SettingsChanged(RagPipelineError):
    """pipeline.yaml was edited while a run was under way, which would undo what a newer run has done."""

    code = "settings_changed"
    exit_code = 4


class UsageError(RagPipelineError):
    """A command or call was given arguments that do not fit together."""

    code = "usage"
    exit_code = 2


class DagsterUnusable(RagPipelineError):
    """Dagster's own records of runs cannot be opened or written, so that no run can be made."""

    code = "dagster_unusable"


class WorkersUnavailable(RagPipelineError):
    """Worker processes were ended from outside as they started, or the machine had no room for them."""

    code = "workers_unavailable"
    retryable = True
    exit_code = 4


class EngineUnavailable(RagPipelineError):
    """The Ray cluster that the heavy work goes to did not answer, or lost all its workers."""

    code = "engine_unavailable"
    retryable = True
    exit_code = 4


class ExtraMissing(RagPipelineError):
    """Packages that only some commands need are not installed."""

    code = "extra_missing"
