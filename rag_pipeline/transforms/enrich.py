"""What is done to every parsed document before it is stored: language, quality, sensitive content, block hashes.

Belongs here: the order of these steps, the options of a source that change what comes out, and the refusals.
Does not belong here: how each is found (`language.py`, `quality.py`, `sensitive.py`). Runs in worker processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import LowQuality, SensitiveContent
from rag_pipeline.parsing.code.languages import LANGUAGES
from rag_pipeline.transforms import block_hashes, language, quality, sensitive

Sensitive = Literal["off", "flag", "redact", "quarantine"]


@dataclass(frozen=True, slots=True)
class EnrichOptions:
    """What a source wants of its documents.

    Attributes:
        min_quality: What scores lower is of low quality, 0 to 1; 0: nothing is.
        low_quality_weight: What the scores in search of documents of low quality are multiplied by; None: objects of
            low quality are refused instead.
        sensitive: What is done about secrets and personal data.
    """

    min_quality: float = 0.0
    sensitive: Sensitive = "off"
    low_quality_weight: float | None = None

    def rank_weight(self, quality_score: float) -> float:
        """What the scores in search of a document of this quality are multiplied by."""
        is_low = self.low_quality_weight is not None and quality_score < self.min_quality
        return self.low_quality_weight if is_low and self.low_quality_weight is not None else 1.0

    @property
    def hides_sensitive(self) -> bool:
        """Whether readers are to see no secrets and personal data."""
        return self.sensitive in ("redact", "quarantine")

    @property
    def recipe(self) -> str:
        """Everything here that decides what comes out; what looks for secrets counts only where it is asked to."""
        looks = "off" if self.sensitive == "off" else f"{self.sensitive}/{sensitive.VERSION}"
        low = f"{self.min_quality!r}/{'refused' if self.low_quality_weight is None else self.low_quality_weight!r}"
        versions = f"language/{language.VERSION} quality/{quality.VERSION} blocks/{block_hashes.VERSION}"
        return f"{versions} low/{low} sensitive/{looks}"


def enrich(document: ParsedDocument, media_type: str, options: EnrichOptions) -> ParsedDocument:
    """The document with its language, quality, block hashes and, where wanted, what is sensitive in it.

    Args:
        media_type: Of the object it came from; a part may name its own in its metadata.

    Raises:
        SensitiveContent: Something sensitive was found and the source wants such documents refused.
    """
    is_code = document.metadata.get("media_type", media_type) in LANGUAGES
    code, confidence = language.identify(document, is_code=is_code)
    parts = quality.measure(document, language_confidence=confidence, is_code=is_code)
    document = replace(document, language=code, quality=dict(document.quality) | parts)
    if options.sensitive != "off":
        document = _sensitive(document, options.sensitive)
    return replace(document, block_hashes=block_hashes.repeatable_hashes(document.text, document.blocks))


def check_quality(documents: Sequence[ParsedDocument], address: str, options: EnrichOptions) -> None:
    """Refuse an object whose documents score too low, as their mean by length: nothing of it is left out unseen.

    Raises:
        LowQuality: With the score and its lowest parts.
    """
    if options.min_quality <= 0 or options.low_quality_weight is not None or not documents:
        return
    total = sum(len(document.text) for document in documents)
    score = sum(quality.total_score(d.quality) * len(d.text) for d in documents) / max(1, total)
    if score >= options.min_quality:
        return
    worst = min(documents, key=lambda d: quality.total_score(d.quality)).quality
    lowest = sorted((value, name) for name, value in worst.items() if name in quality.WEIGHTS)[:3]
    named = ", ".join(f"{name} {value:.2f}" for value, name in lowest)
    raise LowQuality(
        f"{address}: the quality score {score:.2f} is below the source's min_quality {options.min_quality:g}; lowest "
        f"parts: {named}. Mend the document, exclude it, lower min_quality, or set low_quality to rank_down.",
        address=address,
        score=round(score, 3),
        min_quality=options.min_quality,
    )


def _sensitive(document: ParsedDocument, wanted: Sensitive) -> ParsedDocument:
    counts = sensitive.count_sensitive(document)
    if not counts:
        return document
    kinds = ", ".join(f"{kind} {count}" for kind, count in counts.items())
    if wanted == "quarantine":
        # Neither a value nor a part's name, which may itself be one.
        raise SensitiveContent(
            f"the document holds sensitive content ({kinds}). Remove it, exclude the document, or set the source's "
            f"`sensitive` to flag or redact.",
            kinds=counts,
        )
    if wanted == "redact":
        document = sensitive.redact(document)
    return replace(document, metadata={**document.metadata, "sensitive": kinds})
