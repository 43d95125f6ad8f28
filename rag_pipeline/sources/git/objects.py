"""Trees and commits of a repository as plain values, and paths looked up in trees.

Belongs here: reading trees once, following links inside a tree.
Does not belong here: which files a source takes (`source.py`), when one changed (`history.py`).
"""

from __future__ import annotations

import posixpath
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dulwich.objects import parse_tree

# What the mode of an entry says it is.
TYPE, FOLDER, LINK, SUBMODULE = 0o170000, 0o040000, 0o120000, 0o160000
# Bytes of an object's id in a tree.
_ID_BYTES = 20
# Entries that are held parsed: those of one large repository, about 100 MB.
_MAX_KEPT_ENTRIES = 300_000
# As many as Linux follows.
_MAX_LINKS = 40
# The text of a link is a path, and no system has longer ones.
_MAX_TARGET_BYTES = 4_096

Entry = tuple[int, bytes]
Entries = Mapping[bytes, Entry]


@dataclass(frozen=True, slots=True)
class Commit:
    """What of a commit counts here; ids are hexadecimal.

    Attributes:
        time: Seconds since 1970 by the committer's clock.
        author: Name without the e-mail address.
        is_cut: Its parents are left out of this repository.
    """

    tree: bytes
    parents: tuple[bytes, ...]
    time: int
    author: str
    is_cut: bool = False


class Trees:
    """Trees of a repository, parsed once.

    Args:
        read: Content of an object by its id; raises KeyError where it is not there.
    """

    def __init__(self, read: Callable[[bytes], bytes]) -> None:
        self._read = read
        self._kept: OrderedDict[bytes, dict[bytes, Entry]] = OrderedDict()
        self._kept_entries = 0

    def entries(self, tree: bytes) -> Entries:
        """Mode and id of each entry by name.

        Raises:
            KeyError: The tree is not in the repository.
        """
        found = self._kept.get(tree)
        if found is not None:
            self._kept.move_to_end(tree)
            return found
        found = {name: (mode, id_) for name, mode, id_ in parse_tree(self._read(tree), _ID_BYTES)}
        self._kept[tree] = found
        self._kept_entries += len(found)
        while self._kept_entries > _MAX_KEPT_ENTRIES and len(self._kept) > 1:
            self._kept_entries -= len(self._kept.popitem(last=False)[1])
        return found

    def find(self, root: bytes, path: bytes) -> Entry | None:
        """The entry at a path; None: nothing is there, or a link is on the way."""
        at, entry = self._first_link_or_end(root, path)
        return entry if at == path else None

    def target_of(self, root: bytes, link: bytes) -> tuple[bytes, Entry] | None:
        """Path and entry that a link leads to inside the tree; None: out of it, nowhere, or in a circle.

        Args:
            root: Id of the whole tree.
            link: Path of the link.
        """
        path = link
        for _ in range(_MAX_LINKS):
            at, entry = self._first_link_or_end(root, path)
            if entry is None:
                return None
            if entry[0] & TYPE != LINK:
                return path, entry
            text = self._read(entry[1])[: _MAX_TARGET_BYTES + 1]
            if text.startswith(b"/") or len(text) > _MAX_TARGET_BYTES:
                return None
            joined = posixpath.normpath(posixpath.join(posixpath.dirname(at), text, path[len(at) + 1 :]))
            if joined.startswith(b"..") and joined[2:3] in (b"", b"/"):
                return None
            path = joined
        return None

    def _first_link_or_end(self, root: bytes, path: bytes) -> tuple[bytes, Entry | None]:
        """The first link on the way along a path, or what lies at its end; None: nothing does."""
        if path == b".":
            return path, (FOLDER, root)
        entry: Entry | None = (FOLDER, root)
        names = path.split(b"/")
        for number, name in enumerate(names, start=1):
            if entry is None or entry[0] & TYPE != FOLDER:
                return path, None
            entry = self.entries(entry[1]).get(name)
            if entry is not None and entry[0] & TYPE == LINK:
                return b"/".join(names[:number]), entry
        return path, entry
