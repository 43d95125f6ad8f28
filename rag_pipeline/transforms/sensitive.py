"""Secrets and personal data in a document: found by their form, counted, and replaced on request.

Belongs here: what each kind looks like, its checksum, and replacing it with the document's blocks kept exact.
Does not belong here: what is done about a finding (`enrich.py`), or guesses such as "looks random".

A secret counts when its form names its issuer, so that source code and hashes are left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.contracts.sources import DeclaredMetadata
from rag_pipeline.parsing.builder import one_line

# Part of the recipe of every source that looks for sensitive content.
VERSION = "2"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sensitive value: the half-open span `[start_char, end_char)` of a text, and its kind."""

    start_char: int
    end_char: int
    kind: str


# How many characters of what a pattern found are the value; 0 if it only looks like one.
Check = Callable[[str], int]
_BASE64 = re.compile(r"[A-Za-z0-9+/=]{16,}")


def _whole(found: str) -> int:
    return len(found)


def _luhn(found: str) -> int:
    digits = [int(c) for c in found if c.isdigit()]
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]
    return 0 if len(set(digits)) == 1 or (sum(digits[-1::-2]) + sum(doubled)) % 10 else len(found)


def _iban(found: str) -> int:
    """The longest beginning of whole groups whose ISO 7064 checksum (mod 97) is right."""
    ends = [len(found), *(i for i in range(len(found) - 1, 14, -1) if found[i] == " ")]
    for end in ends:
        compact = found[:end].replace(" ", "")
        if 15 <= len(compact) <= 34 and int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1:
            return end
    return 0


def _pem(found: str) -> int:
    """Documentation shows the first and last line with dots between them, which is no key."""
    return len(found) if sum(map(len, _BASE64.findall(found))) >= 64 else 0


def _email(found: str) -> int:
    return 0 if found.startswith("git@") else len(found)


def _kind(pattern: str, check: Check = _whole) -> tuple[str, Check]:
    return pattern, check


# No word character may stand on either side, else it is a part of something longer.
_L, _R = r"(?<![A-Za-z0-9_-])", r"(?![A-Za-z0-9_-])"
_PEM = r"-----BEGIN ((?:[A-Z0-9]+ )*)PRIVATE KEY(?: BLOCK)?-----"
KINDS: dict[str, tuple[str, Check]] = {
    # First, because whatever lies inside it goes with it. A key that is cut off ends where its text does.
    "private_key": _kind(
        _PEM + r"(?:(?:(?!-----BEGIN)[\s\S]){0,20000}?-----END \1PRIVATE KEY(?: BLOCK)?-----"
        r"|(?:\s*[A-Za-z0-9+/=]{16,}){1,400}(?:\n[A-Za-z0-9+/=]{1,63}(?![^\n]))?)",
        _pem,
    ),
    "aws_key": _kind(_L + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}" + _R),
    "github_token": _kind(_L + r"(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{36,251})" + _R),
    "gitlab_token": _kind(_L + r"gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_-]{20,}" + _R),
    "slack_token": _kind(_L + r"(?:xox[abeoprs]-|xapp-\d-)[A-Za-z0-9-]{10,}" + _R),
    "slack_webhook": _kind(r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,}"),
    "stripe_key": _kind(_L + r"(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,}" + _R),
    "google_key": _kind(_L + r"(?:AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28})" + _R),
    "openai_key": _kind(
        _L + r"sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})" + _R
    ),
    "anthropic_key": _kind(_L + r"sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{20,}" + _R),
    "hugging_face_token": _kind(_L + r"hf_[A-Za-z]{34}" + _R),
    "npm_token": _kind(_L + r"npm_[A-Za-z0-9]{36}" + _R),
    "pypi_token": _kind(_L + r"pypi-AgE[A-Za-z0-9_-]{50,}" + _R),
    "azure_key": _kind(r"(?<=AccountKey=)[A-Za-z0-9+/]{86}==|(?<=SharedAccessKey=)[A-Za-z0-9+/]{43}="),
    "sendgrid_key": _kind(_L + r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}" + _R),
    "twilio_key": _kind(_L + r"SK[0-9a-f]{32}" + _R),
    "json_web_token": _kind(_L + r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}" + _R),
    "email": _kind(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])", _email),
    "iban": _kind(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,10}(?![A-Za-z0-9])", _iban),
    "credit_card": _kind(
        r"(?<![\w.+-])(?=[2-6])(?:(?:\d{4}[ -]){3}\d{4}|\d{4}[ -]\d{6}[ -]\d{5}|\d{13,19})(?![\w-]|\.\d)", _luhn
    ),
    "us_ssn": _kind(r"(?<![\w.-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-]|\.\d)"),
}


@cache
def _patterns(*, is_folded: bool) -> Mapping[str, tuple[re.Pattern[str], Check]]:
    """What finds each kind, made when a text is first looked at: most runs look at none."""
    flags = re.IGNORECASE if is_folded else re.NOFLAG
    return {kind: (re.compile(pattern, flags), check) for kind, (pattern, check) in KINDS.items()}


def find_sensitive(text: str, *, is_folded: bool = False) -> list[Finding]:
    """Sensitive values of a text in order; where two overlap they are one, named for what begins first.

    Args:
        is_folded: Capitals were made small in it.
    """
    found = [
        Finding(match.start(), match.start() + length_chars, kind)
        for kind, (pattern, check) in _patterns(is_folded=is_folded).items()
        for match in pattern.finditer(text)
        if (length_chars := check(match.group()))
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


def redact_declared(declared: DeclaredMetadata) -> DeclaredMetadata:
    """What sidecar and front matter say, with the same done to all that is shown of it."""
    return replace(
        declared,
        title=redact_text(declared.title) if declared.title else None,
        author=redact_text(declared.author) if declared.author else None,
        extra={name: redact_text(value) for name, value in declared.extra.items()},
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
    for block in blocks:
        at = bisect_right(ends, block.start_char)
        starts_inside = at < len(found) and found[at].start_char < block.start_char
        if starts_inside:
            start = spans[at][1] if at <= owned else spans[at][0]
        else:
            start = block.start_char + (spans[at - 1][1] - ends[at - 1] if at else 0)
        last = bisect_left(ends, block.end_char)
        if last < len(found) and found[last].start_char < block.end_char:
            end = spans[last][1]
            owned = last
        else:
            end = block.end_char + (spans[last - 1][1] - ends[last - 1] if last else 0)
        body = text[start:end].strip()
        # A picture stays one of the document's, also where nothing is left of what was read from it.
        if body or block.kind == "picture":
            start += len(text[start:end]) - len(text[start:end].lstrip())
            # A label may repeat the value's middle, which alone nothing tells for what it is.
            label = one_line(body) if starts_inside and block.label else block.label
            moved.append(replace(block, start_char=start, end_char=start + len(body), label=label))
    return tuple(moved)
