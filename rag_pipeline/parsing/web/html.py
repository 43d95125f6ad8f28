"""HTML pages: main content with headings, code, tables and lists; EPUB chapters and mail bodies too.

Belongs here: the page's own facts (title, author, language) and the way from units to a document.
Does not belong here: decoding and clearing the tree (`tree`), reading elements (`blocks`),
the choice of content (`content`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EmptyDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_again, clean_text
from rag_pipeline.parsing.limits import check_bytes
from rag_pipeline.parsing.web.blocks import Unit, Walker, merged_lists
from rag_pipeline.parsing.web.content import content_units
from rag_pipeline.parsing.web.hidden import hidden_counts
from rag_pipeline.parsing.web.inline import inline_text
from rag_pipeline.parsing.web.notes import place_notes
from rag_pipeline.parsing.web.pictures import DATA_MARK, PlacedImages, hang_data
from rag_pipeline.parsing.web.tree import drop_unseen, parse_tree, tree_of_text

if TYPE_CHECKING:
    from lxml.html import HtmlElement

VERSION = "19"

_DATA_PICTURE = DATA_MARK.encode()
_LANGUAGE_TAG = re.compile(r"([a-zA-Z]{2})(?:[-_].*)?$")
_SITE_SEPARATOR = re.compile(r"\s+(?:[|·•»\u2013\u2014]|::|-)\s+")
_METADATA_NAMES = {
    "description": "description",
    "date": "date",
    "article:published_time": "date",
    "article:modified_time": "modified",
    "og:site_name": "site",
    "keywords": "keywords",
}
# Descriptions in `meta` are two sentences.
MAX_METADATA_CHARS = 1_000


def parse_html(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The page's main content as one document.

    Raises:
        DocumentTooLarge, LimitExceeded: The page is over a limit.
        EmptyDocument: The page has no text.
        UndecodableBytes: The bytes are not text.
    """
    check_bytes(len(raw), context.limits.max_html_bytes, context.address, "limits.max_html_bytes")
    root, comments = parse_tree(raw, context.address, context.limits)
    if root is None:
        raise EmptyDocument(f"{context.address}: the page holds no element with text.", address=context.address)
    facts = _facts(root)
    hidden = drop_unseen(root)
    hidden["comment"] += comments
    place_notes(root)
    generator = facts.pop("generator", "")
    is_article = facts.pop("og:type", "") == "article"
    units = list(merged_lists(Walker(root).units))
    images = PlacedImages(root, units, hang_data(context.gallery)) if _DATA_PICTURE in raw else None
    builder = TextBuilder()
    add_units(builder, content_units(root, units, generator, is_article), images=images)
    if builder.is_empty:
        raise EmptyDocument(f"{context.address}: the page shows no text.", address=context.address)
    title = _title(root, facts.pop("title", ""), facts.pop("og:title", ""))
    return [
        builder.build(
            title=title,
            author=facts.pop("author", "") or None,
            language=facts.pop("language", "") or None,
            metadata=facts | hidden_counts(hidden),
        )
    ]


def html_units(text: str, hidden: Counter[str] | None = None) -> list[Unit]:
    """All units of decoded HTML, without choosing: for books and mails, where everything is content.

    Args:
        hidden: Gets what was left out, by cause.
    """
    return html_page(text, hidden)[1]


def html_page(
    text: str, hidden: Counter[str] | None = None, with_notes: Callable[[HtmlElement], None] | None = None
) -> tuple[HtmlElement | None, list[Unit]]:
    """The tree of decoded HTML, without what no reader sees, and its units as `html_units` gives them.

    Args:
        with_notes: Brings notes that stand elsewhere to the page.
    """
    root = tree_of_text(text)
    if root is None:
        return None, []
    counts = drop_unseen(root)
    if hidden is not None:
        hidden.update(counts)
    if with_notes is not None:
        with_notes(root)
    place_notes(root)
    return root, list(merged_lists(Walker(root).units))


def add_units(
    builder: TextBuilder, units: list[Unit], page: int | None = None, images: PlacedImages | None = None
) -> None:
    """Appends the units to the text, cleaned, each with the pictures behind it."""
    for unit in units:
        builder.add(
            unit.kind,
            clean_text(unit.text),
            level=unit.level,
            label=clean_again(unit.label) if unit.label else None,
            page=page,
        )
        if images is not None:
            images.hang_behind(builder, unit)


def _facts(root: HtmlElement) -> dict[str, str]:
    facts: dict[str, str] = {}
    for element in root.iter("title"):
        # Drawings have titles too.
        if next(element.iterancestors("svg"), None) is None:
            facts.setdefault("title", " ".join((element.text or "").split()))
    for meta in root.iter("meta"):
        name = (meta.get("name") or meta.get("property") or "").lower()
        value = " ".join(clean_again(meta.get("content") or "").split())[:MAX_METADATA_CHARS]
        if not value:
            continue
        if name in ("generator", "author", "og:title", "og:type"):
            facts.setdefault(name, value)
        elif name in _METADATA_NAMES:
            facts.setdefault(_METADATA_NAMES[name], value)
    match = _LANGUAGE_TAG.match(root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or "")
    if match:
        facts["language"] = match.group(1).lower()
    return facts


def _title(root: HtmlElement, title: str, shared_title: str) -> str | None:
    """The title element without the site's name, preferring the heading that says the same."""
    title = clean_again(title)
    headings = [
        clean_again(" ".join(inline_text(heading).split())).rstrip("¶ ")
        for heading in root.iter("h1")
        if heading.text_content().strip()
    ]
    for heading in headings:
        if heading and (not title or heading.casefold() in title.casefold()):
            return heading
    if shared_title and (not title or shared_title.casefold() in title.casefold()):
        return shared_title
    parts = _SITE_SEPARATOR.split(title)
    return max(parts, key=len) if len(parts) > 1 else title or None
