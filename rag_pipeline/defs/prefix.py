"""Our definitions under names of their own, so that they fit into any Dagster project, several times even.

Belongs here: what carries the prefix, and putting it on assets, checks, functions and what these yield.
Does not belong here: the definitions themselves; they are written down once, under their plain names.

Keys cannot be renamed once an asset is built: its body would yield the old ones, and fail when it runs. So each asset
and check is built again around the same body, whose results are renamed as they leave it.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import dagster as dg

from rag_pipeline.errors import SettingsError

# The name that bodies give the resource they are handed.
RESOURCE = "pipeline"
_PART = re.compile(r"[A-Za-z0-9_]{1,60}")
_RESULTS = (dg.MaterializeResult, dg.ObserveResult, dg.AssetCheckResult)


@dataclass(frozen=True)
class Prefix:
    """What stands before each asset key, and before the name of each op, job, schedule, sensor, group and resource.

    Attributes:
        parts: Parts of an asset key, outermost first; none: everything keeps its plain name.
    """

    parts: tuple[str, ...] = ()

    @classmethod
    def of(cls, prefix: str | Sequence[str]) -> "Prefix":
        """Of one part, of several, or of several as one text with slashes.

        Raises:
            SettingsError: A part holds what Dagster takes in no name.
        """
        parts = tuple(part for part in prefix.split("/") if part) if isinstance(prefix, str) else tuple(prefix)
        unfit = next((part for part in parts if not _PART.fullmatch(part)), None)
        if unfit is not None:
            raise SettingsError(
                f"{unfit[:80]!r} cannot be part of a prefix: Dagster's names hold letters without accents, digits and "
                f"underscores only, here 1 to 60 of them",
                prefix=unfit,
            )
        return cls(parts)

    def key(self, key: dg.AssetKey) -> dg.AssetKey:
        return dg.AssetKey([*self.parts, *key.path])

    def name(self, name: str) -> str:
        return "_".join([*self.parts, name])

    @property
    def resource(self) -> str:
        return self.name(RESOURCE)

    def bound(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A body that is handed the resource under the prefixed key and yields results under prefixed keys."""
        if not self.parts:
            return function
        hints = get_type_hints(function)
        signature = inspect.signature(function)
        named = {name: self.resource if name == RESOURCE else name for name in signature.parameters}

        def plainly(values: Mapping[str, Any]) -> dict[str, Any]:
            return {RESOURCE if name == self.resource else name: value for name, value in values.items()}

        def call(*arguments: Any, **values: Any) -> Any:
            return self._result(function(*arguments, **plainly(values)))

        def generate(*arguments: Any, **values: Any) -> Iterator[Any]:
            yield from map(self._result, function(*arguments, **plainly(values)))

        body: Any = generate if inspect.isgeneratorfunction(function) else call
        body.__name__, body.__qualname__, body.__doc__ = function.__name__, function.__qualname__, function.__doc__
        body.__module__ = function.__module__
        parameters = [p.replace(name=named[p.name]) for p in signature.parameters.values()]
        body.__signature__ = signature.replace(parameters=parameters)
        body.__annotations__ = {named.get(name, name): hint for name, hint in hints.items()}
        return body  # type: ignore[no-any-return]

    def _result(self, found: Any) -> Any:
        if not isinstance(found, _RESULTS):
            return found
        changed: dict[str, Any] = {"metadata": self._metadata(found.metadata)}
        if found.asset_key is not None:
            changed["asset_key"] = self.key(found.asset_key)
        if not isinstance(found, dg.AssetCheckResult):
            changed["check_results"] = [self._result(check) for check in found.check_results or ()]
        return found._replace(**changed)

    def _metadata(self, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
        return {name: self._lineage(value) for name, value in (metadata or {}).items()}

    def _lineage(self, value: Any) -> Any:
        found = getattr(value, "value", value)
        if not isinstance(found, dg.TableColumnLineage):
            return value
        deps = {
            column: [dg.TableColumnDep(self.key(dep.asset_key), dep.column_name) for dep in made_from]
            for column, made_from in found.deps_by_column.items()
        }
        return dg.TableColumnLineage(deps)


def prefixed_asset(asset: dg.AssetsDefinition, prefix: Prefix) -> dg.AssetsDefinition:
    """An asset of ours, or several of one step, under the prefix."""
    if not prefix.parts:
        return asset
    op: Any = asset.op
    built = dg.multi_asset(
        name=prefix.name(op.name),
        specs=[_spec(spec, prefix) for spec in asset.specs],
        check_specs=[_check_spec(spec, prefix) for spec in asset.check_specs],
        description=op.description,
        op_tags=op.tags,
        can_subset=asset.can_subset,
        backfill_policy=asset.backfill_policy,
        pool=prefix.name(op.pool),
        retry_policy=op.retry_policy,
    )
    return built(prefix.bound(op.compute_fn.decorated_fn))


def prefixed_check(check: dg.AssetChecksDefinition, prefix: Prefix) -> dg.AssetChecksDefinition:
    """A check of ours under the prefix; only its asset's key changes."""
    if not prefix.parts:
        return check
    op: Any = check.op
    [spec] = check.check_specs
    built = dg.asset_check(
        asset=prefix.key(spec.asset_key),
        name=spec.name,
        description=spec.description,
        additional_deps=[prefix.key(dep.asset_key) for dep in spec.additional_deps],
        blocking=spec.blocking,
        metadata=spec.metadata,
        partitions_def=spec.partitions_def,
        retry_policy=op.retry_policy,
    )
    return built(prefix.bound(op.compute_fn.decorated_fn))


def _spec(spec: dg.AssetSpec, prefix: Prefix) -> dg.AssetSpec:
    return spec.replace_attributes(
        key=prefix.key(spec.key),
        deps=[dg.AssetDep(prefix.key(dep.asset_key), partition_mapping=dep.partition_mapping) for dep in spec.deps],
        group_name=prefix.name(spec.group_name or "default"),
    )


def _check_spec(spec: dg.AssetCheckSpec, prefix: Prefix) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        spec.name,
        asset=prefix.key(spec.asset_key),
        description=spec.description,
        blocking=spec.blocking,
        metadata=spec.metadata,
        partitions_def=spec.partitions_def,
    )
