"""Which names of a folder or bucket are documents, which are sidecars, and which folders are worth opening.

Belongs here: include, exclude, hidden names, editor leftovers, sidecars.
Does not belong here: what a pattern means (`transforms/globs.py`), reading anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from rag_pipeline.contracts.names import comparable
from rag_pipeline.contracts.sources import SourceSpec
from rag_pipeline.sources.watched import Watched
from rag_pipeline.transforms.globs import compile_globs, segments_of

SIDECAR_SUFFIXES = (".meta.yaml", ".meta.yml", ".meta.json")

# What editors and office programs leave beside the file that is being edited. Names with a leading dot
# are hidden anyway.
_LEFTOVER = re.compile(r".*~|#.*#|~\$.*|.*\.sw[op]", re.S)
_WILDCARD = re.compile(r"[*?\[]")


class Selection:
    """The names that a source takes."""

    def __init__(self, spec: SourceSpec) -> None:
        self.watched = Watched(spec)
        self._include = compile_globs(spec.include, match_hidden=False)
        self._exclude = compile_globs(spec.exclude, match_hidden=True)
        whole_folders = [pattern for pattern in map(_folder_pattern, spec.exclude) if pattern]
        self._exclude_folder = compile_globs(whole_folders, match_hidden=True)
        segments = [segments_of(pattern) for pattern in spec.include]
        self._roots = [_literal_folder(each) for each in segments]
        self._takes_hidden = any(segment.startswith(".") for each in segments for segment in each)

    def takes(self, address: str) -> bool:
        """Whether the object at this address is a document of the source, unless it is a sidecar."""
        if _LEFTOVER.fullmatch(address.rpartition("/")[2]):
            return False
        self.watched.saw(address, "include", "exclude")
        if not self._include.match(address) or self.excludes(address):
            return False
        self.watched.saw(address, "permission_rules")
        return True

    def excludes(self, address: str) -> bool:
        """Whether the settings leave this address out by name."""
        return self._exclude.match(address)

    def may_be_linked(self, address: str) -> bool:
        """Whether a link may lead to the file at this address: a link opens nothing the source leaves out."""
        # Kubernetes mounts files as links into folders that begin with two dots.
        segments = comparable(address).split("/")
        is_hidden = any(segment.startswith(".") and not segment.startswith("..") for segment in segments)
        return not self.excludes(address) and (self._takes_hidden or not is_hidden)

    def enters(self, folder: str) -> bool:
        """Whether anything below this folder could be a document; errs on the side of looking."""
        folder = comparable(folder)
        is_excluded = self._exclude_folder.match(folder)
        if is_excluded:
            # Nobody looks into it, so anything stands for what is in it.
            self.watched.saw(f"{folder}/_", "exclude")
        if folder.rpartition("/")[2].startswith(".") and not self._takes_hidden:
            return False
        if is_excluded:
            return False
        inside = folder + "/"
        return any(inside.startswith(root) or root.startswith(inside) for root in self._roots)


class Sidecars:
    """Which of many names are sidecars, and of which file; neither letter case nor how letters are composed matters.

    What is named like a sidecar is one, also when its file is gone: its text was never meant to be found.

    Attributes:
        orphans: Sidecars that have no file beside them.
    """

    def __init__(self, names: Iterable[str], is_file: Callable[[str], bool]) -> None:
        """Args:
        names: File names, or addresses, with those that could be sidecars.
        is_file: Whether one of the names is a file that can have a sidecar.
        """
        names = list(names)
        self._by_file: dict[str, list[str]] = {}
        self._sidecars: set[str] = set()
        self.orphans: list[str] = []
        forms: dict[str, list[str]] | None = None
        for name in names:
            named = comparable(name)
            if not named.lower().endswith(SIDECAR_SUFFIXES):
                continue
            if forms is None:
                forms = _by_form(names)
            file = named[: named.lower().rindex(".meta.")]
            owners = list(filter(is_file, forms.get(file, ()))) or list(filter(is_file, forms.get(_folded(file), ())))
            for owner in owners:
                self._by_file.setdefault(owner, []).append(name)
            if not owners and is_file(name):
                self.orphans.append(name)
            self._sidecars.add(name)

    def __contains__(self, name: str) -> bool:
        return name in self._sidecars

    def of(self, name: str) -> list[str]:
        """The sidecars of a file; more than one is a contradiction."""
        return sorted(self._by_file.get(name, ()))


def _by_form(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by the form in which they are compared, and by that without letter case."""
    forms: dict[str, list[str]] = {}
    for name in names:
        form = comparable(name)
        for each in {form, _folded(form)}:
            forms.setdefault(each, []).append(name)
    return forms


def _folded(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.casefold()}"


def _folder_pattern(pattern: str) -> str | None:
    *folder, last = segments_of(pattern)
    return "/".join(folder) if last == "**" and folder else None


def _literal_folder(segments: list[str]) -> str:
    """The folder, with its final slash, that everything the pattern matches lies in; "" is the top."""
    literal: list[str] = []
    for segment in segments[:-1]:
        if _WILDCARD.search(segment):
            break
        literal.append(segment)
    return f"{PurePosixPath(*literal)}/" if literal else ""
