"""Take in what waits as change hints: in the folder, and in the stream where pipeline.yaml names one.

Belongs here: both together, so that a stream that does not answer keeps no file waiting.
Does not belong here: hints themselves (`stores/hints.py`, `stores/hint_stream.py`), looking (`hinted.py`).
"""

from __future__ import annotations

import logging

from rag_pipeline.contracts.hints import Bucket, bucket_of
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.hints import hints_folder
from rag_pipeline.stores.hints import HintFolder

log = logging.getLogger(__name__)


def hint_folder(pipeline: Pipeline) -> HintFolder | None:
    """The folder of hints; None: pipeline.yaml names none."""
    folder = hints_folder(pipeline.settings.hints, pipeline.folder)
    if folder is None:
        return None
    return HintFolder(folder, pipeline.settings.sources, _buckets(pipeline))


def _buckets(pipeline: Pipeline) -> dict[str, Bucket]:
    found = {name: bucket_of(source.location) for name, source in pipeline.settings.sources.items()}
    return {name: bucket for name, bucket in found.items() if bucket is not None}


def take_in(pipeline: Pipeline, hints: HintFolder) -> str:
    """Take everything in; why the stream was not read is returned, since schedules look at all whether it is or not.

    Raises:
        OSError: The folder cannot be read or written.
    """
    hints.take_in()
    settings = pipeline.settings.hints
    if settings is None or settings.stream is None:
        return ""
    from rag_pipeline.stores.hint_stream import HintStream

    try:
        HintStream(settings.stream.address(pipeline.environment), settings.stream.key, hints).take_in()
    except RagPipelineError as error:
        log.warning("%s", error.message)
        return error.message
    return ""
