"""Addresses of pages below a prefix: what stands behind it, as a path that can be stored, and back.

Belongs here: pure functions between canonical addresses of the web and addresses of documents.
Does not belong here: the one form of an address of the web (`sources/http/urls.py`).
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from urllib.parse import quote, urlsplit, urlunsplit

# A path's name may be empty, which no address of a document is. An underscore is never escaped in a canonical address,
# so a page that really has such a name is told apart by its escape.
_EMPTY, _LAST_EMPTY = "_empty", "_index"
_STANDS_FOR = {"": _EMPTY, _EMPTY: "%5Fempty", _LAST_EMPTY: "%5Findex"}
_MEANS = {short: name for name, short in _STANDS_FOR.items()} | {_LAST_EMPTY: ""}
# A slash in a query would look like a folder.
_QUERY_SLASH = re.compile(r"%((?:25)*)2F")
# Letters beyond ASCII and blanks are shown as they are: people write patterns with them.
_SHOWN = re.compile(r"(?:%(?:20|[C-F][0-9A-F](?:%[89AB][0-9A-F]){1,3}))+")
_SHOWN_LETTER = re.compile(r"[^!-~]")
# What a path may hold for the sake of a session.
_PATH_SESSION = re.compile(r";(?:jsessionid|phpsessid|sid)=[^/;?]*", re.I)


def address_of_page(url: str, prefix: str) -> str:
    """Address of a page; `url` is canonical and begins with `prefix`."""
    path, mark, query = url[len(prefix) :].partition("?")
    names = path.split("/")
    shown = [_STANDS_FOR.get(name, name) for name in names[:-1]]
    shown.append(_LAST_EMPTY if names[-1] == "" else _STANDS_FOR.get(names[-1], names[-1]))
    query = _QUERY_SLASH.sub(r"%25\g<1>2F", query).replace("/", "%2F")
    return _SHOWN.sub(_letters, f"{'/'.join(shown)}{mark}{query}")


def url_of_page(address: str, prefix: str) -> str:
    """The inverse of `address_of_page`."""
    path, mark, query = _SHOWN_LETTER.sub(lambda found: quote(found[0], safe=""), address).partition("?")
    names = [_MEANS.get(name, name) for name in path.split("/")]
    query = _QUERY_SLASH.sub(lambda found: f"%{found[1][2:]}2F" if found[1] else "/", query)
    return f"{prefix}{'/'.join(names)}{mark}{query}"


def without_sessions(url: str, dropped: tuple[str, ...]) -> str:
    """A canonical address without the parts of its query, and of its path, that tell visitors apart and not pages.

    Args:
        dropped: Names of parts of the query, in small letters; `*` stands for anything.
    """
    if "?" not in url and ";" not in url:
        return url
    parts = urlsplit(url)
    kept = [
        part
        for part in parts.query.split("&")
        if part and not any(fnmatchcase(part.partition("=")[0].lower(), name) for name in dropped)
    ]
    return urlunsplit(parts._replace(path=_PATH_SESSION.sub("", parts.path), query="&".join(kept)))


def is_variant_of(url: str) -> str:
    """What addresses share that are likely spellings of one page: without query, end of a folder, and index page."""
    path = url.partition("?")[0]
    return re.sub(r"/(?:index\.(?:html?|php))?$", "", path)


def _letters(found: re.Match[str]) -> str:
    """Escapes as letters, where they are the only escapes of printable ones."""
    raw = bytes.fromhex(found[0].replace("%", ""))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return found[0]
    return text if text.isprintable() and quote(text, safe="") == found[0] else found[0]
