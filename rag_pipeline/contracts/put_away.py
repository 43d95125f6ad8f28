"""Rows in the order of their addresses of which a part is in memory at a time, the others in a temporary file.

Belongs here: putting frames away, and bringing any number of rows into order without holding them.
Does not belong here: what the rows mean (`listings.py`).

Rows are cut into ranges of addresses by a sample of them, and each range is put in order by itself: no step holds more
than one range. All rows of one address lie in one part.
"""

from __future__ import annotations

import logging
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from itertools import accumulate, pairwise
from threading import Lock
from typing import IO, Any, Self

import polars as pl

log = logging.getLogger(__name__)

# What one part takes in memory, and what is kept there before anything is written.
PART_BYTES = 4 * 2**20
# Of so many rows one address says where parts may be cut.
_SAMPLED_ROWS = 64


class Shelf:
    """Frames that were put away, in memory while they are small, else in a temporary file that has no name.

    Where nothing can be written they stay in memory: a full disk must not keep a source from being read.
    """

    def __init__(self) -> None:
        self._left_bytes = PART_BYTES
        self._places: list[pl.DataFrame | tuple[int, int]] = []
        self._file: IO[bytes] | None = None
        self._lock = Lock()
        self.heights: list[int] = []
        self.size_bytes = 0

    def put(self, frame: pl.DataFrame) -> int:
        """Put a frame away and return its number; one without rows takes no place, and its number means nothing."""
        if frame.is_empty():
            return -1
        size = int(frame.estimated_size())
        self.size_bytes += size
        self.heights.append(frame.height)
        self._left_bytes -= size
        self._places.append(frame if self._left_bytes >= 0 else self._written(frame))
        return len(self._places) - 1

    def _written(self, frame: pl.DataFrame) -> pl.DataFrame | tuple[int, int]:
        packed = BytesIO()
        frame.write_ipc_stream(packed, compression="lz4")
        try:
            with self._lock:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the shelf
                    weakref.finalize(self, self._file.close)
                start = self._file.seek(0, 2)
                if self._file.write(packed.getbuffer()) == packed.tell():
                    return start, packed.tell()
            reason = "the disk takes no more"
        except OSError as error:
            reason = str(error)
        log.warning("nothing can be put away in %s (%s), so it stays in memory", tempfile.gettempdir(), reason)
        self._left_bytes = max(self._left_bytes, PART_BYTES)
        return frame

    def get(self, number: int) -> pl.DataFrame:
        """The frame of a number.

        Raises:
            OSError: The temporary file cannot be read.
        """
        place = self._places[number]
        if isinstance(place, pl.DataFrame):
            return place
        start, size = place
        with self._lock:
            if self._file is None:
                raise OSError("the temporary file is closed")
            self._file.seek(start)
            packed = self._file.read(size)
        return pl.read_ipc_stream(BytesIO(packed))

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return map(self.get, range(len(self)))


class RowsInOrder:
    """Rows in the order of their addresses, a part at a time.

    Args:
        parts: In order; no address is in two of them.
        empty: A frame without rows that has their columns.
    """

    def __init__(self, parts: Shelf, empty: pl.DataFrame) -> None:
        self._parts = parts
        self.empty = empty
        self._ends = [0, *accumulate(parts.heights)]
        self._last: tuple[int, pl.DataFrame] = (-1, empty)

    @classmethod
    def of(cls, frames: Iterable[pl.DataFrame], empty: pl.DataFrame, then: Sequence[str] = ()) -> Self:
        """Bring rows into order; equal ones stay in the order they come in.

        Args:
            frames: Each of no more than memory holds.
            then: Columns that decide between rows of one address.
        """
        found, sample = Shelf(), [empty["address"]]
        for frame in joined(frames):
            found.put(frame)
            sample.append(frame["address"].gather_every(_SAMPLED_ROWS))
        order = ["address", *then]
        if found.size_bytes <= PART_BYTES:
            ordered = Shelf()
            if len(found):
                ordered.put(pl.concat(found).sort(order, maintain_order=True))
            return cls(ordered, empty)
        return cls(_ranged(found, _cuts(pl.concat(sample), -(-found.size_bytes // PART_BYTES)), order), empty)

    @property
    def height(self) -> int:
        return self._ends[-1]

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return iter(self._parts)

    def row(self, place: int) -> tuple[Any, ...]:
        """The values of one row; rows of one part, one after the other, cost one reading of it."""
        place = range(self.height)[place]
        number = bisect_right(self._ends, place) - 1
        if self._last[0] != number:
            self._last = (number, self._parts.get(number))
        return self._last[1].row(place - self._ends[number])

    def chosen(self, choose: Callable[[pl.DataFrame], pl.DataFrame]) -> Self:
        """What `choose` leaves of each part."""
        left = Shelf()
        for part in self:
            left.put(choose(part))
        return type(self)(left, self.empty)


def joined(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Small frames as few: each but the last is as large as a part at least."""
    waiting: list[pl.DataFrame] = []
    for frame in frames:
        waiting += [frame] if frame.height else []
        if sum(each.estimated_size() for each in waiting) >= PART_BYTES:
            yield pl.concat(waiting)
            waiting = []
    if waiting:
        yield pl.concat(waiting)


def side_by_side(left: RowsInOrder, right: RowsInOrder) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """All rows of both in order, a part at a time; what has one address on either side comes together."""
    ours, theirs = iter(left), iter(right)
    mine, its = next(ours, None), next(theirs, None)
    while mine is not None and its is not None:
        end = min(mine["address"][-1], its["address"][-1])
        mine_now, mine = _cut(mine, end)
        its_now, its = _cut(its, end)
        yield mine_now, its_now
        mine = next(ours, None) if mine.is_empty() else mine
        its = next(theirs, None) if its.is_empty() else its
    while mine is not None:
        yield mine, right.empty
        mine = next(ours, None)
    while its is not None:
        yield left.empty, its
        its = next(theirs, None)


def _cut(part: pl.DataFrame, end: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows up to an address, and the others."""
    place = int(part["address"].search_sorted(end, side="right"))
    return part[:place], part[place:]


def _cuts(sample: pl.Series, count: int) -> pl.Series:
    """Addresses at which so many ranges of about one size end, but for the last one."""
    ordered = sample.sort()
    return ordered.gather([len(ordered) * each // count for each in range(1, count)]).unique().sort()


def _ranged(found: Shelf, cuts: pl.Series, order: Sequence[str]) -> Shelf:
    pieces, ranges = Shelf(), [list[int]() for _ in range(len(cuts) + 1)]
    for frame in found:
        placed = frame.sort(order, maintain_order=True)
        ends = [0, *placed["address"].search_sorted(cuts, side="right"), placed.height]
        for mine, (start, end) in zip(ranges, pairwise(ends), strict=True):
            if end > start:
                mine.append(pieces.put(placed[start:end]))
    parts = Shelf()
    for mine in ranges:
        if mine:
            parts.put(pl.concat(map(pieces.get, mine)).sort(order, maintain_order=True))
    return parts
