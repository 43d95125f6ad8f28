"""What can go wrong between this program and a web server, as kinds of sources tell it apart.

Belongs here: one class for each thing that a kind of source treats differently.
Does not belong here: what it means for a source or a document (`web.py` and its like); answers are none here.
"""

from __future__ import annotations

from http import HTTPStatus


class HttpFailure(Exception):
    """No answer that can be used. The message says why in a few words, without addresses and credentials."""


class NoAnswer(HttpFailure):
    """The server cannot be reached, broke off, or took too long."""


class NotAllowed(HttpFailure):
    """The address must not be asked: another protocol, a password in it, a network that is not public."""


class TooLarge(HttpFailure):
    """The body is larger than allowed, as it came or expanded."""


class Garbled(HttpFailure):
    """What came is no answer: not HTTP, an unknown coding, a circle of redirects."""


def is_fault(status: int) -> bool:
    """Whether a status says that a server cannot answer now, and nothing about what it was asked for."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
