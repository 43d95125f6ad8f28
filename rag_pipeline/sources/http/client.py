"""Asking web servers: politely, within bounds, only machines that may be asked, with credentials for one of them.

Belongs here: one request with its tries, redirects and limits, whatever kind of source asks.
Does not belong here: what an answer means for a document.
"""

from __future__ import annotations

import base64
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from urllib.parse import unquote, urlsplit, urlunsplit

import httpcore

from rag_pipeline.shown import keep_secret
from rag_pipeline.sources.http.bodies import ACCEPTED, whole_body
from rag_pipeline.sources.http.failures import Garbled, HttpFailure, NoAnswer, NotAllowed
from rag_pipeline.sources.http.networks import Deadline, JudgedBackend, networks_of, trusted
from rag_pipeline.sources.http.pace import Pace, asked_wait
from rag_pipeline.sources.http.urls import canonical, host_and_port, origin

AGENT = "rag-pipeline"
# More than any site needs; browsers stop at twenty.
MOST_REDIRECTS = 6
# Doubled after each try.
FIRST_WAIT_SECONDS = 0.5
# A connection that lies idle longer is likely closed at the other end.
_IDLE_SECONDS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How one source asks.

    Attributes:
        home: Configured address; `headers` go to its protocol, host and port only. A user and password in it become a
            header.
        headers: Credentials, and whatever else only that server should see.
        networks: Networks that may be connected to although they are not public, like `10.0.0.0/8`.
        timeout_seconds: For a whole answer, however it drips.
        tries: Of each request, where the server does not answer, is busy, or has a fault.
        max_wait_seconds: A server that asks for a longer wait is not waited for.
        max_body_bytes: Of an answer, expanded.
    """

    home: str
    headers: Mapping[str, str] = field(default_factory=dict)
    agent: str = AGENT
    networks: tuple[str, ...] = ()
    timeout_seconds: float = 30
    tries: int = 3
    max_wait_seconds: float = 60
    max_body_bytes: int = 100 * 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        url: Canonical address that answered, after redirects.
        headers: By name in lower case; of several of one name, joined by a comma.
        body: Expanded. Empty where it was not wanted.
        hops: Addresses that redirected, with their statuses, in order.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    hops: tuple[tuple[str, int], ...] = ()

    @property
    def media_type(self) -> str:
        """What the body is said to be, in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class HttpClient:
    """Asks on behalf of one source, from any number of threads. Close it, or use it as a context manager.

    Args:
        pace: Shared by all clients of a source; None: as fast as one connection to each host allows.

    Raises:
        NotAllowed: `home` is no address of a web server.
        ValueError: One of `networks` is none.
    """

    def __init__(self, settings: HttpSettings, pace: Pace | None = None) -> None:
        self.home, credentials = split_credentials(settings.home)
        self._headers = {**credentials, **settings.headers}
        keep_secret(self._headers.values())
        self._settings = settings
        self._pace = pace or Pace()
        self._deadline = Deadline()
        self._beside: list[HttpClient] = []
        self._pool = httpcore.ConnectionPool(
            ssl_context=trusted(),
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=JudgedBackend(networks_of(settings.networks), self._deadline),
        )

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.close()
        for other in self._beside:
            other.close()

    def beside(self, home: str) -> HttpClient:
        """A client that sends the same credentials to another server, at the same pace; it is closed with this one."""
        other = HttpClient(replace(self._settings, home=home, headers=self._headers), self._pace)
        self._beside.append(other)
        return other

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        etag: str | None = None,
        modified: str | None = None,
        may_follow: Callable[[str], bool] | None = None,
        takes: Callable[[Answer], bool] | None = None,
        max_body_bytes: int | None = None,
    ) -> Answer:
        """The answer to a GET, after redirects; every status but a followed redirect is an answer.

        Args:
            headers: More of them, for `home` only.
            etag: As the server gave it: it answers 304 where that has not changed.
            modified: The same with its `Last-Modified`.
            may_follow: Whether a redirect to that canonical address is followed; else it is the answer.
            takes: Whether a body is read, by an answer without it.

        Raises:
            HttpFailure: There is no answer. `NotAllowed` for an address that leads where nothing is read.
        """
        asked = canonical(url)
        hops: list[tuple[str, int]] = []
        conditions = {"If-None-Match": etag, "If-Modified-Since": modified}
        more = {**(headers or {}), **{name: value for name, value in conditions.items() if value}}
        while True:
            answer = self._tried("GET", asked, more, None, takes, max_body_bytes)
            target = answer.headers.get("location")
            # What an address remembers of its own is nothing to the next one.
            more = dict(headers or {})
            if answer.status not in _REDIRECTS or not target:
                return replace(answer, hops=tuple(hops))
            following = canonical(target, asked)
            if may_follow is not None and not may_follow(following):
                return replace(answer, hops=tuple(hops))
            hops.append((asked, answer.status))
            if following in [each for each, _ in hops]:
                raise Garbled("it redirects in a circle")
            if len(hops) > MOST_REDIRECTS:
                raise Garbled(f"it redirects more than {MOST_REDIRECTS} times")
            asked = following

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        max_body_bytes: int | None = None,
    ) -> Answer:
        """The answer to any request that only reads; redirects are answers. Raises what `get` does."""
        return self._tried(method, canonical(url), headers or {}, content, None, max_body_bytes)

    def _tried(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        takes: Callable[[Answer], bool] | None,
        max_body_bytes: int | None,
    ) -> Answer:
        limit = self._settings.max_body_bytes if max_body_bytes is None else max_body_bytes
        host = urlsplit(url).netloc
        wait = FIRST_WAIT_SECONDS
        for left in reversed(range(self._settings.tries)):
            asked: float | None = None
            try:
                with self._pace.turn(host):
                    answer = self._once(method, url, self._sent_headers(url, headers), content, takes, limit)
            except NoAnswer:
                if left == 0:
                    raise
            else:
                asked = asked_wait(answer.headers.get("retry-after"), datetime.now(UTC))
                is_final = left == 0 or (asked or 0) > self._settings.max_wait_seconds
                if answer.status not in _TRY_AGAIN or is_final:
                    return answer
            # The others that ask this host wait too.
            self._pace.rest(host, max(wait, asked or 0))
            wait = min(wait * 2, self._settings.max_wait_seconds)
        raise AssertionError("the last try returns or raises")

    def _sent_headers(self, url: str, more: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        host, port = host_and_port(url)
        shown = f"[{host}]" if ":" in host else host
        netloc = urlsplit(url).netloc
        sent = {
            "Host": f"{shown}:{port}" if netloc.endswith(f":{port}") else shown,
            "User-Agent": self._settings.agent,
            "Accept": "*/*",
            "Accept-Encoding": ACCEPTED,
        }
        if origin(url) == origin(self.home):
            sent = _merged(sent, self._headers, more)
        else:
            sent = _merged(sent, {name: more[name] for name in more if name.startswith("If-")})
        try:
            return [(name.encode("ascii"), value.strip().encode("latin-1")) for name, value in sent.items()]
        except UnicodeEncodeError as error:
            raise NotAllowed("a header that is sent holds letters that no header may") from error

    def _once(
        self,
        method: str,
        url: str,
        headers: list[tuple[bytes, bytes]],
        content: bytes | None,
        takes: Callable[[Answer], bool] | None,
        limit: int,
    ) -> Answer:
        parts = urlsplit(url)
        host, port = host_and_port(url)
        target = urlunsplit(("", "", parts.path, parts.query, "")).encode("ascii")
        asked = httpcore.URL(scheme=parts.scheme.encode(), host=host.encode(), port=port, target=target)
        seconds = self._settings.timeout_seconds
        self._deadline.at = time.monotonic() + seconds
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
        with (
            _told(),
            self._pool.stream(
                method, asked, headers=headers, content=content, extensions={"timeout": timeouts}
            ) as response,
        ):
            answer = Answer(url, response.status, _joined_headers(response.headers), b"")
            if answer.status in _REDIRECTS or (takes is not None and not takes(answer)):
                return answer
            coding = answer.headers.get("content-encoding", "")
            return replace(answer, body=whole_body(response.iter_stream(), coding, limit))


def opened_for(owner: object, settings: HttpSettings, pace: Pace) -> HttpClient:
    """A client that is closed once nobody holds its owner any more; raises what `HttpClient` does."""
    client = HttpClient(settings, pace)
    weakref.finalize(owner, client.close)
    return client


def split_credentials(location: str) -> tuple[str, dict[str, str]]:
    """A configured address in its canonical form, and the header that its user and password become.

    Raises:
        NotAllowed: It is no address of a web server.
    """
    try:
        parts = urlsplit(location.strip())
    except ValueError as error:
        raise NotAllowed("it is no address of a web server") from error
    user, at, place = parts.netloc.rpartition("@")
    home = canonical(urlunsplit(parts._replace(netloc=place)))
    if not at:
        return home, {}
    token = base64.b64encode(unquote(user).encode()).decode("ascii")
    keep_secret([token, unquote(user.partition(":")[2])])
    return home, {"Authorization": f"Basic {token}"}


def _merged(*groups: Mapping[str, str]) -> dict[str, str]:
    """Headers of all groups; of two of one name, whatever its case, the later one."""
    found: dict[str, tuple[str, str]] = {}
    for group in groups:
        for name, value in group.items():
            found[name.lower()] = (name, value)
    return dict(found.values())


def _joined_headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


@contextmanager
def _told() -> Iterator[None]:
    """Failures of the transport as our own."""
    try:
        yield
    except HttpFailure:
        raise
    except httpcore.TimeoutException as error:
        raise NoAnswer("it does not answer in time") from error
    except (httpcore.NetworkError, OSError) as error:
        raise NoAnswer(_words_of(error) or "the connection failed") from error
    except httpcore.RemoteProtocolError as error:
        # A server that is stopped while it answers looks like this too.
        raise NoAnswer(f"it broke off or does not speak HTTP ({_words_of(error)})") from error
    except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, UnicodeError):
        # Its own words hold the header, and a password with it, escaped so that it is not known again as one.
        raise Garbled("the request cannot be sent: its address or a header holds what HTTP does not allow") from None


def _words_of(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")[:200]
