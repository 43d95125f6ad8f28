"""Settings of the kind `mail`: messages of an IMAP server, a Maildir or an mbox file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rag_pipeline.settings.sources.common import WithPatterns
from rag_pipeline.settings.types import Place, Secret, Text


class MailSettings(WithPatterns):
    """Messages, each a document with its attachments below it; becomes the asset bronze/<name>."""

    kind: Literal["mail"]
    """Kind of source: an IMAP server, a Maildir, or an mbox file."""
    location: Place
    """`imaps://imap.example.org`, `imap://imap.example.org` (which changes to TLS), the folder of a Maildir, or an mbox
    file; relative to this file."""
    user: Text | None = None
    """Who logs in at the IMAP server."""
    password: Secret | None = None
    """The variable of the environment that holds the password, like `$MAIL_PASSWORD`."""
    access_token: Secret | None = None
    """The variable that holds an OAuth 2 access token, where the server takes no password."""
    starttls: bool = True
    """Whether `imap://` changes to TLS before it logs in; without it the password is sent in the clear."""
    permissions_from: Literal["folder", "recipients"] = "folder"
    """Who may read a message: what `permission_rules` say of its folder, with which its address begins, or whoever its
    header names as sender and recipients."""
    recipient_domains: tuple[Text, ...] = ()
    """With `recipients`, only addresses of these domains count, like `example.org`; none: all."""
    quoted: Literal["leave_out", "keep"] = "leave_out"
    """What a reply quotes of the message before it: left out, since that one is a document itself, or indexed again."""
    timeout_seconds: int = Field(default=30, ge=1, le=600)
    """So long the IMAP server is waited for, each time."""
