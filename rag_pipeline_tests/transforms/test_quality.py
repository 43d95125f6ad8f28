"""The quality score: only extremes are low, whatever the kind of document."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.errors import DocumentError, LowQuality
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.transforms.enrich import EnrichOptions, check_quality, enrich
from rag_pipeline.transforms.quality import PIECE_CHARS, WEIGHTS, measure, total_score
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.transforms.test_language import TEXTS

SAMPLE = sorted(path for path in (REPOSITORY / "data" / "sample").rglob("*") if path.is_file())
NOUNS = [
    "crane",
    "pier",
    "gate",
    "lock",
    "buoy",
    "ramp",
    "quay",
    "dock",
    "mast",
    "hull",
    "keel",
    "sail",
    "tide",
    "rope",
]
VERBS = ["lifts", "holds", "meets", "leaves", "guards", "follows", "carries", "reaches", "shadows", "cools", "turns"]


def sentences(count: int) -> str:
    """English sentences that hardly repeat each other."""
    words = random.Random(3)
    return "\n".join(
        f"Before the {words.choice(NOUNS)} {words.choice(VERBS)} a {words.choice(NOUNS)}, the {words.choice(NOUNS)} of "
        f"{words.choice(NOUNS)} {words.randrange(10**6)} {words.choice(VERBS)} another {words.choice(NOUNS)}."
        for _ in range(count)
    )


PROSE = sentences(20)


def scored(text: str, address: str = "a.txt", media_type: str = "text/plain") -> float:
    (document,) = parse(text.encode(), media_type, address, ParseLimits())
    return total_score(enrich(document, media_type, EnrichOptions()).quality)


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.name)
def test_the_sample_is_good(path: Path) -> None:
    raw = path.read_bytes()
    media_type = media_type_of(path.name, raw)
    try:
        documents = parse(raw, media_type, path.name, ParseLimits())
    except DocumentError:
        pytest.skip("refused by its parser")
    for document in documents:
        assert total_score(enrich(document, media_type, EnrichOptions()).quality) > 0.5


@pytest.mark.parametrize("code", TEXTS)
def test_good_prose_is_good_in_every_script(code: str) -> None:
    assert scored("\n\n".join(f"{number}. {TEXTS[code]}" for number in range(3))) > 0.8


def _mash(random_: random.Random) -> str:
    return " ".join(
        "".join(random_.choices("asdfghjklqwertzuiopyxcvbnm", k=random_.randint(2, 12))) for _ in range(300)
    )


def _scanned(random_: random.Random) -> str:
    """What OCR makes of a stained page: look-alikes for letters, specks as punctuation."""
    alike = {"o": "0", "l": "1", "e": "c", "h": "b", "m": "rn", "i": "|", "s": "5", "a": "@"}

    def noisy(char: str) -> str:
        if random_.random() < 0.12:
            return random_.choice("~^|;'`. ,°¬")
        return alike.get(char, char) if random_.random() < 0.35 else char

    return "".join(noisy(char) for char in PROSE)


GARBAGE: dict[str, Callable[[random.Random], str]] = {
    "wrong alphabet": lambda _: (TEXTS["ru"] * 3).encode("koi8-r").decode("latin-1"),
    "wrong width": lambda _: (TEXTS["ja"] * 3).encode("shift_jis").decode("cp1252", "replace"),
    "lost characters": lambda r: "".join("\ufffd" if r.random() < 0.2 else char for char in PROSE),
    "base64 in lines": lambda r: base64.encodebytes(r.randbytes(5_000)).decode(),
    "base64 in one": lambda r: base64.b64encode(r.randbytes(5_000)).decode(),
    "hexadecimal": lambda r: r.randbytes(3_000).hex(),
    "keyboard mash": _mash,
    "stained scan": _scanned,
    "one line": lambda _: "This site uses cookies to improve your experience.\n" * 500,
    "one paragraph": lambda _: "This site uses cookies to improve your experience.\n\n" * 500,
    "signs": lambda r: "".join(r.choice("#$%^&*()_+{}|:<>?~=-[];',./\\@! ") for _ in range(2_000)),
}


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("seed", range(3))
def test_garbage_scores_low(kind: str, seed: int) -> None:
    assert scored(GARBAGE[kind](random.Random(seed))) < 0.3


def test_a_tiny_document_is_no_garbage() -> None:
    assert scored("Out of office.") > 0.5
    assert scored("äöü ßéè") > 0.5


def test_hashes_and_addresses_are_no_encoded_dump() -> None:
    lines = "\n".join(f"- `{index:040x}` {index:064x} https://example.com/a/{'b' * 90}" for index in range(40))
    document = ParsedDocument(lines, (Block("list", 0, len(lines)),))
    assert measure(document)["unencoded"] == 1.0


def test_a_long_document_is_judged_by_its_pieces() -> None:
    good = sentences(6 * PIECE_CHARS // 80)
    assert scored(good) > 0.7
    dump = base64.encodebytes(random.Random(1).randbytes(5 * PIECE_CHARS)).decode()
    assert scored(PROSE + "\n\n" + dump) < 0.5


@given(st.text(min_size=1, max_size=300), st.booleans(), st.none() | st.floats(0, 1))
def test_every_part_and_the_score_lie_between_0_and_1(text: str, is_code: bool, confidence: float | None) -> None:
    document = ParsedDocument(text, (Block("paragraph", 0, len(text)),))
    parts = measure(document, language_confidence=confidence, is_code=is_code)
    assert set(parts) <= set(WEIGHTS)
    assert all(0 <= value <= 1 for value in parts.values())
    assert 0 <= total_score(parts) <= 1
    assert parts == measure(document, language_confidence=confidence, is_code=is_code)


@given(st.dictionaries(st.sampled_from(sorted(WEIGHTS)), st.floats(0, 1), min_size=1), st.data())
def test_a_better_part_never_lowers_the_score(parts: dict[str, float], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(parts)))
    better = parts | {name: data.draw(st.floats(parts[name], 1))}
    assert total_score(better) >= total_score(parts)


def test_an_object_below_the_threshold_is_refused_with_its_score_and_lowest_parts() -> None:
    options = EnrichOptions(min_quality=0.4)
    (mash,) = parse(_mash(random.Random(1)).encode(), "text/plain", "a.txt", ParseLimits())
    with pytest.raises(LowQuality, match=r"a\.txt: the quality score 0\.\d\d .* min_quality 0\.4; lowest parts: \w+ 0"):
        check_quality([enrich(mash, "text/plain", options)], "a.txt", options)


def test_one_bad_record_among_many_good_ones_refuses_nothing() -> None:
    options = EnrichOptions(min_quality=0.4)
    texts = [PROSE, PROSE.replace("harbour", "river"), "asdkjfh qwlekrj zxcvmnb"]
    parsed = [parse(text.encode(), "text/plain", "a", ParseLimits())[0] for text in texts]
    check_quality([enrich(document, "text/plain", options) for document in parsed], "a", options)
