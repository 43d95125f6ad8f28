"""Which parser reads which media type, and the checks around every parser.

Belongs here: the table of formats, lazy import of their modules, limits and refusals common to all.
Does not belong here: anything about one format, or choosing the media type (`media_type.py`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.errors import (
    DocumentError,
    EmptyDocument,
    EncryptedDocument,
    LimitExceeded,
    NeedsOcr,
    UnparsableDocument,
    UnsupportedMediaType,
)
from rag_pipeline.parsing import builder, decode, media_type
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.limits import ParseLimits, check_bytes, check_count, no_known_format
from rag_pipeline.parsing.media_type import is_wide
from rag_pipeline.parsing.ocr.engine import BlindReader, PageReader
from rag_pipeline.parsing.ocr.options import OcrOptions
from rag_pipeline.parsing.ocr.shown import with_read
from rag_pipeline.parsing.pictures import Shown, looked_at, shown

Parser = Callable[[bytes, ParseContext], list[ParsedDocument]]

_PACKAGE = "rag_pipeline.parsing"


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the registry.

    Attributes:
        name: Short name, the first half of the recipe version.
        module: Module below this package that holds the parser and its VERSION.
        function: Name of the parser in that module.
        is_text: Whether the file itself is text, so that the smaller size limit holds.
        holds_others: Whether it holds files of any kind, so that its recipe follows all parsers.
        names_others: Whether what was parsed names those files, as `attachments` or as parts; without any, its own
            parser alone has read it.
    """

    name: str
    module: str
    function: str
    is_text: bool = True
    holds_others: bool = False
    names_others: bool = False


_PACKED = Format("packed", "containers.folders", "parse_packed", is_text=False, holds_others=True)


def _office(name: str) -> Format:
    """A format of Office, whose files may embed others."""
    return Format(name, f"office.{name}", f"parse_{name}", is_text=False, holds_others=True, names_others=True)


_CODE = Format("code", "code.code", "parse_code")
FORMATS: dict[str, Format] = {
    "text/markdown": Format("markdown", "markup.markdown", "parse_markdown"),
    "text/mdx": Format("mdx", "markup.markdown", "parse_mdx"),
    "text/plain": Format("plain", "markup.plain", "parse_plain"),
    "text/x-rst": Format("rst", "markup.rst", "parse_rst"),
    "text/asciidoc": Format("asciidoc", "markup.asciidoc", "parse_asciidoc"),
    "text/x-org": Format("org", "markup.org", "parse_org"),
    "text/x-mediawiki": Format("mediawiki", "markup.mediawiki", "parse_mediawiki"),
    "text/x-jira": Format("jira", "markup.jira", "parse_jira"),
    "text/x-slack": Format("slack", "markup.slack", "parse_slack"),
    "application/x-notion+json": Format("notion", "markup.notion", "parse_notion"),
    "text/x-tex": Format("latex", "markup.latex", "parse_latex"),
    "text/html": Format("html", "web.html", "parse_html"),
    "application/json": Format("json", "records.json_records", "parse_json"),
    "application/x-ndjson": Format("ndjson", "records.json_records", "parse_ndjson"),
    "application/x-ipynb+json": Format("notebook", "code.notebook", "parse_notebook"),
    "text/csv": Format("csv", "records.delimited", "parse_csv"),
    "text/tab-separated-values": Format("csv", "records.delimited", "parse_csv"),
    "application/yaml": Format("yaml", "records.config", "parse_yaml"),
    "application/toml": Format("toml", "records.config", "parse_toml"),
    "text/x-ini": Format("ini", "records.config", "parse_ini"),
    "application/xml": Format("xml", "records.xml", "parse_xml"),
    "text/vtt": Format("vtt", "markup.transcripts", "parse_vtt"),
    "application/x-subrip": Format("srt", "markup.transcripts", "parse_srt"),
    "text/x-python": _CODE,
    "text/javascript": _CODE,
    "text/x-typescript": _CODE,
    "text/x-tsx": _CODE,
    "text/x-go": _CODE,
    "text/x-rust": _CODE,
    "text/x-java": _CODE,
    "text/x-c": _CODE,
    "text/x-c++": _CODE,
    "application/sql": _CODE,
    "text/x-shellscript": _CODE,
    "application/pdf": Format("pdf", "pdf.pdf", "parse_pdf", is_text=False, holds_others=True, names_others=True),
    media_type.DOCX: _office("docx"),
    media_type.PPTX: _office("pptx"),
    media_type.XLSX: _office("xlsx"),
    media_type.XLS: Format("xlsx", "office.xlsx", "parse_xlsx", is_text=False),
    media_type.ODS: Format("xlsx", "office.xlsx", "parse_xlsx", is_text=False),
    media_type.ODT: Format("odf", "office.odf", "parse_odf", is_text=False),
    media_type.ODP: Format("odf", "office.odf", "parse_odf", is_text=False),
    media_type.EPUB: Format("epub", "web.epub", "parse_epub", is_text=False),
    "application/rtf": Format("rtf", "office.rtf", "parse_rtf", is_text=False),
    "message/rfc822": Format("email", "mail.mail", "parse_email", is_text=False, holds_others=True),
    # An answer of whose thread the rest is known: what it quotes stands elsewhere.
    "message/x-reply": Format("email", "mail.mail", "parse_reply", is_text=False, holds_others=True),
    media_type.PKCS7: Format("pkcs7", "mail.mail", "parse_pkcs7", is_text=False, holds_others=True),
    media_type.MSG: Format("msg", "mail.mail", "parse_msg", is_text=False, holds_others=True),
    media_type.ZIP: Format("zip", "containers.folders", "parse_zip", is_text=False, holds_others=True),
    media_type.TAR: Format("tar", "containers.folders", "parse_tar", is_text=False, holds_others=True),
    media_type.SEVEN_ZIP: Format("7z", "containers.folders", "parse_7z", is_text=False, holds_others=True),
    media_type.GZIP: _PACKED,
    media_type.BZIP2: _PACKED,
    media_type.XZ: _PACKED,
    media_type.DOC: Format("doc", "legacy.word_ppt97", "parse_doc", is_text=False),
    media_type.PPT: Format("doc", "legacy.word_ppt97", "parse_doc", is_text=False),
}
# Read where `ocr` is on. No row of FORMATS: without it a picture is refused, as what no parser takes.
_PICTURE = Format("picture", "ocr.pictures", "parse_picture", is_text=False)
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/tiff", "image/bmp", "image/webp"})

# Formats whose pictures are found, beside those of Office and PDF, which may hold any file.
_PICTURED = frozenset({"text/html", media_type.ODT, media_type.ODP, media_type.EPUB})
_VAGUE = frozenset({media_type.OCTET_STREAM, media_type.ZIP, media_type.OLE})
_SEALED = frozenset({media_type.PGP, media_type.ENCRYPTED})
_VERSION = re.compile(r'^VERSION = "([^"]+)"$', re.M)
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")


def reads_pictures(media_type: str) -> bool:
    """Whether an object of this media type may become something else where pictures are read."""
    found = FORMATS.get(media_type)
    return media_type in PICTURES or media_type in _PICTURED or (found is not None and found.holds_others)


def recipe_version(media_type: str, *, has_others: bool = True) -> str:
    """Name and version of the recipe that parses `media_type`, such as "markdown/1.1.1".

    The numbers are the parser's own, the decoder's and the builder's. It changes whenever the parser's
    output may change, and is part of the silver fingerprint.

    Args:
        has_others: False for an object in which no other file was found; it follows its own parser only, where the
            format names such files.
    """
    found = FORMATS.get(media_type)
    if found is None:
        # Pictures among them: what they give follows the recipe of reading alone.
        return "unsupported/1"
    version = _version_of(found.module)
    if found.holds_others and (has_others or not found.names_others):
        version = f"{version}-{all_parsers_version()}"
    return f"{found.name}/{version}.{decode.VERSION}.{builder.VERSION}"


def all_parsers_version() -> str:
    """One version of all parsers, for what any of them may change."""
    modules = sorted({each.module for each in FORMATS.values()})
    return fingerprint("parsers", repr([(module, _version_of(module)) for module in modules]))[:8]


def _version_of(module: str) -> str:
    """VERSION of a parser's module, which is not imported for it: with its libraries that takes longer than a run."""
    loaded = sys.modules.get(f"{_PACKAGE}.{module}")
    return str(loaded.VERSION) if loaded is not None else _written_version(module)


@cache
def _written_version(module: str) -> str:
    found = _VERSION.search(files(_PACKAGE).joinpath(f"{module.replace('.', '/')}.py").read_text("utf-8"))
    if found is None:
        raise LookupError(f'{_PACKAGE}.{module} has no line VERSION = "..."')
    return found[1]


def parse(
    raw: bytes, media_type: str, address: str, limits: ParseLimits, ocr: OcrOptions | None = None
) -> list[ParsedDocument]:
    """The documents that the bytes of one source object hold, at least one, none of them empty.

    Args:
        media_type: As `media_type_of` gives it.
        address: Where the object lies in its source; used in messages, and for the language of code.
        ocr: How pictures of text are read; None: they are not.

    Raises:
        DocumentError: A subclass that says why the object cannot be taken in. Nothing else is raised,
            save BaseException from native code, which is the worker's to handle, and ImportError for a
            library that is not installed, which is no document's fault.
    """
    return _parse(raw, media_type, address, limits, PageReader(ocr) if ocr is not None else None, [])


def picture_of(raw: bytes, media_type: str, address: str, limits: ParseLimits, content_hash: str) -> bytes:
    """The bytes, as a file, of the picture of that hash in an object or a file within it; empty: there is none."""
    if media_type in PICTURES:
        return raw if looked_at(raw).content_hash == content_hash else b""
    hung: list[Shown] = []
    # Pages without text, which are not read for this, keep no picture back; what is wrong beyond them changes nothing.
    with suppress(DocumentError, ImportError):
        _parse(raw, media_type, address, limits, BlindReader(), hung)
    for found in hung:
        for picture, each in zip(found.document.pictures, found.pictures, strict=True):
            if picture.content_hash == content_hash:
                with suppress(DocumentError):
                    return each.content()
    return b""


def _parse(
    raw: bytes, media_type: str, address: str, limits: ParseLimits, reader: PageReader | None, hung: list[Shown]
) -> list[ParsedDocument]:
    """One object, or a file within one: all of them share what the reader may read, and name their pictures."""
    if not raw or raw.isspace():
        raise EmptyDocument(
            f"{address}: the file is empty. If it should not be, look at what wrote it; else exclude it, or leave it.",
            address=address,
        )
    found = _format_for(raw, media_type, address, reads_pictures=reader is not None)
    _refuse_unfit(raw, found, address, limits)
    parser: Parser = getattr(import_module(f"{_PACKAGE}.{found.module}"), found.function)

    def parse_part(raw: bytes, media_type: str, address: str, limits: ParseLimits) -> list[ParsedDocument]:
        return _parse(raw, media_type, address, limits, reader, hung)

    context = ParseContext(address, limits, parse_part, reader)
    try:
        with decode.tallied() as removed:
            documents = parser(raw, context)
        if context.gallery.hung:
            documents[0] = _with_pictures(documents[0], context, hung)
    except (DocumentError, ImportError):
        raise
    except MemoryError:
        raise LimitExceeded(
            f"{address}: parsing as {found.name} ran out of memory.", address=address, parser=found.name
        ) from None
    except RecursionError:
        raise UnparsableDocument(
            f"{address}: nested too deeply for the {found.name} parser.", address=address, parser=found.name
        ) from None
    # The edge of the worker: a library's surprise concerns this one document, never the run.
    except Exception as error:
        raise UnparsableDocument(
            f"{address}: the {found.name} parser failed with {type(error).__name__}. "
            "The file may be damaged; open it in its own application and save it again.",
            address=address,
            parser=found.name,
            error=type(error).__name__,
        ) from error
    kept = _checked(documents, address, limits)
    for name, count in decode.removed_counts(removed).items():
        # What a member of an archive says of itself stays.
        kept[0].metadata.setdefault(name, count)
    return kept


def _refuse_unfit(raw: bytes, found: Format, address: str, limits: ParseLimits) -> None:
    if found.is_text and b"\0" in raw and not is_wide(raw):
        raise no_known_format(address)
    check_bytes(len(raw), limits.max_document_bytes, address, "sources.NAME.max_document_bytes")
    if found.is_text:
        check_bytes(len(raw), limits.max_text_bytes, address, "sources.NAME.max_text_bytes")


def _with_pictures(document: ParsedDocument, context: ParseContext, hung: list[Shown]) -> ParsedDocument:
    """The document that the parser composed, with its pictures."""
    found = shown(document, context.gallery)
    hung.append(found)
    return (
        found.document if context.reader is None else with_read(found, context.gallery, context.reader, context.address)
    )


def _format_for(raw: bytes, declared: str, address: str, *, reads_pictures: bool) -> Format:
    if raw.startswith(media_type.OLE_MAGIC) and _ENCRYPTED_STREAM in raw:
        raise EncryptedDocument(
            f"{address}: the document is protected by a password. Remove the password or exclude it.",
            address=address,
        )
    if declared in _SEALED:
        raise EncryptedDocument(
            f"{address}: the file is encrypted ({declared}). Store it decrypted or exclude it.",
            address=address,
            media_type=declared,
        )
    if declared in _VAGUE:
        declared = media_type.media_type_of(address, raw)
    found = FORMATS.get(declared)
    if found is not None:
        return found
    if declared in PICTURES and reads_pictures:
        return _PICTURE
    if declared.startswith("image/"):
        raise NeedsOcr(
            f"{address}: a picture ({declared}) has no text of its own. Run it through OCR and add the result.",
            address=address,
            media_type=declared,
        )
    if declared == media_type.OCTET_STREAM:
        raise no_known_format(address)
    raise UnsupportedMediaType(
        f"{address}: no parser takes {declared}. Exclude the file, or convert it to a format that is read.",
        address=address,
        media_type=declared,
    )


def _checked(documents: list[ParsedDocument], address: str, limits: ParseLimits) -> list[ParsedDocument]:
    kept = [document for document in documents if document.blocks and document.text.strip()]
    if not kept:
        raise EmptyDocument(f"{address}: the file holds no text to index.", address=address)
    check_count(sum(len(document.text) for document in kept), limits.max_text_chars, "characters of text", address)
    return kept
