"""Nights of a site: what changes, moves, goes and does not answer, up to what readers see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_pipeline.refresh.bronze import poll_source
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.site import Reply, Site, html, redirect


@pytest.fixture
def site() -> Iterator[Site]:
    opened = Site()
    yield opened
    opened.close()


def page(name: str) -> Reply:
    return html(f"<h1>{name}</h1><p>What there is to say about {name}, in a sentence of its own.</p>", name)


def test_a_site_night_by_night(site: Site, tmp_path: Path) -> None:
    names = ["lamp", "knob", "berth", "crane", "winch"]
    links = "".join(f'<a href="{name}">{name}</a>' for name in names)
    site.pages["/docs/"] = html(links, X_Robots_Tag="noindex")
    site.pages |= {f"/docs/{name}": page(name) for name in names}
    project = Project.create(tmp_path, cache="cache")
    project.settings["sources"]["docs"] = {
        "kind": "web",
        "location": f"{site.url}/docs/",
        "networks": ["127.0.0.1/32"],
        "delay_seconds": 0,
        "allowed_principals": ["public"],
    }
    project.refresh(evaluate=True)
    assert [row["title"] for row in project.published()] == sorted(names)
    # Its bodies came with the listing.
    assert all(site.paths.count(f"/docs/{name}") == 1 for name in names)
    embedded = list(project.embedded)
    assert project.refresh() == 0

    # One page is edited, one gone, one moved, one unlinked, and one does not answer, all in one night.
    site.pages |= {
        "/docs/": html(links.replace('<a href="crane">crane</a>', ""), X_Robots_Tag="noindex"),
        "/docs/lamp": page("lantern"),
        "/docs/knob": Reply(status=404),
        "/docs/berth": redirect("/docs/pier", 301),
        "/docs/pier": page("berth"),
        "/docs/winch": Reply(status=503, headers={"Retry-After": "999"}),
    }
    project.refresh(allow_mass_deletion=False)
    seen = [(row["uri"].rpartition("/")[2], row["title"]) for row in project.published()]
    assert seen == [("crane", "crane"), ("lamp", "lantern"), ("pier", "berth"), ("winch", "winch")]
    assert len(project.embedded) == len(embedded) + 1

    # The whole site is down, and readers keep what they had; then it is back, and equals a rebuild.
    pages, site.pages = site.pages, {}
    site.fallback = lambda _: Reply(status=502, headers={"Retry-After": "999"})
    with project.workspace() as workspace:
        report = poll_source(workspace, "docs")
    assert "robots.txt" in report.unavailable_because
    site.pages = pages
    site.fallback = lambda _: Reply(status=404)
    site.pages["/docs/winch"] = page("winch")
    site.pages["/docs/crane"] = Reply(status=410)
    project.refresh(allow_mass_deletion=False)
    assert project.verify().findings == []
    assert project.published() == project.rebuilt()
