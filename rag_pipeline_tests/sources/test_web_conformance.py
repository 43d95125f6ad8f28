"""What every kind of source promises, shown for sites and feeds of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest

from rag_pipeline.contracts.sources import Source, SourceSpec
from rag_pipeline.settings.sources import FeedSettings, WebSettings
from rag_pipeline.sources import open_source
from rag_pipeline.testing import SourceConformance
from rag_pipeline_tests.sources.site import Reply, Site, html


def web_spec(location: str, folder: Path, **fields: Any) -> SourceSpec:
    """A spec of kind `web` as the settings would give it."""
    defaults = {"kind": "web", "location": location, "networks": ["127.0.0.1/32"], "delay_seconds": 0, "timeout": "5s"}
    settings = WebSettings.model_validate(defaults | fields)
    return SourceSpec(
        "site",
        settings.location,
        kind="web",
        include=settings.include,
        exclude=settings.exclude,
        max_document_bytes=settings.max_document_bytes,
        fields=settings.own_fields,
        cache_folder=str(folder / "state"),
    )


def feed_spec(location: str, **fields: Any) -> SourceSpec:
    """A spec of kind `feed` as the settings would give it."""
    defaults = {"kind": "feed", "location": location, "networks": ["127.0.0.1/32"], "delay_seconds": 0, "timeout": "5s"}
    settings = FeedSettings.model_validate(defaults | fields)
    return SourceSpec(
        "news", location, kind="feed", fields=settings.own_fields, max_document_bytes=settings.max_document_bytes
    )


class SiteWorld:
    """A site whose first page leads to all others."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.site = Site()
        self._folder = folder
        self._fields = fields
        self._names: dict[str, None] = {}
        self._pages = dict[str, Reply]()
        self.site.pages["/docs/"] = lambda _: self._first()

    def _first(self) -> Reply:
        # Its own text is none of the world's objects.
        links = "".join(f'<a href="{quote(name, safe="")}">x</a>' for name in self._names)
        return html(links, X_Robots_Tag="noindex")

    def source(self) -> Source:
        return open_source(web_spec(f"{self.site.url}/docs/", self._folder, **self._fields))

    def put(self, name: str, text: str) -> None:
        self._names[name] = None
        self.site.pages[f"/docs/{quote(name, safe='')}"] = Reply(text.encode(), headers={"Content-Type": "text/plain"})

    def delete(self, name: str) -> None:
        del self._names[name]
        del self.site.pages[f"/docs/{quote(name, safe='')}"]

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(str(number), f"text of {number}")

    def break_down(self) -> None:
        self._pages = dict(self.site.pages)
        self.site.pages.clear()
        self.site.fallback = lambda _: Reply(status=503, headers={"Retry-After": "999"})

    def heal(self) -> None:
        self.site.pages.update(self._pages)
        self.site.fallback = lambda _: Reply(status=404)

    def allow(self, name: str, principals: Sequence[str]) -> None:
        raise NotImplementedError


class SitemapWorld(SiteWorld):
    """The same, found by its sitemap."""

    def _first(self) -> Reply:
        return html("nothing here")

    def source(self) -> Source:
        self.site.pages["/sitemap.xml"] = lambda _: self._sitemap()
        return super().source()

    def _sitemap(self) -> Reply:
        places = "".join(f"<url><loc>{self.site.url}/docs/{quote(n, safe='')}</loc></url>" for n in self._names)
        xml = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{places}</urlset>'
        return Reply(xml.encode(), headers={"Content-Type": "application/xml"})


class TestSite(SourceConformance):
    # Each is one request.
    many = 300

    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[SiteWorld]:
        world = SiteWorld(tmp_path)
        yield world
        world.site.close()


class TestSiteWithSitemap(SourceConformance):
    many = 300

    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[SitemapWorld]:
        world = SitemapWorld(tmp_path, discover="sitemap")
        yield world
        world.site.close()


class FeedWorld(SiteWorld):
    """A feed of plain texts."""

    def _first(self) -> Reply:
        entries = "".join(
            f"<entry><id>{escape(name)}</id><content type='text'>{escape(text)}</content></entry>"
            for name, text in self._texts.items()
        )
        return Reply(f'<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title>{entries}</feed>'.encode())

    def __init__(self, folder: Path, **fields: Any) -> None:
        super().__init__(folder, **fields)
        self._texts: dict[str, str] = {}

    def source(self) -> Source:
        return open_source(feed_spec(f"{self.site.url}/docs/", **self._fields))

    def put(self, name: str, text: str) -> None:
        self._texts[name] = text

    def delete(self, name: str) -> None:
        del self._texts[name]


class TestFeed(SourceConformance):
    many = 2_000

    @pytest.fixture(params=[True, False], ids=["kept", "deleted"])
    def world(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FeedWorld]:
        world = FeedWorld(tmp_path, keep=request.param)
        yield world
        world.site.close()

    def test_fetching_gives_what_was_put_in(self, world: FeedWorld) -> None:
        # Blanks at the ends of an entry are no part of it.
        world.put("a", "line\nline \u00e4")
        source = world.source()
        assert [source.fetch(item).raw for item in source.list()] == ["line\nline \u00e4".encode()]
