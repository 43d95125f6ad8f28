"""A local folder as a source: what it lists, what it refuses, and what it never does."""

from __future__ import annotations

import os
import resource
import socket
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.sources import DeclaredMetadata, FetchedObject, SourceObject, SourceSpec
from rag_pipeline.errors import (
    DocumentError,
    DocumentTooLarge,
    DocumentUnreadable,
    DocumentVanished,
    InvalidMetadata,
    LinkOutsideSource,
    SettingsError,
    SourceUnavailable,
)
from rag_pipeline.sources import local, open_source
from rag_pipeline.transforms.permissions import allowed_principals


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


def put(path: Path, content: str | bytes = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def spec_of(folder: Path, **settings: Any) -> SourceSpec:
    return SourceSpec("handbook", str(folder), uri_prefix="docs", **settings)


def listed(folder: Path, **settings: Any) -> dict[str, SourceObject]:
    items = open_source(spec_of(folder, **settings)).list()
    assert [item.address for item in items] == sorted(item.address for item in items)
    return {item.address: item for item in items}


def fetched(folder: Path, address: str, **settings: Any) -> FetchedObject:
    source = open_source(spec_of(folder, **settings))
    return source.fetch(next(item for item in source.list() if item.address == address))


def stamps(folder: Path, **settings: Any) -> dict[str, str]:
    return {address: item.stamp for address, item in listed(folder, **settings).items()}


def test_files_are_listed_with_address_uri_size_and_time(docs: Path) -> None:
    path = put(docs / "x" / "a.md", "# A")
    os.utime(path, (1_767_225_600.25, 1_767_225_600.25))
    (item,) = listed(docs).values()
    assert (item.address, item.uri, item.size_bytes) == ("x/a.md", "docs/x/a.md", 3)
    assert item.modified_at == datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)
    assert item.problem is None
    assert fetched(docs, "x/a.md") == FetchedObject(b"# A", DeclaredMetadata())


def test_a_file_url_is_a_local_folder(docs: Path) -> None:
    put(docs / "a b.md")
    source = open_source(SourceSpec("x", f"file://{docs}".replace("docs", "d%6Fcs")))
    assert [item.address for item in source.list()] == ["a b.md"]


def test_hidden_names_sidecars_and_leftovers_are_no_documents(docs: Path) -> None:
    for name in (
        "a.md",
        "a.md.meta.yaml",
        ".hidden.md",
        ".git/config",
        "x/.cache/a.md",
        "a.md~",
        "#a.md#",
        "~$a.docx",
        "a.swp",
    ):
        put(docs / name, "{}")
    assert list(listed(docs)) == ["a.md"]
    assert "a.md.meta.yaml" in listed(docs, use_sidecars=False)
    assert list(listed(docs, include=(".git/**",))) == [".git/config"]


def test_a_sidecar_whose_file_is_gone_is_no_document(docs: Path) -> None:
    for name in ("package.meta.json", "x.meta.yaml", "x/a.md", "b.pdf", "b.pdf.meta.yml"):
        put(docs / name, "{}")
    assert list(listed(docs)) == ["b.pdf", "x/a.md"]
    assert "x.meta.yaml" in listed(docs, use_sidecars=False)
    # A sidecar of a file that the source leaves out is none the less a sidecar.
    assert "b.pdf.meta.yml" not in listed(docs, exclude=("b.pdf",))


def test_a_sidecar_belongs_to_its_file_however_their_letters_are_composed(docs: Path) -> None:
    put(docs / "ko\u0308rper.md", "x")
    put(docs / "k\u00f6rper.md.meta.yaml", '{"allowed_principals": ["hr"]}')
    source = open_source(SourceSpec("x", str(docs)))
    (item,) = source.list()
    assert source.fetch(item).declared.allowed_principals == ("hr",)


@pytest.mark.parametrize("name", ["a.md.META.YAML", "a.md.Meta.Yml", "a.md.meta.JSON", "A.MD.meta.yaml"])
def test_the_letter_case_of_a_sidecar_does_not_matter(docs: Path, name: str) -> None:
    put(docs / "a.md")
    before = stamps(docs)
    put(docs / name, '{"allowed_principals": ["hr"]}')
    assert list(listed(docs)) == ["a.md"]
    assert stamps(docs) != before
    assert fetched(docs, "a.md").declared.allowed_principals == ("hr",)
    (docs / "link.md").symlink_to("a.md")
    assert fetched(docs, "link.md").declared.link_target_principals == ("hr",)


def test_a_sidecar_belongs_to_the_file_of_its_very_name_if_there_is_one(docs: Path) -> None:
    for name in ("a.md", "A.md"):
        put(docs / name)
    if len(listed(docs)) < 2:
        pytest.skip("names that differ in case alone are one file here")
    put(docs / "A.md.meta.yaml", "allowed_principals: [hr]")
    assert [item.sidecar_address for item in listed(docs).values()] == ["A.md.meta.yaml", None]


@pytest.mark.parametrize("is_settled", [False, True])
def test_a_sidecar_that_comes_between_listing_and_reading_counts(docs: Path, is_settled: bool) -> None:
    put(docs / "a.md")
    put(docs / "b.md")
    if is_settled:
        os.utime(docs, (1_700_000_000, 1_700_000_000))
    source = open_source(spec_of(docs))
    one, other = source.list()
    assert source.fetch(one).declared.allowed_principals is None
    put(docs / "b.md.meta.YAML", "allowed_principals: [hr]")
    assert source.fetch(other).declared.allowed_principals == ("hr",)
    put(docs / "b.md.meta.json", "{}")
    with pytest.raises(InvalidMetadata):
        source.fetch(other)


def test_include_and_exclude_choose(docs: Path) -> None:
    for name in ("a.md", "b.txt", "x/c.md", "x/drafts/d.md", "node_modules/e.md"):
        put(docs / name)
    assert list(listed(docs, include=("**/*.md",), exclude=("**/drafts/**", "node_modules/"))) == ["a.md", "x/c.md"]
    assert list(listed(docs, include=("x/**/*.md", "b.*"))) == ["b.txt", "x/c.md", "x/drafts/d.md"]


@pytest.mark.parametrize(
    "raw", [b"new\nline.md", b"caf\xe9.md", "ä ö 漢字.md".encode(), b"100%.md", b"%E9.md", b"-rf *.md", b"\\.md"]
)
def test_any_name_can_be_listed_stored_and_read(docs: Path, raw: bytes) -> None:
    put(Path(os.fsdecode(os.fsencode(docs / "sub") + b"/" + raw)), "text")
    (item,) = listed(docs).values()
    item.address.encode()
    item.uri.encode()
    assert fetched(docs, item.address).raw == b"text"


def test_an_unchanged_folder_has_unchanged_stamps(docs: Path) -> None:
    put(docs / "a.md")
    put(docs / "a.md.meta.yaml", "title: A")
    (docs / "link.md").symlink_to("a.md")
    (docs / "out.md").symlink_to("/nowhere")
    assert stamps(docs) == stamps(docs)


@pytest.mark.parametrize("kind", ["content", "same size and time", "replaced", "sidecar", "sidecar gone"])
def test_every_change_shows_in_the_stamp(docs: Path, kind: str) -> None:
    path, sidecar = put(docs / "a.md", "one"), put(docs / "a.md.meta.yaml", "title: A")
    put(docs / "b.md")
    before = stamps(docs)
    status = path.stat()
    time.sleep(0.02)
    if kind == "content":
        path.write_text("longer")
    elif kind == "same size and time":
        path.write_text("two")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif kind == "replaced":
        put(docs / "new", "two").replace(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif kind == "sidecar":
        sidecar.write_text("title: B")
    else:
        sidecar.unlink()
    after = stamps(docs)
    assert after["a.md"] != before["a.md"]
    assert after["b.md"] == before["b.md"]


def test_a_missing_location_is_not_an_empty_source(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="docs"):
        listed(tmp_path / "missing")
    put(tmp_path / "file")
    with pytest.raises(SourceUnavailable):
        listed(tmp_path / "file")


def test_an_empty_folder_is_an_empty_source(docs: Path) -> None:
    assert listed(docs) == {}


def test_an_unknown_kind_is_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(SettingsError, match="files"):
        open_source(SourceSpec("x", "docs", kind="carrier pigeon"))


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Root may read everything, so these tests step down while they read."""
    if os.geteuid() != 0:
        yield
        return
    closed = [folder for folder in tmp_path.parents if not folder.stat().st_mode & 0o005]
    modes = {folder: folder.stat().st_mode for folder in closed}
    for folder in closed:
        folder.chmod(modes[folder] | 0o055)
    yield
    os.seteuid(0)
    for folder in closed:
        folder.chmod(modes[folder])


def step_down() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


@pytest.mark.usefixtures("unprivileged")
def test_a_folder_that_cannot_be_looked_into_does_not_look_empty(docs: Path) -> None:
    put(docs / "closed" / "a.md")
    put(docs / "b.md")
    for folder in (docs, docs.parent):
        folder.chmod(0o755)
    (docs / "closed").chmod(0)
    step_down()
    with pytest.raises(SourceUnavailable, match="closed"):
        listed(docs)
    assert list(listed(docs, exclude=("closed/**",))) == ["b.md"]


@pytest.mark.usefixtures("unprivileged")
def test_an_unreadable_file_fails_alone_and_tells_no_path(docs: Path) -> None:
    put(docs / "a.md").chmod(0)
    for folder in (docs, docs.parent):
        folder.chmod(0o755)
    step_down()
    with pytest.raises(DocumentUnreadable, match="permission denied") as caught:
        fetched(docs, "a.md")
    assert str(docs) not in str(caught.value)


def test_special_files_are_listed_with_a_problem_and_never_opened(docs: Path, monkeypatch: Any) -> None:
    os.mkfifo(docs / "pipe.md")
    monkeypatch.chdir(docs)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.md")
        (docs / "link.md").symlink_to("pipe.md")
        items = listed(docs)
    assert list(items) == ["link.md", "pipe.md", "socket.md"]
    assert all(isinstance(item.problem, DocumentUnreadable) for item in items.values())


def test_a_file_that_became_a_pipe_does_not_hold_the_reader(docs: Path) -> None:
    path = put(docs / "a.md")
    source = open_source(spec_of(docs))
    (item,) = source.list()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DocumentUnreadable, match="regular"):
        source.fetch(item)


def test_a_link_inside_is_a_document(docs: Path) -> None:
    put(docs / "x" / "a.md", "text")
    (docs / "link.md").symlink_to("x/a.md")
    item = listed(docs)["link.md"]
    assert (item.problem, item.size_bytes) == (None, 4)
    assert fetched(docs, "link.md") == FetchedObject(b"text", DeclaredMetadata(link_target="x/a.md"))


def test_the_stamp_of_a_link_follows_its_target_and_the_targets_sidecar(docs: Path) -> None:
    put(docs / "a.md", "one")
    put(docs / "b.md", "two")
    (docs / "link.md").symlink_to("a.md")
    seen = [stamps(docs)["link.md"]]
    put(docs / "a.md", "longer")
    seen.append(stamps(docs)["link.md"])
    put(docs / "a.md.meta.yaml", "allowed_principals: [hr]")
    seen.append(stamps(docs)["link.md"])
    (docs / "link.md").unlink()
    (docs / "link.md").symlink_to("b.md")
    seen.append(stamps(docs)["link.md"])
    assert len(set(seen)) == 4


def test_a_link_is_bounded_by_what_is_declared_beside_its_target(docs: Path) -> None:
    put(docs / "hr" / "a.md", "text")
    put(docs / "hr" / "a.md.meta.yaml", "allowed_principals: [hr]")
    (docs / "link.md").symlink_to("hr/a.md")
    put(docs / "link.md.meta.yaml", "allowed_principals: [hr, public]")
    declared = fetched(docs, "link.md").declared
    assert declared.link_target_principals == ("hr",)
    assert allowed_principals("link.md", declared, spec_of(docs)) == ("hr",)


@pytest.mark.parametrize("target", ["../secret.md", "/etc/passwd", "../missing.md", "a.md/../../secret.md"])
def test_a_link_out_of_the_folder_is_a_problem_and_its_target_is_not_told(docs: Path, target: str) -> None:
    put(docs.parent / "secret.md", "secret")
    (docs / "a.md").mkdir()
    (docs / "link.md").symlink_to(target)
    item = listed(docs)["link.md"]
    assert isinstance(item.problem, LinkOutsideSource)
    assert "secret" not in str(item.problem)


def test_a_folder_with_a_similar_name_is_outside(docs: Path) -> None:
    put(docs.parent / "docs-private" / "a.md")
    (docs / "link.md").symlink_to("../docs-private/a.md")
    assert isinstance(listed(docs)["link.md"].problem, LinkOutsideSource)


@pytest.mark.parametrize(("target", "exclude"), [(".env", ()), ("private/a.md", ("private/**",))])
def test_a_link_opens_nothing_that_the_source_leaves_out(docs: Path, target: str, exclude: tuple[str, ...]) -> None:
    put(docs / target, "secret")
    (docs / "link.md").symlink_to(target)
    assert isinstance(listed(docs, exclude=exclude)["link.md"].problem, LinkOutsideSource)


def test_a_kubernetes_mount_is_read_through_its_links(docs: Path) -> None:
    put(docs / "..2026_01_01" / "a.md", "text")
    (docs / "..data").symlink_to("..2026_01_01")
    (docs / "a.md").symlink_to("..data/a.md")
    assert list(listed(docs)) == ["a.md"]
    assert fetched(docs, "a.md").raw == b"text"


def test_links_that_lead_nowhere_or_in_a_circle_are_problems(docs: Path) -> None:
    (docs / "dangling.md").symlink_to("missing.md")
    (docs / "a.md").symlink_to("b.md")
    (docs / "b.md").symlink_to("a.md")
    items = listed(docs)
    assert list(items) == ["a.md", "b.md", "dangling.md"]
    assert all(isinstance(item.problem, DocumentUnreadable) for item in items.values())


def test_linked_folders_are_not_entered_and_reported_when_they_lead_out(docs: Path) -> None:
    put(docs / "x" / "a.md")
    put(docs.parent / "outside" / "b.md")
    (docs / "inside").symlink_to("x")
    (docs / "x" / "circle").symlink_to("..")
    (docs / "outside").symlink_to("../outside")
    items = listed(docs, include=("**/*.md",))
    assert list(items) == ["outside", "x/a.md"]
    assert isinstance(items["outside"].problem, LinkOutsideSource)


def test_a_link_that_is_turned_after_the_listing_is_not_followed_out(docs: Path) -> None:
    put(docs.parent / "secret.md", "secret")
    path = put(docs / "a.md")
    source = open_source(spec_of(docs))
    (item,) = source.list()
    path.unlink()
    path.symlink_to("../secret.md")
    with pytest.raises(LinkOutsideSource):
        source.fetch(item)


def test_the_location_itself_may_be_a_link(docs: Path) -> None:
    put(docs / "a.md", "text")
    (docs.parent / "current").symlink_to("docs")
    assert fetched(docs.parent / "current", "a.md") == FetchedObject(b"text", DeclaredMetadata())


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_goes_between_listing_and_reading_has_vanished(docs: Path, what: str) -> None:
    path = put(docs / "x" / "a.md")
    source = open_source(spec_of(docs))
    (item,) = source.list()
    path.unlink()
    if what == "folder":
        path.parent.rmdir()
        put(docs / "x")
    with pytest.raises(DocumentVanished):
        source.fetch(item)


def test_a_file_over_the_limit_is_refused_without_taking_memory(docs: Path) -> None:
    with (docs / "large.txt").open("wb") as file:
        file.truncate(100 * 2**20)
    source = open_source(spec_of(docs, max_document_bytes=50 * 2**20))
    (item,) = source.list()
    tracemalloc.start()
    try:
        with pytest.raises(DocumentTooLarge) as caught:
            source.fetch(item)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert caught.value.facts == {"size_bytes": 100 * 2**20, "limit_bytes": 50 * 2**20}


def test_a_file_that_changes_while_it_is_read_is_read_again(docs: Path, monkeypatch: Any) -> None:
    path = put(docs / "a.md", "one")
    changes = iter(["longer"])
    _change_after_open(monkeypatch, path, changes)
    assert fetched(docs, "a.md").raw == b"longer"


def test_a_file_that_does_not_stop_changing_is_left_for_the_next_run(docs: Path, monkeypatch: Any) -> None:
    path = put(docs / "a.md", "one")
    monkeypatch.setattr(local, "_RETRY_SECONDS", 0)
    _change_after_open(monkeypatch, path, (f"version {number} {'x' * number}" for number in range(100)))
    with pytest.raises(DocumentUnreadable, match="changed while it was read"):
        fetched(docs, "a.md")


def _change_after_open(monkeypatch: Any, path: Path, contents: Iterator[str]) -> None:
    really_stat = os.fstat
    calls = 0

    def stat_and_change(descriptor: int) -> os.stat_result:
        # The first call of each reading comes before its bytes are read, the second after.
        nonlocal calls
        calls += 1
        status = really_stat(descriptor)
        if calls % 2 and (content := next(contents, None)) is not None:
            path.write_text(content)
        return status

    monkeypatch.setattr(local.os, "fstat", stat_and_change)


@pytest.mark.parametrize("suffix", [".meta.yaml", ".meta.yml", ".meta.json"])
def test_a_sidecar_declares_before_front_matter(docs: Path, suffix: str) -> None:
    put(docs / "a.md", "---\ntitle: Front\nauthor: Ann\nallowed_principals: [hr]\n---\ntext")
    put(docs / f"a.md{suffix}", '{"title": "Side", "allowed_principals": ["finance"]}')
    assert listed(docs)["a.md"].sidecar_address == f"a.md{suffix}"
    declared = fetched(docs, "a.md").declared
    assert declared == DeclaredMetadata(title="Side", author="Ann", allowed_principals=("finance",))


def test_sidecars_and_front_matter_can_be_switched_off(docs: Path) -> None:
    put(docs / "a.md", "---\ntitle: Front\nallowed_principals: [hr]\n---\ntext")
    put(docs / "a.md.meta.yaml", "author: Side")
    settings = {"use_sidecars": False, "use_front_matter": False, "include": ("**/*.md",)}
    assert fetched(docs, "a.md", **settings).declared == DeclaredMetadata()


def test_two_sidecars_contradict_each_other(docs: Path) -> None:
    put(docs / "a.md")
    put(docs / "a.md.meta.yaml", "allowed_principals: [hr]")
    put(docs / "a.md.meta.json", "{}")
    assert isinstance(listed(docs)["a.md"].problem, InvalidMetadata)


@pytest.mark.parametrize("kind", ["malformed", "link out", "dangling", "folder", "large", "gone"])
def test_a_sidecar_that_cannot_be_read_holds_its_document_back(docs: Path, kind: str) -> None:
    put(docs / "a.md")
    sidecar = docs / "a.md.meta.yaml"
    put(docs.parent / "outside.yaml", "allowed_principals: [public]")
    actions = {
        "malformed": lambda: put(sidecar, "title: ["),
        "link out": lambda: sidecar.symlink_to("../outside.yaml"),
        "dangling": lambda: sidecar.symlink_to("missing"),
        "folder": sidecar.mkdir,
        "large": lambda: put(sidecar, "x: " + "y" * 2**20),
        "gone": lambda: put(sidecar, "title: a"),
    }
    actions[kind]()
    source = open_source(spec_of(docs))
    item = next(item for item in source.list() if item.address == "a.md")
    if kind == "gone":
        sidecar.unlink()
    with pytest.raises(InvalidMetadata):
        source.fetch(item)


def test_messages_of_refused_documents_tell_no_path(docs: Path) -> None:
    (docs / "out.md").symlink_to("/etc/passwd")
    (docs / "dangling.md").symlink_to("missing")
    os.mkfifo(docs / "pipe.md")
    put(docs / "a.md", "---\nallowed_principals: 5\n---")
    source = open_source(spec_of(docs))
    for item in source.list():
        problem = item.problem
        if problem is None:
            with pytest.raises(DocumentError) as caught:
                source.fetch(item)
            problem = caught.value
        assert str(docs.parent) not in f"{problem} {problem.facts}"
        assert "/etc" not in f"{problem} {problem.facts}"


def test_a_listing_keeps_no_files_open(docs: Path) -> None:
    for number in range(50):
        put(docs / f"{number}" / "a.md")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    try:
        assert len(listed(docs)) == 50
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
