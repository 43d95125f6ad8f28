"""Search files for pieces of bytes in what they hold once it is decompressed.

Belongs here: Parquet, tables of Lance, SQLite, gzip, zstd, and every other file as it is.
Does not belong here: what is searched for, and what a finding means (`refresh/erase.py`).
"""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import lancedb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

# Pieces that lie across two reads are found, since each read begins with the end of the one before.
_READ_BYTES = 16 * 2**20
_ROWS = 256
# More pieces than that are found faster in one pass for all: a pass for each takes 3 ms of 16 MiB, one for all 800 ms.
_FEW = 250
# So many bytes to look at, each as often as there are pieces, are passed through faster than one pass begins: 10 ms.
_SMALL = 20_000_000
# Stands where something was erased.
MARK = "[erased]"
_SQLITE = b"SQLite format 3\x00"
# A shorter piece stands within longer words by chance, so it counts as a word of its own only.
SHORT_BYTES = 20
# What JSON writes for a line end or a sign is no part of the word after it.
_WORD_BEGINS = rb"(?:(?<![0-9A-Za-z_])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
_WORD_ENDS = rb"(?![0-9A-Za-z_])"


@dataclass(frozen=True, slots=True)
class Needles:
    """What is searched for, each in the ways in which it may be written in a file.

    Attributes:
        pieces: As they are; a short one is found where it is no part of a longer word.
    """

    pieces: tuple[bytes, ...]
    forms: tuple[tuple[bytes, ...], ...] = field(init=False, repr=False, compare=False)
    words: frozenset[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "forms", tuple(_forms(piece) for piece in self.pieces))
        short = (form for number, forms in enumerate(self.forms) if self.is_short(number) for form in forms)
        object.__setattr__(self, "words", frozenset(short))

    def is_short(self, number: int) -> bool:
        """Whether a piece counts as a word alone."""
        return len(self.pieces[number]) < SHORT_BYTES

    def long(self) -> Needles:
        """Those that nothing holds by chance."""
        return Needles(tuple(piece for number, piece in enumerate(self.pieces) if not self.is_short(number)))

    def of(self, content: bytes) -> set[int]:
        """Numbers of those that some bytes hold."""
        there = self._there(content)
        held = {form for form in there if form not in self.words or _pattern(form).search(content) is not None}
        return self._of_forms(held)

    def near(self, content: bytes) -> set[int]:
        """Numbers of those that some bytes hold, be it within a longer word."""
        return self._of_forms(self._there(content))

    def _there(self, content: bytes) -> set[bytes]:
        return held_by(content, [form for forms in self.forms for form in forms])

    def _of_forms(self, held: set[bytes]) -> set[int]:
        if not held:
            return set()
        return {number for number, forms in enumerate(self.forms) if not held.isdisjoint(forms)}

    def redacted(self, text: str) -> str:
        """A text with a mark in the place of each; what was JSON is JSON afterwards."""
        if not self.of(text.encode("utf-8", "surrogatepass")):
            return text
        record = _record(text)
        if record is None:
            for form in sorted((form for forms in self.forms for form in forms), key=len, reverse=True):
                said = form.decode("utf-8", "replace")
                if form in self.words:
                    text = re.sub(_word(said.encode()).decode(), MARK, text)
                else:
                    text = text.replace(said, MARK)
            return text
        return json.dumps(self._redacted_value(record))

    def _redacted_value(self, value: Any) -> Any:
        if isinstance(value, str):
            # A text within JSON may be JSON itself; a number in quotes stays what it is.
            return self.redacted(value)
        if isinstance(value, list):
            return [self._redacted_value(each) for each in value]
        if isinstance(value, dict):
            # A name of a field is a word of whoever wrote the record.
            return {
                name if name.isidentifier() else self.redacted(name): self._redacted_value(each)
                for name, each in value.items()
            }
        return value

    @property
    def longest(self) -> int:
        return max((len(form) for forms in self.forms for form in forms), default=1)


def held_by(content: bytes, pieces: Collection[bytes]) -> set[bytes]:
    """Those of some pieces that some bytes hold."""
    if len(pieces) <= _FEW or len(pieces) * len(content) <= _SMALL:
        return {piece for piece in pieces if piece in content}
    # The search for many at once takes text, so each byte stands for the sign of its number.
    text = pl.Series([content.decode("latin-1")], dtype=pl.String)
    found = text.str.extract_many([piece.decode("latin-1") for piece in pieces], overlapping=True)
    return {piece.encode("latin-1") for piece in found.explode().drop_nulls().unique()}


def _record(text: str) -> dict[str, Any] | list[Any] | str | None:
    """What a text says where it is JSON of more than a number."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, (dict, list, str)) else None


def _word(form: bytes) -> bytes:
    """A pattern of a form that is no part of a longer word."""
    begins = _WORD_BEGINS if re.match(rb"\w", form) else b""
    return begins + re.escape(form) + (_WORD_ENDS if re.match(rb"\w", form[-1:]) else b"")


@lru_cache(maxsize=4096)
def _pattern(form: bytes) -> re.Pattern[bytes]:
    """As many are kept as a large erasure has of titles and addresses that are found within other words."""
    return re.compile(_word(form))


def _forms(piece: bytes) -> tuple[bytes, ...]:
    """As it is, and as JSON and JSON within JSON write it."""
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return (piece,)
    found = [piece]
    for is_ascii in (True, False):
        once = json.dumps(text, ensure_ascii=is_ascii)[1:-1]
        found += [once.encode(), json.dumps(once, ensure_ascii=is_ascii)[1:-1].encode()]
    return tuple(dict.fromkeys(found))


def found_in_file(path: Path, needles: Needles) -> set[int]:
    """Numbers of the needles that a file holds; one that is gone meanwhile holds none.

    Raises:
        OSError: It cannot be read.
    """
    try:
        found = _in_stream(_pieces(path), needles)
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        return set()
    if head == _SQLITE:
        return found | found_in_sqlite(path, needles)
    if head[:4] == b"PAR1":
        return found | _in_parquet(path, needles)
    if head[:2] == b"\x1f\x8b" or head[:4] == b"\x28\xb5\x2f\xfd":
        return found | _in_stream(_unpacked(path, head), needles)
    return found


def found_in_index(place: str, name: str, needles: Needles, options: dict[str, str] | None = None) -> set[int]:
    """Numbers of the needles that any version of an index table holds in any column.

    Args:
        place: Folder or address of all index tables.
        options: Of an object store.
    """
    found: set[int] = set()
    table = lancedb.connect(place, storage_options=options).open_table(name)
    for version in table.list_versions():
        table.checkout(int(version["version"]))
        for batch in table.search().select(table.schema.names).limit(None).to_batches():
            found |= _in_columns(batch.columns, needles)
    return found


def _in_parquet(path: Path, needles: Needles) -> set[int]:
    found: set[int] = set()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                found |= _in_columns(batch.columns, needles)
    except (pa.ArrowInvalid, OSError):
        # It is damaged: what it holds can be had from its bytes alone, which were looked at.
        return found
    return found


def _in_columns(columns: Sequence[Any], needles: Needles) -> set[int]:
    near: set[int] = set()
    for portion in together(chain.from_iterable(map(_buffers, columns)), _READ_BYTES):
        near |= needles.near(portion)
    found = {number for number in near if not needles.is_short(number)}
    for column in columns if near - found else ():
        # In a buffer one value follows the other, so words have no ends there.
        if not near.issubset(found) and any(needles.near(buffer) for buffer in _buffers(column)):
            found |= needles.of(b"\0".join(_values(column.to_pylist())))
    return found


def _buffers(column: Any) -> Iterator[bytes]:
    yield from (buffer.to_pybytes() for buffer in column.buffers() if buffer is not None)


def together(contents: Iterable[bytes], least_bytes: int) -> Iterator[bytes]:
    """Contents one after the other in portions, since a search for many pieces takes some milliseconds to begin."""
    portion: list[bytes] = []
    size = 0
    for content in contents:
        portion.append(content)
        size += len(content)
        if size >= least_bytes:
            yield b"\0".join(portion)
            portion, size = [], 0
    yield b"\0".join(portion)


def _values(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from _values([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _values(each)


def found_in_sqlite(path: Path, needles: Needles) -> set[int]:
    """Numbers of the needles in the values of a SQLite file."""
    found: set[int] = set()
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as file:
            for table in tables_of_sqlite(file):
                for row in file.execute(f'SELECT * FROM "{table}"'):
                    for value in row:
                        found |= found_in_value(value, needles)
    except sqlite3.DatabaseError:
        return found
    return found


def tables_of_sqlite(file: sqlite3.Connection) -> list[str]:
    """Names of the tables that hold rows."""
    rows = file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return [name for (name,) in rows if '"' not in name]


def found_in_value(value: object, needles: Needles) -> set[int]:
    """Numbers of the needles in one value of a row, unpacked where it is packed."""
    if isinstance(value, str):
        return needles.of(value.encode("utf-8", "surrogatepass"))
    if not isinstance(value, bytes):
        return set()
    found = needles.of(value)
    if value[:1] == b"\x78":
        try:
            return found | needles.of(zlib.decompress(value))
        except zlib.error:
            return found
    return found


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece


def _unpacked(path: Path, head: bytes) -> Iterator[bytes]:
    try:
        if head[:2] == b"\x1f\x8b":
            with gzip.open(path, "rb") as file:
                while piece := file.read(_READ_BYTES):
                    yield piece
        else:
            with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
                while piece := stream.read(_READ_BYTES):
                    yield piece
    except (OSError, EOFError, zlib.error):
        # It only begins like a packed file; its bytes were looked at.
        return


def _in_stream(pieces: Iterable[bytes], needles: Needles) -> set[int]:
    found: set[int] = set()
    end = b""
    for piece in pieces:
        found |= needles.of(end + piece)
        end = piece[-needles.longest :]
    return found


def evenly(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many of some values, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[number * (len(values) - 1) // (most - 1)] for number in range(most)]
