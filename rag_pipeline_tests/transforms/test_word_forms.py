"""Forms of words beside the text: identifiers whole and in parts, acronyms, beginnings and parts of compounds."""

from __future__ import annotations

import unicodedata

import pytest

from rag_pipeline.transforms.word_forms import asked_beginnings, asked_identifiers, asked_words, forms_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We calibrateForwardGangwaySensors.", {"calibrateforwardgangwaysensors", "gangway", "sensors"}),
        ("HTTPServer and XMLHttpRequest", {"httpserver", "http", "server", "xmlhttprequest", "request"}),
        ("ORA-00600 came with v1.10.2.", {"ora-00600", "v1.10.2"}),
        ("C++, C# and g++; .NET too", {"c++", "c#", "g++", ".net"}),
        ("See /usr/lib/tool_kit.py or mail jane.doe@example.org.", {"tool_kit.py", "jane.doe@example.org"}),
        ("Ask IT, or the WHO. The Who played.", {"^it", "^who", "^the^who"}),
        ("A4 paper, sha256", {"a4", "sha", "256"}),
    ],
)
def test_identifiers_stand_whole_and_in_parts(text: str, expected: set[str]) -> None:
    found = forms_of(text, "en").split(" ")
    assert expected <= set(found)
    assert len(found) == len(set(found)), "each once"
    assert expected - {"^the^who"} <= set(asked_identifiers(text).split(" "))


@pytest.mark.parametrize("text", ["Plain words, e.g. these and/or those, well-known. It is 7 o'clock.", "", "a" * 40])
def test_plain_english_has_no_forms(text: str) -> None:
    assert forms_of(text, "en") == ""


def test_a_digest_has_no_parts() -> None:
    assert forms_of("7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451", "en") == ""


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("de", "Häuser und Gärten", "Häusern"),
        ("de", "Die Donaudampfschifffahrt ruht.", "Schifffahrt"),
        ("de", "Die Donaudampfschifffahrt ruht.", unicodedata.normalize("NFD", "Dampfschiff")),
        ("ru", "Московский вокзал", "московского"),
        ("ar", "قرأت بالكتاب", "الكتاب"),
        ("ko", "서울특별시에서는", "서울"),
        ("hi", "हिन्दी भाषा", "हिन्दुस्तान"),
    ],
)
def test_an_inflected_word_shares_a_form_with_its_question(language: str, text: str, query: str) -> None:
    assert set(forms_of(text, language).split(" ")) & set(asked_beginnings(query).split(" "))
    assert forms_of(text, None) == ""


def test_scripts_without_blanks_are_left_to_the_tokenizer() -> None:
    assert forms_of("黑豹队的防守丢了多少分", "zh") == ""
    assert forms_of("ภาษาไทยง่ายนิดเดียว", "th") == ""


def test_an_english_question_asks_for_no_beginnings() -> None:
    assert asked_beginnings("Which gardens have houses?") == ""
    assert asked_beginnings("Welche Gärten") == "~welch ~gärte"


def test_nothing_but_common_words_is_a_name() -> None:
    assert "^the^who" in asked_identifiers("the who").split(" ")
    assert asked_identifiers("it") == "^it"
    assert "^" not in asked_identifiers("who plays the drums")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("How do I reach IT in the hall?", "reach IT hall?"),
        ("The Who", "The Who"),
        ("Was it?", "Was it?"),
        ("who is C++", "C++"),
        ("is it - or not", "is it - or not"),
    ],
)
def test_common_words_are_left_out_of_a_query_that_has_others(query: str, expected: str) -> None:
    assert asked_words(query) == expected
