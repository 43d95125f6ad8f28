"""The room in which all kinds of sources ask web servers.

    with HttpClient(HttpSettings(home=location, headers=..., networks=...), pace) as client:
        answer = client.get(url, etag=known_etag)

Belongs here: pace, tries, redirects, deadlines, bounded bodies, conditional requests, machines that may be connected
to, and credentials for the configured server only.
Does not belong here: pages, feeds and records (`sources/web`, `sources/feed.py`, `sources/rest`).
"""

from __future__ import annotations

from rag_pipeline.sources.http.client import Answer, HttpClient, HttpSettings, opened_for
from rag_pipeline.sources.http.failures import Garbled, HttpFailure, NoAnswer, NotAllowed, TooLarge, is_fault
from rag_pipeline.sources.http.pace import Pace
from rag_pipeline.sources.http.urls import canonical, folder_of, origin

__all__ = [
    "Answer",
    "Garbled",
    "HttpClient",
    "HttpFailure",
    "HttpSettings",
    "NoAnswer",
    "NotAllowed",
    "Pace",
    "TooLarge",
    "canonical",
    "folder_of",
    "is_fault",
    "opened_for",
    "origin",
]
