"""What of the settings can be held against the sources before anything is read: `config check`.

Belongs here: patterns that match nothing, sources that nobody may read, sources that overlap with other permissions.
Does not belong here: whether pipeline.yaml is valid (`settings/`). Only local folders are listed: nothing here needs a
network.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import combinations

from rag_pipeline.contracts.sources import DeclaredMetadata, SourceSpec
from rag_pipeline.errors import SourceUnavailable
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.places import below
from rag_pipeline.settings.sources import CommonSourceSettings
from rag_pipeline.sources import open_source
from rag_pipeline.sources.addresses import name_of
from rag_pipeline.sources.files import local_folder
from rag_pipeline.transforms.permissions import allowed_principals

_SAID_NOTHING = DeclaredMetadata()


def review(pipeline: Pipeline) -> list[str]:
    """A sentence on each thing about the sources that is hardly meant, with what to do; none: nothing was found."""
    files = [name for name, source in pipeline.settings.sources.items() if source.kind == "files"]
    specs = {name: pipeline.source_spec(name) for name in files}
    warnings: list[str] = []
    taken: dict[str, dict[str, str]] = {}
    for name, spec in specs.items():
        folder = local_folder(spec)
        # A folder that is not there is named as such, and has no patterns to match.
        if folder is None or not folder.is_dir():
            continue
        source = open_source(spec)
        try:
            root = os.path.realpath(folder)
            taken[name] = {f"{root}/{name_of(item.address)}": item.address for item in source.list()}
        except SourceUnavailable as error:
            warnings.append(f"source {name}: {error.message}")
            continue
        warnings += [f"source {name}: {each.text}" for each in source.idle()]
        warnings += _closed(name, pipeline.settings.sources[name])
    for one, other in combinations(specs.values(), 2):
        warnings += _overlap(one, other, taken)
    return warnings


def _closed(name: str, settings: CommonSourceSettings) -> Iterator[str]:
    """Only documents that name their readers themselves are found: meant by few, forgotten by many."""
    if not settings.allowed_principals and not any(rule.allowed_principals for rule in settings.permission_rules):
        yield (
            f"source {name}: allowed_principals names nobody, so nobody finds a document that does not name its "
            f"readers itself, in front matter or a sidecar. Everybody is [public]."
        )


def _overlap(one: SourceSpec, other: SourceSpec, taken: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    advice = "Whoever may read either finds it: leave it out of one (`exclude`), or give both the same permissions."
    if one.name in taken and other.name in taken:
        mine, theirs = taken[one.name], taken[other.name]
        differing = sorted(
            path for path in mine.keys() & theirs.keys() if _readers(mine[path], one) != _readers(theirs[path], other)
        )
        if differing:
            address = mine[differing[0]]
            more = f" and {len(differing) - 1:,} more" if len(differing) > 1 else ""
            yield (
                f"sources {one.name} and {other.name} both take {address}{more}, with different permissions "
                f"({one.name}: {_shown(address, one)}; {other.name}: {_shown(theirs[differing[0]], other)}). {advice}"
            )
    elif one.name not in taken and other.name not in taken and local_folder(one) is None is local_folder(other):
        is_within = below(one.location, other.location) is not None or below(other.location, one.location) is not None
        if is_within and _permissions(one) != _permissions(other):
            yield f"sources {one.name} and {other.name} overlap, with different permissions. {advice}"


def _permissions(spec: SourceSpec) -> object:
    # Rules are relative to the location, so equal rules at two places are not the same.
    rules = (spec.permission_rules, spec.location) if spec.permission_rules else ()
    return sorted(set(spec.allowed_principals)), rules, spec.use_sidecars, spec.use_front_matter


def _readers(address: str, spec: SourceSpec) -> object:
    return allowed_principals(address, _SAID_NOTHING, spec), spec.use_sidecars, spec.use_front_matter


def _shown(address: str, spec: SourceSpec) -> str:
    return ", ".join(allowed_principals(address, _SAID_NOTHING, spec)) or "nobody"
