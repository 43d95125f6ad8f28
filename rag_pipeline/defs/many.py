"""Several pipelines in one code location: none takes another's names, and one that is broken leaves the others alone.

Belongs here: putting them together, and what stands in the place of one that cannot be used.
Does not belong here: one pipeline's definitions (`build.py`), the file that names them (`settings/pipelines.py`).
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from rag_pipeline.defs.build import build_definitions
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline.errors import RagPipelineError, SettingsError
from rag_pipeline.settings import Pipeline, load_pipeline
from rag_pipeline.settings.places import below
from rag_pipeline.shown import shown

log = logging.getLogger(__name__)

# Soon enough for whoever mends the file; a look reads it.
SENSOR_SECONDS = 60


def build_all(configs: Mapping[str, Path]) -> dg.Definitions:
    """All definitions of several pipelines, each under its name.

    One whose pipeline.yaml cannot be used, whose lake is another's, or whose names another has already, is left out
    with an asset and a sensor in its place that say why; the others are there all the same.

    Args:
        configs: The pipeline.yaml of each by its name; of two that are in each other's way the first counts.
    """
    merged: list[dg.Definitions] = []
    taken: dict[str, str] = {}
    built: dict[str, Pipeline] = {}
    for name, config in configs.items():
        try:
            pipeline = load_pipeline(config)
            _check_lake_is_its_own(name, pipeline, built)
            definitions = build_definitions(pipeline, prefix=name)
            names = set(_names(definitions))
            _check_names_are_its_own(name, names, taken)
        except Exception as error:
            said = error.message if isinstance(error, RagPipelineError) else f"{type(error).__name__}: {error}"
            log.error("pipeline %s is left out: %s", name, shown(said))
            definitions, names = _unusable(name, config, shown(said)), set()
        else:
            built[name] = pipeline
        merged.append(definitions)
        taken |= dict.fromkeys(names, name)
    return dg.Definitions.merge(*merged)


def _check_lake_is_its_own(name: str, pipeline: Pipeline, others: Mapping[str, Pipeline]) -> None:
    lake = pipeline.lake_root
    for other, there in others.items():
        if _lies_in(lake, there.lake_root) or _lies_in(there.lake_root, lake):
            raise SettingsError(
                f"the lake {lake} of {name} is that of {other}, or one lies in the other: each run of one would take "
                f"out what the other wrote. Give {name} a `lake` of its own.",
                lake=lake,
            )
        for reader, read in ((pipeline, there), (there, pipeline)):
            found = next((s for s in reader.settings.sources if _lies_in(reader.location(s), read.lake_root)), None)
            if found is not None:
                raise SettingsError(
                    f"the source {found} of {reader.path} lies in the lake of {read.path}: what readers of one may not "
                    f"see, the other would publish. Name another `location`.",
                    source=found,
                )


def _lies_in(inner: str, outer: str) -> bool:
    return below(outer, inner) is not None


def _check_names_are_its_own(name: str, names: Iterable[str], taken: Mapping[str, str]) -> None:
    twice = min(set(names) & taken.keys(), default=None)
    if twice is not None:
        raise SettingsError(
            f"{twice} of {name} would be called as one of {taken[twice]}: give {name} another name, that does not "
            f"begin with {taken[twice]} and an underscore",
            name=name,
        )


def _names(definitions: dg.Definitions) -> Iterable[str]:
    """What may be there once in a code location: keys of assets carry the name as a part of theirs."""
    named: Iterable[Any]
    for kind, named in (
        ("the job", definitions.jobs or ()),
        ("the schedule", definitions.schedules or ()),
        ("the sensor", definitions.sensors or ()),
    ):
        yield from (f"{kind} {each.name}" for each in named)
    for each in [*(definitions.assets or ()), *(definitions.asset_checks or ())]:
        if isinstance(each, dg.AssetsDefinition):
            yield f"the step {each.op.name}"
    for job in definitions.jobs or ():
        if isinstance(job, dg.JobDefinition):
            yield from (f"the step {node.name}" for node in job.graph.node_defs)
    yield from (f"the resource {key}" for key in definitions.resources or {})


def _unusable(name: str, config: Path, said: str) -> dg.Definitions:
    prefix = Prefix.of(name)
    key = prefix.key(dg.AssetKey("pipeline_yaml"))

    @dg.sensor(
        name=prefix.name("pipeline_yaml_can_be_used"),
        minimum_interval_seconds=SENSOR_SECONDS,
        # Nobody would start it: it is there because something is wrong.
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Fails until {config} can be used: nothing of this pipeline runs by Dagster until then.",
    )
    def can_be_used() -> dg.SkipReason:
        load_pipeline(config)
        return dg.SkipReason(
            f"{config} can be read. Reload the code location (Deployment, Reload) to have the pipeline back; if this "
            f"stays, what was wrong is: {said}"
        )

    described = (
        f"The pipeline {name} is left out, and none of its runs is started here: {said}\n\nReaders keep what was "
        f"published last. Mend {config}, then reload the code location."
    )
    spec = dg.AssetSpec(key, group_name=prefix.name("unusable"), description=described)
    return dg.Definitions(assets=[spec], sensors=[can_be_used])
