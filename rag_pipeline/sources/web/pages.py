"""What a page says to whoever crawls: its links, its proper address, whether it wants to be listed, how it looks.

Belongs here: reading bytes, pure.
Does not belong here: text for readers (`parsing/web`), asking for pages (`crawl.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit

from lxml import etree
from lxml import html as lxml_html

from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.sources.http import NotAllowed, canonical

# A page with more links than this is a trap or a listing that has pages of its own; what is over is counted.
MOST_LINKS = 5_000
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.I)
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Said:
    """What a page says.

    Attributes:
        links: Canonical addresses that it leads to, in order, each once.
        proper: Canonical address that it names as its own, if any.
        left_links: More of them, that are not followed.
        is_listed: It does not ask to be left out.
        look: Digests of its text without numbers, as it is and without its own address: see `look_alike`.
    """

    links: tuple[str, ...] = ()
    proper: str | None = None
    left_links: int = 0
    is_listed: bool = True
    look: str = ""


def read_page(raw: bytes, url: str, robots_header: str = "") -> Said:
    """What a page at a canonical address says.

    Args:
        raw: As `readable` gives it.
        robots_header: Of the answer, `X-Robots-Tag`.
    """
    asks = robots_header.lower()
    tree = _tree(raw)
    if tree is None:
        return Said(is_listed="noindex" not in asks and "none" not in asks)
    base = next((each.get("href") for each in tree.iter("base") if each.get("href")), "")
    base = _canonical_or_none(base, url) or url
    for meta in tree.iter("meta"):
        if (meta.get("name") or "").strip().lower() in ("robots", "rag-pipeline"):
            asks += "," + (meta.get("content") or "").lower()
    words = {word.strip() for word in re.split(r"[,:\s]", asks)}
    proper = next(
        (each.get("href") for each in tree.iter("link") if "canonical" in (each.get("rel") or "").lower().split()), None
    )
    follows = not words & {"nofollow", "none"}
    found = dict.fromkeys(_links(tree, base)) if follows else {}
    return Said(
        links=tuple(islice(found, MOST_LINKS)),
        left_links=max(0, len(found) - MOST_LINKS),
        proper=_canonical_or_none(proper, base) if proper else None,
        is_listed=not words & {"noindex", "none"},
        look=_look(tree, url),
    )


def readable(raw: bytes, content_type: str) -> bytes:
    """A text whose letters only the header tells, in UTF-8 with its mark; all others as they are.

    Headers are often wrong, so bytes that are UTF-8, or say themselves what they are, are believed before them.
    """
    said = _CHARSET.search(content_type)
    if said is None or raw.startswith(_BOMS):
        return raw
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        try:
            return b"\xef\xbb\xbf" + raw.decode(said[1]).encode("utf-8")
        except (UnicodeError, LookupError, ValueError):
            return raw
    return raw


def _tree(raw: bytes) -> Any:
    try:
        raw.decode("utf-8")
        encoding: str | None = "utf-8"
    except UnicodeDecodeError:
        # The page may say it itself.
        encoding = None
    try:
        return lxml_html.document_fromstring(raw, parser=lxml_html.HTMLParser(encoding=encoding))
    except (etree.LxmlError, ValueError, AssertionError):
        return None


def _links(tree: Any, base: str) -> Iterator[str]:
    for each in tree.iter("a", "area", "frame", "iframe"):
        link = each.get("href") or (each.get("src") if each.tag in ("frame", "iframe") else None)
        if not link or link.lstrip().startswith(("#", "mailto:", "javascript:", "data:", "tel:")):
            continue
        if "nofollow" in (each.get("rel") or "").lower().split():
            continue
        url = _canonical_or_none(link, base)
        if url is not None:
            yield url


def _canonical_or_none(link: str | None, base: str) -> str | None:
    try:
        return canonical(link or "", base)
    except NotAllowed:
        return None


def _look(tree: Any, url: str) -> str:
    title = " ".join(tree.xpath("//title//text()"))
    text = " ".join(tree.xpath("//body//text()[not(parent::script) and not(parent::style)]"))
    whole = bare = f"{title}\n{text}"
    path = urlsplit(url).path
    last = path.rpartition("/")[2]
    for name in sorted({url, path, unquote(path), last, unquote(last)} - {"", "/"}, key=len, reverse=True):
        bare = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", bare)
    return " ".join(dict.fromkeys(fingerprint(" ".join(_NUMBERS.sub(" ", each).split())) for each in (whole, bare)))


def look_alike(look: str, empty: str) -> bool:
    """Whether a page looks like one that is not there, of which `empty` is the look."""
    # What is not there repeats its address or not; a page may have a word of its text as its name.
    return bool(empty) and empty.split()[-1] in look.split()
