"""Which machines may be connected to, and connecting to the very address that was judged.

A name may lead to another machine at each asking, so judging a name says nothing; a page of a stranger may name the
machine that this program runs on, or one that only it can reach.

Belongs here: judging addresses, connecting, and one deadline for all that is read and written.
Does not belong here: HTTP (`client.py`).
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import httpcore

from rag_pipeline.sources.http.failures import NotAllowed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Addresses of one name that are tried.
_MOST_TRIED = 4
# Addresses of IPv6 that stand for one of IPv4, with how far its bits are from the right.
_CARRIERS = ((ipaddress.IPv6Network("64:ff9b::/96"), 0), (ipaddress.IPv6Network("2002::/16"), 80))
# Translation within a network, as it likes.
_LOCAL_TRANSLATION = ipaddress.IPv6Network("64:ff9b:1::/48")


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as written in settings.

    Raises:
        ValueError: One is none.
    """
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def is_public(address: Address) -> bool:
    """Whether anybody could reach the machine, so that a page may name it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _LOCAL_TRANSLATION:
            return False
        for network, shift in _CARRIERS:
            if address in network:
                return is_public(ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def judged(host: str, port: int, networks: Sequence[Network]) -> list[str]:
    """Addresses of a name, all of which may be connected to.

    Raises:
        NotAllowed: One of them is neither public nor in `networks`.
        OSError: The name has none.
    """
    found = dict.fromkeys(
        str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    for text in found:
        address = ipaddress.ip_address(text)
        plain = getattr(address, "ipv4_mapped", None) or address
        if not is_public(address) and not any(plain in network for network in networks):
            raise NotAllowed(
                f"the host {host} leads to {text}, which is not a public address; if it is meant, "
                f"add its network to `networks`"
            )
    return list(found)[:_MOST_TRIED]


class Deadline(threading.local):
    """When what this thread does has to be over; other threads have their own."""

    at: float = float("inf")

    def left(self, timeout: float | None) -> float:
        """Seconds until then, or `timeout` if that is less.

        Raises:
            httpcore.ReadTimeout: None are left.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time for the whole answer is over")
        return left if timeout is None else min(left, timeout)


class JudgedBackend(httpcore.NetworkBackend):
    """Connects to machines that may be connected to, and to nothing else."""

    def __init__(self, networks: Sequence[Network], deadline: Deadline) -> None:
        self._networks = networks
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """See `httpcore.NetworkBackend`; raises what `judged` does."""
        try:
            addresses = judged(host, port, self._networks)
        except OSError as error:
            raise httpcore.ConnectError(f"the host {host} is not known") from error
        for address in addresses[:-1]:
            try:
                return self._connected(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connected(addresses[-1], port, timeout, local_address, socket_options)

    def _connected(
        self, address: str, port: int, timeout: float | None, local: str | None, options: Iterable[Any] | None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout)
        return _Timed(self._inner.connect_tcp(address, port, left, local, options), self._deadline)


class _Timed(httpcore.NetworkStream):
    """A connection on which nothing outlasts the deadline: one byte at a time would, with a time for each reading."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._inner.start_tls(ssl_context, server_hostname, self._deadline.left(timeout)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@cache
def trusted() -> ssl.SSLContext:
    """Certificates that this machine trusts, an intranet's among them, and those that everybody does; read once."""
    context = ssl.create_default_context()
    try:
        import certifi
    except ModuleNotFoundError:
        return context
    context.load_verify_locations(certifi.where())
    return context
