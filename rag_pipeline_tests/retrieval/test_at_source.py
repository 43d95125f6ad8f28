"""A hit that is checked when it is used: as it is now, changed, gone; and only for who may know of it."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.errors import BadQuery
from rag_pipeline.retrieval import at_source
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.transforms.metrics import percentile
from rag_pipeline_tests.pipeline.project import Project

QUERY = "the pump of the hall"
NAMES = ("a.md", "b.md", "c.md", "closed.md")


def archive(text: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as members:
        members.writestr("in.md", text)
    return made.getvalue()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.create(
        tmp_path_factory.mktemp("built"), deduplication={"near": False}, boilerplate={"leave_out": False}
    )
    for at, name in enumerate(NAMES):
        readers = "board" if name == "closed.md" else "public"
        made.write(name, f"---\nallowed_principals: [{readers}]\n---\nThe pump of the hall {at} is red.")
    made.write("p.zip", archive("The pump of the hall is packed."))
    made.refresh()
    return made


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


def states(searcher: Searcher, *principals: str) -> dict[str, str | None]:
    hits = searcher.search(QUERY, principals=principals, k=20, verify=True)
    return {hit.uri.removeprefix("docs/"): hit.at_source for hit in hits}


def removed(project: Project) -> None:
    (project.folder / "docs" / "a.md").unlink()


def edited(project: Project) -> None:
    project.write("a.md", "The pump of the hall 0 is blue.")


def closed(project: Project) -> None:
    project.write("a.md.meta.yaml", "allowed_principals: [board]\n")


def unreadable(project: Project) -> None:
    path = project.folder / "docs" / "a.md"
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("change", "expected"), [(removed, "gone"), (edited, "changed"), (closed, "changed"), (unreadable, "changed")]
)
def test_a_hit_says_what_its_source_says_now(
    project: Project, change: Callable[[Project], None], expected: str
) -> None:
    searcher = Searcher.open(project.pipeline())
    before = states(searcher, "public")
    assert before == {"a.md": "same", "b.md": "same", "c.md": "same", "p.zip!/in.md": "same"}
    change(project)
    assert states(searcher, "public") == before | {"a.md": expected}


def test_a_member_of_an_archive_is_checked_by_its_archive(project: Project) -> None:
    searcher = Searcher.open(project.pipeline())
    project.write("p.zip", archive("The pump of the hall was unpacked."))
    assert states(searcher, "public")["p.zip!/in.md"] == "changed"
    (project.folder / "docs" / "p.zip").unlink()
    assert states(searcher, "public")["p.zip!/in.md"] == "gone"


def test_a_source_that_does_not_answer_is_unknown(project: Project) -> None:
    searcher = Searcher.open(project.pipeline())
    (project.folder / "docs").rename(project.folder / "elsewhere")
    assert set(states(searcher, "public").values()) == {"unknown"}


def test_what_was_taken_in_but_not_published_is_changed(project: Project) -> None:
    searcher = Searcher.open(project.pipeline())
    hits = searcher.search(QUERY, principals=["public"], k=20)
    edited(project)
    project.refresh()
    (now,) = (hit for hit in searcher.verified(hits, principals=["public"]) if hit.uri == "docs/b.md")
    assert now.at_source == "same"
    assert states(Searcher.open(project.pipeline()), "public")["a.md"] == "same"


def test_nothing_is_read_for_a_caller_who_may_not_know_of_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    searcher = Searcher.open(project.pipeline())
    hits = searcher.search(QUERY, principals=["board"], k=20)
    assert "docs/closed.md" in {hit.uri for hit in hits}
    asked: list[str] = []
    compared = at_source.SourceCheck._compared

    def counted(check: Any, opened: Any, indexed: Any, row: Any) -> Any:
        asked.append(row["address"])
        return compared(check, opened, indexed, row)

    monkeypatch.setattr(at_source.SourceCheck, "_compared", counted)
    (project.folder / "docs" / "closed.md").unlink()
    found = {hit.uri: hit.at_source for hit in searcher.verified(hits, principals=["public"])}
    assert found["docs/closed.md"] == "unknown"
    assert "closed.md" not in asked
    with pytest.raises(BadQuery, match=r"pipeline\.yaml"):
        Searcher.open(str(project.folder / "lake")).verified(hits, principals=["board"])


def test_a_page_of_local_files_is_checked_in_less_than_a_blink(project: Project) -> None:
    searcher = Searcher.open(project.pipeline())
    hits = searcher.search(QUERY, principals=["public"], k=10)
    searcher.verified(hits, principals=["public"])
    times = []
    for _ in range(20):
        started = time.process_time()
        searcher.verified(hits, principals=["public"])
        times.append((time.process_time() - started) * 1_000)
    # Processor time: others may use the machine. 50 ms on a quiet one.
    assert (percentile(times, 0.95) or 0) < 50, times
