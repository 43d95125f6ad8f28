"""Nights of a site: what changes, moves, goes and does not answer, up to what readers see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from rag_pipeline.refresh.bronze import poll_source, refresh_source
from rag_pipeline.refresh.polls import poll_statuses
from rag_pipeline.stores.lock import WriteLock
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.site import Asked, Reply, Site, html, redirect


@pytest.fixture
def site() -> Iterator[Site]:
    opened = Site()
    yield opened
    opened.close()


def page(name: str) -> Reply:
    return html(f"<h1>{name}</h1><p>What there is to say about {name}, in a sentence of its own.</p>", name)


def project_of(site: Site, folder: Path) -> Project:
    project = Project.create(folder, cache="cache")
    project.settings["sources"]["docs"] = {
        "kind": "web",
        "location": f"{site.url}/docs/",
        "networks": ["127.0.0.1/32"],
        "delay_seconds": 0,
        "allowed_principals": ["public"],
    }
    return project


def test_a_site_night_by_night(site: Site, tmp_path: Path) -> None:
    names = ["lamp", "knob", "berth", "crane", "winch"]
    links = "".join(f'<a href="{name}">{name}</a>' for name in names)
    site.pages["/docs/"] = html(links, X_Robots_Tag="noindex")
    site.pages |= {f"/docs/{name}": page(name) for name in names}
    project = project_of(site, tmp_path)
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


def test_a_walk_holds_no_lock_and_is_made_again_after_what_another_run_recorded(site: Site, tmp_path: Path) -> None:
    site.pages |= {"/docs/": html('<a href="lamp">lamp</a>', X_Robots_Tag="noindex"), "/docs/lamp": page("lamp")}
    project = project_of(site, tmp_path)
    others: list[Callable[[], object]] = []
    root = str(tmp_path / "lake")

    def walked(_: Asked) -> Reply:
        reply = site_page[0]
        # As old as the walk: what another run does meanwhile is newer.
        while others:
            others.pop()()
        return reply

    def another_run() -> None:
        with WriteLock(root, "another", 0.1).held():
            pass
        site_page[0] = Reply(status=410)
        with project.workspace() as workspace:
            done.append(refresh_source(workspace, "docs", allow_mass_deletion=True).deleted)

    site_page, done = [page("lamp")], list[int]()
    site.pages["/docs/lamp"] = walked
    with project.workspace() as workspace:
        refresh_source(workspace, "docs")
    site_page[0] = page("lantern")
    others.append(another_run)
    with project.workspace() as workspace:
        report = refresh_source(workspace, "docs", allow_mass_deletion=True)
        live = workspace.lake.bronze_state("docs").filter(pl.col("change") != "deleted")
    assert done == [1]
    # The walk that began before saw it.
    assert (report.listed, live.height) == (0, 0)

    # An outage on the way is recorded like one that is found under the lock.
    site.pages["/docs/"] = Reply(status=500)
    with project.workspace() as workspace:
        assert "first page" in poll_source(workspace, "docs").unavailable_because
        [status], _ = poll_statuses(workspace)
        assert "first page" in status.poll_error
