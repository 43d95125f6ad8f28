"""What a site allows to whom: its robots.txt.

Belongs here: reading it, and what its absence means (RFC 9309).
Does not belong here: asking for pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from protego import Protego

from rag_pipeline.sources.http import Answer, HttpClient, HttpFailure, NotAllowed, canonical

# The least that everybody has to read of one.
MOST_BYTES = 500 * 2**10


class NotTold(Exception):
    """The site does not say what it allows; the message says why in a few words. Then it allows nothing."""


@dataclass(frozen=True, slots=True)
class Robots:
    """What one agent may ask a site for.

    Attributes:
        allows: Whether a canonical address may be asked for.
        delay_seconds: Between two requests, as the site wishes.
        sitemaps: Canonical addresses.
    """

    allows: Callable[[str], bool] = lambda _: True
    delay_seconds: float = 0
    sitemaps: tuple[str, ...] = ()


def read_robots(client: HttpClient, site: str, agent: str) -> Robots:
    """What a site, by its origin, allows to an agent.

    Raises:
        NotTold: It cannot be read.
    """
    try:
        answer = client.get(f"{site}/robots.txt", max_body_bytes=MOST_BYTES)
    except HttpFailure as error:
        raise NotTold(str(error)) from error
    if answer.status == HTTPStatus.OK:
        return _read(answer, agent)
    if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise NotTold("it answers 429")
        # There is none.
        return Robots()
    raise NotTold(f"it answers {answer.status}")


def _read(answer: Answer, agent: str) -> Robots:
    rules = Protego.parse(answer.body.decode("utf-8", "replace"))
    sitemaps = []
    for place in rules.sitemaps:
        try:
            sitemaps.append(canonical(place, answer.url))
        except NotAllowed:
            continue
    return Robots(
        allows=lambda url: bool(rules.can_fetch(url, agent)),
        delay_seconds=float(rules.crawl_delay(agent) or 0),
        sitemaps=tuple(dict.fromkeys(sitemaps)),
    )
