"""What can be set about chunking, and the fingerprint that names a setting.

Belongs here: `ChunkParams` and the chunker's version.
Does not belong here: reading settings (`defs/`), or any cutting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.errors import SettingsError

CHUNKER_VERSION = "9"
"""Changes whenever the same document, parameters and tokenizer could give other chunks."""

# Fewer than a short sentence: headers alone would be embedded.
MIN_TEXT_TOKENS = 8
# A sentence of three hundred characters in most languages; of what a small model reads no more than a quarter.
CONTEXT_TOKENS = 96


@dataclass(frozen=True, slots=True)
class ChunkParams:
    """How long chunks may be and what is put before them.

    Attributes:
        max_tokens: Hard limit of header and text together, without the model's own special tokens.
        target_tokens: Whole units are packed up to this many tokens of header and text; a block between
            target and limit still stays whole. None means the limit itself.
        min_tokens: A last chunk of a section with fewer tokens of text takes a unit from the one before it;
            a definition of code with at least so many is a chunk of its own.
        header_max_tokens: Limit of the header alone.
        with_header: Whether chunks get a header at all.

    Raises:
        SettingsError: The numbers leave no room for text.
    """

    max_tokens: int = 254
    target_tokens: int | None = None
    min_tokens: int = 48
    header_max_tokens: int = 64
    with_header: bool = True

    def __post_init__(self) -> None:
        header_tokens = self.header_max_tokens if self.with_header else 0
        if self.max_tokens - header_tokens < MIN_TEXT_TOKENS:
            raise SettingsError(
                f"Chunks of {self.max_tokens} tokens with a header of up to {header_tokens} leave no room for "
                f"text. Raise `chunking.max_tokens`, or lower `chunking.header_max_tokens`.",
                max_tokens=self.max_tokens,
                header_max_tokens=self.header_max_tokens,
            )
        if self.target_tokens is not None and not 0 < self.target_tokens <= self.max_tokens:
            raise SettingsError(
                f"target_tokens is {self.target_tokens}; give a number from 1 to max_tokens ({self.max_tokens}).",
                target_tokens=self.target_tokens,
                max_tokens=self.max_tokens,
            )
        if self.min_tokens < 0 or self.header_max_tokens < 0:
            raise SettingsError("min_tokens and header_max_tokens cannot be negative; give 0 to switch off.")

    @property
    def pack_tokens(self) -> int:
        """The packing target, which is the limit where no target is set."""
        return self.max_tokens if self.target_tokens is None else self.target_tokens

    @property
    def usual_text_tokens(self) -> int:
        """About what a full chunk holds beside its header. The same for every document, whatever its headers are."""
        header_tokens = self.header_max_tokens // 2 if self.with_header else 0
        return max(self.pack_tokens - header_tokens, MIN_TEXT_TOKENS)

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the chunker's version and every field; the tokenizer has its own."""
        return fingerprint("chunk", CHUNKER_VERSION, *(repr(value) for value in astuple(self)))


def with_room(params: Mapping[str, Any], model_tokens: int, kinds: Collection[str] = ("context",)) -> dict[str, Any]:
    """Parameters of chunks that get something into their header later: shorter where the model could not read both.

    Args:
        params: Arguments of `ChunkParams`, `max_tokens` among them.
        model_tokens: What the embedding model reads.
        kinds: Of enrichments that write it. A translation is as long as what it translates, and text always has half.
    """
    room = len(kinds) * min(CONTEXT_TOKENS, model_tokens // 4)
    most = model_tokens - min(model_tokens if "translate" in kinds else room, model_tokens // 2)
    limits = ("max_tokens", "target_tokens")
    return {**params, **{name: min(params[name], most) for name in limits if params.get(name) is not None}}
