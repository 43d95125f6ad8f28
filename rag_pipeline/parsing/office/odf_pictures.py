"""Pictures in the frames of OpenDocument files.

Belongs here: which image of a frame is its picture, and where its bytes are. Does not belong here: what is said of it
(`odf`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.containers.archives import Archive, child, local_attribute, local_name
from rag_pipeline.parsing.pictures import Gallery, Hung, base64_bytes, looked_at

if TYPE_CHECKING:
    from lxml.etree import _Element

# What shows a picture of itself besides: a chart, another document.
_WITH_OWN_PICTURE = frozenset({"object", "object-ole", "plugin", "applet", "floating-frame"})


def hang_picture(
    gallery: Gallery, builder: TextBuilder, archive: Archive | None, frame: _Element, caption: str, page: int | None
) -> None:
    """Hangs the picture of a frame; of several forms of it, the first, which is the one to be preferred.

    Args:
        archive: What the file consists of; None for one that is a single XML file.
    """
    if any(local_name(item) in _WITH_OWN_PICTURE for item in frame):
        return
    image = child(frame, "image")
    if image is None:
        return
    name = (local_attribute(image, "href") or "").removeprefix("./")
    if archive is not None:
        gallery.hang_member(builder, archive, name, caption, page)
        return
    data = child(image, "binary-data")
    written = data.text if data is not None else None
    if written:
        data_bytes = written.encode()
        picture = Hung(written, lambda: looked_at(base64_bytes(data_bytes)), lambda: base64_bytes(data_bytes))
        gallery.hang(builder, picture, caption, page)
