"""Keep model libraries off the network unless the operator allows it.

Belongs here: the environment flags of the libraries that would ask a model hub, the opt-in, and OpenVINO quietly.
Does not belong here: endpoints, which are on the network by intent.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

ALLOW_MODEL_HUB = "RAG_PIPELINE_ALLOW_MODEL_HUB"


def hub_allowed() -> bool:
    """True when the operator has set RAG_PIPELINE_ALLOW_MODEL_HUB=1."""
    return os.environ.get(ALLOW_MODEL_HUB) == "1"


def set_offline_flags() -> None:
    """Call before importing huggingface_hub, transformers or sentence_transformers: they read these once."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DISABLE_TELEMETRY", "1")
    if not hub_allowed():
        # Without these a hub that cannot be reached costs many seconds of retries per model.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


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
