"""A lake that breaks while it is served: each entry answers within its caller's rights or says that it cannot, and
answers again as soon as the lake is whole."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import COUNT, PRINCIPALS, Served, known_to, mark_of, running, tokens_for

pytestmark = pytest.mark.slow


@pytest.fixture
def served(lake: Project, tmp_path: Path) -> Iterator[Served]:
    """A server on a lake of its own."""
    from rag_pipeline.serving.app import build_app

    shutil.copytree(lake.folder, tmp_path / "project")
    project = Project(tmp_path / "project", lake.settings)
    tokens = tokens_for(project)
    with running(build_app(project.pipeline())) as url:
        yield Served(url, project, tokens)


def every_entry(client: httpx.Client, chunk: str) -> dict[str, httpx.Response]:
    return {
        "search": client.post("/v1/search", json={"query": f"word {mark_of(1)}", "k": 50}),
        "window": client.post("/v1/window", json={"chunk_id": chunk}),
        "sources": client.get("/v1/sources"),
        "explain": client.post("/v1/explain", json={"query": "hall", "document": f"docs/{mark_of(0)}.md"}),
        "feedback": client.post("/v1/feedback", json={"verdict": "up", "query": "hall", "chunk_id": chunk}),
    }


def a_chunk(client: httpx.Client) -> str:
    chunk: str = client.post("/v1/search", json={"query": f"word {mark_of(0)}"}).json()["hits"][0]["chunk_id"]
    return chunk


def marks_in(answer: httpx.Response) -> set[str]:
    return {mark for mark in map(mark_of, range(COUNT)) if mark in answer.text}


def away(part: str) -> Callable[[Path], Callable[[], None]]:
    """A part of the lake is not there for a while."""

    def broken(lake: Path) -> Callable[[], None]:
        (lake / part).rename(lake / "aside")

        def mended() -> None:
            if (lake / part).exists():
                shutil.rmtree(lake / part)
            (lake / "aside").rename(lake / part)

        return mended

    return broken


def cut(pattern: str) -> Callable[[Path], Callable[[], None]]:
    """Files are cut in half."""

    def broken(lake: Path) -> Callable[[], None]:
        before = {path: path.read_bytes() for path in lake.glob(pattern) if path.is_file()}
        assert before, pattern
        for path, content in before.items():
            path.write_bytes(content[: len(content) // 2])

        def mended() -> None:
            for path, content in before.items():
                path.write_bytes(content)

        return mended

    return broken


# What breaks, and the entries that cannot answer meanwhile.
SEARCHING = {"search", "window", "explain", "feedback"}
ALL = {*SEARCHING, "sources"}
FAULTS = {
    "the log of publications is gone": (away("gold/publications"), ALL),
    "the log of publications is cut": (cut("gold/publications/_delta_log/*.json"), ALL),
    "the index is gone": (away("gold/index"), ALL),
    "the index is cut": (cut("gold/index/**/*.lance"), SEARCHING),
    "documents are gone": (away("silver/documents"), set()),
    "all of gold is gone": (away("gold"), ALL),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_lake_that_breaks_is_said_and_heals_without_a_restart(
    served: Served, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each question looks at the pointer: how long one look counts would decide which of them meet the fault.
    monkeypatch.setattr("rag_pipeline.retrieval.published.POINTER_SECONDS", 0.0)
    lake = served.project.folder / "lake"
    breaks, silent = FAULTS[name]
    with served.client("ann") as client:
        chunk = a_chunk(client)
        assert {answer.status_code for answer in every_entry(client, chunk).values()} <= {200, 201}
        mended = breaks(lake)
        for _ in range(2):
            for entry, answer in every_entry(client, chunk).items():
                assert marks_in(answer) <= known_to(PRINCIPALS["ann"])
                assert (answer.status_code == 503) == (entry in silent), (entry, answer.text)
                if entry in silent:
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert str(lake) not in answer.text
        mended()
        assert {answer.status_code for answer in every_entry(client, chunk).values()} <= {200, 201}


def test_a_remark_that_finds_no_room_is_a_problem_and_search_goes_on(served: Served, tmp_path: Path) -> None:
    remarks = served.project.folder / "lake" / "gold" / "feedback"
    with served.client("ann") as client:
        chunk = a_chunk(client)
        client.post("/v1/feedback", json={"verdict": "up", "query": "hall", "chunk_id": chunk}).raise_for_status()
        kept = tmp_path / "kept"
        remarks.rename(kept)
        remarks.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(remarks)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only who may mount file systems can have a small disk here")
        try:
            shutil.copytree(kept, remarks, dirs_exist_ok=True)
            with suppress(OSError), (remarks / "ballast").open("wb", buffering=0) as file:
                while file.write(b"x" * 512):
                    pass
            full = every_entry(client, chunk)
            assert (full["search"].status_code, full["feedback"].status_code) == (200, 503)
            (remarks / "ballast").unlink()
            assert every_entry(client, chunk)["feedback"].status_code in (200, 201)
        finally:
            subprocess.run(["umount", "--lazy", str(remarks)], check=True)
