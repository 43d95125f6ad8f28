"""What kind of file a source object is: by its content first, by its name second.

Belongs here: signatures, name endings, and which wins when they disagree.
Does not belong here: parsing; the registry maps these media types to parsers.
"""

from __future__ import annotations

import re
import struct
from posixpath import basename, splitext

from rag_pipeline.parsing.decode import looks_wide

OCTET_STREAM = "application/octet-stream"
ZIP = "application/zip"
OLE = "application/x-ole-storage"
GZIP = "application/gzip"
BZIP2 = "application/x-bzip2"
XZ = "application/x-xz"
TAR = "application/x-tar"
SEVEN_ZIP = "application/x-7z-compressed"
PLAIN = "text/plain"
PGP = "application/pgp-encrypted"
PKCS7 = "application/pkcs7-mime"
ENCRYPTED = "application/x-encrypted"

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
ODP = "application/vnd.oasis.opendocument.presentation"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
EPUB = "application/epub+zip"
DOC = "application/msword"
PPT = "application/vnd.ms-powerpoint"
XLS = "application/vnd.ms-excel"
MSG = "application/vnd.ms-outlook"

_ENDINGS: dict[str, str] = {
    ending: media_type
    for media_type, endings in {
        "text/markdown": ".md .markdown .mdown .mkd .mkdn .qmd .rmd",
        "text/mdx": ".mdx",
        PLAIN: ".txt .text .log .me",
        "text/x-rst": ".rst .rest",
        "text/asciidoc": ".adoc .asciidoc .asc",
        "text/x-org": ".org",
        "text/x-mediawiki": ".mediawiki .wikitext .wiki",
        "text/x-jira": ".jira",
        "text/x-slack": ".mrkdwn",
        "application/x-notion+json": ".notion",
        "text/x-tex": ".tex .latex .ltx",
        "text/html": ".html .htm .xhtml .xht",
        "application/json": ".json .jsonld .geojson .json5",
        "application/x-ndjson": ".ndjson .jsonl .jsonlines",
        "application/x-ipynb+json": ".ipynb",
        "text/csv": ".csv",
        "text/tab-separated-values": ".tsv .tab",
        "application/yaml": ".yaml .yml",
        "application/toml": ".toml",
        "text/x-ini": ".ini .cfg .conf .properties .editorconfig",
        "application/xml": ".xml .nxml .rss .atom .svg .xsd .xsl .xslt .wsdl .dita .dbk .jats",
        "text/vtt": ".vtt",
        "application/x-subrip": ".srt",
        "text/x-python": ".py .pyi .pyw",
        "text/javascript": ".js .mjs .cjs .jsx",
        "text/x-typescript": ".ts .mts .cts",
        "text/x-tsx": ".tsx",
        "text/x-go": ".go",
        "text/x-rust": ".rs",
        "text/x-java": ".java",
        "text/x-c": ".c .h",
        "text/x-c++": ".cc .cpp .cxx .c++ .hh .hpp .hxx .h++ .ipp .inl",
        "application/sql": ".sql .ddl",
        "text/x-shellscript": ".sh .bash .zsh .ksh .bats",
        "application/pdf": ".pdf",
        DOCX: ".docx .docm .dotx .dotm",
        PPTX: ".pptx .pptm .ppsx .ppsm .potx",
        XLSX: ".xlsx .xlsm .xlsb .xltx .xltm",
        ODT: ".odt .ott .fodt",
        ODP: ".odp .otp",
        ODS: ".ods .ots",
        EPUB: ".epub",
        DOC: ".doc .dot",
        PPT: ".ppt .pps .pot",
        XLS: ".xls .xlt",
        MSG: ".msg",
        "application/rtf": ".rtf",
        PGP: ".gpg .pgp",
        PKCS7: ".p7m",
        "message/rfc822": ".eml .mht .mhtml .mbox",
        ZIP: ".zip",
        TAR: ".tar",
        SEVEN_ZIP: ".7z",
        GZIP: ".gz .tgz",
        BZIP2: ".bz2 .tbz .tbz2",
        XZ: ".xz .txz",
        "image/png": ".png",
        "image/jpeg": ".jpg .jpeg",
        "image/gif": ".gif",
        "image/tiff": ".tif .tiff",
        "image/bmp": ".bmp",
        "image/webp": ".webp",
    }.items()
    for ending in endings.split()
}
_NAMES = {
    "makefile": "text/x-shellscript",
    "dockerfile": PLAIN,
    "readme": PLAIN,
    "license": PLAIN,
    "changelog": PLAIN,
}

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"{\\rtf", "application/rtf"),
    (b"\x1f\x8b\x08", GZIP),
    (b"BZh", BZIP2),
    (b"\xfd7zXZ\0", XZ),
    (b"7z\xbc\xaf\x27\x1c", SEVEN_ZIP),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x1f\x9d", "application/x-compress"),
    (b"LZIP\x01", "application/x-lzip"),
    (b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed"),
    (b"!<arch>\n", "application/x-archive"),
    (b"%!PS-Adobe", "application/postscript"),
    (b"AT&TFORM", "image/vnd.djvu"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\0\0\0\x0cjP  ", "image/jp2"),
    (b"-----BEGIN PGP MESSAGE-----", PGP),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", ENCRYPTED),
    (b"age-encryption.org/v1", ENCRYPTED),
    (b"$ANSIBLE_VAULT;", ENCRYPTED),
    (b"Salted__", ENCRYPTED),
    (b"\0GITCRYPT\0", ENCRYPTED),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"\x7fELF", OCTET_STREAM),
    (b"\xcf\xfa\xed\xfe", OCTET_STREAM),
    (b"\xce\xfa\xed\xfe", OCTET_STREAM),
    (b"\xca\xfe\xba\xbe", OCTET_STREAM),
    (b"\0asm", OCTET_STREAM),
    (b"dex\n", OCTET_STREAM),
)
# Of a program for Windows; its numbers of two bytes hold zeros, which no text does.
_MZ_HEADER_BYTES = 64
# Signatures lie at the beginning; a disk's page.
_SAMPLE_BYTES = 4096
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_STREAMS = (
    ("__properties_version1.0", MSG),
    ("__substg1.0_", MSG),
    ("WordDocument", DOC),
    ("PowerPoint Document", PPT),
    ("Workbook", XLS),
)
_ZIP_MEMBERS = ((b"word/", DOCX), (b"ppt/", PPTX), (b"xl/", XLSX), (b"META-INF/container.xml", EPUB))
_PACKAGE_PARTS = frozenset(
    {
        *(b"[Content_Types].xml", b"_rels/.rels", b"META-INF/container.xml"),
        *(b"word/document.xml", b"ppt/presentation.xml"),
    }
)
_ZIP_TYPES = frozenset({DOCX, PPTX, XLSX, ODT, ODP, ODS, EPUB})
_ARCHIVE_TYPES = frozenset({ZIP, TAR, SEVEN_ZIP, GZIP, BZIP2, XZ})
_OLE_TYPES = frozenset({DOC, PPT, XLS, MSG})
_TEXT_ENDINGS_THAT_LIE = frozenset({PLAIN, "text/csv", "application/json", "application/xml"})

# Possessive: a comment that may end at any later `-->` can be cut in more ways than there is time for.
_HTML = re.compile(rb"\s*+(?>(?:<\?xml[^>]*+>\s*+|<!--(?>.*?-->)\s*+)*)<(?:!doctype\s+html|html[\s>])", re.I | re.S)
_HTML_FRAGMENT = re.compile(rb"\s*<(?:head|body|div|table|p|h1|article|section|main)[\s>]", re.I)
_MAIL_FIELD = re.compile(
    rb"^(?:From|To|Cc|Date|Subject|Message-ID|MIME-Version|Received|Return-Path|Delivered-To|"
    rb"Content-Type|Content-Transfer-Encoding|X-[\w-]+|In-Reply-To|References|Reply-To):",
    re.I | re.M,
)
# Neither `{-`, which opens Haskell's comments, nor the `{{` of templates.
_JSON = re.compile(rb"\{\s*[\"}]|\[\s*(?:[\"{\[\]]|-?\d)")
_SHEBANG = re.compile(rb"#!\s*\S*?(?:/env\s+(?:-S\s+)?)?(python|bash|zsh|ksh|dash|sh|node|deno)[\d.]*\b")
_SHEBANG_TYPES = {b"python": "text/x-python", b"node": "text/javascript", b"deno": "text/x-typescript"}


def media_type_of(address: str, head: bytes) -> str:
    """Media type of the object at `address` whose bytes begin with `head`.

    Args:
        head: The first 4096 bytes at least, or all there are. The more of a ZIP or OLE container it
            shows, the surer the answer; below that the name decides among the container's kinds.

    Returns:
        A media type of this module; "application/octet-stream" for bytes of no known kind.
    """
    named = _by_name(address)
    is_program = head.startswith(b"MZ") and b"\0" in head[:_MZ_HEADER_BYTES]
    signed = OCTET_STREAM if is_program else _by_signature(head, named)
    if signed:
        return signed
    # The same bytes for every caller, however much of the file it shows.
    sample = head[:_SAMPLE_BYTES]
    if named in _ARCHIVE_TYPES or named in (PGP, PKCS7):
        return _packed_or_sealed(named, sample)
    if _is_binary(sample):
        # Mail may carry binary parts as they are.
        is_mail = named == "message/rfc822" and _is_mail(sample, least=2)
        return "message/rfc822" if is_mail else OCTET_STREAM
    text_head = sample.removeprefix(b"\xef\xbb\xbf")
    if named is None:
        return _by_text(text_head)
    if named in _ZIP_TYPES or named in _OLE_TYPES or named == "application/pdf" or named.startswith("image/"):
        return _mislabelled(named, text_head)
    if named in _TEXT_ENDINGS_THAT_LIE:
        if _HTML.match(text_head):
            return "text/html"
        if named == PLAIN and _is_mail(text_head, least=3):
            return "message/rfc822"
    return named


def _packed_or_sealed(named: str, sample: bytes) -> str:
    """What has the name of an archive or a sealed message, and no signature."""
    if named in _ARCHIVE_TYPES:
        # These begin with their signature, or are something else; what is text is damaged all the same.
        is_other = named in (GZIP, BZIP2, XZ, SEVEN_ZIP) and _is_binary(sample)
        return OCTET_STREAM if is_other else named
    # What is no text under such a name is what the name says; no sealed message is letters with zeros.
    if sample.isascii() and not sample.startswith(b"0"):
        return OCTET_STREAM if _is_binary(sample) else _by_text(sample)
    return named if not sample.isascii() or _is_binary(sample) else _by_text(sample)


def _by_name(address: str) -> str | None:
    name = basename(address.replace("\\", "/")).casefold()
    ending = splitext(name)[1]
    return _ENDINGS.get(ending) or _NAMES.get(name)


def _by_signature(head: bytes, named: str | None) -> str | None:
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        return _zip_type(head, named)
    if head.startswith(OLE_MAGIC):
        return _ole_type(head, named)
    for magic, media_type in _SIGNATURES:
        if head.startswith(magic):
            return media_type
    if b"%PDF-" in head[:1024] and (named == "application/pdf" or head.lstrip()[:5] == b"%PDF-"):
        return "application/pdf"
    if head[257:262] == b"ustar":
        return TAR
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and b"\0" in head[:18]:
        return "image/bmp"
    if head[4:8] == b"ftyp":
        return "image/heic" if head[8:12] in (b"heic", b"heix", b"mif1", b"avif") else OCTET_STREAM
    return None


def _zip_type(head: bytes, named: str | None) -> str:
    names: list[bytes] = []
    position = head.find(b"PK\x03\x04")
    while 0 <= position <= len(head) - 30 and len(names) < 200:
        flags, packed_bytes = struct.unpack_from("<6xH10xI", head, position)
        name_bytes, extra_bytes = struct.unpack_from("<HH", head, position + 26)
        name = head[position + 30 : position + 30 + name_bytes]
        start = position + 30 + name_bytes + extra_bytes
        if name == b"mimetype":
            declared = re.match(rb"[\w.+/-]+", head[start:][:80])
            found = declared and _declared_zip_type(declared.group().decode("ascii"))
            if found:
                return found
        names.append(name)
        # A member may be an archive itself, whose members are not this one's.
        sized = not flags & 0x8 and packed_bytes < 0xFFFFFFFF
        position = head.find(b"PK\x03\x04", start + packed_bytes if sized else position + 30)
    names += _listed_names(head)
    for prefix, media_type in _ZIP_MEMBERS:
        # A folder called `word` in somebody's archive makes no office file: that has a list of its parts.
        if any(name.startswith(prefix) for name in names) and (named in _ZIP_TYPES or _is_package(names, head)):
            return media_type
    return named if named in _ZIP_TYPES else ZIP


def _listed_names(head: bytes) -> list[bytes]:
    """Names in the list of members at the end of the file, when the whole file is here."""
    found: list[bytes] = []
    end = head.rfind(b"PK\x05\x06", max(0, len(head) - 70_000))
    listed_bytes = struct.unpack_from("<12xI", head, end)[0] if 0 <= end <= len(head) - 16 else len(head)
    # Not the list of an archive that is a member: the last one is this archive's own.
    position = head.find(b"PK\x01\x02", max(0, end - listed_bytes))
    while 0 <= position <= len(head) - 46 and len(found) < 2_000:
        name_bytes = struct.unpack_from("<H", head, position + 28)[0]
        found.append(head[position + 46 : position + 46 + name_bytes])
        position = head.find(b"PK\x01\x02", position + 46 + name_bytes)
    return found


def _is_package(names: list[bytes], head: bytes) -> bool:
    """Whether an archive has the parts of an office file or e-book; unknown is yes while the end is not shown."""
    if any(name in _PACKAGE_PARTS or name.startswith(b"xl/workbook.") for name in names):
        return True
    return b"PK\x05\x06" not in head[-70_000:]


def _declared_zip_type(declared: str) -> str | None:
    for media_type in (EPUB, ODT, ODP, ODS):
        # Templates and the first member's own bytes may follow the plain type.
        if declared.startswith(media_type):
            return media_type
    return None


def _ole_type(head: bytes, named: str | None) -> str:
    for stream, media_type in _OLE_STREAMS:
        if stream.encode("utf-16-le") in head:
            return media_type
    # Word, Excel and PowerPoint put a password-protected file into an OLE container.
    return named if named in _OLE_TYPES or named in _ZIP_TYPES else OLE


def _is_binary(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return False
    if b"\0" in head:
        return looks_wide(head) is None
    controls = len(re.findall(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]", head))
    return controls > max(8, len(head) // 20)


def is_wide(raw: bytes) -> bool:
    """Whether text in these bytes has zeros between its letters, as UTF-16 and UTF-32 have."""
    # A program may hold letters with zeros between them.
    is_marked = raw.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))
    return is_marked or (not raw.startswith(b"MZ") and looks_wide(raw[:_SAMPLE_BYTES]) is not None)


def _mislabelled(named: str, head: bytes) -> str:
    """A text file under a binary format's name; only the parser can say what is wrong with the rest."""
    if _HTML.match(head):
        return "text/html"
    if named in (DOC, XLS, PPT) and head.lstrip().startswith(b"<?xml"):
        return "application/xml"
    if named == MSG and _is_mail(head, least=2):
        return "message/rfc822"
    return named


def _by_text(head: bytes) -> str:
    start = head.lstrip()
    shebang = _SHEBANG.match(head)
    if shebang:
        return _SHEBANG_TYPES.get(shebang.group(1), "text/x-shellscript")
    if _HTML.match(head) or _HTML_FRAGMENT.match(head):
        return "text/html"
    if start.startswith(b"<?xml") or re.match(rb"<!DOCTYPE\s|<[A-Za-z][\w.-]*+(?::[\w.-]*+)?\s++xmlns[:=]", start):
        return "application/xml"
    if start.startswith(b"WEBVTT"):
        return "text/vtt"
    if _is_mail(head, least=2):
        return "message/rfc822"
    if _JSON.match(start) and not re.match(rb"\[[\w-]+\]\s*\n", start):
        return "application/json"
    return PLAIN


def _is_mail(head: bytes, least: int) -> bool:
    """Whether the first paragraph is a mail header: known fields, one of which only mail has."""
    header = re.split(rb"\r?\n\r?\n", head.lstrip(b"\r\n"), maxsplit=1)[0]
    if not re.match(rb"[A-Za-z][\w-]*:[ \t]|From \S+@", header):
        return False
    fields = {field.lower() for field in _MAIL_FIELD.findall(header)}
    telling = {b"message-id:", b"received:", b"mime-version:", b"return-path:", b"delivered-to:"}
    return len(fields) >= least and bool(fields & telling or {b"from:", b"subject:", b"date:"} <= fields)
