"""Lists of an API, page by page, until they are proven whole.

Belongs here: going on, and telling a list that ended from one that broke off.
Does not belong here: what an object means (`source.py`), tries and waits (`sources/http`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from rag_pipeline.settings.sources.rest import ListSettings, PagesSettings
from rag_pipeline.sources import reading
from rag_pipeline.sources.http import Answer, HttpClient, HttpFailure, NoAnswer, TooLarge, canonical, origin
from rag_pipeline.sources.rest.values import filled, text_of, value_at, within

# A list that does not end by then never does.
MOST_PAGES = 100_000
_NEXT = re.compile(r'<([^<>]*)>\s*;[^<>]*?\brel="?next"?', re.I)


class Unwhole(Exception):
    """A list cannot be read to its end. The message is a sentence that names the setting.

    Attributes:
        moved: Whether it may only have changed while it was read, so that reading it again helps.
        status: Of the answer that was no good one.
        is_silent: Whether there was none.
    """

    def __init__(self, reason: str, *, moved: bool = False, status: int = 0, is_silent: bool = False) -> None:
        super().__init__(reason)
        self.moved = moved
        self.status = status
        self.is_silent = is_silent


class Api:
    """The API of one source: answers as values.

    Args:
        ok: Field that is true in each good answer.
        gone: Errors of a bad one that say that what was asked for is gone.
    """

    def __init__(self, client: HttpClient, ok: str | None, gone: Sequence[str] = ()) -> None:
        self._client = client
        self._ok = ok
        self._gone = gone
        self._others: dict[str, HttpClient] = {}

    @property
    def home(self) -> str:
        """The configured address."""
        return self._client.home

    def url(self, path: str, params: Mapping[str, str], values: Mapping[str, Any]) -> str:
        """The address of a path below the location; values in braces become one segment each."""
        path = filled(path, values, lambda text: quote(text, safe=""))
        base = self._client.home if self._client.home.endswith("/") else f"{self._client.home}/"
        return with_params(urljoin(base, path), {name: filled(text, values) for name, text in params.items()})

    def get(
        self, url: str, where: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[Any, Answer]:
        """A good answer.

        Args:
            where: The setting that asks, for messages.
            body: Is sent as JSON by POST; nothing is changed by it.
            headers: More of them.

        Raises:
            Unwhole: There is none.
        """
        home = origin(self._client.home)
        try:
            if body is None:
                answer = self._client.get(url, headers=headers, may_follow=lambda to: origin(to) == home)
            else:
                kind = {"Content-Type": "application/json", **(headers or {})}
                answer = self._client.send("POST", url, headers=kind, content=json.dumps(body).encode())
        except HttpFailure as error:
            is_silent = isinstance(error, NoAnswer)
            said = f"`{where}`: {error}. Correct `location`, or try again."
            raise Unwhole(said, status=503, is_silent=is_silent) from error
        limited = answer.status == 403 and (
            "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0"
        )
        if answer.status == 429 or limited:
            raise Unwhole(f"`{where}`: the server is asked too often. Refresh the source less often.", status=429)
        if answer.status in (401, 403):
            raise Unwhole(
                f"`{where}`: the server answers {answer.status}. Correct `auth`, or ask its owner.",
                status=answer.status,
            )
        if answer.status != 200:
            raise Unwhole(f"`{where}`: the server answers {answer.status}.", status=answer.status)
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise Unwhole(f"`{where}`: the answer is no JSON.") from error
        if self._ok is not None and value_at(body, self._ok) is not True:
            said = text_of(value_at(body, "error"))[:100] or "nothing"
            raise Unwhole(f"`ok`: the server says {said} to `{where}`.", status=404 if said in self._gone else 400)
        return body, answer

    def download(self, url: str, where: str, trusted: Collection[str], max_bytes: int) -> Answer:
        """A good answer with any bytes.

        Args:
            trusted: Origins that get the credentials, beside that of the location.
            max_bytes: Of the body.

        Raises:
            DocumentTooLarge: It is over them.
            Unwhole: There is none.
        """
        try:
            client, asked = self._client, origin(canonical(url))
            for other in trusted:
                if origin(canonical(other)) == asked != origin(self.home):
                    client = self._others.get(asked) or self._others.setdefault(asked, self._client.beside(other))
            answer = client.get(url, headers={"Accept": "*/*"}, max_body_bytes=max_bytes)
        except TooLarge as error:
            raise reading.too_large(None, max_bytes) from error
        except HttpFailure as error:
            # Only silence is an outage: what leads nowhere may be read is this one's fault.
            is_silent = isinstance(error, NoAnswer)
            raise Unwhole(f"`{where}`: {error}.", status=503 if is_silent else 400, is_silent=is_silent) from error
        if answer.status != 200:
            raise Unwhole(f"`{where}`: the server answers {answer.status}.", status=answer.status)
        return answer

    def walk(
        self,
        settings: ListSettings,
        where: str,
        values: Mapping[str, Any],
        look: Callable[[Any], object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Any]:
        """Members of a list, over all its pages.

        Args:
            look: Gets each page as a whole.
            headers: More of them, with each request.

        Raises:
            Unwhole: It does not come to its end.
        """
        pages = settings.pages
        sent = None if settings.body is None else dict(settings.body)
        if sent is not None and pages.size_param:
            sent[pages.size_param] = pages.size
        sized = {pages.size_param: str(pages.size)} if pages.size_param and sent is None else {}
        first = url = self.url(settings.path, settings.params | sized, values)
        if pages.type in ("page_number", "offset"):
            url = with_params(first, {str(pages.param): str(pages.first if pages.type == "page_number" else 0)})
        seen = {url}
        count = 0
        for number in range(MOST_PAGES):
            try:
                body, answer = self.get(first if sent is not None else url, f"{where}.path", sent, headers)
            except Unwhole as error:
                # A cursor that ran out is the list's to give anew.
                error.moved = number > 0 and 400 <= error.status < 500 and error.status not in (401, 403, 429)
                raise
            members = within(body, settings.items)
            if not isinstance(members, list):
                raise Unwhole(f"`{where}.items`: page {number + 1} holds no list there, only {_shape(body)}.")
            if look is not None:
                look(body)
            yield from members
            count += len(members)
            following = self._following(settings, where, first, body, answer, number, count, len(members))
            if following is None:
                self._check_total(settings, where, body, count)
                return
            if following in seen:
                raise Unwhole(f"`{where}.pages`: after page {number + 1} the list begins again.")
            seen.add(following)
            url = following
            if sent is not None:
                sent[str(pages.param)] = text_of(value_at(body, str(pages.field)))
        raise Unwhole(f"`{where}.pages`: the list does not end after {MOST_PAGES:,} pages.")

    def _following(
        self,
        settings: ListSettings,
        where: str,
        first: str,
        body: Any,
        answer: Answer,
        number: int,
        count: int,
        here: int,
    ) -> str | None:
        pages = settings.pages
        if pages.type == "single":
            return None
        if pages.type in ("page_number", "offset"):
            # A server may give fewer than were asked for, so only an empty page is the end.
            value = pages.first + number + 1 if pages.type == "page_number" else count
            return with_params(first, {str(pages.param): str(value)}) if here else None
        target = _target(pages, where, body, answer, number)
        if target is None:
            return None
        if pages.type == "cursor":
            return with_params(first, {str(pages.param): str(target)})
        try:
            following = canonical(str(target), answer.url)
        except HttpFailure as error:
            raise Unwhole(f"`{where}.pages`: the next page has no address: {error}.") from error
        if origin(following) != origin(self._client.home):
            raise Unwhole(f"`{where}.pages`: the next page is on another server, which is not asked.")
        return following

    def _check_total(self, settings: ListSettings, where: str, body: Any, count: int) -> None:
        if settings.total is None:
            return
        total = value_at(body, settings.total)
        if not isinstance(total, int) or isinstance(total, bool):
            raise Unwhole(f"`{where}.total`: the answer holds {_shape(total)} there.")
        if total != count:
            raise Unwhole(f"`{where}.total`: {total} are said to be there, and {count} came.", moved=True)


def _target(pages: PagesSettings, where: str, body: Any, answer: Answer, number: int) -> str | int | None:
    """The address or the cursor of the next page; None: it is the last one."""
    is_last = _is_last(pages, where, body, number)
    if is_last:
        return None
    if pages.type == "link":
        match = _NEXT.search(answer.headers.get("link", ""))
        target: Any = match[1] if match else None
    else:
        target = value_at(body, str(pages.field))
    if target in (None, "", False):
        if is_last is False:
            raise Unwhole(f"`{where}.pages`: page {number + 1} says that there are more, and not where.")
        return None
    if not isinstance(target, (str, int)):
        raise Unwhole(f"`{where}.pages.field`: page {number + 1} holds {_shape(target)} there.")
    return target


def _is_last(pages: PagesSettings, where: str, body: Any, number: int) -> bool | None:
    """Whether an answer says itself that it is the last page; None: the settings name no field for it."""
    field = pages.last or pages.more
    if field is None:
        return None
    said = value_at(body, field)
    if not isinstance(said, bool):
        name = "last" if pages.last else "more"
        raise Unwhole(f"`{where}.pages.{name}`: page {number + 1} holds {_shape(said)} there.")
    return said if pages.last else not said


def with_params(url: str, params: Mapping[str, str]) -> str:
    """An address with these parameters, in place of those of the same names."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in params]
    return urlunsplit(parts._replace(query=urlencode([*kept, *params.items()])))


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with {', '.join(map(str, list(value)[:5])) or 'nothing'}"
    return "nothing" if value is None else f"a {type(value).__name__}"
