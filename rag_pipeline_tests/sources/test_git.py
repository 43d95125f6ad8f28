"""Files of repositories as documents: history, links, owners, and repositories that are not what they should be."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dulwich.repo import Repo
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pipeline.contracts.sources import Source, SourceObject
from rag_pipeline.errors import DocumentUnreadable, DocumentVanished, SettingsError, SourceUnavailable
from rag_pipeline.sources.git import source
from rag_pipeline.sources.git.history import last_commits
from rag_pipeline.sources.git.objects import Commit, Trees
from rag_pipeline.sources.git.owners import Owners
from rag_pipeline.sources.git.repository import Repository
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.repositories import LINK, SUBMODULE, Maker, git_source

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "code.git")


def by_address(source: Source) -> dict[str, SourceObject]:
    return {item.address: item for item in source.list()}


def git_log(repository: Path, head: bytes, path: str) -> tuple[str, int, str]:
    """What git itself says of the last commit that touched a path."""
    said = subprocess.run(
        ["git", "log", "-1", "--format=%H%n%ct%n%an", head.decode(), "--", path],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return said[0], int(said[1]), said[2]


NAMES = ("a.md", "b.md", "deep/c.md", "deep/er/d.md", "deep/er/e.md")
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["edit", "delete", "move", "branch", "merge", "rewrite", "backwards"]),
        st.integers(0, 4),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=9,
)


class History:
    """A repository that lives through random changes, on a branch that may be rewritten."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.maker = Maker(folder / "code.git")
        self.files: dict[str, bytes] = {name: name.encode() for name in NAMES[:3]}
        self.other: tuple[bytes, dict[str, bytes]] | None = None
        self.count = 0
        self.commits = [(self.maker.commit(self.files), dict(self.files))]

    def live(self, change: str, one: int, two: int) -> None:
        """One change, and the commit of it."""
        self.count += 1
        head = self.commits[-1][0]
        parents, time = [head], None
        name, to = NAMES[one], NAMES[two]
        if change == "delete" and len(self.files) > 1:
            self.files.pop(name, None)
        elif change == "move" and name in self.files:
            self.files[to] = self.files.pop(name)
        elif change == "branch":
            self.other = self.commits[max(0, len(self.commits) - 1 - one)]
            files = self.other[1] | {to: f"other {self.count}".encode()}
            self.other = self.maker.commit(files, branch="other", parents=[self.other[0]]), files
            return
        elif change == "merge" and self.other is not None:
            parents = [head, self.other[0]] if two % 2 else [self.other[0], head]
            self.files |= {NAMES[at]: self.other[1][NAMES[at]] for at in (one, two) if NAMES[at] in self.other[1]}
        elif change == "rewrite" and len(self.commits) > 2:
            del self.commits[-(1 + one % 2) :]
            parents = [self.commits[-1][0]]
            self.files = dict(self.commits[-1][1])
        else:
            self.files[name] = f"text {self.count}".encode()
            # The clock of another machine.
            time = self.maker.clock - 5_000 if change == "backwards" else None
        id_ = self.maker.commit(self.files, parents=parents, time=time, author=f"Person {one} <p@x>".encode())
        self.commits.append((id_, dict(self.files)))


@settings(max_examples=12)
@given(CHANGES)
def test_any_history_gives_what_git_log_says_and_night_by_night_what_a_first_look_gives(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, int]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "history"
    history = History(folder)
    nightly = git_source(history.maker.path, folder / "cache")
    nightly.list()
    for change in changes:
        history.live(*change)
        again = git_source(history.maker.path, folder / "cache")
        first = git_source(history.maker.path)
        assert nightly.list() == again.list() == first.list()
        assert {item.address: first.fetch(item).raw for item in first.list()} == history.files
    head = history.commits[-1][0]
    for name in history.files:
        item = by_address(nightly)[name]
        _, time, author = git_log(history.maker.path, head, name)
        assert item.modified_at == datetime.fromtimestamp(time, UTC), name
        assert item.declared is not None
        assert item.declared.author == author


def test_an_unchanged_run_reads_no_file_and_a_later_walk_stops_where_it_stopped(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{number % 7}/{number}.md": f"text {number}".encode() for number in range(50)}
    for number in range(20):
        maker.commit(files | {"0/0.md": f"edit {number}".encode()})
    before = git_source(maker.path, tmp_path / "cache").list()
    read: list[bytes] = []
    commits: list[bytes] = []

    class Counting(Repository):
        def read(self, id_: bytes) -> bytes:
            read.append(id_)
            return super().read(id_)

        def commit(self, id_: bytes) -> Commit | None:
            commits.append(id_)
            return super().commit(id_)

    monkeypatch.setattr(source, "Repository", Counting)
    assert git_source(maker.path, tmp_path / "cache").list() == before
    # The trees: one for the top, one for each folder.
    assert (len(read), len(set(commits))) == (8, 1)
    maker.commit(files | {"0/0.md": b"the last edit"})
    commits.clear()
    git_source(maker.path, tmp_path / "cache").list()
    assert len(set(commits)) == 2


def test_a_walk_that_costs_too_much_leaves_times_unknown(maker: Maker) -> None:
    for number in range(5):
        maker.commit({"old.md": b"old", "new.md": f"{number}".encode()})
    repository = Repository(maker.path, None)
    head = repository.head()
    trees = Trees(repository.read)

    def found(most: int) -> set[bytes]:
        return {*last_commits(head, {b"old.md", b"new.md"}, repository.commit, trees, max_compared=most)}

    assert found(10_000) == {b"old.md", b"new.md"}
    assert found(6) == {b"new.md"}
    assert found(1) == set()


def test_history_that_is_not_here_is_unknown_and_not_the_newest(maker: Maker, tmp_path: Path) -> None:
    maker.commit({"old.md": b"old"})
    maker.commit({"old.md": b"old", "new.md": b"new"})
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{maker.path}", shallow], check=True)
    assert [item.modified_at for item in git_source(shallow).list()] == [None, None]
    without = git_source(maker.path, history="none").list()
    assert [(item.modified_at, item.declared and item.declared.author) for item in without] == [(None, None)] * 2


def test_what_is_no_file_is_named_as_a_problem(maker: Maker) -> None:
    maker.commit(
        {
            "plain.md": b"plain",
            "to/plain.md": (LINK, b"../plain.md"),
            "to/link.md": (LINK, b"plain.md"),
            "folder.md": (LINK, b"to"),
            "out.md": (LINK, b"../../etc/passwd"),
            "absolute.md": (LINK, b"/etc/passwd"),
            "circle.md": (LINK, b"circle.md"),
            "nowhere.md": (LINK, b"gone.md"),
            "through.md": (LINK, b"folder.md/plain.md"),
            "secret.md": (LINK, b".env"),
            ".env": b"PASSWORD=x",
            "large.bin": POINTER,
            "vendor": (SUBMODULE, b"1" * 40),
            "od\udcffd.md": b"odd",
            "tab\tnew\nline.md": b"tab",
        }
    )
    source = git_source(maker.path)
    listed = by_address(source)
    refused = {address: item.problem.code for address, item in listed.items() if item.problem is not None}
    outside = dict.fromkeys(("absolute.md", "circle.md", "nowhere.md", "out.md", "secret.md"), "link_outside_source")
    assert refused == outside | {"large.bin": "unreadable", "vendor": "unreadable"}
    read = {address: source.fetch(item).raw for address, item in listed.items() if item.problem is None}
    links = dict.fromkeys(("plain.md", "to/plain.md", "to/link.md", "through.md"), b"plain")
    assert read == links | {"od%FFd.md": b"odd", "tab\tnew\nline.md": b"tab"}
    with pytest.raises(DocumentUnreadable, match="Git LFS"):
        source.fetch(listed["large.bin"])


def test_names_that_lead_out_of_their_folder_are_problems(maker: Maker) -> None:
    maker.commit({"good.md": b"good", "..": b"bad", ".": b"bad"})
    listed = by_address(git_source(maker.path))
    assert [address for address, item in listed.items() if item.problem is None] == ["good.md"]
    assert len(listed) == 3
    assert not {"..", "."} & listed.keys()


def test_sidecars_and_front_matter_are_told_by_the_listing(maker: Maker) -> None:
    files = {
        "a.md": b"---\ntitle: A\nallowed_principals: [staff]\n---\ntext",
        "b.md": b"text",
        "b.md.meta.yaml": b"title: B\nallowed_principals: [crew]\n",
        "c.md": b"---\nallowed_principals: {\n---\ntext",
    }
    maker.commit(files)
    source = git_source(maker.path)
    before = by_address(source)
    assert {a: i.declared and (i.declared.title, i.declared.allowed_principals) for a, i in before.items()} == {
        "a.md": ("A", ("staff",)),
        "b.md": ("B", ("crew",)),
        "c.md": None,
    }
    assert before["c.md"].problem is not None
    assert before["c.md"].problem.code == "invalid_metadata"
    maker.commit(files | {"b.md.meta.yaml": b"title: B\nallowed_principals: []\n"})
    after = by_address(source)
    assert after["b.md"].stamp == before["b.md"].stamp
    assert after["b.md"].declared is not None
    assert after["b.md"].declared.allowed_principals == ()


@pytest.mark.parametrize(
    ("text", "path", "owners"),
    [
        ("* @all\ndocs/ @acme/docs\n", "docs/a.md", ("acme/docs",)),
        ("docs/ @acme/docs\n* @all\n", "docs/a.md", ("all",)),
        ("*.md @writers", "deep/er/a.md", ("writers",)),
        ("/docs/* @top", "docs/a.md", ("top",)),
        ("/docs/* @top", "docs/deep/a.md", None),
        ("docs @top", "x/docs/deep/a.md", ("top",)),
        ("/docs @top", "x/docs/a.md", None),
        ("docs/**/x.md @deep", "docs/a/b/x.md", ("deep",)),
        ("docs/**/x.md @deep", "docs/x.md", ("deep",)),
        ("**/secret @nosy", "a/b/secret/key.md", ("nosy",)),
        ("* @all\n/secret/\n", "secret/a.md", ()),
        ("# * @all\nb.md ann@example.org # @bob", "b.md", ("ann@example.org",)),
        ("with\\ blank.md @all", "with blank.md", ("all",)),
        ("* @all\n[Section] @other\n", "a.md", ()),
        ("* @all\n!a.md @bob\n", "b.md", ()),
        ("* @all\na[bc].md @bob\n", "d.md", ()),
        ("* everybody", "a.md", ()),
        ("* @b @a", "a.md", ("a", "b")),
        # One person's login, and no word for everybody.
        ("* @public @a", "a.md", ("a",)),
        ("* @public", "a.md", ()),
        ("/ @a", "a.md", None),
        ("./a.md @a", "a.md", None),
        ("a\\[b].md @a", "ab.md", None),
        # Neither takes longer than its length says.
        (f"{'*a' * 20}*b @a", "a" * 200, None),
        (f"{'**/*a/' * 20}b @a", "a/" * 100 + "c", None),
        ("", "a.md", None),
    ],
)
def test_owners_are_who_the_last_matching_line_names(text: str, path: str, owners: tuple[str, ...] | None) -> None:
    assert Owners(text).of(path) == owners


def test_without_a_file_of_owners_nobody_may_read_and_a_line_that_is_not_understood_is_said(maker: Maker) -> None:
    maker.commit({"a.md": b"a"})
    source = git_source(maker.path, permissions_from="codeowners")
    [item] = source.list()
    assert item.declared is not None
    assert item.declared.allowed_principals == ()
    assert "no CODEOWNERS file" in source.idle()[0].text
    maker.commit({"a.md": b"a", "docs/CODEOWNERS": b"* @all\n!a.md @bob\n"})
    assert [i.declared and i.declared.allowed_principals for i in source.list()] == [(), ()]
    assert "docs/CODEOWNERS, line 2: !a.md @bob" in source.idle()[0].text


def test_a_hit_links_to_the_forge(maker: Maker) -> None:
    first = maker.commit({"a b/\u00fc.md": b"a"}).decode()
    maker.commit({"a b/\u00fc.md": b"a", "c.md": b"c"})
    template = "https://forge.example/{commit}/{ref}/{path}#L{line}"
    [item, _] = git_source(maker.path, url_template=template).list()
    assert item.uri == f"https://forge.example/{first}/master/a%20b/%C3%BC.md#L1"


def test_refs_are_branches_tags_and_commits(maker: Maker) -> None:
    first = maker.commit({"a.md": b"1"})
    maker.commit({"a.md": b"2"})
    maker.commit({"a.md": b"3"}, branch="side")
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@x", "tag", "-a", "v1", "-m", "v1", first.decode()],
        cwd=maker.path,
        check=True,
    )
    for ref, text in (("v1", b"1"), (first.decode(), b"1"), (None, b"2"), ("side", b"3"), ("refs/heads/side", b"3")):
        at = git_source(maker.path, ref=ref)
        assert at.fetch(at.list()[0]).raw == text
    with pytest.raises(SourceUnavailable, match="no ref gone; branches and tags: master, side, v1"):
        git_source(maker.path, ref="gone").list()
    with pytest.raises(SourceUnavailable, match=r"the commit 000000000000 of 0+ is not in it"):
        git_source(maker.path, ref="0" * 40).list()


def test_a_repository_that_is_none_or_broken_is_unavailable(maker: Maker, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="there is no repository"):
        git_source(tmp_path / "gone").list()
    with pytest.raises(SourceUnavailable, match="it has no commit yet"):
        git_source(maker.path).list()
    maker.commit({"a.md": b"a", "deep/b.md": b"b"})
    source = git_source(maker.path)
    items = source.list()
    for path in (maker.path / "objects").glob("??/*"):
        path.chmod(0o644)
        if zlib.decompress(path.read_bytes()).startswith(b"tree"):
            path.unlink()
    for broken in (git_source(maker.path), git_source(maker.path, history="none")):
        with pytest.raises(SourceUnavailable, match="objects of it are missing or damaged"):
            broken.list()
    # What was listed is read by its blob, which is still there.
    assert source.fetch(items[0]).raw == b"a"


def test_another_process_that_repacks_disturbs_nobody(maker: Maker) -> None:
    maker.commit({"a.md": b"a", "b.md": b"b"})
    source = git_source(maker.path)
    items = source.list()
    for arguments in (["gc", "-q", "--prune=now"], ["repack", "-adfq"], ["pack-refs", "--all"]):
        subprocess.run(["git", *arguments], cwd=maker.path, check=True)
        assert [source.fetch(item).raw for item in items] == [b"a", b"b"]
    maker.commit({"a.md": b"a"})
    subprocess.run(["git", "pack-refs", "--all"], cwd=maker.path, check=True)
    with pytest.raises(DocumentVanished):
        source.fetch(items[1])


def test_what_is_remembered_and_damaged_is_found_out_again(maker: Maker, tmp_path: Path) -> None:
    maker.commit({"a.md": b"a"})
    cache = tmp_path / "cache"
    before = git_source(maker.path, cache).list()
    [memory] = cache.glob("git/*.json")
    text = memory.read_text("utf-8")
    for damaged in (text[:-9], text.replace("Ann", "Eve"), "", "\xff"):
        memory.write_text(damaged, "utf-8")
        assert git_source(maker.path, cache).list() == before
    # Another pattern lists other files, whose times the memory does not know.
    assert git_source(maker.path, cache, exclude=["*.txt"]).list() == before


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"location": "git@host.example:team/docs.git"}, r"write ssh://host\.example/team/docs\.git"),
        ({"location": "https://ann:b0at@host.example/docs.git"}, "a password stands in an environment variable"),
        ({"location": "ftp://host.example/docs.git"}, "begins with file://"),
        ({"location": "x", "password": "b0at"}, r"want the name of a variable of the environment, like \$TOKEN"),
        ({"location": "x", "username": "ann"}, "password is needed"),
        ({"location": "x", "url_template": "https://x/{branch}"}, r"there is no \{branch\}"),
        ({"location": "x", "history": "some"}, "history"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, fields: Mapping[str, Any], says: str) -> None:
    project = Project.create(tmp_path)
    project.settings["sources"]["docs"] = {"kind": "git", **fields}
    with pytest.raises(SettingsError, match=says) as raised:
        project.pipeline()
    assert "b0at" not in raised.value.message


def test_the_author_is_decoded_as_the_commit_says(maker: Maker) -> None:
    maker.commit({"a.md": b"a"}, author="J\u00f6rg <j@x>".encode("latin-1"), encoding=b"iso-8859-1", time=2**33)
    [item] = git_source(maker.path).list()
    assert item.declared is not None
    assert item.declared.author == "J\u00f6rg"
    assert item.modified_at == datetime(2242, 3, 16, 12, 56, 32, tzinfo=UTC)


def test_nights_of_a_repository_equal_a_rebuild_and_moves_embed_nothing(maker: Maker, tmp_path: Path) -> None:
    project = Project.create(tmp_path, cache="cache")
    project.settings["sources"]["docs"] = {
        "kind": "git",
        "location": "code.git",
        "permissions_from": "codeowners",
        "max_deleted_floor": 100,
    }
    owners = {".github/CODEOWNERS": b"* @staff\n"}
    text = {name: f"# {name}\n\nThe page {name} says something of its own.".encode() for name in "abcd"}
    nights: list[dict[str, bytes]] = [
        {"a.md": text["a"], "b.md": text["b"]} | owners,
        {"a.md": text["a"], "deep/b.md": text["b"], "c.md": text["c"]} | owners,
        {"moved/a.md": text["a"], "moved/b.md": text["b"], "c.md": text["c"]} | owners,
        {"moved/a.md": text["a"], "c.md": text["c"], ".github/CODEOWNERS": b"* @staff\nc.md @crew\n"},
    ]
    embedded = []
    for night in nights:
        maker.commit(night)
        project.refresh()
        embedded.append(len(project.embedded))
        assert project.published() == project.rebuilt()
        assert project.verify().findings == []
    assert embedded[1] > embedded[0]
    assert embedded[1] == embedded[2] == embedded[3]
    shown = {row["uri"]: row["allowed_principals"] for row in project.published()}
    assert shown == {"code.git/c.md": ["crew"], "code.git/moved/a.md": ["staff"]}
    with Repo(str(maker.path)) as repo:
        # Force push to the first night.
        first = [entry.commit for entry in repo.get_walker()][-1]
    maker.commit(nights[0], parents=[bytes(first.id)])
    project.refresh()
    assert project.published() == project.rebuilt()
    assert len(project.embedded) == embedded[3], "what was there before is not embedded again"


def test_a_commit_that_is_not_there_has_no_answer() -> None:
    def commit_of(id_: bytes) -> Commit | None:
        return Commit(b"tree", (b"gone",), 0, "") if id_ == b"head" else None

    assert last_commits(b"head", {b"a"}, commit_of, Trees(lambda _: b"")) == {}
