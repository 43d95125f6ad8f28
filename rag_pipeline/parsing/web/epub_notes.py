"""Notes of an e-book that stand in a chapter of their own, brought to the chapter that refers to them.

Belongs here: finding them across chapters. Does not belong here: which element is a note and where it is put (`notes`).
"""

from __future__ import annotations

from collections.abc import Callable, Container
from copy import deepcopy
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rag_pipeline.parsing.containers.archives import resolved
from rag_pipeline.parsing.web.notes import MAX_NOTES, is_note_of, may_lead_to_note

if TYPE_CHECKING:
    from lxml.html import HtmlElement


class ChapterNotes:
    """The notes of a book, each at the first place that refers to it.

    Args:
        chapters: Names of the chapters, in reading order.
        tree_of: The tree of a chapter by its name; None for one that cannot be read.
    """

    def __init__(self, chapters: Container[str], tree_of: Callable[[str], HtmlElement | None]) -> None:
        self._chapters = chapters
        self._tree_of = tree_of
        self._places: dict[str, dict[str, HtmlElement]] = {}
        self._brought: dict[str, set[str]] = {}
        self._read: set[str] = set()
        self._count = 0

    def bring(self, root: HtmlElement, chapter: str) -> None:
        """Puts the notes of other chapters at the end of this one, and takes out those that others have got."""
        self._read.add(chapter)
        if gone := self._brought.get(chapter):
            for element in [element for element in root.iter() if element.get("id") in gone]:
                if element.getparent() is not None:
                    element.drop_tree()
        body = next(root.iter("body"), root)
        for link in list(root.iter("a")):
            place, mark, name = (link.get("href") or "").partition("#")
            # The contents of a book lead to all of its chapters.
            if not (place and mark and name and may_lead_to_note(link, name)):
                continue
            other = resolved(chapter, unquote(place))
            if other in self._read or other not in self._chapters or self._count >= MAX_NOTES:
                continue
            note = self._note(other, name)
            if note is None or name in self._brought.get(other, ()) or not is_note_of(link, note, name):
                continue
            self._brought.setdefault(other, set()).add(name)
            self._count += 1
            mine = deepcopy(note)
            mine.tail = None
            mine.set("id", f"footnote-brought-{self._count}")
            link.set("href", f"#footnote-brought-{self._count}")
            body.append(mine)

    def _note(self, chapter: str, name: str) -> HtmlElement | None:
        if chapter not in self._places:
            tree = self._tree_of(chapter)
            elements = [] if tree is None else tree.xpath(".//*[@id]")
            self._places[chapter] = {str(element.get("id")): element for element in elements}
        return self._places[chapter].get(name)
