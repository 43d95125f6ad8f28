"""What a walk notes on disk: two walks at once, bytes and lines that are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_pipeline.contracts.ids import bytes_hash
from rag_pipeline.sources.web.journal import Journal
from rag_pipeline.sources.web.state import Page

AGE_SECONDS = 60.0


def page_of(name: str, raw: bytes) -> Page:
    url = f"https://site.example/{name}"
    return Page(url, bytes_hash(raw), len(raw), "text/html", None, None, None, None, (), 0, True, "")


def begun(folder: Path) -> Journal:
    return Journal(str(folder), "recipe", AGE_SECONDS, lambda _: True)


def taken(journal: Journal, name: str) -> bytes | None:
    found = journal.taken(f"https://site.example/{name}")
    return None if found is None else found[1]()


def test_two_walks_at_once_do_not_write_over_each_other(tmp_path: Path) -> None:
    first = begun(tmp_path)
    bodies = [first.put(page_of("a", b"first a"), b"first a")]
    # Another process polls the same site, for nothing waits for the lock of the lake while it walks.
    second = begun(tmp_path)
    assert taken(second, "a") is None
    others = [second.put(page_of("b", b"second b"), b"second b")]
    bodies.append(first.put(page_of("c", b"first c!"), b"first c!"))
    others.append(second.put(page_of("d", b"second d"), b"second d"))
    assert [each and each() for each in bodies] == [b"first a", b"first c!"]
    assert [each and each() for each in others] == [b"second b", b"second d"]
    second.end()
    # It was killed: whoever comes then goes on with what it alone has noted.
    del first, bodies
    after = begun(tmp_path)
    assert [taken(after, name) for name in "abcd"] == [b"first a", None, b"first c!", None]


def test_bytes_that_a_machine_that_stopped_has_not_written_are_no_page(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    for name in "ab":
        journal.put(page_of(name, b"page " + name.encode()), b"page " + name.encode())
    del journal
    (tmp_path / "walk.bytes").write_bytes(b"page a" + bytes(6))
    after = begun(tmp_path)
    assert [taken(after, name) for name in "ab"] == [b"page a", None]
    after.end()
    # The same of a walk that ended: the site says that a page is as before.
    (tmp_path / "walk.bytes").write_bytes(bytes(12))
    assert begun(tmp_path).body_of(page_of("a", b"page a")) is None


@pytest.mark.parametrize(
    "line", [b'{"page": {}}', b'{"at": "x", "page": 1}', b"[]", b"{", b"\xff", b'{"at": 0, "page": {"links": 1}}']
)
def test_damaged_lines_cost_one_more_reading_and_are_gone_then(tmp_path: Path, line: bytes) -> None:
    journal = begun(tmp_path)
    journal.put(page_of("a", b"page a"), b"page a")
    del journal
    with (tmp_path / "walk.jsonl").open("ab") as lines:
        lines.write(line + b"\n")
    after = begun(tmp_path)
    assert taken(after, "a") is None
    assert (tmp_path / "walk.bytes").stat().st_size == 0
    after.put(page_of("b", b"page b"), b"page b")
    del after
    assert taken(begun(tmp_path), "b") == b"page b"
