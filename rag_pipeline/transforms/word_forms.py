"""What of a text is indexed beside its words: identifiers, acronyms, beginnings of inflected words, parts of compounds.

Belongs here: the forms of a text, and which of them a query looks up.
Does not belong here: the full-text index itself (`stores/upkeep.py`), the search (`stores/retrievers.py`).

A tokenizer reads `v1.10.2` as the words of `v2.1.10`, `C++` as C, `IT` as it, and `calibrateForwardSensors` as one word
that nobody types; and an index has the stemmer of one language. So a row has the forms of its text in a column of their
own, separated by blanks. An identifier of several words stands there whole and by its words; what is written like an
acronym or a name but is a common word otherwise (IT, WHO, The Who) stands there with a mark that plain words never
have. In every language but English, words stand there by their beginnings, which do a stemmer's work without knowing
the language (the numbers are in docs/decisions.md), and long words of languages that write compounds by all parts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

MARK = "^"
BEGINNING = "~"
# Parts of a word this short say nothing: `isValid`, `toList`.
LEAST_PART = 3
# Between letters of a digest there are no words.
LONGEST_NAMED = 64

_COMMON_WORDS = """
a about all also am an and any are as at be been but by can did do does for from get had has have he her him his how i
if in into is it its may me might more most must my no nor not now of on one or our out over own she so some such than
that the their them then there these they this those to too up us was we were what when where which while who whom why
will with would yes you your
"""
COMMON = frozenset(_COMMON_WORDS.split())
# A question with one of these is English; words that other languages have too, like is, was and of, are left out.
_ENGLISH_WORDS = """
between did does during from have how many the these this those what when where which whose why with
"""
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
# An index whose stemmer is theirs has the words of these already.
STEMMED = frozenset({"en"})
# They write words together that are looked for one by one.
COMPOUNDING = frozenset({"da", "de", "fi", "is", "nb", "nl", "nn", "no", "sv"})
BEGINNING_LETTERS = 5
# Particles follow a word of two or three syllables; a root has three or four letters.
SYLLABLES = 2
ROOT_LETTERS = 4
LEAST_COMPOUND = 10
LEAST_COMPOUND_PART = 3

_PUNCTUATION = "?!.,;:\"'()[]"

# The signs that hold an identifier together, inside it; and those that belong to its end.
_CANDIDATE = re.compile(r"(?<![A-Za-z0-9_])\.?[A-Za-z0-9_@$][A-Za-z0-9_.\\/:@#+~%&$-]*", re.ASCII)
_END = re.compile(r"[.\\/:@~%&$-]+$")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_CAMEL = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z]")
_MIXED = re.compile(r"[A-Za-z][0-9]|[0-9][A-Za-z]")
_SIGNS = re.compile(r"[.\\/:@#+~%&$_]|-(?=.*[0-9])|[0-9].*-")
_ABBREVIATION = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]|[a-z]+/[a-z]+")
_LAST = re.compile(r"(?<=[/\\])[^/\\]+$")
_HEX = re.compile(r"[0-9a-fA-F]{16,}")
# Vowel signs are no letters to Python, and stand inside words.
_LETTERS = re.compile(r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0dff])*")
# The same and digits: what a question asks by.
_SPOKEN = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0dff])*")
_SCRIPTS = (
    (0x0600, 0x06FF, "arabic"),
    (0x0E00, 0x0EFF, "unspaced"),
    (0x1000, 0x109F, "unspaced"),
    (0x1100, 0x11FF, "hangul"),
    (0x1780, 0x17FF, "unspaced"),
    (0x3040, 0x9FFF, "unspaced"),
    (0xAC00, 0xD7AF, "hangul"),
)
# What Arabic writes together with a word: article and prepositions before it, number and owner after it.
_ARTICLE = re.compile(r"^(?:[وفبكل]?ال|لل|و)(?=\w{3})")
_ENDING = re.compile(r"(?<=\w{3})(?:ها|ان|ات|ون|ين|يه|ية|ه|ة|ي)$")  # noqa: RUF001
_ARABIC_FORMS = str.maketrans("أإآى", "اااي", "".join(map(chr, (*range(0x064B, 0x0660), 0x0670, 0x0640))))
_ACRONYM = re.compile(r"(?<![\w.])[A-Z]{2,6}(?![\w.]\w)")
_NAMED = re.compile(r"(?<!\w)[A-Z][a-z]*(?: [A-Z][a-z]*)+(?!\w)")


@dataclass(frozen=True, slots=True)
class Sought:
    """Letters that a text has if it says a word: the word itself, the beginning of one, or anywhere."""

    letters: str
    place: Literal["is", "begins", "anywhere"]


def forms_of(text: str, language: str | None) -> str:
    """Forms of a text, each once, with blanks between; empty if there are none.

    Args:
        text: In normal form C, as documents are.
        language: ISO 639-1 code, if it is known.
    """
    found = [*_identifiers(text), *_acronyms(text), *_names(text)]
    if language is not None and language not in STEMMED:
        found += _beginnings(text, has_compounds=language in COMPOUNDING)
    return " ".join(dict.fromkeys(found))


def asked_words(query: str) -> str:
    """A query without its common words, which say nothing of what is asked; as it is where it has no others."""
    words = query.split()
    kept = [
        word for word in words if (len(word) > 1 and word.isupper()) or word.lower().strip(_PUNCTUATION) not in COMMON
    ]
    telling = [word for word in kept if any(map(str.isalnum, word))]
    return " ".join(kept) if telling else query


def asked_identifiers(query: str) -> str:
    """What of a query is looked up among identifiers; its plain words too, for they may be parts of one."""
    words = re.findall(r"\w+", query.lower())
    found = [*_identifiers(query), *_acronyms(query), *_names(query), *(word for word in words if word not in COMMON)]
    if words and all(word in COMMON for word in words):
        # Nothing but common words: then they are meant as a name.
        found += [f"{MARK}{word}" for word in words] if len(words) == 1 else []
        found += [_name(words[at : at + 2]) for at in range(len(words) - 1)]
    return " ".join(dict.fromkeys(found))


def asked_beginnings(query: str) -> str:
    """What of a query is looked up among beginnings of words; nothing of an English one, whose words are stemmed."""
    if not _ENGLISH.isdisjoint(re.findall(r"\w+", query.lower())):
        return ""
    return " ".join(dict.fromkeys(_beginnings(unicodedata.normalize("NFC", query), has_compounds=False)))


def sought_in(query: str) -> list[Sought]:
    """What a text that says a query's words has, each once, as `with_plain_letters` writes it.

    Words are looked for by their beginnings, which are the same in most of their forms; where nothing parts words, by
    pairs of letters.
    """
    found: list[Sought] = []
    for match in _SPOKEN.finditer(with_plain_letters(unicodedata.normalize("NFC", asked_words(query)))):
        word = match.group()
        script = _script(word)
        if script == "unspaced":
            pairs = [word[at : at + 2] for at in range(len(word) - 1)] or [word]
            found += [Sought(pair, "anywhere") for pair in pairs]
        elif script == "arabic":
            found.append(Sought(_ENDING.sub("", _ARTICLE.sub("", word))[:ROOT_LETTERS], "anywhere"))
        else:
            length = SYLLABLES if script == "hangul" else BEGINNING_LETTERS
            found.append(Sought(word[:length], "begins" if len(word) >= length else "is"))
    return list(dict.fromkeys(found))


def with_plain_letters(text: str) -> str:
    """A text without differences of letter case and of Arabic spelling."""
    return text.casefold().translate(_ARABIC_FORMS)


def _identifiers(text: str) -> Iterator[str]:
    for match in _CANDIDATE.finditer(text):
        whole = _END.sub("", match.group())
        name = whole.removeprefix(".")
        signs, camel = _SIGNS.search(whole), _CAMEL.search(name)
        if not (signs or camel or _MIXED.search(name)) or _HEX.fullmatch(name) or _ABBREVIATION.fullmatch(name):
            continue
        yield whole.lower()
        last = _LAST.search(whole)
        if last and _SIGNS.search(last.group()):
            yield last.group().lower()
        if len(name) > LONGEST_NAMED and not camel:
            continue
        parts = _WORD.findall(name)
        if len(parts) > 1 and (camel or _MIXED.search(name)):
            yield from (part.lower() for part in parts if len(part) >= LEAST_PART and part.lower() not in COMMON)


def _acronyms(text: str) -> Iterator[str]:
    for match in _ACRONYM.finditer(text):
        word = match.group().lower()
        if word in COMMON:
            yield f"{MARK}{word}"


def _names(text: str) -> Iterator[str]:
    """Pairs of common words that are written as a name, like The Who."""
    for match in _NAMED.finditer(text):
        words = match.group().lower().split(" ")
        for at in range(len(words) - 1):
            if words[at] in COMMON and words[at + 1] in COMMON:
                yield _name(words[at : at + 2])


def _name(words: list[str]) -> str:
    return MARK + MARK.join(words)


def _beginnings(text: str, *, has_compounds: bool) -> Iterator[str]:
    for word in _words(text):
        script = _script(word)
        if script == "unspaced":
            continue
        if script == "arabic":
            word = _ARTICLE.sub("", word.translate(_ARABIC_FORMS))
            word = _ENDING.sub("", word)[:ROOT_LETTERS]
            if len(word) >= LEAST_PART:
                yield BEGINNING + word
            continue
        length = SYLLABLES if script == "hangul" else BEGINNING_LETTERS
        if len(word) >= length:
            yield BEGINNING + word[:length]
        if has_compounds and len(word) >= LEAST_COMPOUND:
            last = len(word) - BEGINNING_LETTERS
            yield from (BEGINNING + word[at : at + length] for at in range(LEAST_COMPOUND_PART, last + 1))


def _words(text: str) -> Iterable[str]:
    return (match.group() for match in _LETTERS.finditer(text.lower()))


def _script(word: str) -> str:
    first = ord(word[0])
    return next((name for low, high, name in _SCRIPTS if low <= first <= high), "letters")
