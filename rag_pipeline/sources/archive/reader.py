"""Members of a ZIP or TAR file, read one at a time and within limits; nothing is ever unpacked to where it says.

Belongs here: opening archives, and telling one that is cut off from one that ends.
Does not belong here: which members are documents (`source.py`).

A TAR has no list of its members, so what is cut off between two of them looks like a shorter one. It counts as whole
only where the block of zeros stands that ends it.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, Literal, Protocol

from rag_pipeline.errors import DocumentUnreadable
from rag_pipeline.sources import reading

# So much is unpacked between two looks at the limits.
_STEP_BYTES = 2**20
# What packs better than this is made to exhaust readers; small files may be all blanks.
_MAX_RATIO, _RATIO_FLOOR_BYTES = 1_000, 256 * 2**20
# Headers and the end of a TAR are blocks of so many bytes.
_TAR_BLOCK = 512
# S_IFMT and S_IFLNK in the upper half of a member's Unix attributes.
_TYPE, _LINK = 0o170000, 0o120000
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


# Seeking to a place that a damaged member names.
_DAMAGE_NUMBERS = frozenset({None, errno.EINVAL})


class NotWhole(Exception):
    """The archive is none, is cut off, or is over a limit; the message is a clause for people."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive.

    Attributes:
        name: As the archive has it.
        size_bytes: As the archive says.
        modified_at: UTC; a ZIP does not say in which zone its clock was.
        kind: A link, and what is no file, has no bytes of its own.
    """

    name: str
    size_bytes: int
    modified_at: datetime | None
    kind: Literal["file", "link", "encrypted", "special"]
    info: Any = field(compare=False, repr=False)


class Reader(Protocol):
    """An open archive."""

    members: Sequence[Member]

    def read(self, member: Member, limit_bytes: int) -> bytes:
        """A member's bytes, at most one more than the limit.

        Raises:
            DocumentUnreadable: It is damaged.
            OSError: What the archive lies on fails, which says nothing about the member.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def open_archive(file: IO[bytes], max_unpacked_bytes: int) -> Reader:
    """The archive in a file, which is closed with it.

    Raises:
        NotWhole: It cannot be listed completely.
        OSError: What it lies on fails.
    """
    inner = file
    try:
        head = file.read(6)
        file.seek(0)
        if head.startswith(b"PK"):
            return _Zip(file)
        unpacker = next((each for mark, each in _UNPACKERS.items() if head.startswith(mark)), None)
        if unpacker is not None:
            inner = _unpacked(file, unpacker, max_unpacked_bytes)
        return _Tar(inner)
    except NotWhole:
        inner.close()
        raise
    except _BROKEN as error:
        inner.close()
        if _is_outage(error):
            raise
        raise NotWhole(f"it is no ZIP or TAR file, or it is cut off or damaged ({type(error).__name__})") from error


_UNPACKERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


def _unpacked(file: IO[bytes], unpacker: Any, max_bytes: int) -> IO[bytes]:
    """A temporary file with what the packed one holds, so that its members can be read in any order."""
    packed_bytes = file.seek(0, 2)
    file.seek(0)
    size = 0
    with file, unpacker(file) as content, ExitStack() as stack:
        target: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())
        while part := content.read(_STEP_BYTES):
            size += len(part)
            if size > max_bytes or (size > _RATIO_FLOOR_BYTES and size > _MAX_RATIO * packed_bytes):
                raise NotWhole(
                    f"it unpacks to more than {size:,} bytes from {packed_bytes:,}; see "
                    "`sources.NAME.max_unpacked_bytes`"
                )
            target.write(part)
        # Whoever reads the members closes it.
        stack.pop_all()
    target.seek(0)
    return target


class _Zip:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file)
        self.members: Sequence[Member] = [_zip_member(info) for info in self._zip.infolist() if not info.is_dir()]

    def read(self, member: Member, limit_bytes: int) -> bytes:
        try:
            with self._zip.open(member.info) as content:
                # Up to its end, where its checksum is compared.
                return _read_at_most(content, limit_bytes + 1)
        except _BROKEN as error:
            if _is_outage(error):
                raise
            raise _damaged() from error

    def close(self) -> None:
        self._zip.close()
        self._file.close()


def _zip_member(info: zipfile.ZipInfo) -> Member:
    kind: Literal["file", "link", "encrypted"] = "file"
    if info.external_attr >> 16 & _TYPE == _LINK:
        kind = "link"
    elif info.flag_bits & 0x1:
        kind = "encrypted"
    modified = None
    if info.date_time != _NO_TIME:
        try:
            modified = datetime(*info.date_time, tzinfo=UTC)
        except ValueError:
            modified = None
    return Member(info.filename, info.file_size, modified, kind, info)


class _Tar:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - closed in `close`
        infos = self._tar.getmembers()
        end = self._tar.offset
        size = file.seek(0, 2)
        file.seek(end)
        if file.read(_TAR_BLOCK) != bytes(_TAR_BLOCK) or any(each.offset_data + each.size > size for each in infos):
            raise NotWhole("it does not end where a TAR file ends, so it is cut off or damaged")
        self.members: Sequence[Member] = [_tar_member(info) for info in infos if not info.isdir()]

    def read(self, member: Member, limit_bytes: int) -> bytes:
        try:
            content = self._tar.extractfile(member.info)
            raw = b"" if content is None else _read_at_most(content, limit_bytes + 1)
        except (*_BROKEN, KeyError) as error:
            if _is_outage(error):
                raise
            raise _damaged() from error
        if len(raw) < min(member.size_bytes, limit_bytes + 1):
            raise _damaged()
        return raw

    def close(self) -> None:
        self._tar.close()
        self._file.close()


def _tar_member(info: tarfile.TarInfo) -> Member:
    try:
        modified = datetime.fromtimestamp(info.mtime, UTC)
    except (ValueError, OverflowError, OSError):
        modified = None
    kind: Literal["file", "link", "special"] = "file"
    if info.issym():
        kind = "link"
    elif not info.isfile() and not info.islnk():
        kind = "special"
    # A hard link has the bytes of another member, and the size 0.
    return Member(info.name, info.size, modified, kind, info)


def _read_at_most(content: IO[bytes], most: int) -> bytes:
    """So many bytes at most; asked for all at once, a reader would make room for all of them at once."""
    parts: list[bytes] = []
    while most > 0 and (part := content.read(min(most, _STEP_BYTES))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _is_outage(error: BaseException) -> bool:
    """Whether a disk, a right or a connection failed. What is damaged raises plain errors without a number."""
    is_plain = type(error) in (OSError, gzip.BadGzipFile) and isinstance(error, OSError)
    return isinstance(error, OSError) and not (is_plain and error.errno in _DAMAGE_NUMBERS)


def _damaged() -> DocumentUnreadable:
    return reading.unreadable("it is damaged in the archive")
