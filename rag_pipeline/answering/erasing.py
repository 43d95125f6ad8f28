"""Where answers of a pipeline are kept, and erasing them with what they were made from.

Belongs here: opening the stores that may hold any, and asking each to erase.
Does not belong here: the stores (`embedded_cache.py`, `server_cache.py`), what stands (`refresh/kept_answers.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rag_pipeline.answering.embedded_cache import EmbeddedCache
from rag_pipeline.answering.keeping import AnswerCache, Standing
from rag_pipeline.answering.server_cache import ServerCache
from rag_pipeline.contracts.ids import digest
from rag_pipeline.errors import StoreError
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.answers import AnswerCacheSettings


def cache_of(pipeline: Pipeline) -> AnswerCache | None:
    """Where answers are kept; None: nowhere.

    Raises:
        SettingsError: A server is named that no address can be had of, or the `redis` package is missing.
    """
    answers = pipeline.settings.answers
    if answers is None or not answers.cache.keep:
        return None
    return _server_of(pipeline) or _file_of(pipeline, answers.cache)


def erase_kept(pipeline: Pipeline, ids: Collection[str]) -> int:
    """Erase every kept answer that was made from one of some documents or chunks, by their ids; how many there were.

    Answers in the file of the cache folder are erased whatever pipeline.yaml says of answers now.

    Raises:
        SettingsError: A server is named that no address can be had of, or the `redis` package is missing.
        StoreError: A store did not answer or is at fault: what it holds may still be there.
    """
    return _erased(pipeline, lambda cache: cache.erase(ids))


def erase_fallen(pipeline: Pipeline, publication: str, standing: Standing) -> int:
    """Erase every kept answer that was made from a chunk that stands no more; raises what `erase_kept` does.

    Args:
        publication: Name of what is published now.
    """
    return _erased(pipeline, lambda cache: cache.erase_fallen(publication, standing))


def _erased(pipeline: Pipeline, action: Callable[[AnswerCache], int | None]) -> int:
    count = 0
    with _stores(pipeline) as stores:
        for place, store in stores:
            found = action(store)
            if found is None:
                raise StoreError(
                    f"kept answers in {place} could not be looked through, so that some may still quote what was taken "
                    f"away; see that it can be reached and written, and run again"
                )
            count += found
    return count


@contextmanager
def _stores(pipeline: Pipeline) -> Iterator[list[tuple[str, AnswerCache]]]:
    """All that may hold answers, with their places."""
    found: list[tuple[str, AnswerCache]] = []
    answers = pipeline.settings.answers
    path = answers_file(pipeline)
    try:
        if path.exists():
            found.append((str(path), _file_of(pipeline, AnswerCacheSettings() if answers is None else answers.cache)))
        server = _server_of(pipeline)
        if server is not None:
            found.append((server.place, server))
        yield found
    finally:
        for _, store in found:
            store.close()


def answers_file(pipeline: Pipeline) -> Path:
    """Where answers from this lake are kept that are kept on this machine."""
    return pipeline.cache_folder / "answers" / f"{_lake_of(pipeline)}.sqlite"


def _file_of(pipeline: Pipeline, settings: AnswerCacheSettings) -> AnswerCache:
    return EmbeddedCache(answers_file(pipeline), settings.max_bytes, settings.lifetime_seconds)


def _server_of(pipeline: Pipeline) -> ServerCache | None:
    answers = pipeline.settings.answers
    url = None if answers is None else answers.cache.address(pipeline.environment)
    if answers is None or url is None:
        return None
    return ServerCache(url, answers.cache.lifetime_seconds, _lake_of(pipeline))


def _lake_of(pipeline: Pipeline) -> str:
    return digest("lake", pipeline.lake_root)[:16]
