"""The values that pass between a source and the pipeline: what is listed, fetched, declared, configured.

Belongs here: plain frozen dataclasses and the protocol of a source. Standard library only.
Does not belong here: reading a source (`sources/`), who may read a document (`transforms/permissions.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, runtime_checkable

from rag_pipeline.contracts.groups import GroupsSpec, Memberships
from rag_pipeline.errors import DocumentError

# The principal that everybody has.
PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One object as a source lists it; nothing of it has been read yet.

    Attributes:
        address: POSIX path below the source's location. Always storable as UTF-8: a byte of a file name
            that is no UTF-8 stands as `%XX`.
        uri: The configured location and the address, for people and citations.
        size_bytes: Where the source tells it.
        modified_at: UTC, where the source tells it.
        stamp: Equal stamps mean that neither the object, nor its sidecar, nor a setting that decides how
            it is read has changed.
        problem: Why it must not be fetched, if it must not.
        sidecar_address: Address of the sidecar that belongs to it.
        declared: All that is declared of it, where listing tells; then fetching it declares the same, the stamp does
            not tell of it but for the media type, and a change of it, of permissions above all, fetches nothing.
        raw: Its bytes, where listing gives them; a run takes them from there, and whoever checks it later fetches it.
        read: Gives its bytes without asking the source again, where listing came by them and they are too many to hold.
    """

    address: str
    uri: str
    size_bytes: int | None
    modified_at: datetime | None
    stamp: str
    problem: DocumentError | None = field(default=None, compare=False)
    sidecar_address: str | None = None
    declared: DeclaredMetadata | None = None
    raw: bytes | None = field(default=None, repr=False)
    read: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class DeclaredMetadata:
    """What the source, a sidecar or front matter says about a document.

    Attributes:
        allowed_principals: None: nothing is said. Empty: nobody may read it.
        modified_at: UTC.
        language: ISO 639 code, lower case.
        extra: Every other field, as text; nested values as JSON.
        link_target: For a symbolic link, the address it leads to, whose readers bound its own.
        link_target_principals: What the target's own sidecar or front matter says.
        media_type: Where the source knows it; None: the bytes and the address tell.
    """

    title: str | None = None
    author: str | None = None
    allowed_principals: tuple[str, ...] | None = None
    modified_at: datetime | None = None
    language: str | None = None
    extra: dict[str, str] = field(default_factory=dict)
    link_target: str | None = None
    link_target_principals: tuple[str, ...] | None = None
    media_type: str | None = None

    def to_json(self) -> str:
        """Canonical JSON of what is said: equal metadata gives equal text, nothing said gives `{}`."""
        values: dict[str, Any] = {
            "title": self.title,
            "author": self.author,
            "allowed_principals": self.allowed_principals,
            "modified_at": self.modified_at.isoformat() if self.modified_at else None,
            "language": self.language,
            "extra": self.extra or None,
            "link_target": self.link_target,
            "link_target_principals": self.link_target_principals,
            "media_type": self.media_type,
        }
        said = {name: value for name, value in values.items() if value is not None}
        return _CANONICAL.encode(said) if said else "{}"

    @classmethod
    def from_json(cls, text: str) -> DeclaredMetadata:
        """The inverse of `to_json`."""
        if text == "{}":
            return _NOTHING_DECLARED
        values = json.loads(text)
        for name in ("allowed_principals", "link_target_principals"):
            if name in values:
                values[name] = tuple(values[name])
        if "modified_at" in values:
            values["modified_at"] = datetime.fromisoformat(values["modified_at"]).astimezone(UTC)
        return cls(**values)


# Made once: it is asked for every row of a listing.
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
# Most documents declare nothing, and this is asked for every document on every run.
_NOTHING_DECLARED = DeclaredMetadata()


@dataclass(frozen=True, slots=True)
class FetchedObject:
    """The bytes of an object, unchanged, and what is declared about it."""

    raw: bytes
    declared: DeclaredMetadata


@dataclass(frozen=True, slots=True)
class PermissionRule:
    """Who may read the documents whose address matches a glob; nobody when the list is empty."""

    pattern: str
    allowed_principals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Idle:
    """Something about a source that has no effect, and was hardly meant so.

    Attributes:
        field: The setting that holds it, `sidecar`, `page`: one that is listed as it was, since it does not answer,
            `links`: a page with more than are followed, or `attachments`: an object whose own cannot be listed.
        name: The pattern, the sidecar's address, the page, or the object.
        hint: What may have been meant.
        decided_by: The rule before it that decides on everything that this one matches; empty: it matches nothing.
    """

    field: str
    name: str
    hint: str = ""
    decided_by: str = ""

    @property
    def text(self) -> str:
        """One sentence for people."""
        if self.field == "page":
            return f"{self.name} does not answer as a page does ({self.hint}), so what was read of it before stands"
        if self.field == "attachments":
            return (
                f"what is attached to {self.name} cannot be listed ({self.hint}), so what was read of it before stands"
            )
        if self.field == "links":
            return f"{self.name} has so many links that not all are followed ({self.hint}), so pages may be missing"
        if self.field == "sidecar":
            said = f"the sidecar {self.name} has no document beside it and is not a document itself"
        elif self.decided_by:
            said = (
                f"{self.field}: the rule for {self.name} decides on nothing, since {self.decided_by} stands before it "
                f"and says otherwise; the first rule that matches decides, so put the narrower one first"
            )
        else:
            said = f"{self.field}: the pattern {self.name} matches nothing"
        return f"{said} ({self.hint})" if self.hint else said


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source as configured.

    Attributes:
        location: Folder or URL to open; a folder is absolute or relative to the working directory.
        uri_prefix: What a uri begins with, as written in the configuration, so that a checkout elsewhere
            gives the same uris; None: the location.
        include: Globs on the address; `*` and `**` do not match names with a leading dot.
        own_globs: Those of `exclude` that the pipeline added for its own files.
        exclude: Globs on the address, decided after `include`; these match leading dots too.
        allowed_principals: Who may read what nothing more specific decides; empty is nobody.
        permission_rules: The first whose pattern matches decides.
        storage_options: For the fsspec filesystem.
        fields: What only this kind of source has, by name; variables of the environment are read.
        cache_folder: Where a source may keep what it can get again, so that it need not; None: nowhere.
        groups: Where its groups are read; None: it has none.
    """

    name: str
    location: str
    kind: str = "files"
    uri_prefix: str | None = None
    include: tuple[str, ...] = ("**/*",)
    exclude: tuple[str, ...] = ()
    own_globs: tuple[str, ...] = ()
    allowed_principals: tuple[str, ...] = ()
    permission_rules: tuple[PermissionRule, ...] = ()
    use_sidecars: bool = True
    use_front_matter: bool = True
    max_document_bytes: int = 100 * 2**20
    storage_options: dict[str, Any] = field(default_factory=dict, hash=False)
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    cache_folder: str | None = field(default=None, compare=False)
    groups: GroupsSpec | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a source of some kind can tell.

    Attributes:
        is_complete: A listing names every object, so what it does not name is deleted. Else nothing ever is.
        listing: How it is listed.
        gives_permissions: Each object may say who may read it, beside the settings, sidecars and front matter.
        gives_media_types: Objects say what they are.
        gives_bytes: A listing brings the bytes.
        asks_for_each: A listing asks the source for each object, so that nothing lists it but a run.
        knows_groups: It can say itself who is in which group; a file of groups may stand beside any kind.
    """

    is_complete: bool = True
    listing: Literal["full listing", "change feed with periodic full listing"] = "full listing"
    gives_permissions: bool = False
    gives_media_types: bool = False
    gives_bytes: bool = False
    asks_for_each: bool = False
    knows_groups: bool = False


class Source(Protocol):
    """Where documents come from. `fetch` may be called from several threads.

    Attributes:
        fetch_threads: How many objects to fetch at once; 1 where a thread costs more than the reading.
        capabilities: What it can tell.
    """

    name: str
    fetch_threads: int
    capabilities: Capabilities

    def list(self) -> Sequence[SourceObject]:
        """Every object of the source, sorted by address.

        Raises:
            SourceUnavailable: It cannot be listed completely; then nothing is known about any object.
        """
        ...

    def idle(self) -> Sequence[Idle]:
        """Patterns and sidecars that had nothing to act on in the last listing."""
        ...

    def fetch(self, item: SourceObject) -> FetchedObject:
        """The bytes of a listed object that has no `problem`.

        Raises:
            DocumentVanished: It is gone since it was listed.
            DocumentUnreadable: Its bytes cannot be read, or do not stop changing.
            DocumentTooLarge: It is over the source's limit.
            LinkOutsideSource: It has become a link that leads out of the source.
            InvalidMetadata: Its sidecar or front matter is malformed, so its permissions are unknown.
            SourceUnavailable: The source does not answer; then nothing more is asked of it in this run.
        """
        ...


@runtime_checkable
class FetchesTogether(Protocol):
    """A source that gives several objects for little more than one; whoever fetches many asks so."""

    def fetch_together(self, items: Sequence[SourceObject]) -> Sequence[FetchedObject | DocumentError]:
        """For each item, in order, what `Source.fetch` gives or raises.

        Raises:
            SourceUnavailable: As `Source.fetch`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the lake holds of an object of a source.

    Attributes:
        stamp: As it was listed; None: it could not be read then.
        modified_at: UTC.
        uri: As it was listed.
        size_bytes: Where the source told it.
        declared: As it was last listed or read.
    """

    stamp: str | None
    modified_at: datetime | None = None
    uri: str = ""
    size_bytes: int | None = None
    declared: DeclaredMetadata | None = field(default=None, compare=False)


@runtime_checkable
class RemembersListings(Protocol):
    """A source that asks for what was listed before: where nothing lists what there is, it may be there all the same.

    Whoever lists without telling it gets what its own state says.
    """

    def remember(self, known: Mapping[str, Remembered]) -> None:
        """Take note of what the lake holds, by address, before `list`."""
        ...


@runtime_checkable
class ListsSome(Protocol):
    """A source that lists a few objects for about what those cost, however many lie beside them."""

    def list_some(self, addresses: Sequence[str]) -> Sequence[SourceObject] | None:
        """What `list` would give at some addresses, sorted by address; whatever is not there is not among it.

        Args:
            addresses: As somebody named them: they may be no addresses at all, and lead anywhere.

        Returns:
            None: it has to be listed as a whole to know.

        Raises:
            SourceUnavailable: It does not answer; then nothing is known about them.
        """
        ...


@runtime_checkable
class KnowsGroups(Protocol):
    """A source that can say who is in which of its groups; it is asked on each run, apart from its documents."""

    def memberships(self) -> Memberships:
        """All groups with all their members, as the source names them.

        Raises:
            SourceUnavailable: It cannot say so; then what was known of all of them stands.
        """
        ...


@runtime_checkable
class Samples(Protocol):
    """A source of which a few objects are listed much sooner than all."""

    def sample(self, count: int) -> Sequence[SourceObject]:
        """Some objects, for whoever tries it, after asking for so many at most; raises what `list` does."""
        ...


@runtime_checkable
class KeepsCopies(Protocol):
    """A source that keeps something in `SourceSpec.cache_folder` that it can have again."""

    def forget_copies(self) -> None:
        """Remove what is kept; nothing is asked of the source itself."""
        ...


@runtime_checkable
class LeavesErased(Protocol):
    """A source that keeps what it reads in `SourceSpec.cache_folder`, and keeps nothing of what was erased."""

    def leave_erased(self, is_erased: Callable[[str, str], bool]) -> None:
        """Take note of it before anything is listed.

        Args:
            is_erased: Whether an object was, by its address and the hash of its bytes.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of source, as the registry and the entry points of the group `rag_pipeline.sources` name it.

    Attributes:
        settings: Class of its settings, which inherits from `settings.sources.CommonSourceSettings`.
        open: Makes the source that a spec describes; nothing is contacted before it is listed.
        capabilities: What its sources can tell, whatever their settings.
    """

    settings: type[Any]
    open: Callable[[SourceSpec], Source]
    capabilities: Capabilities = Capabilities()
