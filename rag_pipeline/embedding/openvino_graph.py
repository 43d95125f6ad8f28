"""Keep a model's OpenVINO graph in the cache, making it once.

Belongs here: the cache's key, concurrent makers, remembered refusals, and which of two ways makes the graph.
Does not belong here: the ways themselves (`bert_graph.py`, and `convert.py` with torch), running the graph
(`openvino_backend.py`).
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import rag_pipeline
from rag_pipeline.contracts.ids import digest
from rag_pipeline.embedding.bert_graph import NotCovered, build_graph
from rag_pipeline.embedding.extra import require_torch
from rag_pipeline.embedding.layout import ModelLayout
from rag_pipeline.embedding.offline import import_openvino, set_offline_flags
from rag_pipeline.errors import EmbeddingError

GRAPH_FILE = "graph.xml"
GRAPH_VERSION = "2"
_REFUSAL_FILE = "refused.txt"

log = logging.getLogger(__name__)


def graph_folder(layout: ModelLayout, weights_hash: str, cache_folder: Path) -> Path | None:
    """The folder with the model's graph, made now if need be; None if only torch can run the model.

    Safe with several processes at once: each makes it in a folder of its own and the first rename wins.

    Args:
        weights_hash: Of weights and configuration, as in the embedding space.

    Raises:
        ModelUnavailable: The graph cannot be made without torch, which is not installed.
    """
    version = importlib.metadata.version("openvino")
    final = cache_folder / "graphs" / digest("graph", GRAPH_VERSION, version, weights_hash)[:32]
    if not final.is_dir():
        _make(layout, final)
    refusal = final / _REFUSAL_FILE
    if refusal.is_file():
        log.warning(
            "embedding model in %s runs on torch, since OpenVINO cannot convert it: %s (remembered in %s; delete that "
            "folder to try again)",
            layout.folder,
            refusal.read_text("utf-8"),
            final,
        )
        return None
    return final


def _make(layout: ModelLayout, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=final.parent, prefix=".making-"))
    try:
        reason = _build(layout, unfinished)
        if reason:
            require_torch(f"the embedding model in {layout.folder}", f"it has {reason}")
            log.info("converting the embedding model in %s for OpenVINO; this takes some seconds, once", layout.folder)
            reason = _run_converter(layout.folder, unfinished)
        if reason:
            (unfinished / _REFUSAL_FILE).write_text(reason, "utf-8")
        unfinished.chmod(0o755)
        put_in_place(unfinished, final)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _build(layout: ModelLayout, target: Path) -> str:
    """Empty when the graph was built and written, else what the model has that is not covered."""
    try:
        graph = build_graph(layout)
    except NotCovered as error:
        return str(error)
    import_openvino().save_model(graph, str(target / GRAPH_FILE), compress_to_fp16=False)
    return ""


def put_in_place(unfinished: Path, final: Path) -> None:
    """Give a finished folder its name, unless another process was first."""
    try:
        unfinished.rename(final)
    except OSError:
        # Another process was first; its graph is as good as ours.
        if not final.is_dir():
            raise


def _run_converter(folder: Path, target: Path) -> str:
    """Empty when the graph was written, else why not."""
    set_offline_flags()
    package_parent = str(Path(rag_pipeline.__file__).parent.parent)
    search_path = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
    finished = subprocess.run(
        [sys.executable, "-m", "rag_pipeline.embedding.convert", str(folder.resolve()), str(target)],
        env={**os.environ, "PYTHONPATH": search_path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if finished.returncode == 0 and (target / GRAPH_FILE).is_file():
        return ""
    if finished.returncode < 0:
        # Killed from outside says nothing about the model, so nothing may be remembered.
        raise EmbeddingError(
            f"converting the embedding model in {folder} was killed by signal {-finished.returncode}; run again, with "
            f"more memory if it was the kernel's doing (about 1.5 GB on top of the model's size are needed once)",
            folder=str(folder),
        )
    lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()] or ["no reason given"]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])
