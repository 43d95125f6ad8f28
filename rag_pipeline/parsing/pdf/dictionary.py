"""Dictionaries of a PDF as they are written, for files that no library opens.

Belongs here: finding the entries of one dictionary. Does not belong here: objects, or what entries mean (`rebuild`).
"""

from __future__ import annotations

import re

# Names matter only in the dictionary itself; within its values only what opens and closes does.
_OUTSIDE = re.compile(rb"<[0-9A-Fa-f\s]*>|<<|>>|[\[\]()]|%[^\r\n]*|/[^\s/<>\[\](){}%]*")
_WITHIN = re.compile(rb"<[0-9A-Fa-f\s]*>|<<|>>|[\[\]()]|%[^\r\n]*")
_IN_STRING = re.compile(rb"\\.|[()]", re.S)


def entries(body: bytes) -> dict[bytes, bytes]:
    """The entries of the first dictionary in `body` by name, such as b"/Type", each value as it is written.

    One that is cut off gives the entries before the last.
    """
    found: dict[bytes, bytes] = {}
    key = b""
    start = depth = 0
    position = body.find(b"<<")
    if position < 0:
        return found
    while match := (_OUTSIDE if depth <= 1 else _WITHIN).search(body, position):
        token, position = match[0], match.end()
        value = body[start : match.start()].strip() if depth == 1 and key else b""
        if token in (b"<<", b"["):
            depth += 1
        elif token in (b">>", b"]"):
            depth -= 1
            if depth <= 0:
                return found | ({key: value} if value else {})
        elif token == b"(":
            position = _string_end(body, position)
        elif depth == 1 and token.startswith(b"/") and (value or not key):
            if value:
                found[key] = value
            key, start = token, position
    return found


def _string_end(body: bytes, position: int) -> int:
    """Where the string ends that begins before `position`; parentheses in it may be balanced or escaped."""
    depth = 1
    for match in _IN_STRING.finditer(body, position):
        depth += (match[0] == b"(") - (match[0] == b")")
        if not depth:
            return match.end()
    return len(body)
