"""From bytes to clean text: the same first step for every text format.

Belongs here: finding the encoding, repairing mojibake, and removing characters that no reader sees.
Does not belong here: any knowledge of a format's structure.

Order of evidence for the encoding: byte order mark, UTF-16 or UTF-32 without a mark, declared encoding,
strict UTF-8, nearly valid UTF-8, then a statistical guess (charset-normalizer).
"""

from __future__ import annotations

import codecs
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from rag_pipeline.errors import UndecodableBytes

# Part of every parser's recipe: bump whenever `decode` or `clean_text` changes what comes out.
VERSION = "5"

LOST = "lost_byte"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MULTI_BYTE = ("utf", "gb", "big5", "shift", "euc", "iso2022", "cp932", "cp936", "cp949", "cp950", "hz", "johab")
# UTF-16 and UTF-32 hold NUL bytes, so they are known without being declared; UTF-7 smuggles markup past scanners.
_NEVER_DECLARED = ("utf-16", "utf-32", "utf-7")
_GUESS_SAMPLE_BYTES = 64 * 1024
_MAX_REPLACED_SHARE = 0.05
_MAX_CONTROL_SHARE = 0.02

# Tab and line feed stay. Joiners (U+200C, U+200D) stay too: Persian, Hindi and emoji need them.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
# What is counted of them, by cause, the first that fits; line ends of other kinds become spaces, and are none.
_CAUSES = (
    ("zero_width", re.compile("[\u180e\u200b\u2060-\u2065\ufeff]")),
    ("direction", re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f]")),
    ("tag", re.compile("[\U000e0000-\U000e007f]")),
    ("control", re.compile("[\x00-\x08\x0e-\x1f\x7f]")),
    ("other", re.compile("[\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]")),
)
_TALLY: ContextVar[Counter[str] | None] = ContextVar("_TALLY", default=None)
_ANSI_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# Apart (with the soft hyphen), because in mojibake they are bytes of a letter.
# Unicode's stream-safe format ends a letter after 30 marks; no script needs more.
_MARKS_RANGE = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
_HEAPED_MARKS = re.compile(f"([{_MARKS_RANGE}]{{30}})[{_MARKS_RANGE}]+")
_C1_CONTROL = re.compile("[\x80-\x9f\xad]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_REPLACED = {"\x0b": " ", "\x0c": " ", "\x85": " ", "\u2028": " ", "\u2029": " "}
# UTF-8 read as Latin-1 or Windows-1252 always shows one of these lead characters before a high one.
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_PLAIN_BYTES = re.compile(rb"[\t\n\r\x20-\x7e]*")
_SHARP_S = 0xDF
_FEW_LETTERS = 100
_MAX_REPAIRED_CHARS = 200_000
_WESTERN = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿœŒ\u2018\u2019\u201c\u201d\u201e\u2013\u2014\u2026€§°«»£\xa0"
)
_MOJIBAKE = re.compile(
    "[\u00c2\u00c3\u00e2\u00d0\u00d1\u00c5\u00c4\u00e5\u00e6\u00e7\u00f0\u00ef\u00e3]"
    "[\x80-\xbf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201a\u201c-\u201e"
    "\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]"
)


@contextmanager
def tallied() -> Iterator[Counter[str]]:
    """While it is open, what `decode` and `clean_text` take out or cannot read is counted by cause, `lost_byte` among
    them. One within another counts for itself."""
    removed: Counter[str] = Counter()
    token = _TALLY.set(removed)
    try:
        yield removed
    finally:
        _TALLY.reset(token)


def removed_counts(removed: Mapping[str, int]) -> dict[str, str]:
    """What was taken out, as metadata: `removed_control_count` and the like, and `lost_byte_count`."""
    return {
        f"{cause if cause == LOST else f'removed_{cause}'}_count": str(count)
        for cause, count in sorted(removed.items())
        if count
    }


def _tally(cause: str, count: int) -> None:
    removed = _TALLY.get()
    if removed is not None and count > 0:
        removed[cause] += count


def tally_unwanted(text: str) -> None:
    """Counts the characters of a text that cleaning takes out, where another one does so."""
    if _TALLY.get() is None:
        return
    found = "".join(_UNWANTED.findall(text))
    for cause, characters in _CAUSES:
        _tally(cause, len(characters.findall(found)))


def decode(raw: bytes, declared: str | None = None) -> str:
    """Text of `raw`, not cleaned. See `decode_named`."""
    return decode_named(raw, declared)[0]


def decode_named(raw: bytes, declared: str | None = None) -> tuple[str, str]:
    """Text of `raw` (not cleaned, without byte order mark) and the name of the encoding it was read in.

    Args:
        declared: Encoding that the document or its transport claims; ignored when the bytes contradict it.

    Raises:
        UndecodableBytes: NUL bytes or so many control characters that this is no text, or no encoding fits.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            marked = raw[len(mark) :].decode(encoding, "replace")
            if "\ufffd" in marked:
                _tally(LOST, marked.count("\ufffd") - raw.count("\ufffd".encode(encoding)))
            return _checked(marked, len(raw)), encoding
    if b"\0" in raw:
        return _decode_wide(raw)
    name = _codec_name(declared)
    if name and name.startswith(_MULTI_BYTE) and not name.startswith("utf-8"):
        text = _strict(raw, name)
        if text is not None:
            return _checked(text, len(raw)), name
    text = _strict(raw, "utf-8")
    if text is not None:
        return _checked(text, len(raw)), "ascii" if text.isascii() else "utf-8"
    if name:
        text = _strict(raw, name)
        if text is not None:
            return _checked(text, len(raw)), name
    return _guess(raw)


def clean_text(text: str) -> str:
    """`text` with line ends `\\n`, in Unicode normal form C, without characters that no reader sees.

    Removed: control characters but tab and line feed, terminal escapes, zero-width and bidirectional
    marks, soft hyphens, tag characters, lone surrogates, and accents past 30 on one letter. Mojibake is
    repaired line by line where it is certain. The number of lines stays the same, so line numbers go on
    counting the original's.
    """
    if text.isascii() and text.isprintable():
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _UNWANTED.search(text):
        if "\x1b" in text:
            text, count = _ANSI_ESCAPE.subn("", text)
            _tally("control", count)
        tally_unwanted(text)
        text = _UNWANTED.sub(_replacement, text)
    if text.isascii():
        return text
    # After the removal, which can bring a letter and its accent together.
    text = _normal(text)
    if _HEAPED_MARKS.search(text):
        before = len(text)
        text = _HEAPED_MARKS.sub(r"\1", text)
        _tally("mark", before - len(text))
    if _MOJIBAKE.search(text):
        text = _normal(_repair(text))
    if _C1_CONTROL.search(text):
        hyphens = text.count("\xad")
        _tally("soft_hyphen", hyphens)
        _tally("control", len(_C1_CONTROL.findall(text)) - hyphens - text.count("\x85"))
        text = _normal(_C1_CONTROL.sub(_replacement, text))
    return text


def clean_again(text: str) -> str:
    """Like `clean_text`, of a title or label that stands in the text, too: what is taken out of it is not counted."""
    token = _TALLY.set(None)
    try:
        return clean_text(text)
    finally:
        _TALLY.reset(token)


def read_text(raw: bytes, declared: str | None = None) -> str:
    """Clean text of `raw`. Raises UndecodableBytes."""
    return clean_text(decode_named(raw, declared)[0])


def looks_wide(head: bytes) -> str | None:
    """Name of the UTF-16 or UTF-32 variant that `head` is in without a byte order mark, else None.

    In text of any script the spaces, digits and line ends have zero high bytes, all at one parity.
    """
    sample = head[: len(head) // 4 * 4][:4096]
    if len(sample) < 4 or b"\0" not in sample:
        return None
    zeros = [sample[offset::4].count(0) for offset in range(4)]
    quarter = len(sample) // 4
    if quarter > 1 and zeros[3] == zeros[2] == quarter and zeros[0] == 0:
        return "utf-32-le"
    if quarter > 1 and zeros[0] == zeros[1] == quarter and zeros[3] == 0:
        return "utf-32-be"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    # Plain words with a zero here and there: letters of other alphabets are written with other bytes.
    if max(even, odd) < quarter and _PLAIN_BYTES.fullmatch(sample.replace(b"\0", b"")):
        return None
    if odd > max(1, quarter // 5) and even == 0:
        return "utf-16-le"
    if even > max(1, quarter // 5) and odd == 0:
        return "utf-16-be"
    return None


def _decode_wide(raw: bytes) -> tuple[str, str]:
    encoding = looks_wide(raw)
    if encoding:
        width = 4 if encoding.startswith("utf-32") else 2
        text = _strict(raw[: len(raw) // width * width], encoding)
        if text is not None and "\0" not in text:
            return _checked(text, len(raw)), encoding
    raise UndecodableBytes(
        f"The file holds NUL bytes ({raw.count(0):,} of {len(raw):,} bytes), so it is not text. "
        "If it is a known binary format, give it its usual name ending.",
        nul_bytes=raw.count(0),
        size_bytes=len(raw),
    )


def _checked(text: str, size_bytes: int) -> str:
    controls = len(_CONTROL.findall(text[:200_000]))
    if "\0" in text or controls > max(8, _MAX_CONTROL_SHARE * min(len(text), 200_000)):
        raise UndecodableBytes(
            f"The file holds {controls:,} control characters near its start, so it is not text.",
            control_characters=controls,
            size_bytes=size_bytes,
        )
    return text


def _guess(raw: bytes) -> tuple[str, str]:
    """Nearly valid UTF-8 first (one damaged byte must not turn a whole file into another alphabet)."""
    text = raw.decode("utf-8", "replace")
    # Those that somebody wrote are none.
    lost = text.count("\ufffd") - raw.count("\ufffd".encode())
    non_ascii = len(text) - len(text.encode("ascii", "ignore"))
    if lost <= _MAX_REPLACED_SHARE * non_ascii:
        _tally(LOST, lost)
        return _checked(text, len(raw)), "utf-8"
    western = _few_western_letters(raw)
    if western is not None:
        return _checked(western, len(raw)), "cp1252"
    from charset_normalizer import from_bytes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = from_bytes(_sample(raw)).best()
    for encoding in (best.encoding if best else None, "cp1252"):
        guessed = _strict(raw, encoding) if encoding else None
        if guessed is not None and encoding:
            return _checked(guessed, len(raw)), encoding
    # A few bytes outside cp1252's table in a text that is otherwise plain: keep the text, mark the bytes.
    if lost <= _MAX_REPLACED_SHARE * len(text):
        _tally(LOST, lost)
        return _checked(text, len(raw)), "utf-8"
    raise UndecodableBytes(
        "The bytes are not text in any encoding that could be established. Save the file as UTF-8.",
        size_bytes=len(raw),
    )


def _few_western_letters(raw: bytes) -> str | None:
    """The text as Windows-1252, where a handful of single letters with accents is all there is to go by.

    So little tells a guesser nothing, and it takes a Turkish or Chinese table as gladly as the likely one.
    """
    runs = _HIGH_RUN.findall(raw)
    if len(runs) > _FEW_LETTERS or any(len(run) > 2 for run in runs):
        return None
    # In German a sharp s follows an umlaut, as in many a short greeting.
    if sum(len(run) == 2 and run[1] != _SHARP_S for run in runs) > len(runs) // 4:
        return None
    text = _strict(raw, "cp1252")
    if text is None or not all(char in _WESTERN for char in text if not char.isascii()):
        return None
    return text


def _sample(raw: bytes) -> bytes:
    """The lines around the first non-ASCII bytes: only those tell encodings apart."""
    if len(raw) <= _GUESS_SAMPLE_BYTES:
        return raw
    telling = [line for line in raw.splitlines(keepends=True) if not line.isascii()]
    return b"".join(telling)[:_GUESS_SAMPLE_BYTES]


def _strict(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _codec_name(declared: str | None) -> str | None:
    if not declared:
        return None
    try:
        info = codecs.lookup(declared.strip().strip("\"'"))
    except (LookupError, ValueError):
        return None
    if not info._is_text_encoding or info.name.startswith(_NEVER_DECLARED):
        return None
    # Web practice: what calls itself Latin-1 is Windows-1252.
    return "cp1252" if info.name in ("iso8859-1", "ascii") else info.name


def _normal(text: str) -> str:
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def _replacement(match: re.Match[str]) -> str:
    return _REPLACED.get(match.group(), "")


def _repair(text: str) -> str:
    import ftfy

    config = ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=True,
        decode_inconsistent_utf8=True,
        fix_c1_controls=True,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if len(line) <= _MAX_REPAIRED_CHARS and not line.isascii() and _MOJIBAKE.search(line):
            lines[number] = _UNWANTED.sub(_replacement, ftfy.fix_encoding(line, config).replace("\n", " "))
    return "\n".join(lines)
