"""Searches, and requests to the server."""

from __future__ import annotations

from rag_pipeline.errors.base import RagPipelineError


class RetrievalError(RagPipelineError):
    """A search could not be answered."""

    code = "retrieval"


class NothingPublished(RetrievalError):
    """No index has been published yet."""

    code = "nothing_published"


class BadQuery(RetrievalError):
    """The search call's arguments do not make a query."""

    code = "bad_query"
    exit_code = 2


class ServingError(RagPipelineError):
    """A request to the server was not answered."""

    code = "serving"


class Unidentified(ServingError):
    """The server does not know who asks, and answers nobody else."""

    code = "unidentified"


class Forbidden(ServingError):
    """The caller is known and may not do this."""

    code = "forbidden"


class NotThere(ServingError):
    """There is nothing of that name that the caller may read."""

    code = "not_there"
    exit_code = 1


class BadRequest(ServingError):
    """The request is not as the API describes it."""

    code = "bad_request"
    exit_code = 2


class RequestTooLarge(ServingError):
    """The request is larger than the server takes."""

    code = "request_too_large"


class TooManyRequests(ServingError):
    """The caller asked more often than the server allows."""

    code = "too_many_requests"
    retryable = True
    exit_code = 4


class ServerBusy(ServingError):
    """More searches wait than the server lets wait."""

    code = "server_busy"
    retryable = True
    exit_code = 4


class ServerStopped(ServingError):
    """The server could not listen, or ended with an error; its log says why."""

    code = "server_stopped"
