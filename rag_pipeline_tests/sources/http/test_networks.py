"""Which machines may be connected to."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from rag_pipeline.sources.http.failures import NotAllowed
from rag_pipeline.sources.http.networks import is_public, judged, networks_of


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff0e::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b:1::808:808", False),
        ("2002:a00:1::", False),
        ("2002:808:808::", True),
    ],
)
def test_addresses_that_anybody_can_reach_are_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "localhost", "::1", "0"])
def test_every_spelling_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(NotAllowed, match="not a public address"):
        judged(host, 80, ())


def test_a_name_that_leads_to_one_private_address_among_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 80)) for each in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: leads_to)
    with pytest.raises(NotAllowed, match=r"10\.0\.0\.1"):
        judged("rebound.example", 80, ())
    assert judged("rebound.example", 80, networks_of(["10.0.0.0/8"])) == ["8.8.8.8", "10.0.0.1"]
