"""Pictures of an HTML page whose bytes are at hand: written into it as data, or files of the same book.

Belongs here: which picture stands behind which unit of text, and decoding what is written into the page.
Does not belong here: pictures elsewhere on the web, which are no part of the page; drawings (`drawn`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.pictures import Gallery, Hung, base64_bytes, looked_at
from rag_pipeline.parsing.web.blocks import Unit
from rag_pipeline.parsing.web.inline import alt_text

if TYPE_CHECKING:
    from lxml.html import HtmlElement

DATA_MARK = "data:image/"

Hang = Callable[[TextBuilder, "HtmlElement", str], None]
"""Hangs a picture by its address and what is said of it."""


class PlacedImages:
    """The pictures of a page by the unit that they stand in or behind.

    Args:
        root: The page that the units are of.
        units: All of its units, so that pictures of what is left out are left out with it.
        hang: What becomes of each.
    """

    def __init__(self, root: HtmlElement, units: Sequence[Unit], hang: Hang) -> None:
        self._hang = hang
        self._images: dict[int, list[HtmlElement]] = {}
        images = list(root.iter("img"))
        if not images or not units:
            return
        order = {element: number for number, element in enumerate(root.iter())}
        # The words for a picture may be left out where the text around it is not.
        telling = [unit for unit in units if not unit.is_picture] or units
        places = sorted((order.get(unit.element, 0), index) for index, unit in enumerate(telling))
        for image in images:
            # A picture above all text stands behind its first unit.
            at = max(0, bisect_right(places, (order[image], len(telling))) - 1)
            self._images.setdefault(id(telling[places[at][1]]), []).append(image)

    def hang_behind(self, builder: TextBuilder, unit: Unit) -> None:
        """Hang what stands in or behind a unit, which the builder has by now."""
        for image in self._images.get(id(unit), ()):
            self._hang(builder, image, alt_text(image))


def hang_data(gallery: Gallery) -> Hang:
    """Hangs pictures that are written into the page."""

    def hang(builder: TextBuilder, image: HtmlElement, said: str) -> None:
        written = (image.get("src") or "").strip()
        if written[: len(DATA_MARK)].lower() == DATA_MARK:
            gallery.hang(builder, Hung(written, lambda: looked_at(_data(written)), lambda: _data(written)), said)

    return hang


def _data(written: str) -> bytes:
    head, _, body = written.partition(",")
    if not head.lower().rstrip().endswith(";base64"):
        return unquote_to_bytes(body)
    return base64_bytes(unquote_to_bytes(body))
