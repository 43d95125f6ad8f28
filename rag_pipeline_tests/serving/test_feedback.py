"""Remarks on hits become rows, from the API and from the page, and only for hits that the caller may see."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from rag_pipeline import Searcher
from rag_pipeline.contracts.feedback import FEEDBACK, Remark
from rag_pipeline.errors import LakeBusy
from rag_pipeline.refresh.look import lake_state
from rag_pipeline.serving.app import build_app
from rag_pipeline.stores.lake import Lake
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.browser import CHROMIUM, browsing
from rag_pipeline_tests.serving.conftest import Served, mark_of, running, tokens_for
from rag_pipeline_tests.serving.test_api import assert_problem


@pytest.fixture(scope="module")
def remarked(lake: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on a lake of its own, which is written to."""
    project = lake.copied(tmp_path_factory.mktemp("remarked"))
    tokens = tokens_for(project)
    with running(build_app(project.pipeline())) as url:
        yield Served(url, project, tokens)


def kept(served: Served) -> list[dict[str, Any]]:
    lake = Lake(served.project.pipeline().lake_root)
    return lake.read(FEEDBACK).sort("given_at").to_dicts()


def hit_of(served: Served, who: str, at: int) -> dict[str, Any]:
    with served.client(who) as client:
        hits = client.post("/v1/search", json={"query": f"word {mark_of(at)}", "k": 1}).json()["hits"]
    found: dict[str, Any] = hits[0]
    return found


def test_a_remark_is_a_row_and_no_reason_for_a_run(remarked: Served) -> None:
    root = Path(remarked.project.pipeline().lake_root)
    hit, before, state = hit_of(remarked, "bob", 1), len(kept(remarked)), lake_state(root)
    comment = "not the newest; <b>'quoted'</b> \u0627\u0644 \u202e"
    asked = {"query": "word", "chunk_id": hit["chunk_id"], "verdict": "down", "comment": comment, "rank": 1}
    with remarked.client("bob") as client:
        answer = client.post("/v1/feedback", json=asked)
    assert answer.status_code == 201
    row = kept(remarked)[-1]
    assert len(kept(remarked)) == before + 1
    assert row["feedback_id"] == answer.json()["feedback_id"]
    assert (row["chunk_id"], row["uri"], row["verdict"], row["comment"]) == (
        hit["chunk_id"], hit["uri"], "down", comment,
    )  # fmt: skip
    assert (row["caller"], row["principals"]) == ("bob", ["bob", "public", "staff"])
    assert lake_state(root) == state


def test_what_the_caller_may_not_see_is_not_remarked_on(remarked: Served) -> None:
    hit, before = hit_of(remarked, "eve", 2), len(kept(remarked))
    asked = {"query": "word", "chunk_id": hit["chunk_id"], "verdict": "up"}
    with remarked.client("bob") as client:
        closed = client.post("/v1/feedback", json=asked)
        absent = client.post("/v1/feedback", json=asked | {"chunk_id": "0" * 32})
        for wrong in ({"verdict": "maybe"}, {"comment": "x" * 2_001}, {"query": " "}, {"rank": 0}):
            assert_problem(client.post("/v1/feedback", json=asked | wrong), 422, "bad_request")
    assert assert_problem(closed, 404, "not_there")["detail"] == assert_problem(absent, 404, "not_there")["detail"]
    with remarked.client("eve") as client:
        narrowed = client.post("/v1/feedback", json=asked | {"view_as": ["staff"]})
    assert_problem(narrowed, 404, "not_there")
    assert httpx.post(f"{remarked.url}/v1/feedback", json=asked).status_code == 401
    assert len(kept(remarked)) == before


def test_a_lake_whose_remarks_have_the_old_columns_goes_on_working(lake: Project, tmp_path: Path) -> None:
    project = lake.copied(tmp_path)
    old = replace(
        FEEDBACK,
        columns={name: column for name, column in FEEDBACK.columns.items() if not column.later},
        rules=(),
    )
    now = datetime.now(UTC)
    said = Remark("first", "lamp", "hybrid", 1, "c", "d", "docs/0.md", "up", "", "ann", ("ann",), 0, now)
    root = project.pipeline().lake_root
    for name in ("first", "second"):
        Lake(root).append(old, old.frame([said.row() | {"feedback_id": name}]))
    rows = Lake(root).read(FEEDBACK, ["feedback_id", "decision"], where=pl.col("decision").is_null())
    assert sorted(rows.rows()) == [("first", None), ("second", None)]
    project.write("more.md", "# More\n\nThe bell of the hall rings at noon.\n")
    project.refresh()
    with running(build_app(project.pipeline())) as url:
        served = Served(url, project, tokens_for(project))
        hit = hit_of(served, "bob", 1)
        with served.client("bob") as client:
            asked = {"query": "word", "chunk_id": hit["chunk_id"], "verdict": "up"}
            assert client.post("/v1/feedback", json=asked).status_code == 201
    assert [Remark.of(row).documents for row in kept(served)] == [("d",), ("d",), (hit["document_id"],)]
    assert Lake(root).update(
        FEEDBACK, FEEDBACK.frame([{"feedback_id": "first", "decision": "dismissed"}]).select("feedback_id", "decision")
    )
    assert {row["feedback_id"]: row["decision"] for row in kept(served)}["first"] == "dismissed"


def test_remarks_that_come_together_are_all_kept(remarked: Served) -> None:
    from concurrent.futures import ThreadPoolExecutor

    hit, before = hit_of(remarked, "ann", 0), len(kept(remarked))
    headers = {"Authorization": f"Bearer {remarked.tokens['ann']}"}

    def give(at: int) -> int:
        asked = {"query": f"word {at}", "chunk_id": hit["chunk_id"], "verdict": "up"}
        return httpx.post(f"{remarked.url}/v1/feedback", json=asked, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(4) as callers:
        assert set(callers.map(give, range(8))) == {201}
    assert len(kept(remarked)) == before + 8


def test_remarks_that_wait_for_a_run_do_not_wait_one_after_another(
    lake: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from rag_pipeline.serving import feedback
    from rag_pipeline.serving.callers import Caller
    from rag_pipeline.serving.questions import FeedbackQuestion

    monkeypatch.setattr(feedback, "LOCK_SECONDS", 0.5)
    pipeline = lake.copied(tmp_path).pipeline()
    caller = Caller("ann", frozenset({"ann", "public"}), "token")
    with Searcher.open(pipeline) as searcher, Lake(pipeline.lake_root).writing():
        hit = searcher.search("key beside the door", principals=caller.principals, k=1)[0]
        asked = FeedbackQuestion(query="key", chunk_id=hit.chunk_id, verdict="up")
        taking = feedback.Feedback(pipeline, searcher)

        def waited(_: int) -> float:
            began = time.monotonic()
            with pytest.raises(LakeBusy):
                taking.take(caller, asked)
            return time.monotonic() - began

        with ThreadPoolExecutor(8) as callers:
            assert max(callers.map(waited, range(8))) < 2.5


def test_the_page_sends_a_thumb_with_a_comment(remarked: Served) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    if not CHROMIUM.exists():
        pytest.skip(f"needs a browser at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        with browsing(browser, remarked.url, remarked.tokens["ann"]) as browsed:
            page = browsed.page
            page.get_by_label("What do you want to know?").fill(f"word {mark_of(4)}")
            page.get_by_role("button", name="Search", exact=True).click()
            first = page.locator(".hit").first
            first.get_by_label("Comment on hit 1").fill("says it all")
            first.get_by_role("button", name="Answers the question (hit 1)").click()
            sync_api.expect(page.locator("#status")).to_contain_text("Thank you")
            sync_api.expect(first.locator("button[aria-pressed=true]")).to_have_count(1)
            browsed.assert_accessible()
        browser.close()
    row = kept(remarked)[-1]
    assert (row["query"], row["verdict"], row["comment"]) == (f"word {mark_of(4)}", "up", "says it all")
    assert json.loads(json.dumps(row["rank"])) == 1
