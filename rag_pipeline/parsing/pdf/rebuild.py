"""The second opener: a PDF whose own tables are lost or wrong, put together again from the objects in it.

A download that was cut off has its pages, but not the list of them, which stands at the end. Every object says its own
number, so the objects can be found without any table.

Belongs here: finding objects, and writing a file that names them. Does not belong here: reading pages.
"""

from __future__ import annotations

import re
import zlib

from rag_pipeline.parsing.pdf.dictionary import entries

_HEADER = re.compile(rb"%PDF-\d\.\d")
_OBJECT = re.compile(rb"(?<!\d)(\d{1,8})[ \t\r\n]{1,4}(\d{1,5})[ \t\r\n]{1,4}obj(?![a-z])")
_STREAM = re.compile(rb"stream\r?\n")
_IS_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_IS_CATALOG = re.compile(rb"/Type\s*/Catalog(?![A-Za-z])")
_IS_PACKED = re.compile(rb"/Type\s*/ObjStm(?![A-Za-z])")
_PARENT = re.compile(rb"/Parent\s+\d+\s+\d+\s+R")
_INTEGER = re.compile(rb"/(N|First)\s+(\d{1,7})")
_KEPT = (b"/AcroForm", b"/Names", b"/Outlines", b"/MarkInfo", b"/StructTreeRoot", b"/Lang")
_INHERITED = re.compile(rb"/Resources\s*\d+\s+\d+\s+R|/MediaBox\s*(?:\[[^\]]{1,80}\]|\d+\s+\d+\s+R)|/Rotate\s+-?\d+")
_ENCRYPTED = re.compile(rb"/Encrypt\s+\d+\s+\d+\s+R|/Encrypt\s*<<")

MAX_OBJECTS = 200_000
MAX_PACKED_BYTES = 64 * 1024 * 1024


def rebuilt(raw: bytes, max_pages: int) -> bytes | None:
    """A file with the objects of `raw`, its pages in the order of the file, and a table of its own.

    None if there is no page in it, or if it is encrypted: a key cannot be made again.
    """
    if _ENCRYPTED.search(raw):
        return None
    objects = _objects(raw)
    pages = [number for number, body in objects.items() if _IS_PAGE.search(_dictionary(body))]
    if not pages or len(pages) > max_pages:
        return None
    catalogs = [body for body in objects.values() if _IS_CATALOG.search(_dictionary(body))]
    kept = [(name, value) for name, value in entries(catalogs[-1]).items() if name in _KEPT] if catalogs else []
    inherited = _inherited(objects)
    tree, root = max(objects) + 1, max(objects) + 2
    for number in pages:
        own = _PARENT.sub(b"", objects[number], count=1)
        objects[number] = own.replace(b"<<", b"<</Parent %d 0 R" % tree, 1)
    kids = b" ".join(b"%d 0 R" % number for number in pages)
    objects[tree] = b"<</Type/Pages/Kids[%b]/Count %d%b>>" % (kids, len(pages), inherited)
    objects[root] = b"<</Type/Catalog/Pages %d 0 R%b>>" % (tree, b"".join(b"\n%b %b" % entry for entry in kept))
    return _file(objects, root)


def _objects(raw: bytes) -> dict[int, bytes]:
    """Every object by number, in the order of the file; a later one of the same number goes before."""
    marks = [(int(match[1]), match.start(), match.end()) for match in _OBJECT.finditer(raw)][:MAX_OBJECTS]
    found: dict[int, bytes] = {}
    packed: dict[int, bytes] = {}
    ends = [start for _, start, _ in marks[1:]] + [len(raw)]
    covered = 0
    for (number, start, body_start), end in zip(marks, ends, strict=True):
        if start < covered or not number:
            # What looks like an object within a stream is part of what that holds.
            continue
        body = raw[body_start:end]
        stream = _STREAM.search(body)
        if stream is not None:
            stop = raw.find(b"endstream", body_start + stream.end())
            if stop < 0:
                # The stream was cut off.
                continue
            covered = stop
            body = raw[body_start : stop + len(b"endstream")]
            if _IS_PACKED.search(body[: stream.start()]):
                packed |= _unpacked(body, stream)
        else:
            close = body.rfind(b"endobj")
            if close < 0:
                continue
            body = body[:close]
        found.pop(number, None)
        found[number] = body
    return {**{number: body for number, body in packed.items() if number not in found}, **found}


def _unpacked(body: bytes, stream: re.Match[bytes]) -> dict[int, bytes]:
    """The objects within an object stream."""
    facts = {match[1]: int(match[2]) for match in _INTEGER.finditer(body[: stream.start()])}
    content = body[stream.end() : body.rfind(b"endstream")]
    try:
        if b"/FlateDecode" in body[: stream.start()]:
            content = zlib.decompressobj().decompress(content, MAX_PACKED_BYTES)
        first = facts[b"First"]
        head = [int(word) for word in content[:first].split()[: 2 * facts[b"N"]]]
    except (zlib.error, KeyError, ValueError):
        return {}
    starts = [*(first + offset for offset in head[1::2]), len(content)]
    return {number: content[starts[at] : starts[at + 1]] for at, number in enumerate(head[: len(starts) * 2 : 2])}


def _dictionary(body: bytes) -> bytes:
    return body.split(b"stream", 1)[0]


def _inherited(objects: dict[int, bytes]) -> bytes:
    """What pages take over from the list that holds them, of the first such list."""
    for body in objects.values():
        head = _dictionary(body)
        if b"/Kids" in head and b"/Pages" in head:
            return b"".join(match[0] for match in _INHERITED.finditer(head))
    return b"/MediaBox[0 0 612 792]"


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
