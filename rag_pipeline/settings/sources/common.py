"""What every kind of source has, and what those have whose objects have paths.

Belongs here: settings that several kinds share.
Does not belong here: what one kind alone has (a module for each kind), the union of the kinds (`__init__.py`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rag_pipeline.settings.limits import Section
from rag_pipeline.settings.sources.groups import SourceGroupsSettings
from rag_pipeline.settings.types import Cron, Duration, Owner, Pattern, Place, Principal, Text, VersionPattern


class PermissionRuleSettings(Section):
    """Who may read the documents whose address matches a pattern."""

    pattern: Pattern
    """Glob on the address below the location, like `hr/**`."""
    allowed_principals: tuple[Principal, ...]
    """Who may read them; an empty list is nobody."""


class RetentionSettings(Section):
    """Which old revisions of a document bronze keeps: those that either of the two keeps."""

    revisions: int | None = Field(default=None, ge=1, le=1_000_000)
    """So many of each document, the last one among them."""
    days: int | None = Field(default=None, ge=1, le=36_500)
    """Those that were replaced less than so many days ago."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.revisions is None and self.days is None:
            raise ValueError("say revisions, days or both; without retention everything is kept")
        return self


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
    groups: SourceGroupsSettings | None = None
    """Who is in which group, where its documents name groups; none: callers bring their groups along."""
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
    ocr: Literal["off", "missing", "always"] | None = None
    """Whether pictures of text are read; none: as `ocr` of the pipeline says."""
    schedule: Cron | None = None
    """When this source is refreshed by itself, as cron; none: with the others."""
    stale_after: Duration = timedelta(hours=3)
    """Not polled with success for this long, the source is overdue: its asset turns red, `status` ends with 1, and its
    hits say so."""
    content_stale_after: Duration | None = None
    """A check turns red when the source's newest content is older than this; none: content may age."""
    searchable_within: Duration | None = None
    """A check turns red when a change takes longer than this from the source to searchable, or waits longer; none: it
    takes what it takes."""
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
    retention: RetentionSettings | None = None
    """How long bronze keeps bytes that a newer revision has replaced; none: for good. Maintenance removes the others.
    The last revision of each document stays whatever this says."""
    max_deleted_share: float = Field(default=1 / 3, ge=0, le=1)
    """The run refuses when more than this share of the source vanishes at once."""
    max_deleted_floor: int = Field(default=20, ge=0, le=1_000_000_000)
    """Sources with fewer documents than this are held back only when all of at least three documents are gone."""

    @property
    def own_fields(self) -> dict[str, Any]:
        """The fields that only this kind has."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in _SHARED}


class WithPatterns(CommonSourceSettings):
    """What kinds have whose objects lie in folders."""

    include: tuple[Pattern, ...] = ("**/*",)
    """Globs of the objects to take; `**/*.md` also matches at the top."""
    exclude: tuple[Pattern, ...] = ()
    """Globs of the objects to leave, decided after `include`; this file and the lake are always left."""


class WithFiles(WithPatterns):
    """What kinds have whose objects are files."""

    use_sidecars: bool = True
    """Read `<name>.meta.yaml` beside a file for its title, author and permissions."""
    use_front_matter: bool = True
    """Read title, author and permissions from front matter."""


_SHARED = frozenset(WithFiles.model_fields)
