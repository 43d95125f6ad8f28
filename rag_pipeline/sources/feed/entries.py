"""Entries of a feed, in any of its dialects, as documents.

Belongs here: bytes of a feed to entries, pure; `feedparser` is given bytes and asks nobody.
Does not belong here: asking for the feed (`feed.py`).
"""

from __future__ import annotations

import calendar
import html
import io
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from xml.sax import SAXException

import feedparser

from rag_pipeline.contracts.ids import digest, fingerprint
from rag_pipeline.sources.http import NotAllowed, canonical

# Longer ids are told apart by their digest.
_MOST_ID_CHARS = 150
# A feed ends with its root; one that broke off leaves out entries, or the end of one.
_END = re.compile(rb"</(?:[A-Za-z0-9_.-]{1,40}:)?(?:rss|feed|rdf|channel)\s*>(?:\s|\x00|<!--[^<]{0,10000}-->)*$", re.I)
_ENTITY = re.compile(rb"<!ENTITY", re.I)


class NoFeed(ValueError):
    """It is no feed that can be read whole; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        address: What tells it from the others, as an address of a document.
        link: Canonical address of its page, if it has one.
        updated_at: UTC, where it tells.
        body: HTML, or text where `is_text`.
    """

    address: str
    title: str
    author: str
    link: str | None
    updated_at: datetime | None
    body: str
    is_text: bool
    tags: tuple[str, ...]

    @property
    def media_type(self) -> str:
        """Of `raw`."""
        return "text/plain" if self.is_text else "text/html"

    @property
    def raw(self) -> bytes:
        """The entry as a document."""
        if self.is_text:
            text = f"{self.title}\n\n{self.body}" if self.title else self.body
            return text.encode("utf-8", "replace")
        title = html.escape(self.title)
        head = f'<meta charset="utf-8"><title>{title}</title>'
        heading = f"<h1>{title}</h1>" if self.title else ""
        page = f"<!DOCTYPE html><html><head>{head}</head><body>{heading}{self.body}</body></html>"
        return page.encode("utf-8", "replace")


def entries_of(raw: bytes, url: str, content_type: str = "", *, strict: bool = False) -> list[Entry]:
    """Entries of a feed, sorted by address; of those with one id and link the newest, or else the first.

    Some feeds give one id to all of their entries: those that lead to several pages are told apart by them.

    Args:
        url: Canonical address that links are relative to.
        strict: Whatever is no whole XML is refused too: what is read of it may lack entries.

    Raises:
        NoFeed: It is none, broke off, or declares entities, which stand for anything of any size.
    """
    # Letters of two bytes each hide nothing.
    plain = raw.replace(b"\x00", b"")
    if _ENTITY.search(plain):
        raise NoFeed("it declares entities, which no feed needs")
    headers = {"content-location": url, "content-type": content_type or "application/xml"}
    try:
        parsed = feedparser.parse(io.BytesIO(raw), response_headers=headers)
    # A parser of a stranger's text may stumble over anything in it.
    except Exception as error:
        raise NoFeed(f"it cannot be read ({type(error).__name__})") from error
    if not parsed.get("version"):
        raise NoFeed("it is neither RSS nor Atom")
    if not _END.search(plain[-20_000:]):
        raise NoFeed("it broke off")
    if strict and isinstance(parsed.get("bozo_exception"), SAXException):
        raise NoFeed("it is no whole XML")
    by_id: dict[str, dict[str | None, Entry]] = {}
    for each in parsed.entries:
        entry = _entry(each, url)
        same = by_id.setdefault(entry.address, {})
        before = same.get(entry.link)
        if before is None or _age(entry) > _age(before):
            same[entry.link] = entry
    found = [entry for same in by_id.values() for entry in _told_apart(same.values())]
    return sorted(found, key=lambda entry: entry.address)


def _told_apart(same: Collection[Entry]) -> Iterable[Entry]:
    """Entries of one id, each with an address of its own."""
    if len(same) == 1:
        return same
    return [replace(entry, address=f"{entry.address}-{fingerprint(entry.link or '')}") for entry in same]


def _entry(values: dict[str, Any], url: str) -> Entry:
    link = _link(values.get("link"), url)
    content = _content(values)
    title = _text_of(values.get("title_detail") or {"value": values.get("title") or ""})
    # What it has for one is looked up as the other too, with a warning.
    updated = _moment(dict.get(values, "updated_parsed")) or _moment(dict.get(values, "published_parsed"))
    said = values.get("id") or values.get("link") or ""
    # One without id and link is what it says.
    name = said.strip() or digest("entry", title, str(values.get("published") or ""), content["value"])[:32]
    return Entry(
        address=_address(name),
        title=title,
        author=_text_of({"value": values.get("author") or "", "type": "text/plain"}),
        link=link,
        updated_at=updated,
        body=content["value"],
        is_text=content.get("type") == "text/plain",
        tags=tuple(sorted({str(tag.get("term") or "") for tag in values.get("tags") or ()} - {""})),
    )


def _content(values: Mapping[str, Any]) -> Mapping[str, str]:
    """The longest of what an entry gives as its text: many give a summary too."""
    given: list[Mapping[str, str]] = [*(values.get("content") or ())]
    if values.get("summary_detail"):
        given.append(values["summary_detail"])
    elif values.get("summary"):
        given.append({"value": values["summary"], "type": "text/html"})
    given = [each for each in given if (each.get("value") or "").strip()]
    return max(given, key=lambda each: len(each["value"]), default={"value": "", "type": "text/plain"})


def _text_of(detail: Mapping[str, Any]) -> str:
    value = str(detail.get("value") or "")
    if detail.get("type") != "text/plain":
        value = html.unescape(re.sub(r"<[^<>]*>", "", value))
    return " ".join(value.split())


def _link(value: str | None, url: str) -> str | None:
    try:
        return canonical(value, url) if value else None
    except NotAllowed:
        return None


def _address(name: str) -> str:
    escaped = "".join(_escaped(letter) if _is_no_name(letter) else letter for letter in name)
    if len(escaped) > _MOST_ID_CHARS:
        return f"{escaped[:_MOST_ID_CHARS]}-{fingerprint(name)}"
    return escaped.replace(".", "%2E") if escaped in (".", "..") else escaped


def _is_no_name(letter: str) -> bool:
    """Whether it would be taken for a folder, an escape or a line's end in an address, or be seen by nobody."""
    return letter in "%/\\" or not letter.isprintable()


def _escaped(letter: str) -> str:
    return "".join(f"%{each:02X}" for each in letter.encode("utf-8", "replace"))


def _moment(value: Any) -> datetime | None:
    """feedparser gives a time in UTC, whatever it was written as, or nothing."""
    try:
        return None if value is None else datetime.fromtimestamp(calendar.timegm(value), UTC)
    except (ValueError, OverflowError, TypeError, OSError):
        return None


def _age(entry: Entry) -> float:
    return entry.updated_at.timestamp() if entry.updated_at else float("-inf")


def extra_of(entry: Entry) -> dict[str, str]:
    """What searches may filter by."""
    given: Iterable[tuple[str, str | None]] = (("link", entry.link), ("tags", ", ".join(entry.tags)))
    return {name: value for name, value in given if value}
