"""Tokens of an identity provider (JWT): signature, issuer, audience and times, with keys that rotate.

Belongs here: which tokens count, and whom they name.
Does not belong here: other ways to show who asks (`identity.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import jwt
from jwt import PyJWKClient

from rag_pipeline.errors import Unidentified
from rag_pipeline.serving.callers import Caller, caller_of, groups_of
from rag_pipeline.settings.serving import JwtSettings

# Those that need the provider's private key; with a shared secret whoever checks a token could make one.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# A key that was withdrawn counts so long, seconds.
KEYS_LIFE_SECONDS = 300
# Unknown keys make at most one request to the provider in so many seconds.
COOLDOWN_SECONDS = 5
TIMEOUT_SECONDS = 3
# Clocks differ.
LEEWAY_SECONDS = 30


class ProviderUnavailable(Exception):
    """The provider's keys cannot be had now; nothing is known of the token."""


class _Keys(PyJWKClient):
    """The provider's keys. One that fails is left alone for a while, too: each token would wait for it in its turn."""

    def __init__(self, url: str) -> None:
        super().__init__(url, lifespan=KEYS_LIFE_SECONDS, timeout=TIMEOUT_SECONDS, cooldown_duration=COOLDOWN_SECONDS)
        self._failed_at = float("-inf")

    def fetch_data(self) -> Any:
        """What it publishes.

        Raises:
            PyJWKClientConnectionError: It does not answer, or with what holds no keys, now or a moment ago.
        """
        if time.monotonic() - self._failed_at < COOLDOWN_SECONDS:
            raise jwt.PyJWKClientConnectionError("the provider gave no keys a moment ago")
        try:
            return super().fetch_data()
        except Exception as error:
            # Whatever stands there instead of keys: nothing of it is the fault of a token.
            self._failed_at = time.monotonic()
            raise jwt.PyJWKClientConnectionError("the provider gave no keys") from error


class Provider:
    """Checks tokens of one provider. Looking up keys blocks: call it in a thread."""

    def __init__(self, settings: JwtSettings, administrators: Iterable[str]) -> None:
        self._settings = settings
        self._administrators = tuple(administrators)
        self._keys = _Keys(settings.jwks_url)

    def caller(self, token: str) -> Caller:
        """Whom a token names.

        Raises:
            Unidentified: It does not count.
            ProviderUnavailable: The provider did not say which keys it has.
        """
        settings = self._settings
        try:
            claims = jwt.decode(
                token,
                self._keys.get_signing_key_from_jwt(token),
                algorithms=list(ALGORITHMS),
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise ProviderUnavailable from error
        except (jwt.PyJWTError, ValueError) as error:
            # Which check failed is of use to whoever forges one.
            raise Unidentified(
                "the token does not count: it is expired, not for this server, or not signed by its provider"
            ) from error
        name = claims.get(settings.name_claim)
        groups = groups_of(claims.get(settings.groups_claim))
        return caller_of(name, groups, "jwt", self._administrators, settings.prefix)
