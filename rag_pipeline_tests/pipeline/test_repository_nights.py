"""Histories of real repositories, night by night, against a first look and a rebuild.

    RAG_PIPELINE_TEST_REPOSITORIES=/repos/peps.git:/repos/tldr.git pytest …/test_repository_nights.py

Folders of bare repositories or clones with their whole history; none is fetched.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from pathlib import Path

import pytest
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.repositories import git_source

REPOSITORIES = [Path(each) for each in os.environ.get("RAG_PIPELINE_TEST_REPOSITORIES", "").split(os.pathsep) if each]
NIGHTS = int(os.environ.get("RAG_PIPELINE_TEST_NIGHTS", "10"))
# Of the first-parent history, so that files come, change, move and go within them.
COMMITS_A_NIGHT = 12
# Rebuilt each night.
FILES = 25
# A first look at all files goes through the whole history: seconds of it for each thousand commits.
LOOKED_AT = 5
BRANCH = Ref(b"refs/heads/nightly")

pytestmark = pytest.mark.skipif(not REPOSITORIES, reason="RAG_PIPELINE_TEST_REPOSITORIES names no repository")


def borrowed(from_: Path, folder: Path) -> Repo:
    """A repository of its own that reads the objects of another one, which stays as it is."""
    objects = from_ / ".git" / "objects" if (from_ / ".git").exists() else from_ / "objects"
    repo = Repo.init_bare(str(folder), mkdir=True)
    (folder / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (folder / "objects" / "info" / "alternates").write_text(f"{objects.resolve()}\n")
    repo.close()
    return Repo(str(folder))


def line_of(repo: Repo, head: bytes) -> list[bytes]:
    """First parents from the head back, newest first, as many as there are nights for."""
    line = [head]
    while len(line) < NIGHTS * COMMITS_A_NIGHT and (parents := repo[ObjectID(line[-1])].parents):  # type: ignore[attr-defined]
        line.append(parents[0])
    return line


def often_touched(repo: Repo, line: list[bytes]) -> list[str]:
    """Documents that most of these commits touched, those that are gone by now among them."""
    touched: Counter[str] = Counter()
    for newer, older in itertools.pairwise(line):
        trees = [repo[ObjectID(each)].tree for each in (older, newer)]  # type: ignore[attr-defined]
        for change in repo.object_store.tree_changes(*trees):
            for path, mode in ((change[0][0], change[1][0]), (change[0][1], change[1][1])):
                if path and mode == 0o100644 and path.endswith((b".md", b".rst", b".txt", b".py")):
                    touched[path.decode()] += 1
    return [path for path, _ in touched.most_common(FILES)]


@pytest.mark.parametrize(
    "place", REPOSITORIES, ids=lambda place: place.parent.name if place.name == "repo" else place.name
)
def test_nights_of_a_real_history_equal_a_first_look_and_a_rebuild(place: Path, tmp_path: Path) -> None:
    with Repo(str(place)) as original:
        head = original.head()
    repo = borrowed(place, tmp_path / "code.git")
    line = line_of(repo, head)
    names = often_touched(repo, line)
    project = Project.create(tmp_path, cache="cache")
    project.settings["sources"] = {
        "code": {
            "kind": "git",
            "location": "code.git",
            "ref": "nightly",
            "include": names,
            "allowed_principals": ["staff"],
            "max_deleted_floor": 1_000,
        }
    }
    nightly = git_source(tmp_path / "code.git", tmp_path / "cache", ref="nightly")
    for night, commit in enumerate(reversed(line[::COMMITS_A_NIGHT])):
        repo.refs[BRANCH] = ObjectID(commit)
        listed = nightly.list()
        if night % LOOKED_AT == LOOKED_AT - 1:
            assert listed == git_source(tmp_path / "code.git", ref="nightly").list()
            assert len(listed) > FILES
        project.refresh()
        assert project.published() == project.rebuilt()
    assert project.verify().findings == []
    assert len(project.embedded) == len(set(project.embedded)), "what moves or comes back is not embedded again"
    repo.close()
