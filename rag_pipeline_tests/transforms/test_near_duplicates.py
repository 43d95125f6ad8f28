"""Words, signatures and similarity of texts, and which of similar documents stands."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import combinations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.tables import SIGNATURES
from rag_pipeline.transforms.documents import exact_duplicates
from rag_pipeline.transforms.near_duplicates import (
    Choice,
    Pair,
    choose,
    is_prose,
    jaccard,
    shingles,
    sign,
    signature_recipe,
    with_near_duplicates,
)

TEXT = "The tide gauge at the harbour wall is read at six in the morning, and once more after the last ferry has left."
words = st.lists(st.sampled_from(["lamp", "pump", "hall", "desk", "note", "bolt", "crew", "tide"]), max_size=40)


def compared(*texts: str) -> float:
    left, right = shingles(pl.Series(texts)).sets()
    return jaccard(left, right)


def plain(left: list[str], right: list[str]) -> float:
    one, two = ({tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (left, right))
    return len(one & two) / len(one | two) if one | two else 0.0


@given(words, words)
def test_similarity_is_the_shared_part_of_five_word_sequences(left: list[str], right: list[str]) -> None:
    assert compared(" ".join(left), " ".join(right)) == plain(left, right)
    assert compared(" ".join(right), " ".join(left)) == plain(left, right)


def test_case_punctuation_and_line_breaks_make_no_difference() -> None:
    assert compared(TEXT, TEXT.upper().replace(",", " —").replace(" ", "\n")) == 1


def test_texts_without_spaces_are_compared_by_character() -> None:
    text = "桟橋の潮位計は朝六時に読み取り、最終便の後にもう一度読み取る。"
    found = shingles(pl.Series([text]))
    assert found.words[0] == sum(character.isalnum() for character in text)
    assert 0.5 < compared(text, text.replace("六", "七")) < 1


def test_a_text_of_few_words_is_similar_to_nothing() -> None:
    assert compared("one two three four", "one two three four") == 0
    assert sign(["a"], pl.Series(["one two"]))["shingles"].to_list() == [0]


def test_shingles_do_not_reach_from_one_text_into_the_next() -> None:
    texts = [TEXT, "", "short", TEXT.lower()]
    together = shingles(pl.Series(texts)).sets()
    alone = [shingles(pl.Series([text])).sets()[0] for text in texts]
    assert [found.tolist() for found in together] == [found.tolist() for found in alone]


def test_a_signature_is_the_same_wherever_and_beside_whatever_it_is_computed() -> None:
    """It is stored: where it differs without a new version, near duplicates would be missed."""
    alone = sign(["a"], pl.Series([TEXT]))
    together = sign(["b", "a"], pl.Series(["Another text that stands before it in the batch.", TEXT]))
    assert together.filter(pl.col("content_hash") == "a").equals(alone)
    assert SIGNATURES.check(together).height == 2
    digest = hashlib.sha256(alone["minhash"][0]).hexdigest()[:16]
    assert (digest, signature_recipe()) == ("4bff4ec09b54e22c", "23d6ad35028a3a8f")
    code = (
        "import hashlib, polars as pl; from rag_pipeline.transforms.near_duplicates import sign; "
        f"print(hashlib.sha256(sign(['a'], pl.Series([{TEXT!r}]))['minhash'][0]).hexdigest()[:16])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest


def test_code_and_data_are_no_prose() -> None:
    types = ["text/markdown", "text/x-python", "application/x-ndjson", "text/csv", "application/pdf"]
    rows = pl.DataFrame({"media_type": types, "origin_media_type": types})
    assert rows.select(is_prose()).to_series().to_list() == [True, False, False, False, True]


# the choice ----------------------------------------------------------------------------------------------------


def varied(places: list[int]) -> str:
    """120 words, of which those at some places are other ones."""
    return " ".join(f"other{place}" if place in places else f"word{place}" for place in range(120))


def documents(texts: dict[str, str], principals: dict[str, str] | None = None) -> pl.DataFrame:
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts.values()]
    rows = pl.DataFrame(
        {
            "document_id": list(texts),
            "source": "docs",
            "uri": [f"docs/{name}" for name in texts],
            "content_hash": hashes,
            "principals_key": [(principals or {}).get(name, "all") for name in texts],
        }
    )
    signed = sign(hashes, pl.Series(list(texts.values()), dtype=pl.String)).unique("content_hash")
    return rows.join(signed, on="content_hash", maintain_order="left")


def settled(rows: pl.DataFrame, texts: dict[str, str], similarity: float = 0.9) -> tuple[Choice, int]:
    """The choice once everything it asks for is known, and how many pairs that were."""
    by_hash = {hashlib.sha256(text.encode()).hexdigest(): text for text in texts.values()}
    known: dict[Pair, float] = {}
    while (choice := choose(rows, known, similarity)).unknown:
        known |= {pair: compared(by_hash[pair[0]], by_hash[pair[1]]) for pair in choice.unknown}
    return choice, len(known)


def test_the_first_by_address_stands_and_the_reason_names_it() -> None:
    texts = {"b": varied([]), "a": varied([60]), "c": varied([61])}
    rows = documents(texts)
    choice, _ = settled(rows, texts)
    assert {(name, stands) for name, stands, _, _ in choice.near} == {("b", "a"), ("c", "a")}
    row = with_near_duplicates(exact_duplicates(rows), choice.near).filter(pl.col("document_id") == "b")
    assert row["similarity"].to_list() == [compared(texts["a"], texts["b"])]
    assert "91.7 % of the five-word sequences are shared with docs/a" in row["reason"][0]


def test_a_document_similar_only_to_one_that_is_left_out_stands() -> None:
    texts = {"a": varied([]), "b": varied([30]), "c": varied([30, 90])}
    choice, _ = settled(documents(texts), texts)
    assert [(name, stands) for name, stands, _, _ in choice.near] == [("b", "a")]


def test_documents_with_other_readers_are_never_compared() -> None:
    texts = {"a": varied([]), "b": varied([30])}
    choice, asked = settled(documents(texts, {"b": "few"}), texts)
    assert (choice.near, asked) == ([], 0)


def test_many_copies_of_one_text_are_compared_with_few_others() -> None:
    texts = {f"{place:03}": varied([place]) for place in range(0, 120, 2)} | {"": varied([])}
    choice, asked = settled(documents(texts), texts)
    assert {stands for _, stands, _, _ in choice.near} == {""}
    assert len(choice.near) == len(texts) - 1 <= asked < 3 * len(texts)


def test_many_documents_of_one_form_are_not_all_compared_with_each_other() -> None:
    """They differ by a little more than the bar allows, so all of them stand, and a copy of one is still found."""
    form = [f"word{place}" for place in range(400)]
    texts = {}
    for number in range(130):
        words = list(form)
        words[5 + 2 * number], words[6 + 2 * number + 100], words[-5] = f"one{number}", f"two{number}", f"end{number}"
        texts[f"{number:03}"] = " ".join(words)
    texts["copy"] = texts["120"] + " indeed"
    choice, asked = settled(documents(texts), texts, 0.95)
    assert [(name, stands) for name, stands, _, _ in choice.near] == [("copy", "120")]
    assert asked <= 32 * len(texts) < len(list(combinations(texts, 2))) // 2


def test_a_copy_of_a_document_that_is_left_out_names_the_one_that_stands() -> None:
    texts = {"a": varied([]), "b": varied([30]), "c": varied([30])}
    rows = documents(texts)
    exact = exact_duplicates(rows)
    choice, _ = settled(rows.join(exact, on="document_id", how="anti"), texts)
    both = with_near_duplicates(exact, choice.near)
    assert sorted(both.select("document_id", "duplicate_of").rows()) == [("b", "a"), ("c", "a")]
    assert both["reason"].n_unique() == both["similarity"].n_unique() == 1


@pytest.mark.parametrize("similarity", [0.6, 0.8, 0.9, 1.0])
def test_pairs_at_the_bar_are_in_and_pairs_below_are_out(similarity: float) -> None:
    texts = {f"{n}": varied(list(range(0, 6 * n, 6))) for n in range(7)}
    for left, right in combinations(texts, 2):
        pair = {left: texts[left], right: texts[right]}
        choice, _ = settled(documents(pair), pair, similarity)
        assert len(choice.near) == (compared(*pair.values()) >= similarity)
