"""Readings of words, such as furigana: they follow the words that they stand above, in brackets: 漢字(かんじ).

Belongs here: how a reading is written, the same for every format that knows them.
Does not belong here: finding readings, which each format says in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Unicode's own marks around words and their reading, which no clean text has.
BASE, READING, END = "\ufff9", "\ufffa", "\ufffb"
_ONE = re.compile("\ufff9([^\ufff9-\ufffb]*)\ufffa([^\ufff9-\ufffb]*)\ufffb")
_RUN = re.compile("(?:\ufff9[^\ufff9-\ufffb]*\ufffa[^\ufff9-\ufffb]*\ufffb)+")


def with_readings(text: str) -> str:
    """`text` with its marked readings behind their words; words side by side stay together, so that they are found."""
    return _RUN.sub(_written, text) if READING in text else text


def in_brackets(readings: Sequence[str]) -> str:
    """What follows the words with these readings; "" for none."""
    said = [reading for reading in map(str.strip, readings) if reading]
    return f"({('' if all(not reading.isascii() for reading in said) else ' ').join(said)})" if said else ""


def _written(run: re.Match[str]) -> str:
    found = _ONE.findall(run[0])
    return "".join(words for words, _ in found) + in_brackets([reading for _, reading in found])
