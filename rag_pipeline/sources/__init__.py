"""Where documents come from: one class per kind of source, each able to list and to fetch.

Belongs here: the kinds, by name. A new kind is a new module, a class of settings and one line in `KINDS`; one of
another package is an entry point of the group `rag_pipeline.sources`.
Does not belong here: what a difference between two listings means (`transforms/listing.py`).
"""

from __future__ import annotations

from rag_pipeline.contracts.sources import Capabilities, Source, SourceKind, SourceSpec
from rag_pipeline.errors import SettingsError
from rag_pipeline.settings.sources import (
    ArchiveSettings,
    FeedSettings,
    FilesSettings,
    GitSettings,
    MailSettings,
    RestSettings,
    SqlSettings,
    WebSettings,
    third_party_kind,
    third_party_names,
)
from rag_pipeline.sources.extras import require_extra
from rag_pipeline.sources.files import open_files

__all__ = ["KINDS", "Source", "kind_named", "open_source"]


def _open_feed(spec: SourceSpec) -> Source:
    require_extra("feed", "feedparser", "httpcore")
    from rag_pipeline.sources.feed.source import Feed

    return Feed(spec)


def _open_archive(spec: SourceSpec) -> Source:
    from rag_pipeline.sources.archive.source import ArchiveMembers

    return ArchiveMembers(spec)


def _open_git(spec: SourceSpec) -> Source:
    require_extra("git", "dulwich")
    from rag_pipeline.sources.git.source import GitFiles

    return GitFiles(spec)


def _open_sql(spec: SourceSpec) -> Source:
    # SQLAlchemy takes a fifth of a second, which a pipeline of files should not wait.
    from rag_pipeline.sources.sql import SqlRows

    return SqlRows(spec)


def _open_mail(spec: SourceSpec) -> Source:
    if "://" in spec.location:
        require_extra("mail", "imap_tools")
    from rag_pipeline.sources.mail import open_mail

    return open_mail(spec)


def _open_rest(spec: SourceSpec) -> Source:
    require_extra("rest", "httpcore")
    from rag_pipeline.sources.rest.source import RestItems

    return RestItems(spec)


def _open_web(spec: SourceSpec) -> Source:
    require_extra("web", "httpcore", "protego")
    from rag_pipeline.sources.web.site import WebSite

    return WebSite(spec)


KINDS: dict[str, SourceKind] = {
    "files": SourceKind(FilesSettings, open_files),
    # By default: a feed names its newest entries only.
    "feed": SourceKind(
        FeedSettings, _open_feed, Capabilities(is_complete=False, gives_media_types=True, gives_bytes=True)
    ),
    "archive": SourceKind(ArchiveSettings, _open_archive),
    "git": SourceKind(GitSettings, _open_git, Capabilities(gives_permissions=True)),
    # By `permissions_from: recipients`.
    "mail": SourceKind(MailSettings, _open_mail, Capabilities(gives_permissions=True, gives_media_types=True)),
    "rest": SourceKind(
        RestSettings, _open_rest, Capabilities(gives_permissions=True, gives_media_types=True, knows_groups=True)
    ),
    "sql": SourceKind(
        SqlSettings, _open_sql, Capabilities(gives_permissions=True, gives_media_types=True, knows_groups=True)
    ),
    "web": SourceKind(WebSettings, _open_web, Capabilities(gives_media_types=True, asks_for_each=True)),
}


def kind_named(name: str) -> SourceKind:
    """The kind of that name, built in or brought by a package.

    Raises:
        SettingsError: There is no such kind, or it cannot be loaded.
    """
    found = KINDS.get(name) or third_party_kind(name)
    if found is None:
        kinds = ", ".join([*KINDS, *third_party_names()])
        raise SettingsError(f"There is no kind of source {name}. Kinds: {kinds}.", kind=name)
    return found


def open_source(spec: SourceSpec) -> Source:
    """The source that `spec` describes; nothing is contacted before it is listed.

    Raises:
        SettingsError: There is no such kind.
    """
    return kind_named(spec.kind).open(spec)
