"""Secrets and personal data in a document: found by their form, counted, and replaced on request.

Belongs here: what each kind looks like, its checksum, and replacing it with the document's blocks kept exact.
Does not belong here: what is done about a finding (`enrich.py`), or guesses such as "looks random".

A secret counts when its form names its issuer, so that source code and hashes are left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rag_pipeline.contracts.documents import Block, ParsedDocument

# Part of the recipe of every source that looks for sensitive content.
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sensitive value: the half-open span `[start_char, end_char)` of a text, and its kind."""

    start_char: int
    end_char: int
    kind: str


def _luhn(found: str) -> bool:
    digits = [int(c) for c in found if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _iban(found: str) -> bool:
    compact = "".join(found.split()).upper()
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _always(_: str) -> bool:
    return True


def _kind(pattern: str, check: Callable[[str], bool] = _always) -> tuple[re.Pattern[str], Callable[[str], bool]]:
    return re.compile(pattern), check


# No word character may stand on either side, else it is a part of something longer.
_L, _R = r"(?<![A-Za-z0-9_-])", r"(?![A-Za-z0-9_-])"
_PEM = r"-----BEGIN ((?:[A-Z0-9]+ )*)PRIVATE KEY(?: BLOCK)?-----"
KINDS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    # First, because whatever lies inside it goes with it. A key that is cut off ends where its text does.
    "private_key": _kind(_PEM + r"(?:[\s\S]{0,20000}?-----END \1PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s]{0,20000})"),
    "aws_key": _kind(_L + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}" + _R),
    "github_token": _kind(_L + r"(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{36,251})" + _R),
    "gitlab_token": _kind(_L + r"gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_-]{20,}" + _R),
    "slack_token": _kind(_L + r"(?:xox[abeoprs]-|xapp-\d-)[A-Za-z0-9-]{10,}" + _R),
    "slack_webhook": _kind(r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,}"),
    "stripe_key": _kind(_L + r"(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,}" + _R),
    "google_key": _kind(_L + r"(?:AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28})" + _R),
    "openai_key": _kind(_L + r"sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})" + _R),
    "anthropic_key": _kind(_L + r"sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{20,}" + _R),
    "hugging_face_token": _kind(_L + r"hf_[A-Za-z]{34}" + _R),
    "npm_token": _kind(_L + r"npm_[A-Za-z0-9]{36}" + _R),
    "pypi_token": _kind(_L + r"pypi-AgE[A-Za-z0-9_-]{50,}" + _R),
    "azure_key": _kind(r"(?<=AccountKey=)[A-Za-z0-9+/]{86}==|(?<=SharedAccessKey=)[A-Za-z0-9+/]{43}="),
    "sendgrid_key": _kind(_L + r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}" + _R),
    "twilio_key": _kind(_L + r"SK[0-9a-f]{32}" + _R),
    "json_web_token": _kind(_L + r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}" + _R),
    "email": _kind(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"),
    "iban": _kind(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])", _iban),
    "credit_card": _kind(r"(?<![\w.+-])[3-6]\d{3}(?:[ -]?\d){9,15}(?![\w-]|\.\d)", _luhn),
    "us_ssn": _kind(r"(?<![\w.-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-]|\.\d)"),
}


def find_sensitive(text: str) -> list[Finding]:
    """Sensitive values of a text, in order, none overlapping another; the one that begins first wins, then the longer."""
    found = [
        Finding(match.start(), match.end(), kind)
        for kind, (pattern, check) in KINDS.items()
        for match in pattern.finditer(text)
        if check(match.group())
    ]
    found.sort(key=lambda one: (one.start_char, -one.end_char, one.kind))
    kept: list[Finding] = []
    for one in found:
        if not kept or one.start_char >= kept[-1].end_char:
            kept.append(one)
        elif one.end_char > kept[-1].end_char:
            # Two that overlap are one secret place: nothing of either may stay.
            kept[-1] = replace(kept[-1], end_char=one.end_char)
    return kept


def count_sensitive(document: ParsedDocument) -> dict[str, int]:
    """How many values of each kind a document holds, in its text and in what is shown beside it; never a value."""
    counts = Counter(one.kind for text in _texts(document) for one in find_sensitive(text))
    return dict(sorted(counts.items()))


def redact(document: ParsedDocument) -> ParsedDocument:
    """The document with each sensitive value replaced by `[redacted:<kind>]`, and its blocks where they now are."""
    text, blocks = document.text, document.blocks
    while found := find_sensitive(text):
        # Again until nothing is found: what stood on both sides of a value can form another.
        text, blocks = _replaced(text, blocks, found)
    return replace(
        document,
        text=text,
        blocks=tuple(replace(b, label=redact_text(b.label)) if b.label else b for b in blocks),
        title=redact_text(document.title) if document.title else None,
        author=redact_text(document.author) if document.author else None,
        metadata={name: redact_text(value) for name, value in document.metadata.items()},
    )


def redact_text(text: str) -> str:
    """`text` with each sensitive value replaced."""
    while found := find_sensitive(text):
        text = _replaced(text, (), found)[0]
    return text


def _texts(document: ParsedDocument) -> list[str]:
    # A label repeats what is in the text, so it is redacted but not counted.
    shown = [document.title or "", document.author or "", *document.metadata.values()]
    return [document.text, *(text for text in shown if text and text not in document.text)]


def _replaced(text: str, blocks: Sequence[Block], found: Sequence[Finding]) -> tuple[str, tuple[Block, ...]]:
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    position = length = 0
    for one in found:
        word = f"[redacted:{one.kind}]"
        start = length + one.start_char - position
        pieces += (text[position : one.start_char], word)
        position, length = one.end_char, start + len(word)
        spans.append((start, length))
    pieces.append(text[position:])
    return "".join(pieces), _moved("".join(pieces), blocks, found, spans)


def _moved(
    text: str, blocks: Sequence[Block], found: Sequence[Finding], spans: Sequence[tuple[int, int]]
) -> tuple[Block, ...]:
    """Blocks at their new places. A replaced value that reached over several blocks belongs to the first of them."""
    ends = [one.end_char for one in found]
    moved: list[Block] = []
    owned = -1

    def place(char: int, *, is_start: bool) -> int:
        at = bisect_left(ends, char + 1 if is_start else char)
        if at < len(found) and found[at].start_char < char:
            return spans[at][0] if is_start and at > owned else spans[at][1]
        return char + (spans[at - 1][1] - found[at - 1].end_char if at else 0)

    for block in blocks:
        start, end = place(block.start_char, is_start=True), place(block.end_char, is_start=False)
        owned = max(owned, bisect_left(ends, block.end_char + 1) - 1)
        last = bisect_left(ends, block.end_char)
        if last < len(found) and found[last].start_char < block.end_char:
            owned = max(owned, last)
        body = text[start:end].strip()
        if body:
            start += len(text[start:end]) - len(text[start:end].lstrip())
            moved.append(replace(block, start_char=start, end_char=start + len(body)))
    return tuple(moved)
