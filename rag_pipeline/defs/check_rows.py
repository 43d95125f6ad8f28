"""What a row of the table of checks is, and how it becomes a check in Dagster.

Belongs here: what every check has, and what its function is given.
Does not belong here: the table (`checks.py`), the functions (`*_checks.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from rag_pipeline.defs.resources import PipelineResource
from rag_pipeline.defs.specs import bronze_key, model_partitions
from rag_pipeline.settings import Pipeline

if TYPE_CHECKING:
    from rag_pipeline.refresh.workspace import Workspace

WARN = dg.AssetCheckSeverity.WARN
ERROR = dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check looks at.

    Attributes:
        source: Name of the source, in a check of each source; else empty.
    """

    workspace: "Workspace"
    context: dg.AssetCheckExecutionContext
    source: str = ""

    @property
    def alias(self) -> str:
        """The embedding model, in a check of each model."""
        return str(self.context.partition_key)


@dataclass(frozen=True, slots=True)
class Check:
    """One row: a true sentence about an asset, and the function that holds the asset against it.

    Attributes:
        asset: None: the bronze table of each source.
        severity: The worst that it can be; where that is ERROR, a result may say WARN of itself.
        found: The result of one look; what it says of severity counts as above.
        by_model: The asset has a partition for each embedding model, and the check looks at one.
        blocking: What is made from the asset would be wrong, so the rest of the run stops.
    """

    name: str
    asset: dg.AssetKey | None
    severity: dg.AssetCheckSeverity
    found: Callable[[Subject], dg.AssetCheckResult]
    sentence: str
    by_model: bool = False
    blocking: bool = False

    def built(self, pipeline: Pipeline) -> list[dg.AssetChecksDefinition]:
        """The check, or that of each source."""
        if self.asset is not None:
            return [self._of(pipeline, self.asset)]
        return [self._of(pipeline, bronze_key(name), name) for name in pipeline.settings.sources]

    def _of(self, pipeline: Pipeline, asset: dg.AssetKey, source: str = "") -> dg.AssetChecksDefinition:
        @dg.asset_check(
            asset=asset,
            name=self.name,
            description=self.sentence,
            blocking=self.blocking,
            partitions_def=model_partitions(pipeline) if self.by_model else None,
        )
        def check(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
            result = self.found(Subject(pipeline.workspace, context, source))
            return result if self.severity is ERROR else result._replace(severity=self.severity)

        return check
