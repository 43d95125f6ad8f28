"""Take in what waits as change hints: in the folder, and in the stream where pipeline.yaml names one.

Belongs here: both together, so that a stream that does not answer keeps no file waiting.
Does not belong here: hints themselves (`stores/hints.py`, `stores/hint_stream.py`), looking (`hinted.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from rag_pipeline.contracts.hints import buckets_of
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.hints import hints_folder
from rag_pipeline.stores.hints import HintFolder

if TYPE_CHECKING:
    from rag_pipeline.stores.hint_stream import HintStream

log = logging.getLogger(__name__)


def hint_folder(pipeline: Pipeline) -> HintFolder | None:
    """The folder of hints; None: pipeline.yaml names none."""
    folder = hints_folder(pipeline.settings.hints, pipeline.folder)
    if folder is None:
        return None
    sources = pipeline.settings.sources
    return HintFolder(folder, sources, buckets_of({name: source.location for name, source in sources.items()}))


def take_in(pipeline: Pipeline, hints: HintFolder) -> str:
    """Take everything in; why the stream was not read is returned, since schedules look at all whether it is or not.

    Raises:
        OSError: The folder cannot be read or written.
    """
    hints.take_in()
    problem = _asked(pipeline, hints, lambda stream: stream.take_in())
    if problem:
        log.warning("%s", problem)
    return problem


def stream_problem(pipeline: Pipeline) -> str:
    """Why the stream of hints could not be read now; empty where it can, or none is named. Nothing is taken in."""
    hints = hint_folder(pipeline)
    if hints is None:
        return ""
    # Once more: a connection that was just cut, or a moment in which the server stood still, is nothing to tell.
    return _asked(pipeline, hints, lambda stream: stream.check()) and _asked(pipeline, hints, lambda s: s.check())


def _asked(pipeline: Pipeline, hints: HintFolder, ask: Callable[[HintStream], object]) -> str:
    """Why the stream did not answer; empty: it did, or there is none."""
    settings = pipeline.settings.hints
    if settings is None or settings.stream is None:
        return ""
    from rag_pipeline.stores.hint_stream import HintStream

    try:
        ask(HintStream(settings.stream.address(pipeline.environment), settings.stream.key, hints))
    except RagPipelineError as error:
        return error.message
    return ""
