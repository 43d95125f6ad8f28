"""The client of a model server, over the `openai` package (extra `endpoint`).

Belongs here: opening it, keeping the pace, trying again, and our own errors for its refusals.
Does not belong here: which request is made, and what its answer must look like.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

from rag_pipeline.endpoints.pace import Pace
from rag_pipeline.endpoints.stop import watch
from rag_pipeline.errors import EndpointUnavailable, ModelUnavailable, SettingsError
from rag_pipeline.shown import keep_secret

if TYPE_CHECKING:
    import openai

MAX_RETRIES = 6
"""With the client's doubling waits this rides out a restart of the server, about half a minute."""
TIMEOUT_SECONDS = 120.0
"""A full batch on a slow server takes tens of seconds; a server that is gone is noticed by its connection."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model at one server.

    Attributes:
        user: Who asks, as messages name it: "embedding model remote".
        alias: Its name in `pipeline.yaml`.
        model: Its name at the server.
        api_key_variable: Environment variable that holds the key; None for servers that take any.
        requests_per_minute: None: no limit.
        price_per_million_tokens: None: unknown, or free.
    """

    user: str
    alias: str
    model: str
    base_url: str | None
    api_key_variable: str | None = None
    requests_per_minute: int | None = None
    price_per_million_tokens: float | None = None


class EndpointClient:
    """Makes requests one after another at the endpoint's pace, from any number of threads.

    Raises:
        SettingsError: The `openai` package or the key is missing.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = opened(endpoint, MAX_RETRIES, TIMEOUT_SECONDS)
        self._pace = Pace(endpoint.requests_per_minute)

    def ask(self, request: Callable[[openai.OpenAI], Answer]) -> Answer:
        """The answer to one request, which is tried again while a retry can cure what fails.

        Raises:
            EndpointUnavailable: It did not answer, or asked to be left alone, each time.
            ModelUnavailable: It refused the request.
        """
        import openai

        self._pace.wait()
        try:
            return request(self._client)
        except openai.OpenAIError as error:
            self._refused(error)

    def _refused(self, error: openai.OpenAIError) -> NoReturn:
        import openai

        endpoint = self._endpoint
        place = f"endpoint {endpoint.base_url} of {endpoint.user}"
        passing = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
        if isinstance(error, passing):
            raise EndpointUnavailable(
                f"{place} gave no answer after {MAX_RETRIES + 1} tries: {error}. What was computed before is kept; "
                f"run again later, or lower `requests_per_minute`.",
                alias=endpoint.alias,
            ) from error
        raise ModelUnavailable(
            f"{place} refused model {endpoint.model}: {error}. Check `base_url`, `model`, `max_tokens` and the key "
            f"in {endpoint.api_key_variable or 'api_key_variable (none is set)'}.",
            alias=endpoint.alias,
        ) from error


def opened(endpoint: Endpoint, max_retries: int, timeout_seconds: float) -> openai.OpenAI:
    """The client of the `openai` package for an endpoint; it sends nothing yet.

    Raises:
        SettingsError: The package or the key is missing.
    """
    try:
        import openai
    except ImportError as error:
        raise SettingsError(
            f"{endpoint.user} is an endpoint, which needs the `openai` package: pip install 'rag-pipeline[endpoint]'",
            alias=endpoint.alias,
        ) from error
    # Local servers take any key, but the client insists on one.
    key = "none" if endpoint.api_key_variable is None else os.environ.get(endpoint.api_key_variable)
    if not key:
        raise SettingsError(
            f"{endpoint.user} takes its key from the environment variable {endpoint.api_key_variable}, "
            f"which is not set",
            alias=endpoint.alias,
        )
    if endpoint.api_key_variable is not None:
        # Some servers quote it when they refuse it.
        keep_secret([key])
    http = openai.DefaultHttpxClient(event_hooks={"request": [watch]})
    return openai.OpenAI(
        api_key=key, base_url=endpoint.base_url, max_retries=max_retries, timeout=timeout_seconds, http_client=http
    )
