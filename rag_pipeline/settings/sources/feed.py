"""Settings of the kind `feed`.

Belongs here: what a feed has.
Does not belong here: what every kind has (`common.py`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from rag_pipeline.settings.sources.common import CommonSourceSettings
from rag_pipeline.settings.types import Duration, Network, Place, Text


class FeedSettings(CommonSourceSettings):
    """Entries of an RSS or Atom feed, each a document; becomes the asset bronze/<name>."""

    kind: Literal["feed"]
    """Kind of source: entries of a feed."""
    location: Place
    """Address of the feed, like `https://news.example/feed.xml`; `$NAME` is read from the environment."""
    keep: bool = True
    """Keep entries that the feed no longer names, since it names its newest only; else they are deleted."""
    full_text: bool = False
    """Read the page that an entry links in its place. It is read again when the entry changes."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent to this server only, to log in, like `Cookie` or `Authorization`; a value like `$NAME` is read from the
    environment."""
    networks: tuple[Network, ...] = ()
    """Networks that may be connected to although they are not public, like `10.0.0.0/8` for an intranet."""
    delay_seconds: float = Field(default=1, ge=0, le=3_600)
    """Between two requests to one server."""
    timeout: Duration = timedelta(seconds=30)
    """For a whole answer."""
    user_agent: Text = "rag-pipeline"
    """Name that servers see."""
