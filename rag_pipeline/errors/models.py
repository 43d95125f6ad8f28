"""Models: embedding, and chat models that write answers."""

from __future__ import annotations

from rag_pipeline.errors.base import RagPipelineError


class EmbeddingError(RagPipelineError):
    """Text could not be turned into vectors."""

    code = "embedding"


class ModelUnavailable(EmbeddingError):
    """The embedding model's files were found nowhere."""

    code = "model_unavailable"


class EndpointUnavailable(EmbeddingError):
    """The endpoint did not answer, or asked to be left alone, also after several tries."""

    code = "endpoint_unavailable"
    retryable = True
    exit_code = 4


class VectorInvalid(EmbeddingError):
    """The model gave a vector of the wrong width, not finite or of zero length."""

    code = "vector_invalid"


class EmbeddingSpaceMismatch(RagPipelineError):
    """Vectors on disk and the configured model are from different embedding spaces."""

    code = "embedding_space_mismatch"


class AnswerError(RagPipelineError):
    """A question could not be answered."""

    code = "answer"


class ChatUnavailable(AnswerError):
    """The chat model's server did not answer, broke off, or asked for more patience than an answer may take."""

    code = "chat_unavailable"
    retryable = True
    exit_code = 4


class ChatRefused(AnswerError):
    """The chat model's server refused the request, or the model refused to answer."""

    code = "chat_refused"


class ChatGarbled(AnswerError):
    """What came from the chat model's server is no answer: a web page, broken JSON, or nothing."""

    code = "chat_garbled"


class BudgetReached(AnswerError):
    """A model has cost as much today as `pipeline.yaml` allows it, and is asked no more until tomorrow."""

    code = "budget_reached"
    retryable = True
    exit_code = 4


class CallStopped(RagPipelineError):
    """Whoever asked a chat model hung up, so it was asked no further."""

    code = "call_stopped"
