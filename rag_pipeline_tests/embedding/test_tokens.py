"""Token counters say exactly where tokens lie, with nothing cut and nothing added."""

from __future__ import annotations

import math
import pickle
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from rag_pipeline.contracts.embedding import EmbeddingModelSpec
from rag_pipeline.embedding.open import token_counter
from rag_pipeline.embedding.tokens import HuggingFaceTokenCounter, WordTokenCounter, letters_per_token
from rag_pipeline.errors import SettingsError

from .conftest import MINILM, MakeFolder, word_tokenizer


def test_spans_are_exact_and_survive_the_truncation_stored_in_the_file(
    transformer_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = transformer_folder()
    spec = EmbeddingModelSpec(alias="small", model="small", folder=str(folder))
    counter = token_counter(spec, tmp_path / "cache")
    text = "word1  word2\nword3 " * 100
    spans = counter.token_spans(text)
    assert [text[start:end] for start, end in spans] == text.split()
    assert counter.token_spans_batch([text, ""]) == [spans, []]


def test_special_tokens_and_the_document_prompt_are_taken_off_the_limit(
    transformer_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = str(transformer_folder())
    plain = token_counter(EmbeddingModelSpec("s", "s", folder=folder), tmp_path)
    prompted = token_counter(EmbeddingModelSpec("s", "s", folder=folder, document_prompt="word1 word2 "), tmp_path)
    assert (plain.max_tokens, prompted.max_tokens) == (30, 28)
    assert plain.fingerprint != prompted.fingerprint


def test_a_limit_without_room_for_text_is_refused() -> None:
    with pytest.raises(SettingsError, match="no room"):
        WordTokenCounter("hash", 3, document_prompt="one two three")


def test_a_counter_is_small_to_send_to_a_worker_and_counts_the_same_there(
    transformer_folder: MakeFolder, tmp_path: Path
) -> None:
    counter = token_counter(EmbeddingModelSpec("s", "s", folder=str(transformer_folder())), tmp_path)
    sent = pickle.dumps(counter)
    assert len(sent) < 1_000
    again = pickle.loads(sent)
    assert again.token_spans("word1 word9") == counter.token_spans("word1 word9")
    assert (again.fingerprint, again.max_tokens) == (counter.fingerprint, counter.max_tokens)


def test_lower_casing_keeps_spans_in_the_original_text(transformer_folder: MakeFolder) -> None:
    file = transformer_folder() / "tokenizer.json"
    counter = HuggingFaceTokenCounter(file, "hash", 32, lower_case=True)
    # The lower case of this capital is two code points long.
    assert counter.token_spans("\u0130 WORD1") == [(0, 1), (2, 7)]


@given(st.text(max_size=60))
def test_word_spans_tile_everything_but_white_space(text: str) -> None:
    spans = WordTokenCounter("hash", 100).token_spans(text)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.model
def test_the_packaged_models_tokens_are_counted_past_every_limit(model_cache: Path) -> None:
    counter = token_counter(MINILM, model_cache)
    assert counter.max_tokens == 254
    text = "Ünïcödé 😀 tokens, 会议 and plain words. " * 60
    spans = counter.token_spans(text)
    assert len(spans) > 600
    assert text[spans[-1][0] : spans[-1][1]] == "."
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.model
@settings(deadline=None)
@given(texts=st.lists(st.text(max_size=80), max_size=4))
def test_counts_are_the_number_of_spans(model_cache: Path, texts: list[str]) -> None:
    counter = token_counter(MINILM, model_cache)
    assert counter.token_counts(texts) == [len(spans) for spans in counter.token_spans_batch(texts)]
    words = WordTokenCounter("hash", 100)
    assert words.token_counts(texts) == [len(spans) for spans in words.token_spans_batch(texts)]


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Of the packaged model, which was made for English."""
    counter = token_counter(MINILM, tmp_path_factory.mktemp("cache"))
    assert isinstance(counter, HuggingFaceTokenCounter)
    return counter.tokenizer


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("How are keys rotated every 90 days?", 3.5, 6),
        ("Was passiert mit abgelaufenen Schlüsseln?", 2, 4),
        ("Khi nào khoá cũ bị thay thế", 1.4, 2.5),
        ("Eski anahtarlar ne zaman yenilenir", 1.4, 3),
        ("когда меняются старые ключи", 0, 1.2),
        ("πότε αλλάζουν τα παλιά κλειδιά", 0, 1.2),
        ("متى تتغير المفاتيح القديمة", 0, 1.2),
        ("पुरानी कुंजियाँ कब बदली जाती हैं", 0, 1.2),
        ("เมื่อไหร่จะเปลี่ยนกุญแจเก่า", 0, 1.2),
        ("언제 키를 교체합니까", 0, 1.2),
        ("何时更换旧密钥", 0, 1.6),
        ("2026 7", math.inf, math.inf),
        ("?! …", math.inf, math.inf),
        ("", math.inf, math.inf),
    ],
)
def test_a_model_of_english_has_loose_letters_of_other_scripts(
    english: Tokenizer, text: str, least: float, most: float
) -> None:
    assert least <= letters_per_token(english, text) <= most


@settings(max_examples=50)
@given(text=st.text(max_size=80))
def test_letters_of_tokens_are_counted_in_any_text(english: Tokenizer, text: str) -> None:
    assert letters_per_token(english, text) >= 0


def test_a_word_that_is_none_of_the_models_has_no_letters_however_long() -> None:
    tokenizer = word_tokenizer()
    assert letters_per_token(tokenizer, "word1 word2") == 4
    assert letters_per_token(tokenizer, "wordless words") == 0
    assert letters_per_token(tokenizer, "word1 wordy") == 2


def test_ideographs_and_syllables_stand_for_several_letters() -> None:
    tokenizer = Tokenizer(models.WordLevel({"会": 0, "議": 1, "か": 2, "키": 3, "[UNK]": 4}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    assert letters_per_token(tokenizer, "会議") == 3
    assert letters_per_token(tokenizer, "会社") == 1.5
    assert letters_per_token(tokenizer, "か") == 1
    assert letters_per_token(tokenizer, "키") == 2


def test_a_letter_of_several_tokens_is_counted_once() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({sign: at for at, sign in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert letters_per_token(tokenizer, "ключ") == 0.5
    assert letters_per_token(tokenizer, "ab") == 1
