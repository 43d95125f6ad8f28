"""Settings of a source: a module for each kind, and what all kinds have in common.

Belongs here: the union of the kinds, and finding the class of a kind that another package brings.
Does not belong here: the settings of one kind, how a source is listed and fetched (`sources/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated

from pydantic import BeforeValidator, Discriminator, SerializeAsAny, Tag, WithJsonSchema

from rag_pipeline.contracts.sources import SourceKind
from rag_pipeline.errors import SettingsError
from rag_pipeline.settings.sources.archive import ArchiveSettings
from rag_pipeline.settings.sources.common import CommonSourceSettings, PermissionRuleSettings, WithFiles, WithPatterns
from rag_pipeline.settings.sources.feed import FeedSettings
from rag_pipeline.settings.sources.files import FilesSettings
from rag_pipeline.settings.sources.git import GitSettings
from rag_pipeline.settings.sources.mail import MailSettings
from rag_pipeline.settings.sources.rest import RestSettings
from rag_pipeline.settings.sources.sql import SqlSettings
from rag_pipeline.settings.sources.web import WebSettings

__all__ = [
    "BUILT_IN",
    "ArchiveSettings",
    "CommonSourceSettings",
    "FeedSettings",
    "FilesSettings",
    "GitSettings",
    "MailSettings",
    "PermissionRuleSettings",
    "RestSettings",
    "SourceSettings",
    "SqlSettings",
    "WebSettings",
    "WithFiles",
    "WithPatterns",
    "kind_of",
    "settings_class",
    "third_party_kind",
    "third_party_names",
]

GROUP = "rag_pipeline.sources"
DEFAULT_KIND = "files"
# The member of the union for every kind that is not built in.
OTHER = "other"

BUILT_IN: dict[str, type[CommonSourceSettings]] = {
    "files": FilesSettings,
    "archive": ArchiveSettings,
    "feed": FeedSettings,
    "git": GitSettings,
    "mail": MailSettings,
    "rest": RestSettings,
    "sql": SqlSettings,
    "web": WebSettings,
}


def kind_of(source: object) -> str:
    """Name of the member of the union that a source as written belongs to; one without `kind` holds files."""
    if isinstance(source, CommonSourceSettings):
        return source.kind if source.kind in BUILT_IN else OTHER
    kind = source.get("kind", DEFAULT_KIND) if isinstance(source, Mapping) else DEFAULT_KIND
    return kind if isinstance(kind, str) and kind in BUILT_IN else OTHER


def third_party_kind(name: str) -> SourceKind | None:
    """The kind of that name that an installed package brings; None: there is none.

    Raises:
        SettingsError: Several packages bring it, it cannot be loaded, or it is no `SourceKind`.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        return None
    if len(found) > 1:
        packages = " and ".join(sorted(map(_brought_by, found)))
        raise SettingsError(f"the kind of source {name} is brought by {packages}; uninstall one of them", kind=name)
    where = f"the kind of source {name} ({found[0].value} of {_brought_by(found[0])})"
    try:
        loaded = found[0].load()
    # A package of somebody else may fail in any way while it is imported.
    except Exception as error:
        raise SettingsError(
            f"{where} cannot be loaded: {type(error).__name__}: {error}. Install what it needs, or uninstall it.",
            kind=name,
        ) from error
    if not isinstance(loaded, SourceKind) or not issubclass(loaded.settings, CommonSourceSettings):
        raise SettingsError(
            f"{where} is not a SourceKind with settings that inherit from CommonSourceSettings; ask those who made it",
            kind=name,
        )
    return loaded


def third_party_names() -> list[str]:
    """Names of the kinds that installed packages bring; nothing is imported. Built-in names stay built in."""
    return sorted({point.name for point in entry_points(group=GROUP)} - BUILT_IN.keys())


def _brought_by(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "a package without a name"


def settings_class(name: object) -> type[CommonSourceSettings] | None:
    """The class of a kind's settings; None: there is no such kind."""
    if not isinstance(name, str):
        return None
    if name in BUILT_IN:
        return BUILT_IN[name]
    brought = third_party_kind(name)
    return None if brought is None else brought.settings


def _other(source: object) -> object:
    if not isinstance(source, Mapping):
        return source
    name = source.get("kind")
    found = settings_class(name)
    if found is None:
        kinds = ", ".join([*BUILT_IN, *third_party_names()])
        raise ValueError(f"there is no kind of source {name!r:.100}; kinds: {kinds}")
    return found.model_validate(source)


_OTHER_SCHEMA = {
    "description": "A source of a kind that another package brings, with fields of its own.",
    "type": "object",
    "required": ["kind", "location"],
    "properties": {"kind": {"type": "string", "not": {"enum": [*BUILT_IN]}}, "location": {"type": "string"}},
}

SourceSettings = Annotated[
    Annotated[FilesSettings, Tag("files")]
    | Annotated[FeedSettings, Tag("feed")]
    | Annotated[ArchiveSettings, Tag("archive")]
    | Annotated[GitSettings, Tag("git")]
    | Annotated[MailSettings, Tag("mail")]
    | Annotated[RestSettings, Tag("rest")]
    | Annotated[SqlSettings, Tag("sql")]
    | Annotated[WebSettings, Tag("web")]
    | Annotated[
        SerializeAsAny[CommonSourceSettings], BeforeValidator(_other), WithJsonSchema(_OTHER_SCHEMA), Tag(OTHER)
    ],
    Discriminator(kind_of),
]
"""A source of any kind."""
