"""Heads and feet of the pages of an office document: each line once, without page numbers.

Belongs here: which of those lines say something, for every office format, and finding them in OpenDocument.
Does not belong here: finding them in other formats; heads and feet of a PDF (`pdf/running`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape

from rag_pipeline.parsing.decode import clean_text

# Heads and feet of a hundred sections.
MAX_RUNNING_LINES = 100
# Of one head or foot; with a picture in it, which is drawn by other parts.
MAX_STORY_CHARS = 20_000
_PAGE_WORDS = re.compile(r"\b(?:page|seite|p[aá]gina|pagina|sida|strona|p|pp|s|of|von|de|sur|di|van|av|z)\b", re.I)
_STORY = re.compile(rb"<style:(header|footer)(?:-left|-first)?(?:\s[^<>]*)?>")
_END = re.compile(r"</text:[ph]>")
_COUNTED = re.compile(r"<text:page-(?:number|count)(?:\s[^<>]*)?>[^<]*</text:page-(?:number|count)>")
_SPACE = re.compile(r"<text:(?:tab|s|line-break)(?:\s[^<>]*)?/>")
_TAG = re.compile(r"<[^<>]*>")


def saying_lines(lines: Iterable[str], said: Iterable[str] = ()) -> list[str]:
    """Each of the lines once, but for page numbers and what stands in `said`."""
    known = set(said)
    found: dict[str, None] = {}
    for line in lines:
        line = " ".join(line.split())
        if any(map(str.isalpha, _PAGE_WORDS.sub("", line))) and line not in known:
            found[line] = None
    return list(found)[:MAX_RUNNING_LINES]


def open_document_lines(written: bytes) -> list[str]:
    """Paragraphs in the heads and feet of the page styles of an OpenDocument file."""
    lines: list[str] = []
    if b"<style:header" not in written and b"<style:footer" not in written:
        return lines
    position = 0
    while match := _STORY.search(written, position):
        end = written.find(b"</style:" + match[1], match.end(), match.end() + MAX_STORY_CHARS)
        # One that is not closed is followed by nothing else.
        position = end if end > 0 else len(written)
        story = _COUNTED.sub("", written[match.end() : max(0, end)].decode("utf-8", "replace"))
        lines += clean_text(unescape(_TAG.sub("", _SPACE.sub(" ", _END.sub("\n", story))))).split("\n")
    return lines
