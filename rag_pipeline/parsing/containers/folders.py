"""Archives (ZIP, TAR, 7z, and files packed with gzip, bzip2 or xz) as folders: each member is a document of its own.

Belongs here: listing members safely and handing each to the parser of its kind. Nothing is ever written to disk, so
no name can lead anywhere; members whose name would lead out of the archive are left out all the same.
Does not belong here: containers that are one document, such as office files (`archives` reads those).
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from posixpath import basename, splitext
from typing import Any

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.contracts.ids import MEMBER_MARK
from rag_pipeline.errors import DocumentError, EmptyDocument, LimitExceeded
from rag_pipeline.parsing.containers.archives import RATIO_FLOOR_BYTES, STEP_BYTES, Archive
from rag_pipeline.parsing.containers.seven_zip import SevenZip, damaged, too_large
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import ParseLimits, check_count
from rag_pipeline.parsing.media_type import media_type_of

VERSION = "3"

# An archive in an archive in an archive; deeper ones are made to exhaust readers.
MAX_DEPTH = 3
# An archive within an archive gets this share of what its outer one may hold.
NESTED_SHARE = 4
MAX_NAME_CHARS = 1_000
MAX_LISTED_CHARS = 2_000

_JUNK = re.compile(r"(?:^|/)(?:__MACOSX/|Thumbs\.db$|desktop\.ini$|\.)", re.I)
_TAR_NAMES = re.compile(r"\.(?:tar\.(?:gz|bz2|xz)|tgz|tbz2?|txz)$", re.I)
_PACKED_ENDING = re.compile(r"\.(?:gz|gzip|bz2|xz)$", re.I)
# S_IFLNK in the upper half of a member's Unix attributes.
_SYMBOLIC_LINK = 0o120000


@dataclass(slots=True)
class _Found:
    """What the members gave so far.

    Attributes:
        unread: Name and reason code of members that gave nothing.
        hidden: Members that a file manager does not show.
    """

    documents: list[ParsedDocument] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[DocumentError] = field(default_factory=list)
    hidden: int = 0
    chars: int = 0


Member = tuple[str, Callable[[], bytes]]


def parse_zip(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The documents of all members that can be read; `part` is their path after `!/`.

    Raises:
        DocumentError: No member can be read; of the kind that the first of them was refused for.
    """
    return _documents(_zip_members(raw, context.address, context.limits), context)


def parse_tar(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """Like `parse_zip`."""
    return _documents(_tar_members(raw, context.address, context.limits), context)


def parse_7z(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """Like `parse_zip`."""
    return _documents(_7z_members(raw, context.address, context.limits), context)


def parse_packed(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """A packed file: the members of the TAR within, or the one file it holds, which no rename names anew."""
    data = _unpacked(raw, context.address, context.limits)
    if data[257:262] == b"ustar" or _TAR_NAMES.search(context.address):
        return _documents(_tar_members(data, context.address, context.limits), context)
    kind = splitext(_PACKED_ENDING.sub("", basename(context.address.replace("\\", "/"))))[1].lower()
    return _documents(iter([(f"content{kind}", lambda: data)]), context)


def _documents(members: Iterator[Member], context: ParseContext) -> list[ParsedDocument]:
    address = context.address
    depth = address.count(MEMBER_MARK)
    if depth >= MAX_DEPTH:
        raise LimitExceeded(
            f"{address}: archives within archives, more than {MAX_DEPTH} deep. Unpack the inner ones, or exclude it.",
            address=address,
            limit=MAX_DEPTH,
        )
    found = _Found()
    names: dict[str, int] = {}
    for listed, read in members:
        name = _safe_name(listed)
        if name is None:
            found.unread.append((clean_text(listed)[:100], "unsafe_name"))
            continue
        if _JUNK.search(name):
            found.hidden += 1
            continue
        names[name] = names.get(name, 0) + 1
        path = name if names[name] == 1 else f"{name}~{names[name]}"
        try:
            _take(found, name, path, read(), context)
        except LimitExceeded as error:
            if error.facts.get("address") == address:
                raise
            found.unread.append((path, error.code))
            found.refusals.append(error)
        except DocumentError as error:
            found.unread.append((path, error.code))
            found.refusals.append(error)
    if not found.documents:
        raise _refusal(found, address)
    return _with_losses(found)


def _take(found: _Found, name: str, path: str, data: bytes, context: ParseContext) -> None:
    address, limits = context.address, context.limits
    inner = replace(
        limits,
        max_text_chars=limits.max_text_chars - found.chars,
        max_archive_bytes=max(1, limits.max_archive_bytes // NESTED_SHARE),
        max_archive_entries=max(1, limits.max_archive_entries // NESTED_SHARE),
        max_attachments=max(1, limits.max_attachments // NESTED_SHARE),
    )
    kind = media_type_of(name, data)
    for document in context.parse_part(data, kind, f"{address}{MEMBER_MARK}{path}", inner):
        below = document.part
        joined = below if not below or below.startswith(MEMBER_MARK) else f"#{below}"
        facts = document.metadata if "media_type" in document.metadata else {**document.metadata, "media_type": kind}
        found.documents.append(replace(document, part=f"{MEMBER_MARK}{path}{joined}", metadata=facts))
        found.chars += len(document.text)
    check_count(len(found.documents), limits.max_records, "records", address)
    check_count(found.chars, limits.max_text_chars, "characters of text", address)


def _with_losses(found: _Found) -> list[ParsedDocument]:
    """The documents, the first of which says what the archive lacks."""
    facts: dict[str, str] = {}
    if found.unread:
        facts["unread_members_count"] = str(len(found.unread))
        facts["unread_members"] = ", ".join(f"{name} ({code})" for name, code in found.unread)[:MAX_LISTED_CHARS]
    if found.hidden:
        facts["hidden_member_count"] = str(found.hidden)
    if not facts:
        return found.documents
    first = found.documents[0]
    return [replace(first, metadata={**first.metadata, **facts}), *found.documents[1:]]


def _refusal(found: _Found, address: str) -> DocumentError:
    if not found.refusals:
        return EmptyDocument(f"{address}: the archive holds no file that is read.", address=address)
    first = found.refusals[0]
    others = len(found.unread) - 1
    more = f" {others} more of its files could not be read either." if others else ""
    return type(first)(f"{first.message}{more}", address=address, unread_members=len(found.unread))


def _safe_name(listed: str) -> str | None:
    """The member's path within the archive; None if it would lead out of it or names nothing."""
    name = clean_text(listed.replace("\\", "/")).replace("\n", " ").replace("\t", " ")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\0" in listed or len(name) > MAX_NAME_CHARS:
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join(parts) if parts and ".." not in parts else None


def _zip_members(raw: bytes, address: str, limits: ParseLimits) -> Iterator[Member]:
    archive = Archive(raw, address, limits)
    for info in archive.members():
        mode = info.external_attr >> 16
        if info.is_dir():
            continue
        if mode & 0o170000 == _SYMBOLIC_LINK:
            yield f"../{info.filename}", bytes
            continue
        yield info.filename, partial(archive.read_member, info)


def _7z_members(raw: bytes, address: str, limits: ParseLimits) -> Iterator[Member]:
    for member, read in SevenZip(raw, address, limits).contents():
        if not member.is_folder:
            yield (f"../{member.name}" if member.is_link else member.name), read


def _tar_members(data: bytes, address: str, limits: ParseLimits) -> Iterator[Member]:
    unpacked = 0
    count = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for info in archive:
                count += 1
                check_count(count, limits.max_archive_entries, "files in the container", address)
                if info.isdir():
                    continue
                if not info.isfile():
                    # Links and devices lead out of the archive or nowhere.
                    yield f"../{info.name}", bytes
                    continue
                unpacked += info.size
                if info.size > limits.max_member_bytes or unpacked > limits.max_archive_bytes:
                    raise too_large(address, unpacked, len(data))
                yield info.name, partial(_tar_content, archive, info, address)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError):
        if count == 0:
            raise damaged(address) from None
        yield "the rest of the archive", partial(_raise, damaged(address))


def _tar_content(archive: tarfile.TarFile, info: tarfile.TarInfo, address: str) -> bytes:
    try:
        file = archive.extractfile(info)
        content = file.read() if file is not None else b""
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError):
        raise damaged(address) from None
    if len(content) < info.size:
        raise damaged(address)
    return content


def _raise(error: DocumentError) -> bytes:
    raise error


def _unpacked(raw: bytes, address: str, limits: ParseLimits) -> bytes:
    """The bytes within a packed file, several packed one after another included, within the limits."""
    bound = min(limits.max_archive_bytes, max(RATIO_FLOOR_BYTES, limits.max_archive_ratio * len(raw)))
    parts: list[bytes] = []
    size = 0
    rest = raw
    try:
        while rest:
            unpacker = _unpacker(rest)
            if unpacker is None:
                # What follows a packed file, such as padding, belongs to no file.
                break
            pending = rest
            while not unpacker.eof:
                part = unpacker.decompress(pending, STEP_BYTES)
                pending = getattr(unpacker, "unconsumed_tail", b"")
                size += len(part)
                if size > bound:
                    raise too_large(address, size, len(raw))
                parts.append(part)
                if not part and not pending and not unpacker.eof:
                    raise damaged(address)
            rest = unpacker.unused_data
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        raise damaged(address) from None
    if rest is raw:
        raise damaged(address)
    return b"".join(parts)


def _unpacker(data: bytes) -> Any:
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31)
    if data.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(lzma.FORMAT_XZ) if data.startswith(b"\xfd7zXZ\0") else None
