"""Reads members of ZIP containers (office files, e-books) within limits, and their XML without surprises.

Belongs here: the bounded reader, and the one way XML is parsed, also outside containers. Sizes are counted while
unpacking, since the sizes a container declares may lie.
Does not belong here: any container's own structure.
"""

from __future__ import annotations

import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from rag_pipeline.errors import EncryptedDocument, LimitExceeded, NeedsOcr, UnparsableDocument
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.limits import ParseLimits, check_count

if TYPE_CHECKING:
    from lxml.etree import XMLParser, _Element

# So much is unpacked between two looks at the limits.
STEP_BYTES = 1024 * 1024
# Of members that were unpacked for a look at their size and will be read again.
MAX_KEPT_BYTES = 8 * 1024 * 1024
# Small members of plain XML pack better than any ratio limit; only large ones can hurt.
RATIO_FLOOR_BYTES = 16 * 1024 * 1024
# The head of a member: its mark, flags, and the lengths of its name and of what more is said of it.
_LOCAL_HEAD = struct.Struct("<4s2xH18xHH")
# How well it was packed, sizes behind the content, and names in UTF-8: none of them changes how it is read.
_IS_UTF8 = 0x800
_PLAIN_FLAGS = 0x0E | _IS_UTF8
# Relations to parts that hold text.
_TEXT_KINDS = frozenset({"comments", "endnotes", "footnotes", "notesSlide", "slide"})
_PICTURE = re.compile(r"\.(?:png|jpe?g|gif|tiff?|bmp|webp|emf|wmf)$", re.I)


class Archive:
    """A ZIP container held in memory.

    Args:
        raw: The container's bytes.
        address: Used in messages.
        limits: Bounds on entries, sizes and ratio.

    Attributes:
        names: The members.
        unread: Members that hold text and are damaged, cut off or not there, by what was asked for.
        known_relations: What `relations` has read, by part.

    Raises:
        UnparsableDocument: Not a ZIP container.
        LimitExceeded: Too many entries.
    """

    def __init__(self, raw: bytes, address: str, limits: ParseLimits) -> None:
        self.address = address
        self._limits = limits
        self._unpacked_bytes = 0
        self.unread: list[str] = []
        self._kept: dict[str, bytes] = {}
        self.known_relations: dict[str, Mapping[str, tuple[str, str]]] = {}
        self._raw = raw
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(raw))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError):
            raise UnparsableDocument(
                f"{address}: the container is damaged. Open it in its application and save it again.",
                address=address,
            ) from None
        check_count(len(self._zip.infolist()), limits.max_archive_entries, "files in the container", address)
        self.names = frozenset(self._zip.namelist())

    def read(self, name: str) -> bytes:
        """The member's bytes.

        Raises:
            EncryptedDocument: The member needs a password.
            LimitExceeded: It unpacks past a limit.
            UnparsableDocument: It is missing or damaged.
        """
        if name in self._kept:
            return self._kept[name]
        try:
            return self.read_member(self._zip.getinfo(name))
        except KeyError:
            raise self._missing(name) from None

    def members(self) -> list[zipfile.ZipInfo]:
        """What the container lists, folders and repeated names included, in its order."""
        return self._zip.infolist()

    def read_member(self, info: zipfile.ZipInfo) -> bytes:
        """Like `read`, of a member as the container lists it."""
        small = _small_member(self._raw, info)
        if small is not None:
            self._check(info.filename, len(small), info.compress_size)
            self._unpacked_bytes += len(small)
            return small
        name = info.filename
        parts: list[bytes] = []
        size = 0
        try:
            if info.flag_bits & 0x1:
                raise EncryptedDocument(
                    f"{self.address}: the container is protected by a password. Remove it or exclude the file.",
                    address=self.address,
                )
            with self._zip.open(info) as member:
                while part := member.read(STEP_BYTES):
                    size += len(part)
                    self._check(name, size, info.compress_size)
                    parts.append(part)
        except (KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError):
            raise self._missing(name) from None
        self._unpacked_bytes += size
        return b"".join(parts)

    def _missing(self, name: str) -> UnparsableDocument:
        return UnparsableDocument(
            f"{self.address}: the part {name[:200]} is missing or damaged. "
            "Open the file in its application and save it again.",
            address=self.address,
            part=name[:200],
        )

    def read_if_there(self, name: str) -> bytes | None:
        """Like `read`, but None for a member that the container does not list."""
        return self.read(name) if name in self.names else None

    def xml(self, name: str) -> _Element:
        """Root of the member's XML. Raises as `read` does, and UnparsableDocument for no XML at all."""
        return self.xml_of(name, self.read(name))

    def text_xml(self, name: str) -> _Element | None:
        """Like `spare_xml`, of a member that another one says holds text: one that is not there is noted, too."""
        if name not in self.names:
            self.note_unread(name)
        return self.spare_xml(name)

    def xml_of(self, name: str, content: bytes) -> _Element:
        """Like `xml`, of what was read already; what is damaged past some place, and so read in part, is noted."""
        where = f"{self.address} ({name[:200]})"
        root = whole_xml(content)
        if root is None:
            root = xml_root(content, where)
            self.note_unread(name)
        return root

    def note_unread(self, name: str) -> None:
        """Adds a member to `unread`, each once."""
        if name[:200] not in self.unread:
            self.unread.append(name[:200])

    def unread_facts(self) -> dict[str, str]:
        """What to say of `unread` in the metadata."""
        if not self.unread:
            return {}
        return {
            "unread_parts": ", ".join(map(clean_text, self.unread))[:1000],
            "unread_parts_count": str(len(self.unread)),
        }

    def xml_if_there(self, name: str) -> _Element | None:
        """Like `xml`, but None for a member that the container does not list."""
        return self.xml(name) if name in self.names else None

    def spare_xml(self, name: str) -> _Element | None:
        """Like `xml_if_there`, but a damaged member is noted in `unread` and counts as not there.

        For parts that a document can do without: its text is worth more than a refusal over a style sheet.
        """
        try:
            return self.xml_if_there(name)
        except UnparsableDocument:
            self.note_unread(name)
            return None

    @property
    def has_pictures(self) -> bool:
        """Whether the container holds pictures other than its own thumbnail."""
        return any(_PICTURE.search(name) and "thumbnail" not in name.lower() for name in self.names)

    def check_all(self) -> None:
        """Unpacks every member once, for libraries that unpack without limits themselves; keeps some small ones."""
        kept_bytes = 0
        for name in sorted(self.names):
            if name.endswith("/"):
                continue
            content = self.read(name)
            if name.endswith((".xml", ".rels")) and kept_bytes + len(content) <= MAX_KEPT_BYTES:
                kept_bytes += len(content)
                self._kept[name] = content

    def _check(self, name: str, size: int, packed: int) -> None:
        limits = self._limits
        total = self._unpacked_bytes + size
        too_dense = size > RATIO_FLOOR_BYTES and size > limits.max_archive_ratio * max(packed, 1)
        if size > limits.max_member_bytes or total > limits.max_archive_bytes or too_dense:
            raise LimitExceeded(
                f"{self.address}: the part {name[:200]} unpacks to more than {size:,} bytes from {packed:,} "
                f"({total:,} in all). The file is hostile or far too large; exclude it, or raise "
                "`limits.max_member_bytes`, `limits.max_archive_bytes` or `limits.max_archive_ratio`.",
                address=self.address,
                part=name[:200],
                unpacked_bytes=size,
                packed_bytes=packed,
            )


def _small_member(raw: bytes, info: zipfile.ZipInfo) -> bytes | None:
    """A small member that is as it should be, in a third of the time; None for all others, which take the long way."""
    is_plain = info.compress_type == zipfile.ZIP_DEFLATED and not info.flag_bits & ~_PLAIN_FLAGS
    if not is_plain or not 0 < info.compress_size <= STEP_BYTES or info.file_size > STEP_BYTES:
        return None
    head = raw[info.header_offset : info.header_offset + _LOCAL_HEAD.size]
    if len(head) < _LOCAL_HEAD.size:
        return None
    mark, flags, name_length, extra_length = _LOCAL_HEAD.unpack(head)
    start = info.header_offset + _LOCAL_HEAD.size
    name = raw[start : start + name_length].decode("utf-8" if flags & _IS_UTF8 else "cp437", "replace")
    start += name_length + extra_length
    packed = raw[start : start + info.compress_size]
    if mark != b"PK\x03\x04" or flags & ~_PLAIN_FLAGS or name != info.orig_filename or len(packed) < info.compress_size:
        return None
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(packed, STEP_BYTES)
    except zlib.error:
        return None
    is_whole = unpacker.eof and not unpacker.unused_data and len(content) == info.file_size
    return content if is_whole and zlib.crc32(content) == info.CRC else None


def refuse_protected(archive: Archive) -> None:
    """Raises EncryptedDocument for an OpenDocument container whose members are encrypted."""
    if b"encryption-data" in (archive.read_if_there("META-INF/manifest.xml") or b""):
        raise EncryptedDocument(
            f"{archive.address}: the document is protected by a password. Remove it or exclude the file.",
            address=archive.address,
        )


def refuse_pictures_only(archive: Archive, has_text: bool, parts: Sequence[str] = ()) -> None:
    """Raises NeedsOcr for a document without text that shows pictures.

    Args:
        parts: Members of an Office container that show what they relate to, such as its slides; the logo of
            a template does not count. Empty for containers in which any picture is shown.
    """
    if has_text:
        return
    shows = any(related(archive, part, "image") for part in parts) if parts else archive.has_pictures
    if shows:
        raise NeedsOcr(
            f"{archive.address}: the document holds pictures but no text. Run it through OCR and add the result.",
            address=archive.address,
        )


def xml_parser(recover: bool, **more: bool) -> XMLParser:
    """A reader of XML from strangers: no entity is resolved, nothing fetched, and depth and size are bounded.

    Args:
        recover: Damage is repaired where possible, instead of refused.
        more: Further settings of the parser.
    """
    from lxml import etree

    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        recover=recover,
        **more,
    )


# An office file has dozens of small parts, for which making a reader costs as much as reading.
@cache
def _parser(recover: bool) -> XMLParser:
    return xml_parser(recover, remove_pis=True)


def whole_xml(data: bytes) -> _Element | None:
    """Root element of XML without a fault, with no entity resolved and nothing fetched; None for any other."""
    from lxml import etree

    try:
        return etree.fromstring(data, _parser(recover=False))
    except (etree.XMLSyntaxError, ValueError):
        return None


def xml_root(data: bytes, where: str) -> _Element:
    """Root element of XML, with no entity resolved, nothing fetched, and damage repaired where possible.

    Raises:
        LimitExceeded: Nested past libxml2's limit; the rest would be lost without a word.
        UnparsableDocument: There is no element to be had.
    """
    from lxml import etree

    root = whole_xml(data)
    if root is not None:
        return root
    parser = _parser(recover=True)
    with suppress(etree.XMLSyntaxError, ValueError):
        root = etree.fromstring(data, parser)
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise LimitExceeded(
            f"{where}: nested too deeply, or a single text too long. The file is damaged or hostile.", where=where
        )
    if root is None:
        raise UnparsableDocument(f"{where}: not well-formed XML. Save the file again.", where=where)
    return root


def local_name(element: _Element) -> str:
    """The element's name without namespace; empty for entities and the like."""
    return _without_namespace(element.tag)


# Office files have a few hundred names; a hostile one may have any number.
@lru_cache(maxsize=4096)
def _without_namespace(tag: object) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def local_attribute(element: _Element, name: str) -> str | None:
    """The attribute of that local name in any namespace: strict and transitional files differ only there."""
    for key in element.keys():  # noqa: SIM118
        # Much is asked of small elements: a name that ends otherwise is passed over without being cut.
        if key.endswith(name) and key.rpartition("}")[2] == name:
            return str(element.get(key))
    return None


def child(element: _Element, *path: str) -> _Element | None:
    """The first descendant along a path of local names, or None."""
    found: _Element | None = element
    for name in path:
        if found is None:
            return None
        found = next((item for item in found if local_name(item) == name), None)
    return found


# Parts of office files are called alike in all of them.
@lru_cache(maxsize=4096)
def resolved(base: str, target: str) -> str:
    """Name of the member that `target`, as written in member `base`, points to."""
    if target.startswith("/"):
        return posixpath.normpath(target).lstrip("/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), target))


def relations(archive: Archive, part: str) -> Mapping[str, tuple[str, str]]:
    """Office relations of a part: id to (last word of the type, member name); external targets left out."""
    found = archive.known_relations.get(part)
    if found is None:
        found = archive.known_relations[part] = _read_relations(archive, part)
    return found


def _read_relations(archive: Archive, part: str) -> dict[str, tuple[str, str]]:
    folder, name = posixpath.split(part)
    root = archive.spare_xml(posixpath.join(folder, "_rels", f"{name}.rels"))
    found: dict[str, tuple[str, str]] = {}
    for item in root if root is not None else ():
        if local_name(item) == "Relationship" and item.get("TargetMode") != "External":
            kind = (item.get("Type") or "").rpartition("/")[2]
            found[item.get("Id") or ""] = (kind, resolved(part, item.get("Target") or ""))
    return found


def related(archive: Archive, part: str, kind: str) -> list[str]:
    """Members that `part` relates to by `kind`, as far as the container holds them; text that it lacks is noted."""
    names = [name for type_, name in relations(archive, part).values() if type_ == kind]
    for name in names if kind in _TEXT_KINDS else ():
        if name not in archive.names:
            archive.note_unread(name)
    return [name for name in names if name in archive.names]


def core_properties(archive: Archive) -> dict[str, str]:
    """Title, creator, language, subject, created … that an office file states about itself."""
    root = archive.spare_xml("docProps/core.xml")
    if root is None:
        return {}
    return {local_name(item): " ".join((item.text or "").split())[:1000] for item in root if (item.text or "").strip()}
