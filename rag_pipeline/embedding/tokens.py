"""Where the tokens of a text lie, as the embedding model's own tokenizer sees them, and how much they can mean.

Belongs here: opening a tokenizer with its stored truncation and padding off, and what is told from its tokens.
Does not belong here: deciding where to cut (`transforms/chunk`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.errors import SettingsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WORDS = re.compile(r"\w+|[^\w\s]")
# What tokenizers call a word that is none of theirs.
_UNKNOWN = ("[UNK]", "<unk>")
# Characters that stand for more than a letter: a syllable of Hangul is written with two letters or three, and a Chinese
# text has a third of the letters of its English translation.
_LARGE = ((0x3400, 0x9FFF, 3), (0xAC00, 0xD7AF, 2), (0xF900, 0xFAFF, 3), (0x20000, 0x3FFFF, 3))


def open_tokenizer(file: Path, lower_case: bool) -> Tokenizer:
    """A tokenizer that neither cuts nor pads, whatever its file says."""
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Lowercase
    from tokenizers.normalizers import Sequence as NormalizerSequence

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if lower_case:
        # Lower-casing inside the tokenizer keeps spans in the original text exact.
        rest = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = NormalizerSequence([Lowercase(), *rest])
    return tokenizer


def letters_per_token(tokenizer: Tokenizer, text: str) -> float:
    """How many letters the tokens of a text have, on average; infinite where none of them has any.

    A model cuts the languages that it was made for into words and large parts of them, one that it has seen little of
    into small parts, and a script that it was not made for into loose letters at best: what those mean together it has
    never learnt. Letters of tokens that are none of the model's do not count. Digits tell nothing of a language.
    """
    encoding = tokenizer.encode(text, add_special_tokens=False)
    unknown = {tokenizer.token_to_id(name) for name in _UNKNOWN} - {None}
    tokens, letters, counted = 0, 0, 0
    for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        tokens += any(map(str.isalpha, text[start:end]))
        # Several tokens may be parts of one character.
        if token not in unknown:
            letters += sum(_size(sign) for sign in text[max(start, counted) : end] if sign.isalpha())
        counted = max(counted, end)
    return letters / tokens if tokens else math.inf


def _size(character: str) -> int:
    """For how many letters of an alphabet a character stands."""
    place = ord(character)
    return next((size for low, high, size in _LARGE if low <= place <= high), 1)


class HuggingFaceTokenCounter:
    """Counts with a `tokenizer.json`; opened on first use in each process.

    Args:
        file: The tokenizer.
        tokenizer_hash: Of that file, as in the embedding space.
        limit_tokens: The model's limit, special tokens included.
        document_prompt: Put before every text, so it takes part of the limit.
    """

    def __init__(
        self, file: Path, tokenizer_hash: str, limit_tokens: int, document_prompt: str = "", lower_case: bool = False
    ) -> None:
        self._file = file
        self._lower_case = lower_case
        self._opened: Tokenizer | None = None
        reserved = self.tokenizer.num_special_tokens_to_add(False) + len(self.token_spans(document_prompt))
        self.max_tokens = _usable(limit_tokens, reserved)
        self.fingerprint = fingerprint("tokens", tokenizer_hash, str(self.max_tokens))

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """See `TokenCounter`."""
        spans: list[tuple[int, int]] = self.tokenizer.encode(text, add_special_tokens=False).offsets
        return spans

    def token_spans_batch(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """See `TokenCounter`."""
        encodings = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.offsets for encoding in encodings]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """See `TokenCounter`."""
        return [len(encoding) for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    @property
    def tokenizer(self) -> Tokenizer:
        """Opened on first use."""
        if self._opened is None:
            self._opened = open_tokenizer(self._file, self._lower_case)
        return self._opened

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}


class WordTokenCounter:
    """Counts words and punctuation marks, for models without a tokenizer of their own.

    For an endpoint this is an estimate: most tokenizers cut rare words further. Leave room in `max_tokens`,
    or name a folder with the model's `tokenizer.json` to count exactly.
    """

    def __init__(self, tokenizer_hash: str, limit_tokens: int, document_prompt: str = "") -> None:
        self.max_tokens = _usable(limit_tokens, len(self.token_spans(document_prompt)))
        self.fingerprint = fingerprint("tokens", tokenizer_hash, str(self.max_tokens))

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """See `TokenCounter`."""
        return [match.span() for match in _WORDS.finditer(text)]

    def token_spans_batch(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """See `TokenCounter`."""
        return [self.token_spans(text) for text in texts]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """See `TokenCounter`."""
        return [len(self.token_spans(text)) for text in texts]


def words_of(text: str) -> list[str]:
    """The words that `WordTokenCounter` counts, lower-cased."""
    return _WORDS.findall(text.lower())


def _usable(limit_tokens: int, reserved_tokens: int) -> int:
    if limit_tokens <= reserved_tokens:
        raise SettingsError(
            f"`max_tokens: {limit_tokens}` leaves no room for text: special tokens and the document prompt alone "
            f"take {reserved_tokens}"
        )
    return limit_tokens - reserved_tokens
