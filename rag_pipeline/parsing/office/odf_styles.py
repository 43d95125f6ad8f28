"""Styles that an OpenDocument text shares with its template, as far as they change what is seen.

Belongs here: whether the file's common styles have to be read at all. Does not belong here: what styles say
(`odf_looks`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from rag_pipeline.parsing.containers.archives import Archive
from rag_pipeline.parsing.office.odf_looks import is_presentation, is_telling

if TYPE_CHECKING:
    from lxml.etree import _Element

_STYLE = re.compile(rb'<style:style [^<>]*?style:name="([^"]*)"')
_STYLE_END = b"</style:style>"
_STYLE_BASE = re.compile(rb'parent-style-name="([^"]*)"')


def common_styles(archive: Archive | None, content: _Element, written: bytes, styles: bytes) -> _Element | None:
    """The styles that a document shares with its template, where the text uses one that changes what is seen."""
    # Those of slides are large, and say how shapes are filled.
    if archive is None or "styles.xml" not in archive.names or is_presentation(content):
        return None
    names = _telling_styles(styles)
    used = any(b'style-name="%b"' % name in written for name in names)
    return archive.spare_xml("styles.xml") if used else None


# The files of a folder often come from few templates.
@lru_cache(maxsize=8)
def _telling_styles(written: bytes) -> frozenset[bytes]:
    """Names of the styles that change what is seen, by themselves or by the style that they rest on."""
    if not is_telling(written):
        return frozenset()
    styles = {
        match[1]: written[match.start() : written.find(_STYLE_END, match.end())] for match in _STYLE.finditer(written)
    }
    resting: dict[bytes, list[bytes]] = {}
    for name, style in styles.items():
        if based := _STYLE_BASE.search(style):
            resting.setdefault(based[1], []).append(name)
    found: set[bytes] = set()
    wanted = [name for name, style in styles.items() if is_telling(style)]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            wanted += resting.get(name, [])
    return frozenset(found)
