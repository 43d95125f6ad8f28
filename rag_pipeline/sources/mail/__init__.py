"""The `mail` kind: messages of an IMAP server, a Maildir or an mbox file as documents.

Belongs here: choosing between the three by location, and a module for each.
Does not belong here: what a message says, and its attachments (`parsing/mail/`).
"""

from __future__ import annotations

from pathlib import Path

from rag_pipeline.contracts.sources import Source, SourceSpec


def open_mail(spec: SourceSpec) -> Source:
    """The source that `spec` describes; nothing is contacted before it is listed.

    Raises:
        ExtraMissing: It is an IMAP server, and what speaks with one is not installed.
    """
    if "://" in spec.location:
        from rag_pipeline.sources.mail.imap import ImapMail

        return ImapMail(spec)
    # What is not there is said when it is listed; then it may be either.
    if Path(spec.location).is_file():
        from rag_pipeline.sources.mail.mbox import MboxMail

        return MboxMail(spec)
    from rag_pipeline.sources.mail.maildir import MaildirMail

    return MaildirMail(spec)
