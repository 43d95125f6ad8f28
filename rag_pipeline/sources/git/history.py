"""The last commit that touched each file.

Belongs here: the walk through commits, without any input or output of its own.
Does not belong here: reading commits (`repository.py`), remembering the answers (`memory.py`).

The answer for a file at a commit is the answer of the first parent that has the same file, and the commit itself
where none has: what `git log -1 -- FILE` says. It depends on nothing else, so a walk that stops at a commit whose
answers are known gives the same as one to the beginning.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping

from rag_pipeline.sources.git.objects import FOLDER, TYPE, Commit, Entries, Trees

# Entries of trees that are compared at most, a few ten seconds; then the times of what is left are not known.
MAX_COMPARED_ENTRIES = 30_000_000


class _Spent(Exception):
    """More was compared than is allowed."""


class _Walk:
    def __init__(self, trees: Trees, max_compared: int) -> None:
        self._trees = trees
        self._left = max_compared

    def changed(self, ours: bytes | None, theirs: bytes | None, prefix: bytes = b"") -> Iterator[bytes]:
        """Paths of one tree that the other has not, or otherwise; equal folders are not looked into."""
        if ours is None or ours == theirs:
            return
        mine = self._entries(ours)
        others = {} if theirs is None else self._entries(theirs)
        for name, entry in mine.items():
            other = others.get(name)
            if entry == other:
                continue
            path = prefix + name
            if entry[0] & TYPE != FOLDER:
                yield path
            else:
                is_folder = other is not None and other[0] & TYPE == FOLDER
                yield from self.changed(entry[1], other[1] if other is not None and is_folder else None, path + b"/")

    def _entries(self, tree: bytes) -> Entries:
        entries = self._trees.entries(tree)
        self._left -= len(entries)
        if self._left < 0:
            raise _Spent
        return entries


def last_commits(
    head: bytes,
    paths: set[bytes],
    commit_of: Callable[[bytes], Commit | None],
    trees: Trees,
    *,
    known_head: bytes | None = None,
    known: Mapping[bytes, bytes] | None = None,
    max_compared: int = MAX_COMPARED_ENTRIES,
) -> dict[bytes, bytes]:
    """Id of the last commit that touched each path; a path of which it is not known is left out.

    Args:
        head: Commit that the paths are of.
        commit_of: A commit by its id; None: it is not in the repository.
        known_head: Commit whose answers are known.
        known: These answers, by path.
    """
    found: dict[bytes, bytes] = {}
    walk = _Walk(trees, max_compared)
    open_paths: dict[bytes, set[bytes]] = {head: set(paths)}
    heap: list[tuple[int, int, bytes]] = [(0, 0, head)]
    pushed = 0
    while heap:
        id_ = heapq.heappop(heap)[2]
        rest = open_paths.pop(id_, None)
        if not rest:
            continue
        if known is not None and id_ == known_head:
            found.update((path, known[path]) for path in rest if path in known)
            continue
        commit = commit_of(id_)
        if commit is None or commit.is_cut:
            # What came before is not here, so whether they were touched by this one is not known either.
            continue
        for parent_id in commit.parents:
            parent = commit_of(parent_id)
            try:
                if parent is None:
                    rest = set()
                    break
                changed = {path for path in walk.changed(commit.tree, parent.tree) if path in rest}
            except (_Spent, KeyError):
                return found
            # In place: it costs what was changed, not how many files there are.
            rest -= changed
            if rest:
                pushed += 1
                heapq.heappush(heap, (-parent.time, pushed, parent_id))
                open_paths[parent_id] = _joined(open_paths.get(parent_id), rest)
            rest = changed
            if not rest:
                break
        found.update((path, id_) for path in rest)
    return found


def _joined(one: set[bytes] | None, other: set[bytes]) -> set[bytes]:
    """Both sets in the larger of them."""
    if one is None:
        return other
    small, large = sorted((one, other), key=len)
    large |= small
    return large
