"""A small corpus in which every chunk says which revision of its document it is of."""

from __future__ import annotations

import random
import re
from pathlib import Path

SAID = re.compile(r"Lantern of document (\d+) revision (\d+) part (\d+) of (\d+)\.")
DOCUMENTS = 60


class Corpus:
    """Documents in a folder, edited at random but reproducibly.

    Attributes:
        revisions: Revision of every live document, by number.
        deleted: Numbers of the documents that were removed; none comes back.
        moved: Numbers of the documents that were renamed and edited on the way: their bytes are nowhere any more.
        settled: `revisions` when the last refresh that ended well had begun.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.revisions: dict[int, int] = {}
        self.paths: dict[int, Path] = {}
        self._random = random.Random(seed)
        self.deleted: set[int] = set()
        self.moved: set[int] = set()
        self.settled: dict[int, int] = {}
        self._next = 0

    def grow(self, count: int) -> None:
        """Add new documents."""
        for _ in range(count):
            number = self._next
            self._next += 1
            self.paths[number] = self.folder / f"shelf{number % 4}" / f"document{number}.md"
            self._write(number, 0)

    def edit(self, count: int) -> None:
        """Write another revision of so many documents; every chunk of theirs changes."""
        for number in self._random.sample(sorted(self.revisions), count):
            self._write(number, self.revisions[number] + 1)

    def move(self, count: int) -> None:
        """Rename so many documents."""
        for number in self._random.sample(sorted(self.revisions), count):
            old = self.paths[number]
            self.paths[number] = self.folder / "moved" / f"{self._random.randrange(10**6)}-{number}.md"
            self.paths[number].parent.mkdir(exist_ok=True)
            old.rename(self.paths[number])
            if self.revisions[number] != self.settled.get(number):
                self.moved.add(number)

    def delete(self, count: int) -> None:
        """Remove so many documents."""
        for number in self._random.sample(sorted(self.revisions), count):
            self.paths.pop(number).unlink()
            del self.revisions[number]
            self.deleted.add(number)

    def state(self) -> frozenset[tuple[int, int]]:
        """(document, revision) of every live document."""
        return frozenset(self.revisions.items())

    def _write(self, number: int, revision: int) -> None:
        parts = 3 + (number + revision) % 4
        sections = [
            f"## Part {part}\n\nLantern of document {number} revision {revision} part {part} of {parts}. "
            f"{'It burns with oil and a long wick. ' * 6}\n"
            for part in range(parts)
        ]
        path = self.paths[number]
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# Document {number}\n\n" + "\n".join(sections), "utf-8")
        self.revisions[number] = revision


def said_by(text: str) -> tuple[int, int, int, int]:
    """Document, revision, part and number of parts that a chunk names."""
    found = SAID.search(text)
    assert found is not None, text
    number, revision, part, parts = map(int, found.groups())
    return number, revision, part, parts
