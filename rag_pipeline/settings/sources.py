"""Settings of a source: one class for each kind, with what all kinds have in common.

Belongs here: the union of the kinds, and finding the class of a kind that another package brings.
Does not belong here: how a source is listed and fetched (`sources/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, SerializeAsAny, Tag, WithJsonSchema, model_validator

from rag_pipeline.contracts.sources import SourceKind
from rag_pipeline.errors import SettingsError
from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.types import Cron, Duration, Owner, Pattern, Place, Principal, Text, VersionPattern

GROUP = "rag_pipeline.sources"
DEFAULT_KIND = "files"
# The member of the union for every kind that is not built in.
OTHER = "other"


class PermissionRuleSettings(Section):
    """Who may read the documents whose address matches a pattern."""

    pattern: Pattern
    """Glob on the address below the location, like `hr/**`."""
    allowed_principals: tuple[Principal, ...]
    """Who may read them; an empty list is nobody."""


class CommonSourceSettings(Section):
    """What every kind of source has. A kind of another package inherits from it, and adds `kind` and its own fields."""

    kind: str
    """Kind of source."""
    location: Place
    """Where the source is."""
    allowed_principals: tuple[Principal, ...] = ()
    """Who may read its documents unless something more specific says otherwise; empty is nobody."""
    permission_rules: tuple[PermissionRuleSettings, ...] = ()
    """The first rule whose pattern matches decides; a sidecar or front matter decides before it."""
    max_document_bytes: int = Field(default=100 * 2**20, gt=0, le=2**31)
    """Larger objects are quarantined unread, bytes."""
    max_text_bytes: int = Field(default=20 * 2**20, gt=0, le=2**31)
    """Larger files that are text themselves (Markdown, code, CSV, plain text) are quarantined, bytes."""
    min_quality: float = Field(default=0, ge=0, le=1)
    """What scores lower counts as of low quality; 0: nothing does. Garbage scores below 0.3. A change parses the source
    again and embeds nothing."""
    low_quality: Literal["quarantine", "rank_down"] = "quarantine"
    """What is of low quality is refused as a whole object, or indexed and found after equally good hits."""
    low_quality_weight: float = Field(default=0.5, ge=0, le=1)
    """What the scores of documents that are ranked down are multiplied by."""
    sensitive: Literal["off", "flag", "redact", "quarantine"] = "off"
    """Secrets and personal data: not looked for, counted on the document, replaced in its text, or refused."""
    schedule: Cron | None = None
    """When this source is refreshed by itself, as cron; none: with the others."""
    stale_after: Duration = timedelta(hours=3)
    """Not polled with success for this long, the source is overdue: its asset turns red, `status` ends with 1, and its
    hits say so."""
    content_stale_after: Duration | None = None
    """A check turns red when the source's newest content is older than this; none: content may age."""
    half_life: Duration | None = None
    """Search counts the scores of its documents less the older they are: at this age three quarters, never less than
    half; none: age does not count."""
    version_pattern: VersionPattern | None = None
    """Glob on the end of an address with `{version}` once, like `guides/v{version}/**`: of documents whose addresses
    differ in that alone, the older one is never found before the newer one."""
    archive_folders: tuple[Text, ...] = ()
    """Names of folders, like `archive`: what lies in one is an older version of what lies at the same address without
    it."""
    owners: tuple[Owner, ...] = ()
    """Dagster owners of the asset, like `team:docs` or an e-mail address."""
    max_deleted_share: float = Field(default=1 / 3, ge=0, le=1)
    """The run refuses when more than this share of the source vanishes at once."""
    max_deleted_floor: int = Field(default=20, ge=0, le=1_000_000_000)
    """Sources with fewer documents than this are held back only when all of at least three documents are gone."""

    @property
    def own_fields(self) -> dict[str, Any]:
        """The fields that only this kind has."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in _COMMON}


_COMMON = frozenset(CommonSourceSettings.model_fields)


class FilesSettings(CommonSourceSettings):
    """Where documents come from; becomes the asset bronze/<name>."""

    kind: Literal["files"] = "files"
    """Kind of source: any folder or bucket that fsspec can open."""
    location: Place
    """Folder or address, like `docs` or `s3://bucket/prefix`; a relative folder is relative to this file."""
    include: tuple[Pattern, ...] = ("**/*",)
    """Globs of the objects to take; `**/*.md` also matches at the top."""
    exclude: tuple[Pattern, ...] = ()
    """Globs of the objects to leave, decided after `include`; this file and the lake are always left."""
    use_sidecars: bool = True
    """Read `<name>.meta.yaml` beside a file for its title, author and permissions."""
    use_front_matter: bool = True
    """Read title, author and permissions from front matter."""
    storage_options: dict[str, str] = Field(default_factory=dict)
    """Options of the fsspec filesystem; a value like `$NAME` is read from the environment."""


class SqlSettings(CommonSourceSettings):
    """Rows of a database, each a document; becomes the asset bronze/<name>."""

    kind: Literal["sql"]
    """Kind of source: rows of any database that SQLAlchemy reads."""
    location: Place
    """File of SQLite, relative to this file, or an address like `postgresql+psycopg://reader@host/tickets`; `$NAME` is
    read from the environment."""
    query: str = Field(min_length=1, max_length=100_000)
    """A SELECT that gives one row for each document."""
    key: tuple[Text, ...] = Field(min_length=1)
    """Columns that name a row for ever; their values are its address."""
    text: tuple[Text, ...] = ()
    """Columns whose text is the document, with an empty line between them. This, `template` or `content` is needed."""
    template: Annotated[str, Field(max_length=100_000)] | None = None
    """The document's text, with columns in braces, like `{body} (status: {status})`."""
    content: Text | None = None
    """Column that holds the bytes of a file."""
    media_type: Text | None = None
    """What the documents are, like `text/markdown`; none: plain text, and with `content` what the bytes are."""
    title: Text | None = None
    """Column with the title."""
    author: Text | None = None
    """Column with the author."""
    modified: Text | None = None
    """Column with the time of the last change."""
    revision: Text | None = None
    """Column that differs after every change of a row, so that only bodies of changed rows are read; none: all rows are
    read whole and compared."""
    principals: Text | None = None
    """Column with who may read the row: a list, an array, text that is a JSON list, or one name; NULL is nobody. None:
    `permission_rules` and `allowed_principals` decide."""
    url: Text | None = None
    """Address of a row for people, with the columns of `key` in braces, like `https://tickets.example/{id}`."""

    @model_validator(mode="after")
    def _one_text(self) -> SqlSettings:
        given = [name for name in ("text", "template", "content") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"want one of text, template and content, got {' and '.join(given) or 'none'}")
        missing = [name for name in self.key if self.url is not None and f"{{{name}}}" not in self.url]
        if missing:
            raise ValueError(f"url: want every column of key in braces, {{{missing[0]}}} is missing")
        return self


BUILT_IN: dict[str, type[CommonSourceSettings]] = {"files": FilesSettings, "sql": SqlSettings}


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
    | Annotated[SqlSettings, Tag("sql")]
    | Annotated[
        SerializeAsAny[CommonSourceSettings], BeforeValidator(_other), WithJsonSchema(_OTHER_SCHEMA), Tag(OTHER)
    ],
    Discriminator(kind_of),
]
"""A source of any kind."""
