"""Every error this package raises on purpose, in one tree.

Belongs here: error classes, their stable codes, and whether trying again can help.
Does not belong here: handling. Whoever catches decides; `defs/` is the only bridge to Dagster.

Each error carries a `code` (stable, stored in quarantine rows and run metadata), `retryable`, an
`exit_code` for the command line and `facts` (the values in the message, by name). A message says what
happened, where, and what to do next.
"""

from __future__ import annotations

from typing import Any, ClassVar

from rag_pipeline.shown import shown


class RagPipelineError(Exception):
    """Root of the tree.

    Args:
        message: One paragraph: what happened, where, what to do next. Passwords in addresses are taken out of it, and
            what is too long is cut, since names, titles and values come from anywhere.
        facts: The values named in the message, for logs and metadata; texts are treated alike.
    """

    code: ClassVar[str] = "rag_pipeline_error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, **facts: Any) -> None:
        self.message = shown(message)
        super().__init__(self.message)
        self.facts = {name: shown(value) if isinstance(value, str) else value for name, value in facts.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries, and pickle cannot guess keyword arguments.
        return _rebuild, (type(self), self.message, self.facts)


def _rebuild(cls: type[RagPipelineError], message: str, facts: dict[str, Any]) -> RagPipelineError:
    return cls(message, **facts)


class SettingsError(RagPipelineError):
    """pipeline.yaml or its environment overrides are not valid."""

    code = "settings"
    exit_code = 2


class SettingsChanged(RagPipelineError):
    """pipeline.yaml was edited while a run was under way, which would undo what a newer run has done."""

    code = "settings_changed"
    exit_code = 4


class UsageError(RagPipelineError):
    """A command or call was given arguments that do not fit together."""

    code = "usage"
    exit_code = 2


class SourceError(RagPipelineError):
    """Something is wrong with a source as a whole; nothing of it was taken away."""

    code = "source"


class SourceUnavailable(SourceError):
    """The source did not answer, or its location is not there."""

    code = "source_unavailable"
    retryable = True
    exit_code = 4


class MassDeletion(SourceError):
    """So much of a source vanished or was refused at once that it looks like a broken source."""

    code = "mass_deletion"
    exit_code = 1


class DocumentError(RagPipelineError):
    """One document could not be taken in. It goes to quarantine; the run goes on."""

    code = "document"


class DocumentUnreadable(DocumentError):
    """The source lists the object but its bytes cannot be read."""

    code = "unreadable"


class DocumentVanished(DocumentError):
    """The object was listed, but is gone when its bytes are asked for: it counts as not listed."""

    code = "vanished"


class LinkOutsideSource(DocumentError):
    """A symbolic link leads out of the source's folder."""

    code = "link_outside_source"


class InvalidMetadata(DocumentError):
    """Front matter or a sidecar that may hold permissions is malformed, so permissions are unknown."""

    code = "invalid_metadata"


class DocumentTooLarge(DocumentError):
    """The document is larger than the configured limit."""

    code = "too_large"


class UnsupportedMediaType(DocumentError):
    """No parser takes this kind of file."""

    code = "unsupported_media_type"


class UndecodableBytes(DocumentError):
    """The bytes are not text in any encoding that could be established."""

    code = "undecodable_bytes"


class UnparsableDocument(DocumentError):
    """The parser refused the document as broken."""

    code = "unparsable"


class EncryptedDocument(DocumentError):
    """The document needs a password."""

    code = "encrypted"


class NeedsOcr(DocumentError):
    """The document holds pictures of text but no text."""

    code = "needs_ocr"


class EmptyDocument(DocumentError):
    """Nothing is left to index: the document has no text."""

    code = "empty"


class LowQuality(DocumentError):
    """The document's quality score is below what its source asks for."""

    code = "low_quality"


class SensitiveContent(DocumentError):
    """The document holds secrets or personal data, and its source wants such documents refused."""

    code = "sensitive_content"


class LimitExceeded(DocumentError):
    """The document unpacks or expands past a safety limit."""

    code = "limit_exceeded"


class ParserTimeout(DocumentError):
    """Parsing took longer than the time limit, and its worker was stopped."""

    code = "parser_timeout"


class ParserCrashed(DocumentError):
    """The parser's worker process died on this document."""

    code = "parser_crashed"


class DagsterUnusable(RagPipelineError):
    """Dagster's own records of runs cannot be opened or written, so that no run can be made."""

    code = "dagster_unusable"


class WorkersUnavailable(RagPipelineError):
    """Worker processes were ended from outside as they started, or the machine had no room for them."""

    code = "workers_unavailable"
    retryable = True
    exit_code = 4


class ContractViolation(RagPipelineError):
    """Our own frame broke a table's promise: a bug or drift. Nothing was written."""

    code = "contract_violation"


class StoreError(RagPipelineError):
    """Reading or writing the lake failed."""

    code = "store"


class CommitConflict(StoreError):
    """Another writer changed the table at the same time, more often than we retry."""

    code = "commit_conflict"
    retryable = True
    exit_code = 4


class LakeBusy(StoreError):
    """Another process holds the lake's write lock."""

    code = "lake_busy"
    retryable = True
    exit_code = 4


class StoreUnavailable(StoreError):
    """The disk, network or object store that holds the lake did not answer."""

    code = "store_unavailable"
    retryable = True
    exit_code = 4


class LakeDamaged(StoreError):
    """Files of a table are gone, cut short or changed, so that it cannot be read."""

    code = "lake_damaged"


class TableMissing(StoreError):
    """A table that should be there is not."""

    code = "table_missing"


class TableOutdated(StoreError):
    """A table was written under another contract and lacks columns of the present one."""

    code = "table_outdated"


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


class ExtraMissing(RagPipelineError):
    """Packages that only some commands need are not installed."""

    code = "extra_missing"


class IndexIncomplete(RagPipelineError):
    """The index lacks something that silver holds; readers stay where they were."""

    code = "index_incomplete"
    exit_code = 1


class EvaluationBelowBaseline(RagPipelineError):
    """The index was not evaluated, or is worse than what readers see; they stay where they were."""

    code = "evaluation_below_baseline"
    exit_code = 1


class PermissionLeak(RagPipelineError):
    """A search returned what its asker may not read; readers stay where they were."""

    code = "permission_leak"
    exit_code = 1


class AuditFailed(RagPipelineError):
    """The index is not what silver says it should be; readers stay where they were."""

    code = "audit_failed"
    exit_code = 1
