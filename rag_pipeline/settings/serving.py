"""How search is served over HTTP: the section `serving` of pipeline.yaml.

Belongs here: where the server listens, who may ask and how they show it, and what they may ask of it.
Does not belong here: keeping to it (`rag_pipeline/serving/`). `serve` at the top of the file names a model, not this.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from rag_pipeline.contracts import names
from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.types import Network


def _url(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("want an address that begins with https:// or http://")
    return value


Url = Annotated[str, Field(max_length=2_048), AfterValidator(_url)]
Header = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
Reader = Annotated[str, AfterValidator(names.principal), Field(json_schema_extra={"minLength": 1})]


class JwtSettings(Section):
    """Tokens of an identity provider; signatures, issuer, audience and times are checked."""

    issuer: str = Field(min_length=1, max_length=2_048)
    """What `iss` must be."""
    audience: str = Field(min_length=1, max_length=2_048)
    """What `aud` must hold."""
    jwks_url: Url
    """Where the provider publishes its keys; looked up again when it has new ones."""
    groups_claim: str = Field(default="groups", min_length=1, max_length=256)
    """Claim that lists the caller's groups; a missing one is no groups."""
    name_claim: str = Field(default="sub", min_length=1, max_length=256)
    """Claim with the caller's own name."""
    prefix: str = Field(default="", max_length=64)
    """Put before the caller's name and each group, so that no group of the provider is taken for one of ours."""


class ProxySettings(Section):
    """Headers of a proxy that has established who asks; they count from these addresses alone."""

    addresses: tuple[Network, ...] = Field(min_length=1)
    """Addresses and networks of the proxy; from any other one the headers are refused."""
    user_header: Header = "X-Forwarded-User"
    """Header with the caller's name."""
    groups_header: Header = "X-Forwarded-Groups"
    """Header with the caller's groups, separated by commas."""
    secret_header: Header = "X-Proxy-Secret"
    """Header with the secret that the proxy and this server share, where `secret_variable` names one."""
    secret_variable: str | None = Field(default=None, min_length=1, max_length=256)
    """Environment variable that holds that secret; needed where others can reach the port from those addresses."""


class ServingSettings(Section):
    """`rag-pipeline serve`: where it listens, who may ask, and how much."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    """Address to listen at; `0.0.0.0` is every one of this machine."""
    port: int = Field(default=8321, ge=0, le=65_535)
    """Port to listen at; 0: any that is free."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that answer; each has a model and an index of its own, and counts limits by itself."""
    tokens: str = Field(default="tokens.json", min_length=1, max_length=4_096)
    """File of bearer tokens, which `rag-pipeline tokens` keeps; relative to this file."""
    jwt: JwtSettings | None = None
    """Tokens of an identity provider; none: none are taken."""
    proxy: ProxySettings | None = None
    """Headers of a proxy; none: none are taken."""
    anonymous: bool = False
    """Whether callers who do not say who they are get answers, as `public`."""
    administrators: tuple[Reader, ...] = ()
    """Principals who may look at the search as fewer of their own principals would see it ("view as")."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names under which agents reach `/mcp`, besides those of this machine, like `search.example.com`."""
    max_body_bytes: int = Field(default=64 * 1024, ge=1_024, le=2**26)
    """Size of a request; larger ones are refused unread."""
    requests_per_minute: int = Field(default=600, ge=1, le=10_000_000)
    """Requests of one caller; of callers without a name by address."""
    searches_at_once: int = Field(default=8, ge=1, le=40)
    """Searches under way in one process; more of them wait."""
    searches_waiting: int = Field(default=64, ge=0, le=100_000)
    """Searches that wait in one process; more are refused with 503."""
    answers_at_once: int = Field(default=8, ge=1, le=40)
    """Answers that one process writes at a time; more of them are refused with 503."""
    max_hits: int = Field(default=100, ge=1, le=10_000)
    """Most hits of one search."""
    max_window_tokens: int = Field(default=8_000, ge=1, le=1_000_000)
    """Longest text around a hit, tokens."""
    stop_seconds: int = Field(default=10, ge=1, le=3_600)
    """So long may answers that are under way take when the server is stopped."""
