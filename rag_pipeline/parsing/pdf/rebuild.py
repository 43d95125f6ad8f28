"""The second opener: a PDF whose own tables are lost or wrong, put together again from the objects in it.

A download that was cut off has its pages, but not the list of them, which stands at the end. Every object says its own
number, so the objects can be found without any table.

Belongs here: finding objects, and writing a file that names them. Does not belong here: reading pages.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise

from rag_pipeline.parsing.pdf.dictionary import entries

_HEADER = re.compile(rb"%PDF-\d\.\d")
_OBJECT = re.compile(rb"(?<!\d)(\d{1,8})[ \t\r\n]{1,4}(\d{1,5})[ \t\r\n]{1,4}obj(?![a-z])")
_STREAM = re.compile(rb"stream\r?\n")
_IS_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_IS_CATALOG = re.compile(rb"/Type\s*/Catalog(?![A-Za-z])")
_IS_PACKED = re.compile(rb"/Type\s*/ObjStm(?![A-Za-z])")
_REFERENCE = re.compile(rb"(\d{1,8})\s+\d{1,5}\s+R")
_INTEGER = re.compile(rb"/(N|First)\s+(\d{1,7})")
_KEPT = (b"/AcroForm", b"/Names", b"/Outlines", b"/MarkInfo", b"/StructTreeRoot", b"/Lang")
_INHERITED = (b"/Resources", b"/MediaBox", b"/CropBox", b"/Rotate")
_ENCRYPTED = re.compile(rb"/Encrypt\s+\d+\s+\d+\s+R|/Encrypt\s*<<")

# A file of ten thousand pages; more are made to exhaust readers.
MAX_OBJECTS = 200_000
# Packed objects of such a file.
MAX_PACKED_BYTES = 64 * 1024 * 1024
# Lists of pages within lists; a circle ends here.
MAX_LEVELS = 32


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A file put together again.

    Attributes:
        lost_streams: How many contents of pages and packs of objects were cut off or damaged, and are not in it.
    """

    raw: bytes
    lost_streams: int


def rebuilt(raw: bytes, max_pages: int) -> Rebuilt | None:
    """A file with the objects of `raw`, its pages in the order of the file, and a table of its own.

    None if there is no page in it, or if it is encrypted: a key cannot be made again.
    """
    if _ENCRYPTED.search(raw):
        return None
    objects, lost_streams = _objects(raw)
    pages = [number for number, body in objects.items() if _IS_PAGE.search(_dictionary(body))]
    if not pages or len(pages) > max_pages:
        return None
    catalogs = [body for body in objects.values() if _IS_CATALOG.search(_dictionary(body))]
    catalog = entries(catalogs[-1]) if catalogs else {}
    kept = {name: value for name, value in catalog.items() if name in _KEPT}
    tree, root = max(objects) + 1, max(objects) + 2
    kids = b" ".join(b"%d 0 R" % number for number in pages)
    _hang_up(pages, tree, objects)
    objects[tree] = b"<</Type/Pages/Kids[%b]/Count %d/MediaBox[0 0 612 792]>>" % (kids, len(pages))
    objects[root] = b"<</Type/Catalog/Pages %d 0 R%b>>" % (tree, _written(kept))
    return Rebuilt(_file(objects, root), lost_streams)


def _objects(raw: bytes) -> tuple[dict[int, bytes], int]:
    """Every object by number, in the order of the file, and how many streams are lost.

    A later object of the same number goes before.
    """
    marks = [(int(match[1]), match.start(), match.end()) for match in islice(_OBJECT.finditer(raw), MAX_OBJECTS + 1)]
    last_end = raw.rfind(b"endstream")
    lost_streams = 0
    found: dict[int, bytes] = {}
    packed: dict[int, bytes] = {}
    ends = [start for _, start, _ in marks[1:]] + [len(raw)]
    covered = 0
    for (number, start, body_start), end in zip(marks[:MAX_OBJECTS], ends, strict=False):
        if start < covered or not number:
            # What looks like an object within a stream is part of what that holds.
            continue
        body = raw[body_start:end]
        stream = _STREAM.search(body)
        if stream is not None:
            if body_start + stream.end() > last_end:
                # The stream was cut off.
                lost_streams += 1
                continue
            stop = raw.find(b"endstream", body_start + stream.end())
            covered = stop
            body = raw[body_start : stop + len(b"endstream")]
            if _IS_PACKED.search(body[: stream.start()]):
                within = _unpacked(body, stream)
                lost_streams += within is None
                packed |= within or {}
        else:
            close = body.rfind(b"endobj")
            if close < 0:
                # Its dictionary says that a stream follows, which was cut off with it.
                lost_streams += b"/Length" in body
                continue
            body = body[:close]
        found.pop(number, None)
        found[number] = body
    return {**{number: body for number, body in packed.items() if number not in found}, **found}, lost_streams


def _unpacked(body: bytes, stream: re.Match[bytes]) -> dict[int, bytes] | None:
    """The objects within an object stream; None if it is damaged."""
    facts = {match[1]: int(match[2]) for match in _INTEGER.finditer(body[: stream.start()])}
    content = body[stream.end() : body.rfind(b"endstream")]
    try:
        if b"/FlateDecode" in body[: stream.start()]:
            content = zlib.decompressobj().decompress(content, MAX_PACKED_BYTES)
        first = facts[b"First"]
        head = [int(word) for word in content[:first].split()[: 2 * facts[b"N"]]]
    except (zlib.error, KeyError, ValueError):
        return None
    starts = [*(first + offset for offset in head[1::2]), len(content)]
    if any(start >= end for start, end in pairwise(starts[:-1])):
        # Objects that overlap would be written out again and again.
        return None
    return {number: content[start:end] for number, (start, end) in zip(head[::2], pairwise(starts), strict=False)}


def _dictionary(body: bytes) -> bytes:
    return body.split(b"stream", 1)[0]


def _hang_up(pages: list[int], tree: int, objects: dict[int, bytes]) -> None:
    """Make `tree` the parent of all pages, and write into each what it took over from the parents that it had."""
    node = cache(lambda number: entries(objects.get(number, b"")))
    shared: dict[bytes, int] = {}
    written: dict[int, bytes] = {}
    for number in pages:
        own = node(number)
        taken = _taken_over(own, node)
        for name, value in taken.items():
            if value.startswith((b"<<", b"[")):
                # Written once, however many pages take it over.
                taken[name] = b"%d 0 R" % shared.setdefault(value, tree + 2 + len(shared))
        written[number] = b"<<%b>>" % _written(own | taken | {b"/Parent": b"%d 0 R" % tree})
    objects |= written | {number: value for value, number in shared.items()}


def _taken_over(page: dict[bytes, bytes], node: Callable[[int], dict[bytes, bytes]]) -> dict[bytes, bytes]:
    """What a page takes over from the nearest of the lists above it that has it."""
    found: dict[bytes, bytes] = {}
    above = page
    for _ in range(MAX_LEVELS):
        parent = _REFERENCE.fullmatch(above.get(b"/Parent", b""))
        if parent is None:
            break
        above = node(int(parent[1]))
        found = {name: above[name] for name in _INHERITED if name in above and name not in page} | found
    return found


def _written(facts: dict[bytes, bytes]) -> bytes:
    # A value may end in a comment, which ends with the line.
    return b"".join(b"%b %b\n" % entry for entry in facts.items())


def _file(objects: dict[int, bytes], root: int) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    offsets: dict[int, int] = {}
    for number, body in objects.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number in sorted(offsets):
        out += b"%d 1\n%010d 00000 n \n" % (number, offsets[number])
    out += b"trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (max(offsets) + 1, root, start)
    return bytes(out)
