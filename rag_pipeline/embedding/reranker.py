"""Reranking models on the CPU through OpenVINO: finding their files, naming what they compute, opening them.

Belongs here: folders, fingerprints, and which class runs which kind. Neither torch nor sentence-transformers is
imported.
Does not belong here: making a graph (`cross_graph.py`), scoring (`cross_encoder.py`, `late_interaction.py`), what
scores are used for (`retrieval/rerank.py`).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from rag_pipeline.contracts.ids import digest, fingerprint
from rag_pipeline.contracts.reranking import RerankerSpec
from rag_pipeline.embedding.bert_graph import Encoder, NotCovered
from rag_pipeline.embedding.cross_encoder import CrossEncoder
from rag_pipeline.embedding.cross_graph import (
    build_cross_graph,
    build_late_graph,
    check_encoder_alone,
    read_onnx_graph,
)
from rag_pipeline.embedding.file_hashes import file_sha256
from rag_pipeline.embedding.graph_runner import ResolvedReranker, Scores, last_line
from rag_pipeline.embedding.late_interaction import LateInteraction
from rag_pipeline.embedding.layout import read_json
from rag_pipeline.embedding.locate import HUB_FILES, from_hub
from rag_pipeline.embedding.offline import ALLOW_MODEL_HUB, import_openvino
from rag_pipeline.embedding.openvino_graph import GRAPH_FILE, put_in_place
from rag_pipeline.embedding.space import tokenizer_hash
from rag_pipeline.errors import ModelUnavailable

# By kind; another number where the same files give other scores.
GRAPH_VERSIONS = {"cross-encoder": "1", "late-interaction": "1"}
ONNX_FILES = ("model.onnx", "onnx/model.onnx")
# Where a model says nothing of its limit: what BERT reads.
_DEFAULT_TOKENS = 512


class RerankingModel(Protocol):
    """A loaded model of either kind; several threads may ask it at once.

    Attributes:
        fingerprint: Names its scores.
    """

    fingerprint: str

    def scores(self, question: str, texts: Sequence[str], seconds: float | None = None) -> Scores:
        """A number for each text, higher is a better answer; None for those that time did not suffice for."""

    def close(self) -> None:
        """End its threads; nothing is scored afterwards."""


def resolve_reranker(spec: RerankerSpec, cache_folder: Path) -> ResolvedReranker:
    """Find the files and name what they compute; reads weights only when they are new or have changed.

    Raises:
        ModelUnavailable: The files are nowhere, or not whole.
    """
    folder = _folder(spec)
    onnx_file = _onnx_file(folder)
    if list(folder.glob("*.safetensors")) and (onnx_file is None or _is_covered(folder)):
        onnx_file = None
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        found = ResolvedReranker(spec, folder, onnx_file, "", 0)
        raise _unusable(found, "has no tokenizer.json", "Copy its tokenizer there, in the fast format.")
    weights = [onnx_file] if onnx_file else sorted(folder.glob("*.safetensors"))
    max_tokens = _max_tokens(spec, folder)
    hashes = [file_sha256(file, cache_folder) for file in weights]
    config = json.dumps(_config(folder), sort_keys=True) if onnx_file is None else ""
    named = fingerprint(
        spec.kind,
        GRAPH_VERSIONS[spec.kind],
        tokenizer_hash(tokenizer, cache_folder),
        str(max_tokens),
        spec.precision,
        config,
        *hashes,
    )
    return ResolvedReranker(spec, folder, onnx_file, named, max_tokens)


def open_reranker(spec: RerankerSpec, cache_folder: Path) -> RerankingModel:
    """The model, loaded.

    Raises:
        ModelUnavailable: The files are nowhere, not whole, or hold what these graphs do not cover.
    """
    resolved = resolve_reranker(spec, cache_folder)
    try:
        if spec.is_late and resolved.onnx_file is None:
            check_encoder_alone(resolved.folder)
        graph = _kept_graph(resolved, cache_folder)
        return LateInteraction(resolved, graph) if spec.is_late else CrossEncoder(resolved, graph)
    except NotCovered as error:
        given = "token vectors" if spec.is_late else "one score a pair"
        raise _unusable(
            resolved, f"has {error}", f"Covered are BERT and RoBERTa with {given}, and ONNX graphs."
        ) from error
    except ModelUnavailable:
        raise
    except Exception as error:  # the libraries raise what they like on files that are damaged
        raise _unusable(resolved, f"cannot be opened ({last_line(error)})", "Restore the model's files.") from error


def _folder(spec: RerankerSpec) -> Path:
    tried: list[str] = []
    for name, place in (("folder", spec.folder), ("model", spec.model)):
        if place is None:
            continue
        folder = Path(place).expanduser()
        if list(folder.glob("*.safetensors")) or _onnx_file(folder) is not None:
            return folder
        if name == "folder" or folder.is_dir():
            why = "no weights (*.safetensors, model.onnx) in it" if folder.is_dir() else "no such folder"
            tried.append(f"{name} {place} ({why})")
    if spec.folder is None:
        found = from_hub(spec.model, spec.revision, [*HUB_FILES, *ONNX_FILES])
        if isinstance(found, Path):
            return found
        tried.append(found)
    raise ModelUnavailable(
        f"the files of the reranking model {spec.model} were not found. Looked at: {'; '.join(tried)}. Put them in a "
        f"folder and name it under `{spec.section}.folder` in pipeline.yaml, or set `{spec.section}.revision` there "
        f"and {ALLOW_MODEL_HUB}=1 in the environment to download them.",
        model=spec.model,
        tried=tried,
    )


def _onnx_file(folder: Path) -> Path | None:
    return next((folder / name for name in ONNX_FILES if (folder / name).is_file()), None)


def _is_covered(folder: Path) -> bool:
    try:
        Encoder.of(read_json(folder / "config.json"))
    except (NotCovered, KeyError):
        return False
    return True


def _config(folder: Path) -> dict[str, Any]:
    """What the configuration says of the computation."""
    inert = ("_name_or_path", "transformers_version", "use_cache", "gradient_checkpointing", "id2label", "label2id")
    return {key: value for key, value in read_json(folder / "config.json").items() if key not in inert}


def _max_tokens(spec: RerankerSpec, folder: Path) -> int:
    config = read_json(folder / "config.json")
    positions = config.get("max_position_embeddings")
    if positions is not None and config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2
    declared = read_json(folder / "tokenizer_config.json").get("model_max_length")
    # Tokenizers without a limit store a number with thirty digits.
    limits = [int(limit) for limit in (positions, declared) if limit and limit < 10_000_000]
    own = min(limits, default=_DEFAULT_TOKENS)
    return own if spec.max_tokens is None else min(own, spec.max_tokens)


def _kept_graph(resolved: ResolvedReranker, cache_folder: Path) -> Path:
    """The model's graph in the cache, made now if need be; several processes may do so at once."""
    openvino = import_openvino()
    parts = (GRAPH_VERSIONS[resolved.spec.kind], openvino.__version__, resolved.fingerprint)
    final = cache_folder / "graphs" / digest("cross-graph", *parts)[:32]
    if not final.is_dir():
        if resolved.onnx_file is not None:
            graph = read_onnx_graph(resolved.onnx_file, gives_tokens=resolved.spec.is_late)
        else:
            build = build_late_graph if resolved.spec.is_late else build_cross_graph
            graph = build(resolved.folder, read_json(resolved.folder / "config.json"))
        final.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=final.parent, prefix=".making-"))
        try:
            openvino.save_model(graph, str(unfinished / GRAPH_FILE), compress_to_fp16=False)
            unfinished.chmod(0o755)
            put_in_place(unfinished, final)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return final / GRAPH_FILE


def _unusable(resolved: ResolvedReranker, problem: str, remedy: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"the reranking model in {resolved.folder} {problem}. {remedy} Another is named under "
        f"`{resolved.spec.section}` in pipeline.yaml.",
        folder=str(resolved.folder),
    )
