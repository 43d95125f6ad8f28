"""What does the heavy work: the section `engine` of pipeline.yaml.

Belongs here: the kinds of engines, each with its settings.
Does not belong here: the engines themselves (`parallel/`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, field_validator

from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.types import Duration, Text


class LocalEngineSettings(Section):
    """Worker processes on the machine of the run."""

    kind: Literal["local"] = "local"
    """Which engine."""


class RayEngineSettings(Section):
    """Workers on the machines of a Ray cluster; needs `pip install 'rag-pipeline[ray]'` on each of them."""

    kind: Literal["ray"] = "ray"
    """Which engine."""
    address: Text = "auto"
    """The cluster that this machine is a node of: `auto`, or its address like `10.0.0.7:6379`; `local` starts Ray here
    for the run alone."""
    timeout: Duration = timedelta(minutes=1)
    """How long a cluster may take to answer, and its first worker to start."""

    @field_validator("address")
    @classmethod
    def _is_no_client(cls, address: str) -> str:
        host, colon, port = address.rpartition(":")
        is_address = bool(host) and bool(colon) and port.isdecimal() and "/" not in host
        if address not in ("auto", "local") and not is_address:
            raise ValueError("want auto, local or host:port; `ray://` is for clients that are no node of the cluster")
        return address


ENGINE_KINDS: dict[str, type[Section]] = {"local": LocalEngineSettings, "ray": RayEngineSettings}


def _kind_of(value: Any) -> str:
    return str(value.get("kind", "local") if isinstance(value, dict) else getattr(value, "kind", "local"))


EngineSettings = Annotated[
    Annotated[LocalEngineSettings, Tag("local")] | Annotated[RayEngineSettings, Tag("ray")],
    Discriminator(_kind_of),
]
