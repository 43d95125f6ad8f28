"""The token stream of Rich Text Format.

Belongs here: parting words of control, signs, groups and text. Does not belong here: what they mean (`rtf`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'])|([{}])|[\r\n]+|([^\\{}\r\n]+)"
)

# (word, number, code, symbol, brace, text): one is set, a number only beside its word.
Token = tuple[bytes, ...]


def tokens(raw: bytes) -> Iterator[Token]:
    """The tokens of RTF; line ends, which mean nothing, and binary data left out."""
    position = 0
    while match := _TOKEN.search(raw, position):
        position = match.end()
        if match.lastindex is None:
            continue
        if match.group(1) == b"bin":
            position += max(0, int(match.group(2) or 0))
            continue
        yield match.groups(b"")
