"""Questions without a model: a known passage is asked for by its heading, a rare phrase, a number or what it denies.

Belongs here: the kinds, the wording in each language, invented words and typing errors.
Does not belong here: whether a draft is a good question (`verify.py`).

Nothing is drawn by chance: a digest of the passage chooses among wordings. So a passage gives the same questions again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from rag_pipeline.contracts.ids import digest
from rag_pipeline.evaluation.drafts import MOST_QUESTION_CHARS, Draft, Passage
from rag_pipeline.evaluation.verify import VERIFIER
from rag_pipeline.evaluation.words import LEAST_CHARS, Vocabulary, seen_of, sentences_of, words_of
from rag_pipeline.transforms.word_forms import COMMON

# Raise it when the same passage gives other questions.
VERSION = "2"
GENERATOR = f"templates {VERSION}"
KINDS = ("heading", "phrase", "number", "negation", "unanswerable", "typo")
# So many words name a sentence among thousands, and leave most of it unsaid.
_TERMS = 3
# A heading of more words is a sentence, and a title of more words an abstract; their rarest words stand for them.
_HEADING_WORDS = 4
_TITLE_WORDS = 8
_PHRASE_WORDS = 3
# As much of a passage as tells that it is still there; longer ones are cut in two by another chunk size.
QUOTE_CHARS = 160
# What somebody types wrongly is not the shortest word.
_LEAST_MISTYPED_CHARS = 6
# Kinds of chunk that have sentences.
_PROSE = frozenset({"heading", "paragraph", "list", "quote", "html", "cue"})
_NEGATION_WORDS = """
not never no cannot without neither nor nicht kein keine keinen keiner nie niemals ohne jamais sans nunca sin
"""
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
# Words of denial that deny nothing: an answer to tick, a price, one more thing that is so.
_NO_DENIAL = re.compile(
    r"\b(?:yes\W{1,3}no|no\W{1,3}yes|not (?:only|necessarily)|no matter|no (?:\w+ )?(?:cost|charge)|if not|or not"
    r"|nicht nur|ob oder nicht|non seulement|no s[oó]lo)\b",
    re.IGNORECASE,
)
# Not the number of a name, like COVID-19.
_NUMBER = re.compile(r"(?<![\w.])(?<![^\W\d]-)\d[\d.,:]*(?![\w])")
_LIST_MARK = re.compile(r"^(?:[-*•#>|]+|\d{1,2}[.)])\s+")

# By language, then by kind; "" is for every other language, whose words are typed without a sentence around them.
_WORDINGS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "en": {
        "heading": (
            "What does {title} say on {topic}?",
            "{topic}: what applies according to {title}?",
            "Explain {topic} as in {title}.",
            "I am looking for {topic} ({title}).",
            "Where in {title} is {topic} covered?",
        ),
        "phrase": (
            "Where is {phrase} mentioned?",
            "Which text speaks of {phrase}?",
            "Find the passage with {phrase}.",
            "What stands around {phrase}?",
        ),
        "number": (
            "Which figure goes with {terms}?",
            "How much or how many is said of {terms}?",
            "I need the number for {terms}.",
            "What amount, time or count is given for {terms}?",
        ),
        "negation": (
            "What does not apply to {terms}?",
            "What must nobody do, or is never so, about {terms}?",
            "Which exception is made concerning {terms}?",
            "What is ruled out for {terms}?",
        ),
        "unanswerable": (
            "What does {title} say about {terms}?",
            "How is {terms} handled under {title}?",
            "Who decides on {terms}, going by {title}?",
            "When did {terms} become part of {title}?",
        ),
    },
    "de": {
        "heading": (
            "Was steht in {title} zu {topic}?",
            "{topic}: was gilt laut {title}?",
            "Wo behandelt {title} das Thema {topic}?",
        ),
        "phrase": ("Wo wird {phrase} erwähnt?", "Welcher Text spricht von {phrase}?", "Suche die Stelle mit {phrase}."),
        "number": (
            "Welche Zahl gehört zu {terms}?",
            "Wie viel wird zu {terms} genannt?",
            "Welcher Wert steht bei {terms}?",
        ),
        "negation": (
            "Was gilt nicht für {terms}?",
            "Was ist bei {terms} ausgeschlossen?",
            "Welche Ausnahme gibt es bei {terms}?",
        ),
        "unanswerable": (
            "Was sagt {title} über {terms}?",
            "Wer entscheidet laut {title} über {terms}?",
            "Wie wird {terms} in {title} geregelt?",
        ),
    },
    "": {
        "heading": ("{title} {topic}", "{topic} {title}"),
        "phrase": ("{phrase}",),
        "number": ("{terms}",),
        "negation": ("{terms}",),
        "unanswerable": ("{title} {terms}",),
    },
}
_AND = {"en": "and", "de": "und"}


class TemplateWriter:
    """Writes drafts that need no model to be verified."""

    # Nothing was paid for them: they are kept all at once.
    batch = 1_000_000
    generator = GENERATOR
    verifier = VERIFIER
    kinds: tuple[str, ...] = KINDS
    stopped = None

    def __init__(self, vocabulary: Callable[[], Vocabulary]) -> None:
        self._vocabulary = vocabulary

    def close(self) -> None:
        """Nothing is open."""

    def drafts(self, passage: Passage, kinds: Sequence[str]) -> Iterator[Draft]:
        return drafts_of(passage, kinds, self._vocabulary())

    def problem(self, draft: Draft, candidates: Sequence[Passage]) -> None:
        """None: what tells a bad one was looked at before."""


def drafts_of(passage: Passage, kinds: Sequence[str], vocabulary: Vocabulary) -> Iterator[Draft]:
    """Drafts from a passage, of the kinds that it can give, in the order of `kinds`."""
    for kind in kinds:
        draft = _MAKERS[kind](passage, vocabulary)
        # Of a title without a blank nothing can be left out.
        if draft is not None and len(draft.question) <= MOST_QUESTION_CHARS:
            yield draft


def _heading(passage: Passage, vocabulary: Vocabulary) -> Draft | None:
    label = passage.heading
    if not label:
        return None
    topic = _short(label, _HEADING_WORDS, vocabulary)
    title = _short(passage.title, _TITLE_WORDS, vocabulary)
    if not topic or set(words_of(topic)) <= set(words_of(title)):
        return None
    question = _worded(passage, "heading", topic=topic, title=title or passage.source)
    return Draft(
        "heading", question, (passage,), (_quote(passage.text),), tuple(words_of(f"{topic} {title}")), asks_by="heading"
    )


def _short(label: str, most_words: int, vocabulary: Vocabulary) -> str:
    """A heading, or where it is long a few of its words in their order."""
    label = " ".join(label.replace("?", " ").split()).rstrip(".:!")
    words = words_of(label)
    if len(words) <= most_words:
        return label
    rarest = set(vocabulary.telling(label)[:_TERMS])
    return " ".join(word for word in words if word in rarest)


def _phrase(passage: Passage, vocabulary: Vocabulary) -> Draft | None:
    best: tuple[int, str, str] | None = None
    for sentence in _sentences(passage):
        words = sentence.split()
        for at in range(len(words) - _PHRASE_WORDS + 1):
            parts = words[at : at + _PHRASE_WORDS]
            parts[-1] = parts[-1].rstrip(".,;:!?")
            # Signs between the words are somebody's sentence, and no phrase.
            if not all(part.isalpha() and len(part) >= LEAST_CHARS for part in parts) or not _are_telling(parts):
                continue
            found = (max(vocabulary.counts[part.casefold()] for part in parts), " ".join(parts), sentence)
            best = found if best is None or found[0] < best[0] else best
    if best is None:
        return None
    _, phrase, sentence = best
    question = _worded(passage, "phrase", phrase=phrase)
    # From a word so far ahead of the phrase that the quote holds all of it.
    ahead = max(0, sentence.index(phrase) + len(phrase) - QUOTE_CHARS)
    quote = _quote(sentence[sentence.find(" ", ahead) + 1 if ahead else 0 :])
    return Draft("phrase", question, (passage,), (quote,), tuple(words_of(phrase)), asks_by="phrase")


def _are_telling(words: Sequence[str]) -> bool:
    return COMMON.isdisjoint(word.casefold() for word in words)


def _number(passage: Passage, vocabulary: Vocabulary) -> Draft | None:
    return _of_sentence("number", passage, vocabulary, lambda sentence: bool(_NUMBER.search(sentence)))


def _negation(passage: Passage, vocabulary: Vocabulary) -> Draft | None:
    return _of_sentence("negation", passage, vocabulary, _denies)


def _denies(sentence: str) -> bool:
    return not _NEGATIONS.isdisjoint(words_of(_NO_DENIAL.sub(" ", sentence)))


def _of_sentence(kind: str, passage: Passage, vocabulary: Vocabulary, is_wanted: Callable[[str], bool]) -> Draft | None:
    """A question by the rarest words of the first sentence of a kind, in no order of the sentence's own."""
    for sentence in _sentences(passage):
        # A number in an address is no figure that anybody looks for, nor is a word in it one that anybody uses.
        seen = seen_of(sentence)
        terms = _terms_of(seen, vocabulary)
        if len(terms) < _TERMS or not is_wanted(seen):
            continue
        quote = _quote(sentence)
        if not set(terms) <= set(words_of(seen_of(quote))) or not is_wanted(seen_of(quote)):
            continue
        terms.sort(key=lambda term: digest("order", passage.chunk_id, term))
        question = _worded(passage, kind, terms=_joined(terms, passage.language))
        return Draft(kind, question, (passage,), (quote,), tuple(terms))
    return None


def _terms_of(text: str, vocabulary: Vocabulary) -> list[str]:
    """The rarest words of a text; of one in singular and plural the rarer."""
    terms: list[str] = []
    for word in vocabulary.telling(text):
        if word not in _NEGATIONS and not any(word.startswith(term) or term.startswith(word) for term in terms):
            terms.append(word)
    return terms[:_TERMS]


def _unanswerable(passage: Passage, vocabulary: Vocabulary) -> Draft | None:
    invented = _invented(passage, vocabulary)
    title = _short(passage.title or passage.source, _TITLE_WORDS, vocabulary)
    if not invented or not title:
        return None
    question = _worded(passage, "unanswerable", terms=invented, title=title)
    return Draft("unanswerable", question, (passage,), (), (invented,), asks_by="nothing")


def _invented(passage: Passage, vocabulary: Vocabulary) -> str:
    """A word that nobody wrote, made of the front of one word of the passage and the end of another."""
    words = [word for word in vocabulary.telling(passage.text) if len(word) >= _LEAST_MISTYPED_CHARS]
    words.sort(key=lambda word: digest("invented", passage.chunk_id, word))
    for front, end in pairwise(words):
        word = front[: (len(front) + 1) // 2] + end[len(end) // 2 :]
        if word not in vocabulary and word not in passage.text.casefold():
            return word
    return ""


def _typo(passage: Passage, vocabulary: Vocabulary) -> Draft | None:
    """Another question of the passage, with two letters of its longest word the wrong way round."""
    for make in (_number, _negation, _heading):
        draft = make(passage, vocabulary)
        if draft is None:
            continue
        for term in sorted(draft.terms, key=lambda term: (-len(term), term)):
            wrong = _mistyped(term, vocabulary)
            question = re.sub(rf"(?i)\b{re.escape(term)}\b", wrong, draft.question) if wrong else draft.question
            if question != draft.question:
                return replace(draft, kind="typo", question=question, plain=draft.question)
    return None


def _mistyped(word: str, vocabulary: Vocabulary) -> str:
    """A word with two inner letters swapped, if that is no other word."""
    if len(word) < _LEAST_MISTYPED_CHARS:
        return ""
    middle = len(word) // 2
    for at in (*range(middle, len(word) - 2), *range(1, middle)):
        wrong = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if wrong != word and wrong not in vocabulary:
            return wrong
    return ""


def _sentences(passage: Passage) -> list[str]:
    if passage.kind not in _PROSE:
        return []
    label = passage.heading
    found = []
    for sentence in sentences_of(passage.text):
        # A heading has no full stop: it runs into the sentence after it.
        cut = sentence.find(label) + len(label) if label and sentence in passage.text[: len(sentence)] else 0
        said = _LIST_MARK.sub("", sentence[cut:].strip())
        if said:
            found.append(said)
    return found


def _quote(text: str) -> str:
    """The beginning of a text, whole words."""
    return text if len(text) <= QUOTE_CHARS else text[: QUOTE_CHARS + 1].rpartition(" ")[0] or text[:QUOTE_CHARS]


def _worded(passage: Passage, kind: str, **parts: str) -> str:
    wordings = _WORDINGS.get(passage.language, _WORDINGS[""])[kind]
    chosen = wordings[int(digest("wording", kind, passage.chunk_id)[:8], 16) % len(wordings)]
    return " ".join(chosen.format(**parts).split())


def _joined(terms: Sequence[str], language: str) -> str:
    word = _AND.get(language)
    return f"{', '.join(terms[:-1])} {word} {terms[-1]}" if word else " ".join(terms)


_MAKERS: Mapping[str, Callable[[Passage, Vocabulary], Draft | None]] = {
    "heading": _heading,
    "phrase": _phrase,
    "number": _number,
    "negation": _negation,
    "unanswerable": _unanswerable,
    "typo": _typo,
}
