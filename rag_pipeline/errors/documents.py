"""Sources and their documents: what stands still, and what is quarantined with which reason code."""

from __future__ import annotations

from rag_pipeline.errors.base import RagPipelineError


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


class DocumentUnavailable(DocumentUnreadable):
    """What gives the object does not answer for it now, so what was read of it before stands; if anything was."""

    code = "unavailable"


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


class DocumentErased(DocumentError):
    """The bytes are those of a document that was erased, and whoever erased it wanted them under no name."""

    code = "erased"
