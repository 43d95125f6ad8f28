"""Files that are embedded in office files, such as a workbook in a letter: found, and taken out of their wrapping.

Belongs here: Office's packages and OLE objects. Does not belong here: parsing them (`attached`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from posixpath import basename

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import DocumentError, LimitExceeded, UnparsableDocument
from rag_pipeline.parsing.attached import MAX_LISTED_CHARS, Attachment, attached_documents
from rag_pipeline.parsing.containers.archives import Archive, relations
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.legacy.ole import OleFile
from rag_pipeline.parsing.media_type import OLE_MAGIC

_KINDS = frozenset({"package", "oleObject"})
# An old document that is an object keeps its own streams, and is read as the file it would be.
_DOCUMENTS = {"WordDocument": ".doc", "Workbook": ".xls", "Book": ".xls", "PowerPoint Document": ".ppt"}
# A package of the new formats, a PDF and an OpenDocument file, as their programs wrap them.
_WRAPPED = ("Package", "CONTENTS", "EmbeddedOdf")
_NATIVE = "\x01Ole10Native"
# Formulas of old editors and the state of controls are no documents.
_NO_FILES = frozenset({"Equation Native", "contents", "\x03OCXDATA", "\x03OCXNAME"})


@dataclass(slots=True)
class Embedded:
    """Files within an office file.

    Attributes:
        unread: Name and reason code of those that cannot be taken out.
    """

    found: list[Attachment] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)


def embedded_files(archive: Archive, parts: Iterable[str], max_files: int) -> Embedded:
    """What the parts of an Office container embed, each file once, in their order."""
    found = (name for part in parts for kind, name in relations(archive, part).values() if kind in _KINDS)
    return named_files(archive, found, max_files)


def named_files(archive: Archive, names: Iterable[str], max_files: int) -> Embedded:
    """The members of these names, each once, in their order; what the container does not hold is passed over."""
    files = Embedded()
    for name in dict.fromkeys(names):
        if name in archive.names:
            _add(files, archive, name, max_files)
    return files


def with_embedded(document: ParsedDocument, files: Embedded, context: ParseContext) -> list[ParsedDocument]:
    """The document and those of the files that it embeds, with what could not be read named in its metadata."""
    below, said = attached_documents(files.found, context.limits.max_text_chars - len(document.text), context)
    if files.unread:
        named = [said["unread_attachments"]] if "unread_attachments" in said else []
        named += [f"{name} ({code})" for name, code in files.unread]
        said["unread_attachments"] = ", ".join(named)[:MAX_LISTED_CHARS]
        said["unread_attachments_count"] = str(int(said.get("unread_attachments_count", "0")) + len(files.unread))
    document.metadata.update(said)
    return [document, *below]


def _add(files: Embedded, archive: Archive, name: str, max_files: int) -> None:
    shown = clean_text(basename(name))[:200]
    if len(files.found) >= max_files:
        files.unread.append((shown, LimitExceeded.code))
        return
    try:
        data = archive.read(name)
    except DocumentError as error:
        files.unread.append((shown, error.code))
        return
    taken: tuple[str, bytes] | None = (shown, data)
    if data.startswith(OLE_MAGIC):
        try:
            taken = unwrapped(shown, data, archive.address)
        except UnparsableDocument:
            # Whoever parses it says what is wrong with it, as with any other file.
            taken = (shown, data)
    if taken is not None and taken[1]:
        files.found.append((taken[0], "", taken[1]))


def unwrapped(name: str, data: bytes, address: str) -> tuple[str, bytes] | None:
    """Name and content of the file within an OLE object; None for an object that is no file.

    Raises:
        UnparsableDocument: The object is damaged.
    """
    ole = OleFile(data, address)
    for stream, ending in _DOCUMENTS.items():
        if stream in ole.streams:
            return name.removesuffix(".bin") + ending, data
    if _NATIVE in ole.streams:
        return _native(name, ole.read(_NATIVE))
    for stream in _WRAPPED:
        if stream in ole.streams:
            return name.removesuffix(".bin"), ole.read(stream)
    return None if _NO_FILES & ole.streams.keys() else (name, data)


def _native(name: str, stream: bytes) -> tuple[str, bytes]:
    """A file as Windows packs it: size, flags, label, path, path of the copy, and content."""
    position = 6
    texts: list[str] = []
    for number in range(3):
        if number == 2:
            # Flags, and the length of the path that follows.
            position += 8
        end = stream.find(b"\0", position)
        if end < 0:
            return name, b""
        texts.append(stream[position:end].decode("cp1252", "replace"))
        position = end + 1
    size = struct.unpack_from("<I", stream.ljust(position + 4, b"\0"), position)[0]
    label = clean_text(basename(texts[0].replace("\\", "/")))[:200]
    return label or name, stream[position + 4 : position + 4 + size]
