"""Addresses of the web in one form each, so that equal places are equal texts.

Belongs here: pure functions on addresses.
Does not belong here: which machine a name leads to (`networks.py`).
"""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from rag_pipeline.sources.http.failures import NotAllowed

# Longer ones are made by loops, and no server of note takes them.
MOST_CHARS = 2_000
_PORTS = {"http": 80, "https": 443}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})|%")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_PATH_SAFE = "/:@!$&'*+,;=~%()"
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
# Browsers leave these out wherever they stand in a link.
_LEFT_OUT = dict.fromkeys(map(ord, "\t\r\n"))


def canonical(url: str, base: str = "") -> str:
    """An address in the one form that all of its spellings share, without fragment.

    Args:
        base: What it is relative to.

    Raises:
        NotAllowed: It is not http(s), holds a user or password, or is no address.
    """
    try:
        parts = urlsplit(urljoin(base, url.strip().translate(_LEFT_OUT)))
        port = parts.port
    except ValueError as error:
        raise NotAllowed("it is no address of a web server") from error
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise NotAllowed("only http and https are read")
    if "@" in parts.netloc:
        raise NotAllowed("it holds a user or a password")
    host = _host(parts.netloc)
    netloc = host if port in (None, _PORTS[scheme]) else f"{host}:{port}"
    path = _without_dots(_escaped(parts.path.replace("\\", "/"), "") or "/")
    found = urlunsplit((scheme, netloc, path, _escaped(parts.query, "?"), ""))
    if len(found) > MOST_CHARS:
        raise NotAllowed(f"it is longer than {MOST_CHARS:,} characters")
    return found


def origin(url: str) -> str:
    """Protocol, host and port of a canonical address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def host_and_port(url: str) -> tuple[str, int]:
    """Host, an address of IPv6 without its brackets, and port of a canonical address."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


def folder_of(url: str) -> str:
    """What addresses in the same folder begin with: the address up to its last slash, without a query."""
    parts = urlsplit(url)
    return f"{origin(url)}{parts.path.rpartition('/')[0]}/"


def _host(netloc: str) -> str:
    host = re.sub(r":\d*$", "", netloc).lower().rstrip(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise NotAllowed("its host is no name") from error
    if not _HOST.fullmatch(host):
        raise NotAllowed("its host is no name")
    return host


def _escaped(text: str, also_safe: str) -> str:
    """Escapes in one form: none where none is needed, else in capitals."""
    whole = _ESCAPE.sub(_one_escape, text)
    return quote(whole, safe=_PATH_SAFE + also_safe, errors="replace")


def _one_escape(found: re.Match[str]) -> str:
    if found[1] is None:
        return "%25"
    letter = chr(int(found[1], 16))
    return letter if _UNRESERVED.fullmatch(letter) else f"%{found[1].upper()}"


def _without_dots(path: str) -> str:
    kept: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    # A dot at the end names a folder.
    if parts and parts[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
