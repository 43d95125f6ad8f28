"""E-books (EPUB): the chapters of the spine, in reading order, as one document.

Belongs here: package and spine. Does not belong here: chapter markup (`html`), containers (`containers/archives`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EncryptedDocument, UndecodableBytes, UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.containers.archives import Archive, local_name, refuse_pictures_only, resolved
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text, decode
from rag_pipeline.parsing.limits import check_count
from rag_pipeline.parsing.office.embedded import named_files, with_embedded
from rag_pipeline.parsing.pictures import Gallery
from rag_pipeline.parsing.web.blocks import Unit
from rag_pipeline.parsing.web.epub_notes import ChapterNotes
from rag_pipeline.parsing.web.hidden import hidden_counts
from rag_pipeline.parsing.web.html import add_units, html_page
from rag_pipeline.parsing.web.pictures import PlacedImages
from rag_pipeline.parsing.web.tree import declared_encoding, drop_unseen, tree_of_text

if TYPE_CHECKING:
    from lxml.etree import _Element
    from lxml.html import HtmlElement

VERSION = "17"

_CHAPTER_TYPES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})
_ORDERED_TYPES = _CHAPTER_TYPES | {"image/svg+xml", "application/xml", "text/xml"}
# What chapters are set and shown with: no files for the reader.
_SETTING = re.compile(
    r"^(?:image|audio|video|font)/|css|javascript|ecmascript|ncx|font|opentype|sfnt|smil|pls\+xml|page-template|oebps|"
    r"^(?:text|application)/xml$"
)
_SETTING_NAME = re.compile(r"\.(?:[ot]tf|woff2?|css|js|ncx|opf|xpgt)$", re.I)
# A page begins within so much, whatever its declarations.
_HEAD_BYTES = 4_096
# These only obfuscate fonts; any other algorithm is copy protection of the text itself.
_FONT_ALGORITHMS = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")


def parse_epub(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """The book without its table of contents; chapters that cannot be read are left out and named.

    Other files that the book lists are documents below it.

    Raises:
        EncryptedDocument: The chapters are copy-protected.
        LimitExceeded, UnparsableDocument: From the container, or for more text than allowed.
    """
    archive = Archive(raw, context.address, context.limits)
    _refuse_protected(archive, context.address)
    package = _package_name(archive, context.address)
    root = archive.xml(package)
    facts: dict[str, str] = {}
    for element in root.iter("{*}title", "{*}creator", "{*}language", "{*}publisher", "{*}date"):
        facts.setdefault(local_name(element), clean_text(" ".join((element.text or "").split())))
    builder = TextBuilder()
    unread: list[str] = []
    hidden: Counter[str] = Counter()
    # A spine that names a chapter again and again would make a large book of a small file.
    names = dict.fromkeys(
        item if isinstance(item, str) else resolved(package, unquote(item.get("href") or ""))
        for item in _chapters(root)
    )
    notes = ChapterNotes(names, partial(_tree, archive))
    for name in names:
        try:
            data = archive.read(name)
            bring = partial(notes.bring, chapter=name)
            page, units = html_page(decode(data, declared_encoding(data)), hidden, bring)
            _add_chapter(builder, archive, name, page, units, context.gallery)
            if _is_cut_off(data):
                unread.append(name)
        except (UnparsableDocument, UndecodableBytes):
            unread.append(clean_text(name)[:200])
        check_count(builder.length_chars, context.limits.max_text_chars, "characters of text", context.address)
    files = named_files(archive, _files(root, package), context.limits.max_attachments)
    if builder.is_empty and unread and not files.found:
        raise UnparsableDocument(
            f"{context.address}: no chapter of the e-book could be read. Export the book again.",
            address=context.address,
        )
    if not context.reads_instead_of_text(not builder.is_empty):
        refuse_pictures_only(archive, not builder.is_empty or bool(files.found))
    metadata = {name: facts[name] for name in ("publisher", "date") if facts.get(name)}
    if unread:
        metadata["unread_chapters"] = ", ".join(unread)[:1000]
        metadata["unread_chapters_count"] = str(len(unread))
    metadata |= hidden_counts(hidden) | archive.unread_facts()
    language = facts.get("language", "")[:2].lower()
    book = builder.build(
        title=facts.get("title"),
        author=facts.get("creator"),
        language=language if len(language) == 2 and language.isalpha() else None,
        metadata=metadata,
    )
    return with_embedded(book, files, context)


def _tree(archive: Archive, name: str) -> HtmlElement | None:
    """A chapter that another one refers to; what is wrong with it is said in its turn."""
    data = archive.read_if_there(name)
    try:
        root = None if data is None else tree_of_text(decode(data, declared_encoding(data)))
    except (UnparsableDocument, UndecodableBytes):
        return None
    if root is not None:
        drop_unseen(root)
    return root


def _add_chapter(
    builder: TextBuilder, archive: Archive, name: str, root: HtmlElement | None, units: list[Unit], gallery: Gallery
) -> None:
    def hang(builder: TextBuilder, image: HtmlElement, said: str) -> None:
        gallery.hang_member(builder, archive, resolved(name, unquote(image.get("src") or "")), said)

    images = PlacedImages(root, units, hang) if root is not None else None
    add_units(builder, units, images=images)
    # A cover is a page with nothing else.
    for image in root.iter("img") if root is not None and not units else ():
        hang(builder, image, "")


def _is_cut_off(chapter: bytes) -> bool:
    """Whether a chapter begins as a page and does not end as one: what follows is lost, which no repair brings back."""
    return b"<html" in chapter[:_HEAD_BYTES].lower() and b"</html" not in chapter.lower()


def _chapters(root: _Element) -> list[_Element | str]:
    """Manifest items in reading order, those that no order names last, and ids in the order that name no item.

    The table of contents is left out.
    """
    manifest = [item for element in root if local_name(element) == "manifest" for item in element]
    items = {item.get("id") or "": item for item in manifest}
    named = [str(reference.get("idref") or "") for reference in root.iter("{*}itemref")]
    # What stands in the order is read, also a drawing.
    found: list[_Element | str] = [
        items.get(name, name) for name in named if name not in items or _is_page(items[name], _ORDERED_TYPES)
    ]
    found += [item for item in manifest if item.get("id") not in named and _is_page(item, _CHAPTER_TYPES)]
    return [item for item in found if isinstance(item, str) or "nav" not in (item.get("properties") or "").split()]


def _is_page(item: _Element, types: Container[str]) -> bool:
    return item.get("media-type") in types


def _files(root: _Element, package: str) -> Iterator[str]:
    """What the manifest lists besides chapters and what they are set and shown with: files for the reader."""
    for element in root:
        for item in element if local_name(element) == "manifest" else ():
            kind = (item.get("media-type") or "").lower()
            name = resolved(package, unquote(item.get("href") or ""))
            is_setting = not kind or _SETTING.search(kind) or _SETTING_NAME.search(name)
            if not is_setting and kind not in _CHAPTER_TYPES:
                yield name


def _package_name(archive: Archive, address: str) -> str:
    container = archive.xml_if_there("META-INF/container.xml")
    if container is not None:
        for element in container.iter("{*}rootfile"):
            name = element.get("full-path") or ""
            if name in archive.names:
                return name
    for name in sorted(archive.names):
        if name.endswith(".opf"):
            return name
    raise UnparsableDocument(f"{address}: the e-book has no package file, so its order is unknown.", address=address)


def _refuse_protected(archive: Archive, address: str) -> None:
    encryption = archive.read_if_there("META-INF/encryption.xml") or b""
    for algorithm in _FONT_ALGORITHMS:
        encryption = encryption.replace(algorithm, b"")
    if b'Algorithm="http' in encryption or b"Algorithm='http" in encryption:
        raise EncryptedDocument(f"{address}: the e-book is copy-protected.", address=address)
