"""Who sent a request: a bearer token, a token of an identity provider, headers of a proxy, or nobody.

Belongs here: which way counts for a request, and that what is shown and does not count is refused.
Does not belong here: tokens (`tokens.py`), the provider (`provider.py`), what a caller may do (`callers.py`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers

from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import SettingsError, Unidentified
from rag_pipeline.serving.callers import Caller, caller_of
from rag_pipeline.serving.provider import Provider
from rag_pipeline.serving.tokens import PREFIX, TokenFile
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.serving import ProxySettings

_HOW = "send a header 'Authorization: Bearer TOKEN'; rag-pipeline tokens add NAME makes a token"
# Longer ones are no token of any provider, and are not looked at.
_MOST_TOKEN_CHARS = 16_384


class Identity:
    """Establishes who asks. It may look up a provider's keys, which blocks: call it in a thread."""

    def __init__(self, pipeline: Pipeline) -> None:
        settings = pipeline.settings.serving
        self._anonymous = settings.anonymous
        self._administrators = settings.administrators
        self._tokens = TokenFile(pipeline.tokens_file)
        self._provider = None if settings.jwt is None else Provider(settings.jwt, settings.administrators)
        self._proxy = None if settings.proxy is None else Proxy(settings.proxy, pipeline.environment)

    def may_block(self, headers: Headers) -> bool:
        """Whether a provider may have to be asked for its keys, which a token of our own waits for in no case."""
        return self._provider is not None and not _token_in(headers.get("authorization", ""))[1].startswith(PREFIX)

    def caller(self, headers: Headers, peer: str | None) -> Caller:
        """Who asks.

        Args:
            peer: Address at the other end of the connection itself; None for a socket of this machine.

        Raises:
            Unidentified: Nobody that is known, or what was shown does not count.
            ProviderUnavailable: The identity provider did not answer.
        """
        shown = headers.getlist("authorization")
        named = None if self._proxy is None else self._proxy.named(headers, peer)
        if len(shown) > 1 or (shown and named is not None):
            raise Unidentified("the request says more than once who asks; say it once")
        if named is not None:
            return caller_of(named[0], named[1], "proxy", self._administrators)
        if shown:
            return self._of_token(shown[0])
        if self._anonymous:
            return Caller("anonymous", frozenset({PUBLIC}), "anonymous")
        raise Unidentified(f"the request does not say who asks; {_HOW}")

    def _of_token(self, shown: str) -> Caller:
        scheme, token = _token_in(shown)
        if scheme.lower() != "bearer" or not token or len(token) > _MOST_TOKEN_CHARS:
            raise Unidentified(f"the header Authorization holds no bearer token; {_HOW}")
        if self._provider is not None and not token.startswith(PREFIX):
            return self._provider.caller(token)
        kept = self._tokens.find(token)
        if kept is None:
            raise Unidentified("the token is not known, was revoked or has expired; ask for another one")
        return caller_of(kept.name, kept.groups, "token", self._administrators)


class Proxy:
    """Headers of a proxy that has established who asks.

    The address counts at which the connection really ends: what a header says of it, anybody may have written.
    """

    def __init__(self, settings: ProxySettings, environment: Mapping[str, str]) -> None:
        self._networks = [ip_network(address, strict=False) for address in settings.addresses]
        self._settings = settings
        self._secret = None
        if settings.secret_variable is not None:
            self._secret = environment.get(settings.secret_variable)
            if not self._secret:
                raise SettingsError(
                    f"serving.proxy.secret_variable names {settings.secret_variable}, which is not set; set it to the "
                    f"secret that the proxy sends in {settings.secret_header}"
                )

    def named(self, headers: Headers, peer: str | None) -> tuple[str, list[str]] | None:
        """Name and groups that the proxy says; None: it says nothing.

        Raises:
            Unidentified: The headers come from elsewhere, more than once, or without the secret.
        """
        settings = self._settings
        users, groups = headers.getlist(settings.user_header), headers.getlist(settings.groups_header)
        if not users and not groups:
            return None
        if len(users) != 1 or len(groups) > 1 or not self._is_trusted(peer) or not self._has_secret(headers):
            raise Unidentified("the headers of a proxy came from elsewhere, more than once or without its secret")
        return _text_of(users[0]), [part for part in map(str.strip, _text_of(",".join(groups)).split(",")) if part]

    def _is_trusted(self, peer: str | None) -> bool:
        try:
            address = ip_address(peer or "")
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def _has_secret(self, headers: Headers) -> bool:
        if self._secret is None:
            return True
        sent = headers.getlist(self._settings.secret_header)
        return len(sent) == 1 and hmac.compare_digest(sent[0].encode(), self._secret.encode())


def _token_in(shown: str) -> tuple[str, str]:
    """Scheme and token of a header Authorization."""
    scheme, _, token = shown.partition(" ")
    return scheme, token.strip()


def _text_of(header: str) -> str:
    """A name as the proxy wrote it: bytes come as Latin-1, and proxies send names of all people in UTF-8.

    Raises:
        Unidentified: It is written otherwise, and would name somebody else.
    """
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError as error:
        raise Unidentified("the headers of a proxy name somebody in bytes that are no UTF-8") from error
