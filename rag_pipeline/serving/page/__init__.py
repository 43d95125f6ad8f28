"""The search page: one HTML, one style sheet and one script, served as they are.

Belongs here: the three files, and the routes that give them.
Does not belong here: what the page asks (`api.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="13" cy="13" r="8" fill="none" '
    'stroke="#0b5c9c" stroke-width="4"/><path d="M19 19l9 9" stroke="#0b5c9c" stroke-width="4"/></svg>'
)
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


def router() -> APIRouter:
    """The page; it holds nothing that is anybody's, and asks the API for the rest."""
    found = APIRouter(include_in_schema=False)
    for path, (name, media_type) in _FILES.items():
        found.add_api_route(path, _giver(name, media_type), methods=["GET"])
    found.add_api_route("/favicon.svg", _icon, methods=["GET"])
    return found


def _giver(name: str, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def give() -> Response:
        return Response(_content(name), media_type=media_type)

    return give


@cache
def _content(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


async def _icon() -> Response:
    return Response(_ICON, media_type="image/svg+xml")
