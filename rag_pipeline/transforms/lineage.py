"""Following pairs of old and new through others, each document once.

Belongs here: who supersedes whom at last, and circles. Does not belong here: what makes a pair (`supersession.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator


class Lineage:
    """What supersedes documents, directly or through others, without those that they supersede themselves.

    Documents that supersede each other in a circle say nothing, and none of them is older. A document's pairs are asked
    for once, when it is first reached. Sets of documents are numbers with a bit for each document, in the order in
    which they were followed to their end: a long chain would else hold sets of half its length.

    Args:
        newer: Documents that supersede one directly.

    Source: strongly connected components; Tarjan, SIAM Journal on Computing 1972.
    """

    def __init__(self, newer: Callable[[str], Collection[str]]) -> None:
        self._direct = newer
        self._names: list[str] = []
        self._bits: dict[str, int] = {}
        # The circle that it stands in, which may be itself alone; what supersedes that; the newest of all these.
        self._circle: dict[str, int] = {}
        self._above: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def newer(self, document_id: str) -> frozenset[str]:
        """All documents that supersede one."""
        return frozenset(self._named(self._newer(document_id)))

    def count(self, document_id: str) -> int:
        """How many they are: of two of them that supersede each other, the newer has fewer."""
        return self._newer(document_id).bit_count()

    def is_newer(self, other: str, document_id: str) -> bool:
        """Whether the other one is among them."""
        above = self._newer(document_id)
        return bool(above and above & self._bits.get(other, 0))

    def newest(self, document_id: str) -> frozenset[str]:
        """Those of them that nothing supersedes."""
        return frozenset(self._named(self._last[document_id])) if self._newer(document_id) else frozenset()

    def _newer(self, document_id: str) -> int:
        if document_id not in self._above:
            self._follow(document_id)
        return self._above[document_id]

    def _named(self, members: int) -> Iterator[str]:
        while members:
            lowest = members & -members
            yield self._names[lowest.bit_length() - 1]
            members ^= lowest

    def _follow(self, start: str) -> None:
        """Find the circles among all that supersedes a document, those that nothing supersedes first."""
        begun: dict[str, int] = {}
        low: dict[str, int] = {}
        direct: dict[str, Collection[str]] = {}
        unfinished: list[str] = []
        path: list[tuple[str, Iterator[str]]] = []

        def begin(name: str) -> None:
            begun[name] = low[name] = len(begun)
            direct[name] = self._direct(name)
            unfinished.append(name)
            path.append((name, iter(direct[name])))

        begin(start)
        while path:
            name, waiting = path[-1]
            other = next((one for one in waiting if one not in self._above), None)
            if other is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[name])
                if low[name] == begun[name]:
                    circle = [unfinished.pop()]
                    while circle[-1] != name:
                        circle.append(unfinished.pop())
                    self._finish({one: direct[one] for one in circle})
            elif other in begun:
                low[name] = min(low[name], begun[other])
            else:
                begin(other)

    def _finish(self, circle: dict[str, Collection[str]]) -> None:
        """Note what supersedes documents that supersede each other, or one alone; all else above them is noted."""
        own = above = last = 0
        for name in circle:
            self._bits[name] = 1 << len(self._names)
            self._names.append(name)
            own |= self._bits[name]
        for direct in circle.values():
            for other in direct:
                if other not in circle:
                    above |= self._circle[other] | self._above[other]
                    last |= self._last[other]
        for name in circle:
            self._circle[name], self._above[name], self._last[name] = own, above, last or own
