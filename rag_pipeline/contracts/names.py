"""One form in which names are compared: addresses, patterns and principals, on both sides of every comparison.

Belongs here: that form, and what a name must not hold. Standard library only.
Does not belong here: what a pattern means (`transforms/globs.py`), who may read what (`transforms/permissions.py`).

Two names that look the same must be the same, or a rule that closes a folder leaves it open. Addresses are given, so
they are compared without what nobody sees. Principals are written by people, so what nobody sees is refused in them.
"""

from __future__ import annotations

import re
import unicodedata

# Directories allow no longer names of groups.
MAX_PRINCIPAL_CHARS = 256

# Control and format characters, and what Unicode lets a program show as nothing at all.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# U+FFFD stands for bytes that could not be decoded, and half a surrogate pair cannot be stored.
_NO_TEXT = re.compile("[\ud800-\udfff\ufffd]")
_SPACES = re.compile(r"\s+")
_BLANK_AT_A_SLASH = re.compile(r"^\s|\s$|\s/|/\s")


def comparable(address: str) -> str:
    """An address or a pattern as it is compared: in normal form C, without what nobody sees, blanks as one space.

    Blanks around a segment go too. A segment of which nothing would be left stays as it is: it is still a name.
    """
    if address.isascii() and address.isprintable() and (" " not in address or not _has_idle_blanks(address)):
        return address
    return "/".join(_cleaned(segment) or unicodedata.normalize("NFC", segment) for segment in address.split("/"))


def principal(name: object) -> str:
    """The name of who asks or may read, in normal form C.

    Raises:
        ValueError: It is no name, or one that looks like another; the message says what to type.
    """
    if not isinstance(name, str):
        raise ValueError(f"{type(name).__name__} {name!r:.60} is not a string; quote it")
    if _NO_TEXT.search(name):
        raise ValueError(f"{name[:MAX_PRINCIPAL_CHARS]!a} holds bytes that are not UTF-8; type the name anew")
    cleaned = _cleaned(name)
    if not cleaned:
        raise ValueError(f"{name!r:.60} is blank; type the name of a person or a group, like public")
    normal = unicodedata.normalize("NFC", name)
    if cleaned != normal:
        raise ValueError(f"{name[:MAX_PRINCIPAL_CHARS]!a} {_fault(name)}; type {cleaned[:MAX_PRINCIPAL_CHARS]!r}")
    if len(normal) > MAX_PRINCIPAL_CHARS:
        raise ValueError(f"{name[:20]!r}... has {len(normal):,} characters; at most {MAX_PRINCIPAL_CHARS} are allowed")
    return normal


def pattern(text: str) -> str:
    """A glob as it was written, if it can be one.

    Raises:
        ValueError: It is blank, has blanks around it, or holds a control character; the message says what to type.
    """
    cleaned = comparable(text.strip())
    if not _cleaned(text):
        raise ValueError("a pattern must not be blank; type one like docs/** or **/*.md")
    if text != text.strip():
        raise ValueError(f"the pattern {text!a} has blanks around it; type {cleaned!r}")
    if _NO_TEXT.search(text):
        raise ValueError(f"the pattern {text!a} holds bytes that are not UTF-8; write ? or * for them")
    if _CONTROL.search(text):
        raise ValueError(f"the pattern {text!a} {_fault(text)}; type {cleaned!r}")
    return text


def marked(text: str) -> str:
    """`text` with U+FFFD for each character that nobody sees, but for line ends and tabs."""
    return _UNSEEN.sub(lambda match: match.group() if match.group() in "\n\t" else "\ufffd", text)


def _cleaned(text: str) -> str:
    # After the removal, which can bring a letter and its accent together; line ends in a name are blanks to a reader.
    unseen_gone = _UNSEEN.sub(lambda match: " " if match.group().isspace() else "", text)
    return unicodedata.normalize("NFC", _SPACES.sub(" ", unseen_gone).strip())


def _has_idle_blanks(address: str) -> bool:
    return "  " in address or _BLANK_AT_A_SLASH.search(address) is not None


def _fault(name: str) -> str:
    unseen = _UNSEEN.search(name)
    if unseen is None:
        return "holds blanks that are not needed"
    code = f"U+{ord(unseen.group()):04X}"
    shown = unicodedata.name(unseen.group(), "a control character")
    return f"holds {code} ({shown}), which nobody sees"
