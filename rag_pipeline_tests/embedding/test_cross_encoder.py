"""Cross-encoders give the scores of sentence-transformers, whatever company a pair has, and keep to their time."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.embedding import graph_runner
from rag_pipeline.embedding.cross_encoder import CrossEncoder
from rag_pipeline.embedding.graph_runner import WAVE
from rag_pipeline.embedding.reranker import open_reranker, resolve_reranker
from rag_pipeline.errors import EmbeddingError, ModelUnavailable
from rag_pipeline_tests.embedding.cross_models import POSITIONS, WORDS, make_cross_encoder
from rag_pipeline_tests.paths import REPOSITORY

QUESTION = "word1 word2 word3"


def texts_of(count: int, seed: int = 7) -> list[str]:
    drawn = random.Random(seed)
    return [" ".join(drawn.choices(WORDS[4:], k=drawn.choice([1, 3, 8, 30, 90]))) for _ in range(count)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> RerankerSpec:
    return RerankerSpec(model="tiny", folder=str(make_cross_encoder(tmp_path_factory.mktemp("cross") / "model")))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(spec: RerankerSpec, cache: Path) -> CrossEncoder:
    return open_reranker(spec, cache)


@pytest.mark.slow
def test_scores_are_those_of_sentence_transformers(spec: RerankerSpec, model: CrossEncoder) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra sentence-transformers is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from sentence_transformers import CrossEncoder as Reference

        reference = Reference(str(spec.folder), device="cpu")
        texts = texts_of(40)
        wanted = reference.predict([(QUESTION, text) for text in texts], activation_fn=torch.nn.Identity())
    found = np.array(model.scores(QUESTION, texts))
    assert np.abs(found - wanted).max() < 2e-5
    assert np.ptp(found) > 0.1


def test_a_pair_scores_the_same_in_any_company(model: CrossEncoder) -> None:
    texts = texts_of(60)
    alone = [model.scores(QUESTION, [text])[0] for text in texts]
    assert model.scores(QUESTION, texts) == alone
    assert model.scores(QUESTION, texts[::-1]) == alone[::-1]
    assert model.scores(QUESTION, texts[:7], seconds=60) == alone[:7]


def test_the_question_and_the_text_are_told_apart(model: CrossEncoder) -> None:
    assert model.scores("word1", ["word2 word3"]) != model.scores("word1 word2", ["word3"])


def test_nothing_to_score_is_no_score(model: CrossEncoder) -> None:
    assert model.scores(QUESTION, []) == []
    assert model.scores(QUESTION, [], seconds=1) == []
    assert len(model.scores(QUESTION, [""])) == 1


def test_after_its_time_nothing_more_is_scored_and_what_was_is_the_best_first(
    spec: RerankerSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_reranker(spec, cache)
    now = iter(range(1_000))
    monkeypatch.setattr(graph_runner.time, "monotonic", lambda: float(next(now)))
    texts = texts_of(5 * WAVE)
    whole = model.scores(QUESTION, texts)
    # A wave takes one tick, and the clock is read twice in each.
    some = model.scores(QUESTION, texts, seconds=5)
    scored = sum(score is not None for score in some)
    assert scored in (WAVE, 2 * WAVE)
    assert some == whole[:scored] + [None] * (len(texts) - scored)
    assert model.scores(QUESTION, texts, seconds=0.5) == [None] * len(texts)


def test_a_budget_that_is_never_enough_costs_next_to_nothing_once_it_is_known(spec: RerankerSpec, cache: Path) -> None:
    model = open_reranker(spec, cache)
    texts = texts_of(50)
    model.scores(QUESTION, texts, seconds=1e-9)
    begun = time.monotonic()
    assert model.scores(QUESTION, texts, seconds=1e-9) == [None] * 50
    assert time.monotonic() - begun < 1


def test_one_slow_wave_does_not_end_reranking_for_good(
    spec: RerankerSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_reranker(spec, cache)
    texts, now, wave_seconds, wave = texts_of(WAVE), [0.0], 100.0, model._wave

    def timed_wave(*pairs: Any) -> list[float]:
        now[0] += wave_seconds
        return wave(*pairs)

    monkeypatch.setattr(graph_runner.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(model, "_wave", timed_wave)
    # The machine stalls for a hundred times the budget, and is quick again afterwards.
    assert model.scores(QUESTION, texts, seconds=1) == [None] * WAVE
    wave_seconds = 0.01
    tries = [model.scores(QUESTION, texts, seconds=1) for _ in range(10)]
    assert tries[0] == [None] * WAVE
    assert tries[-1] == model.scores(QUESTION, texts)


def test_a_closed_model_has_ended_its_threads(spec: RerankerSpec, cache: Path) -> None:
    before = set(threading.enumerate())
    model = open_reranker(spec, cache)
    model.scores(QUESTION, texts_of(WAVE))
    mine = set(threading.enumerate()) - before
    assert mine
    model.close()
    assert not [thread for thread in mine if thread.is_alive()]


def test_longer_pairs_than_the_model_takes_are_cut(spec: RerankerSpec, cache: Path, model: CrossEncoder) -> None:
    long = " ".join(WORDS[4:204])
    assert resolve_reranker(spec, cache).max_tokens == POSITIONS
    assert model.scores(QUESTION, [long]) == model.scores(QUESTION, [long + " word5 word6"])
    assert len(model.scores(long, [long])) == 1


def test_the_fingerprint_names_all_that_scores_hang_on(tmp_path: Path, spec: RerankerSpec, cache: Path) -> None:
    named = resolve_reranker(spec, cache).fingerprint
    copied = make_cross_encoder(tmp_path / "same")
    other = make_cross_encoder(tmp_path / "other", seed=4)
    changed = make_cross_encoder(tmp_path / "changed", hidden_act="relu")

    def of(folder: Path | str | None, **changes: object) -> str:
        return resolve_reranker(RerankerSpec("tiny", str(folder), **changes), cache).fingerprint  # type: ignore[arg-type]

    assert of(copied) == of(copied, candidates=9, weight=0.9, time_budget_seconds=1.0) == named
    assert len({named, of(other), of(changed), of(copied, precision="bf16"), of(copied, max_tokens=20)}) == 5


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "the weights in model.safetensors"),
        (lambda folder: _config(folder, model_type="deberta-v2"), "models of type deberta-v2"),
        (lambda folder: _config(folder, num_hidden_layers=1), "weights named encoder.layer.1"),
        (lambda folder: _labels(folder, 3), "3 scores for a pair"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be opened"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(tmp_path: Path, spoil: object, said: str) -> None:
    folder = make_cross_encoder(tmp_path / "model")
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(ModelUnavailable, match=said) as caught:
        open_reranker(RerankerSpec("tiny", str(folder)), tmp_path / "cache")
    assert "rerank" in caught.value.message


def test_a_folder_that_is_not_there_is_named_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"no such folder.*rerank\.folder"):
        resolve_reranker(RerankerSpec("tiny", str(tmp_path / "none")), tmp_path)


def test_scores_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    folder = make_cross_encoder(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"][:] = np.nan
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(EmbeddingError, match="not a number"):
        open_reranker(RerankerSpec("tiny", str(folder)), tmp_path / "cache").scores("word1", ["word2"])


def _config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _labels(folder: Path, count: int) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"] = np.repeat(weights["classifier.weight"], count, axis=0)
    weights["classifier.bias"] = np.repeat(weights["classifier.bias"], count)
    save_file(weights, folder / "model.safetensors")


WITHOUT_TORCH = """
import sys
from pathlib import Path
for name in ("torch", "sentence_transformers", "transformers", "onnx"):
    sys.modules[name] = None
from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.embedding.reranker import open_reranker
print(len(open_reranker(RerankerSpec("tiny", sys.argv[1]), Path(sys.argv[2])).scores("word1", ["word2", "word3"])))
"""


def test_it_runs_without_torch(spec: RerankerSpec, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(spec.folder), str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "2"
