"""The pipeline as a component of another Dagster project: a `defs.yaml` beside a `pipeline.yaml`.

Belongs here: what `defs.yaml` may say, and the two files that `dg scaffold defs` writes.
Does not belong here: the definitions (`defs/build.py`).
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import dagster as dg
import yaml
from dagster.components import Scaffolder, ScaffoldRequest, scaffold_component, scaffold_with
from pydantic import BaseModel, Field

from rag_pipeline.defs import build_definitions
from rag_pipeline.settings import load_pipeline

_CONFIG = "pipeline.yaml"
_UNFIT = re.compile(r"\W+", re.ASCII)
_HEAD = """\
# What to ingest, which models, where the lake is; paths are relative to this file.
# Check it with: rag-pipeline --config pipeline.yaml config check
"""


class ScaffoldParams(BaseModel):
    """What `dg scaffold defs` may be told."""

    location: str = Field("documents", description="Folder of documents below the project's folder, or an address.")
    readers: str = Field("staff", description="Who may read them, like public, a group or a person.")


class RagPipelineScaffolder(Scaffolder[ScaffoldParams]):
    """Writes a first pipeline.yaml, and the defs.yaml that names it."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        return ScaffoldParams

    def scaffold(self, request: ScaffoldRequest[ScaffoldParams]) -> None:
        folder = Path(request.target_path)
        # Beside the package and not in it: Dagster imports what is Python there.
        root = Path(request.project_root or folder)
        names = _below_defs(folder, root)
        location = request.params.location
        if "://" not in location:
            (root / location).mkdir(parents=True, exist_ok=True)
            location = os.path.relpath(root / location, folder)
        settings = {
            "lake": os.path.relpath(root.joinpath("data", *names, "lake"), folder),
            "sources": {"documents": {"location": location, "allowed_principals": [request.params.readers]}},
            "embedding_models": {"minilm": {"model": "sentence-transformers/all-MiniLM-L6-v2"}},
            "serve": "minilm",
        }
        (folder / _CONFIG).write_text(_HEAD + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), "utf-8")
        # A second pipeline of the project has another folder, and so other names.
        prefix = [_UNFIT.sub("_", name) for name in names]
        scaffold_component(request, {"config": _CONFIG, "key_prefix": prefix})


def _below_defs(folder: Path, root: Path) -> tuple[str, ...]:
    """Where a folder is in the project: `defs/east/search` and `defs/west/search` are two."""
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    return parts[parts.index("defs") + 1 :] if "defs" in parts[:-1] else (folder.name,)


@scaffold_with(RagPipelineScaffolder)
class RagPipelineComponent(dg.Component, dg.Model, dg.Resolvable):
    """All assets, checks, jobs, schedules and sensors of one pipeline.yaml, under a prefix of their own."""

    config: Annotated[str, Field(description="The pipeline.yaml, relative to this file.")] = _CONFIG
    key_prefix: Annotated[
        Sequence[str],
        Field(
            description="Parts before each asset key, and before the name of each job, schedule, sensor and group. "
            "Each pipeline of a code location needs its own."
        ),
    ] = ()

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Definitions of the pipeline; nothing is opened.

        Raises:
            SettingsError: pipeline.yaml or the prefix cannot be used.
        """
        return build_definitions(load_pipeline(Path(context.path) / self.config), prefix=self.key_prefix)
