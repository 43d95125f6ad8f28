"""Metrics for Prometheus: requests, their time, refusals, hits, and work in progress.

Belongs here: what is counted, and the text that is scraped, also of several processes together.
Does not belong here: counting (`middleware.py`, `api.py`).
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from rag_pipeline.answering.answer import Answer

# Where processes that answer together leave their counts; set before this module is imported.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# How the library names the file of one process.
_PROCESS = re.compile(r"_(\d+)\.db$")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """What one process counts; no label holds what anybody asked or who they are."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "rag_pipeline_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "rag_pipeline_request_seconds",
            "Time until a request was answered.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.hits = Counter("rag_pipeline_hits", "Hits given out.", ("way",), registry=self._registry)
        self.searches = Counter(
            "rag_pipeline_searches",
            "Searches answered, and whether anything was found.",
            ("found",),
            registry=self._registry,
        )
        self.answers = Counter(
            "rag_pipeline_answers",
            "Answers by verdict, and whether they were kept from before.",
            ("verdict", "from_cache"),
            registry=self._registry,
        )
        self.tokens = Counter(
            "rag_pipeline_answer_tokens", "Tokens read and written by the model.", ("way",), registry=self._registry
        )
        self.cost = Counter("rag_pipeline_answer_cost", "What answers cost, by the prices.", registry=self._registry)
        self.saved = Counter(
            "rag_pipeline_answer_cost_saved", "What kept answers would have cost.", registry=self._registry
        )
        self.searching = Gauge(
            "rag_pipeline_searches_running",
            "Searches under way.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.waiting = Gauge(
            "rag_pipeline_searches_waiting",
            "Searches that wait.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    def count_answer(self, answer: Answer) -> None:
        """Count one answer with its tokens and cost."""
        self.answers.labels(answer.verdict, str(answer.from_cache).lower()).inc()
        self.tokens.labels("read").inc(answer.tokens_in)
        self.tokens.labels("written").inc(answer.tokens_out)
        self.cost.inc(answer.cost or 0)
        self.saved.inc(answer.cost_saved or 0)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self._registry)
        _forget_ended(Path(os.environ[SHARED_FOLDER]))
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def _forget_ended(folder: Path) -> None:
    """What processes that are no more had under way counts no longer: a killed one cannot say so itself."""
    processes = {int(found[1]) for path in folder.glob("gauge_live*") if (found := _PROCESS.search(path.name))}
    for process in processes:
        if not _is_there(process):
            # Another worker, which is asked at the same moment, may have done it.
            with suppress(FileNotFoundError):
                mark_process_dead(process)  # type: ignore[no-untyped-call]


def _is_there(process: int) -> bool:
    try:
        # A process of somebody else, who got the number since, may not be asked.
        with suppress(PermissionError):
            os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
