"""Belongs here: messages, mailboxes and Outlook files, and what is within them.

Does not belong here: what attachments hold: the context parses them.
"""
