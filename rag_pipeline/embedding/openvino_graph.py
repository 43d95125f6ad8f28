"""Keep a model's OpenVINO graph in the cache, converting it once.

Belongs here: the cache's key, concurrent converters, remembered refusals, and importing OpenVINO quietly.
Does not belong here: the conversion itself (`convert.py`), running the graph (`openvino_backend.py`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import rag_pipeline
from rag_pipeline.contracts.ids import digest
from rag_pipeline.embedding.offline import set_offline_flags
from rag_pipeline.errors import EmbeddingError

GRAPH_FILE = "graph.xml"
GRAPH_VERSION = "1"
_REFUSAL_FILE = "refused.txt"

log = logging.getLogger(__name__)


def import_openvino() -> ModuleType:
    """OpenVINO without its telemetry, which reports every import to a server on the internet."""
    # With the telemetry package hidden OpenVINO takes its own stub; None makes an import fail as if not installed.
    if "openvino" not in sys.modules and "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        try:
            importlib.import_module("openvino.tools.ovc.convert_impl")
        finally:
            del sys.modules["openvino_telemetry"]
    return importlib.import_module("openvino")


def graph_folder(folder: Path, weights_hash: str, cache_folder: Path) -> Path | None:
    """The folder with the model's graph, converted now if need be; None if the model cannot be converted.

    Safe with several processes at once: each converts into a folder of its own and the first rename wins.

    Args:
        folder: The model's files.
        weights_hash: Of weights and configuration, as in the embedding space.
    """
    version = importlib.metadata.version("openvino")
    final = cache_folder / "graphs" / digest("graph", GRAPH_VERSION, version, weights_hash)[:32]
    if not final.is_dir():
        _convert(folder, final)
    refusal = final / _REFUSAL_FILE
    if refusal.is_file():
        log.warning(
            "embedding model in %s runs on torch, since OpenVINO cannot convert it: %s (remembered in %s; delete that "
            "folder to try again)",
            folder,
            refusal.read_text("utf-8"),
            final,
        )
        return None
    return final


def _convert(folder: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    log.info("converting the embedding model in %s for OpenVINO; this happens once and takes some seconds", folder)
    unfinished = Path(tempfile.mkdtemp(dir=final.parent, prefix=".converting-"))
    try:
        reason = _run_converter(folder, unfinished)
        if reason:
            (unfinished / _REFUSAL_FILE).write_text(reason, "utf-8")
        unfinished.chmod(0o755)
        _publish(unfinished, final)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _publish(unfinished: Path, final: Path) -> None:
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
