"""The search page in a real browser: search, filter, view as, compare, keys alone, and nothing that axe-core finds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline_tests.parsing.pdf_files import pages_pdf
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.browser import CHROMIUM, browsing
from rag_pipeline_tests.serving.conftest import Served, known_to, mark_of, note, running, tokens_for
from rag_pipeline_tests.sources.site import Reply, Site, html

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser at {CHROMIUM}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


# What stands on the page once hits are there.
DONE = re.compile(r"hits? in [0-9.]+ s$")


def ask(page: Any, question: str) -> None:
    page.get_by_label("What do you want to know?").fill(question)
    forget(page)
    page.get_by_role("button", name="Search", exact=True).click()
    sync_api.expect(page.locator("#status")).to_have_text(DONE)


def forget(page: Any) -> None:
    """What is said of the search before must not count for the next one."""
    page.locator("#status").evaluate("element => { element.textContent = '' }")


def marks_of(page: Any) -> set[str]:
    """Documents among the hits, by the mark in their titles."""
    return {title.split()[-1] for title in page.locator("#results .open").all_inner_texts()}


def test_searching_filtering_and_opening_a_hit(served: Served, browser: Any) -> None:
    with browsing(browser, served.url, served.tokens["bob"]) as browsed:
        page = browsed.page
        ask(page, f"word {mark_of(1)}")
        first = page.locator(".hit").first
        sync_api.expect(first.locator("h3")).to_contain_text(mark_of(1))
        sync_api.expect(first.locator("mark").first).to_be_visible()
        # What stands in a document is text on the page and never markup.
        assert "<b>Bold</b> & plain." in first.inner_text()
        browsed.assert_accessible()
        first.locator(".open").click()
        dialog = page.get_by_role("dialog")
        sync_api.expect(dialog.locator(".chunk")).to_contain_text(f"The word is {mark_of(1)}.")
        sync_api.expect(page).to_have_url(re.compile("chunk="))
        dialog.get_by_text("Where it comes from").click()
        sync_api.expect(dialog.get_by_role("row", name=re.compile("^Object .*modified"))).to_be_visible()
        sync_api.expect(dialog.get_by_role("row", name=re.compile("rag-pipeline trace [0-9a-f]{32}"))).to_be_visible()
        browsed.assert_accessible()
        page.get_by_role("button", name="Close").click()
        sync_api.expect(page).not_to_have_url(re.compile("chunk="))
        page.get_by_text("Filters").click()
        page.get_by_label("Metadata").fill("number>=4; number<8")
        ask(page, "hall")
        assert marks_of(page) == {mark_of(at) for at in range(4, 8)} & known_to(frozenset({"staff"}))
        browsed.assert_accessible()


def test_a_citation_opens_the_page_of_a_pdf_where_it_stands(browser: Any, tmp_path: Path) -> None:
    from rag_pipeline.serving.app import build_app

    texts = [b"The first page is about lamps in the hall.", b"The heliotrope grows beside the crane."]
    pages = [b"BT /F 12 Tf 72 700 Td (" + text + b") Tj ET" for text in texts]
    site = Site()
    site.pages["/docs/"] = html('<a href="manual.pdf">The manual</a>', X_Robots_Tag="noindex")
    site.pages["/docs/manual.pdf"] = Reply(pages_pdf(pages), headers={"Content-Type": "application/pdf"})
    project = Project.create(tmp_path, serving={"anonymous": True})
    project.settings["sources"]["docs"] = {
        "kind": "web",
        "location": f"{site.url}/docs/",
        "networks": ["127.0.0.1/32"],
        "delay_seconds": 0,
        "allowed_principals": ["public"],
    }
    project.refresh()
    manual = f"{site.url}/docs/manual.pdf"
    site.close()
    with running(build_app(project.pipeline())) as url, browsing(browser, url) as browsed:
        ask(browsed.page, "heliotrope")
        sync_api.expect(browsed.page.locator(".hit").first).to_contain_text(f"{manual}, page 2")
        browsed.page.locator(".hit .open").first.click()
        dialog = browsed.page.get_by_role("dialog")
        sync_api.expect(dialog.locator(".chunk")).to_contain_text("heliotrope")
        sync_api.expect(dialog.get_by_role("link", name="open the original")).to_have_attribute(
            "href", f"{manual}#page=2"
        )
        browsed.assert_accessible()


def test_the_address_holds_the_whole_state(served: Served, browser: Any) -> None:
    with browsing(browser, served.url, served.tokens["bob"]) as browsed:
        page = browsed.page
        page.get_by_label("words", exact=True).check()
        ask(page, "hall")
        first = page.locator("#results .open").all_inner_texts()
        address = page.url
        assert "mode=text" in address
        ask(page, "nothing of this is there")
        forget(page)
        page.go_back()
        sync_api.expect(page.locator("#status")).to_have_text(DONE)
        sync_api.expect(page.locator("#q")).to_have_value("hall")
        sync_api.expect(page.locator("#results .open")).to_have_count(len(first))
        page.goto("about:blank")
        browsed.complaints.clear()
        page.goto(address)
        sync_api.expect(page.locator("#q")).to_have_value("hall")
        sync_api.expect(page.locator("#results .open")).to_have_count(len(first))
        assert page.locator("#results .open").all_inner_texts() == first


def test_an_administrator_looks_as_somebody_who_sees_less(served: Served, browser: Any) -> None:
    with browsing(browser, served.url, served.tokens["eve"]) as browsed:
        page = browsed.page
        page.locator("input[name=k]").fill("100")
        ask(page, "hall")
        assert marks_of(page) == known_to(frozenset({"staff", "board"}))
        page.get_by_text("Filters").click()
        page.locator("input[name=principal][value=staff]").check()
        browsed.assert_accessible()
        ask(page, "key of the hall")
        assert marks_of(page) == known_to(frozenset({"staff"}))
    with browsing(browser, served.url, served.tokens["bob"]) as browsed:
        browsed.page.get_by_text("Filters").click()
        sync_api.expect(browsed.page.get_by_role("group", name="View as")).to_be_hidden()


def test_two_ways_of_searching_stand_side_by_side(served: Served, browser: Any) -> None:
    with browsing(browser, served.url, served.tokens["ann"]) as browsed:
        page = browsed.page
        page.get_by_label("Compare with").select_option("text")
        ask(page, f"word {mark_of(0)}")
        sync_api.expect(page.get_by_role("region", name="By both")).to_be_visible()
        sync_api.expect(page.get_by_role("region", name="By words").locator(".hit").first).to_contain_text(
            "on the other side."
        )
        browsed.assert_accessible()


def test_two_times_stand_side_by_side(lake: Project, browser: Any, tmp_path: Path) -> None:
    from rag_pipeline.serving.app import build_app

    project = lake.copied(tmp_path)
    tokens = tokens_for(project)
    began = datetime.now(UTC)
    project.write(f"{mark_of(0)}.md", note(0).replace(mark_of(0), "heliotrope"))
    project.refresh()
    with running(build_app(project.pipeline())) as url, browsing(browser, url, tokens["ann"]) as browsed:
        page = browsed.page
        page.get_by_label("Compare with").select_option("then")
        page.locator("#then input").fill(began.isoformat())
        ask(page, f"word {mark_of(0)}")
        then = page.get_by_role("region", name=re.compile("^As of"))
        sync_api.expect(then.locator(".hit").first).to_contain_text(mark_of(0))
        ask(page, "word heliotrope")
        now = page.get_by_role("region", name="Now", exact=True)
        sync_api.expect(now.locator(".hit").first).to_contain_text("heliotrope")
        assert "heliotrope" not in then.inner_text()
        # The address shows the same to whomever it is sent.
        assert "compare=then" in page.url
        browsed.assert_accessible()


def test_two_embedding_spaces_stand_side_by_side(lake: Project, browser: Any, tmp_path: Path) -> None:
    from rag_pipeline.refresh.embeddings import refresh_embeddings
    from rag_pipeline.refresh.index import refresh_index
    from rag_pipeline.serving.app import build_app

    project = lake.copied(tmp_path)
    project.settings["embedding_models"]["wide"] = {"kind": "hashing", "model": "hashing", "dimension": 256}
    with project.workspace() as workspace:
        refresh_embeddings(workspace, "wide")
        refresh_index(workspace, "wide")
    tokens = tokens_for(project)
    with running(build_app(project.pipeline())) as url, browsing(browser, url, tokens["ann"]) as browsed:
        page = browsed.page
        page.get_by_label("meaning", exact=True).check()
        page.get_by_label("Compare with").select_option(label="the model wide")
        ask(page, f"the word {mark_of(0)} at night")
        sides = [page.get_by_role("region", name=f"Model {name}", exact=True) for name in ("small", "wide")]
        for side in sides:
            sync_api.expect(side.locator(".hit").first).to_contain_text("on the other side.")
        cosines = [re.findall(r"cosine (0\.\d+)", side.inner_text()) for side in sides]
        assert cosines[0]
        assert cosines[1]
        assert cosines[0] != cosines[1]
        sides[1].locator(".open").first.click()
        sync_api.expect(page.get_by_role("dialog").locator(".chunk")).to_be_visible()
        page.keyboard.press("Escape")
        browsed.assert_accessible()
        address = page.url
        first = sides[1].locator(".open").all_inner_texts()
        # It is sent to somebody who may read the same.
        page.goto("about:blank")
        browsed.complaints.clear()
        page.goto(address)
        sync_api.expect(page.locator("#status")).to_have_text(DONE)
        assert page.get_by_label("Compare with").input_value() == "space:wide"
        assert page.get_by_role("region", name="Model wide", exact=True).locator(".open").all_inner_texts() == first


def test_the_keyboard_alone_suffices(served: Served, browser: Any) -> None:
    with browsing(browser, served.url, served.tokens["ann"]) as browsed:
        page = browsed.page
        page.keyboard.press("Escape")
        page.locator("body").evaluate("document.activeElement.blur()")
        page.keyboard.press("/")
        page.keyboard.type("hall")
        stops = []
        for _ in range(4):
            page.keyboard.press("Tab")
            stops.append(page.evaluate("document.activeElement.name || document.activeElement.textContent"))
        assert stops == ["Search", "mode", "k", "compare"]
        page.keyboard.press("/")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        page.locator("#q").press("Enter")
        sync_api.expect(page.locator("#status")).to_have_text(DONE)
        page.locator("#q").press("Tab")
        page.keyboard.press("j")
        sync_api.expect(page.locator("#results .open").nth(0)).to_be_focused()
        page.keyboard.press("j")
        sync_api.expect(page.locator("#results .open").nth(1)).to_be_focused()
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        sync_api.expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        sync_api.expect(page.get_by_role("dialog")).to_be_hidden()
        sync_api.expect(page.locator("#results .open").nth(0)).to_be_focused()


def test_a_wrong_token_is_said_and_signing_out_forgets(served: Served, browser: Any) -> None:
    with browsing(browser, served.url) as browsed:
        page = browsed.page
        page.get_by_label("Token").fill("ragp_wrong")
        page.get_by_role("button", name="Sign in").click()
        sync_api.expect(page.locator("#status")).to_contain_text("the token is not known")
        browsed.assert_accessible()
        page.get_by_label("Token").fill(served.tokens["ann"])
        page.get_by_role("button", name="Sign in").click()
        ask(page, "hall")
        page.locator(".hit .open").first.click()
        sync_api.expect(page.locator("#document-text .chunk")).to_contain_text("porter")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Sign out").click()
        sync_api.expect(page.locator(".hit")).to_have_count(0)
        for shown in ("porter", "docs", "heron"):
            assert shown not in page.locator("body").inner_html()
        page.reload()
        sync_api.expect(page.get_by_label("Token")).to_be_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_is_readable_dark_and_light_and_on_a_telephone(lake: Project, browser: Any, scheme: str) -> None:
    from rag_pipeline.serving.app import build_app
    from rag_pipeline_tests.serving.test_api import with_serving

    size = {"width": 390, "height": 800}
    with (
        running(build_app(with_serving(lake, anonymous=True))) as url,
        browsing(browser, url, color_scheme=scheme, viewport=size) as browsed,
    ):
        page = browsed.page
        ask(page, "the key of the hall")
        page.get_by_text("Filters").click()
        page.get_by_text("How fresh the sources are").click()
        browsed.assert_accessible()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], "it scrolls sideways"
