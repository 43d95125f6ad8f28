"""Settings of the kind `web`.

Belongs here: what a site has.
Does not belong here: what every kind has (`common.py`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from rag_pipeline.settings.sources.common import WithPatterns
from rag_pipeline.settings.types import Duration, Network, Place, Text


class WebSettings(WithPatterns):
    """Pages and files of a site, each a document; becomes the asset bronze/<name>."""

    kind: Literal["web"]
    """Kind of source: pages of a web site."""
    location: Place
    """Address of the first page, like `https://docs.example/guide/`; `$NAME` is read from the environment."""
    discover: Literal["crawl", "sitemap"] = "crawl"
    """How pages are found: by following links from the first page, or by what the site's sitemaps name."""
    sitemaps: tuple[Place, ...] = ()
    """Addresses of sitemaps; none: those that robots.txt names, else `/sitemap.xml`."""
    prefix: Place | None = None
    """What the addresses of all pages begin with; none: the folder of the first page."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Sent to this server only, to log in, like `Cookie` or `Authorization`; a value like `$NAME` is read from the
    environment."""
    networks: tuple[Network, ...] = ()
    """Networks that may be connected to although they are not public, like `10.0.0.0/8` for an intranet."""
    delay_seconds: float = Field(default=1, ge=0, le=3_600)
    """Between two requests; a longer `Crawl-delay` of robots.txt counts, up to a minute."""
    timeout: Duration = timedelta(seconds=30)
    """For a whole answer."""
    max_pages: int = Field(default=10_000, gt=0, le=1_000_000)
    """A site with more addresses is not read at all, since what lies behind them would look deleted."""
    max_depth: int = Field(default=20, gt=0, le=1_000)
    """Links in a row from the first page that are followed."""
    max_duration: Duration = timedelta(hours=6)
    """A site that takes longer is not read at all."""
    drop_query: tuple[Text, ...] = (
        *("utm_*", "gclid", "fbclid", "msclkid"),
        *("phpsessid", "jsessionid", "sessionid", "session_id", "sid"),
    )
    """Parts of the query of an address that tell no pages apart; `*` stands for anything."""
    obey_robots: bool = True
    """Ask for nothing that robots.txt does not allow."""
    user_agent: Text = "rag-pipeline"
    """Name that robots.txt is asked about and the server sees."""
