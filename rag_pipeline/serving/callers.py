"""Callers: who asks, once that is established.

Belongs here: a caller as a value, groups out of claims, and looking as somebody who sees less.
Does not belong here: establishing who asks (`identity.py`). Standard library only but for our own names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rag_pipeline.contracts.names import principal
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import Forbidden, Unidentified

# As a header or a token of bearable size can hold them.
MOST_GROUPS = 2_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: For logs and limits; what they may read hangs on `principals` alone.
        principals: Their own name and the groups that came with it, `public` among them; a search adds those that
            sources know, as they are then.
        way: How it was established: token, jwt, proxy, anonymous or process.
        is_administrator: May look at the search as fewer of their principals would see it.
    """

    name: str
    principals: frozenset[str]
    way: str
    is_administrator: bool = False

    def seeing_as(self, principals: Iterable[str] | None) -> Caller:
        """The caller with some of their principals; it only ever narrows.

        Raises:
            Forbidden: They are no administrator, or do not have one of the principals themselves.
        """
        if principals is None:
            return self
        wanted = frozenset(principals) | {PUBLIC}
        if not self.is_administrator:
            raise Forbidden("only administrators may look as somebody else; serving.administrators names them")
        if not wanted <= self.principals:
            # What there is besides is nothing to be told here.
            raise Forbidden("you can look only with principals that are your own")
        return replace(self, principals=wanted)


def caller_of(
    name: object, groups: Iterable[object], way: str, administrators: Iterable[str], prefix: str = ""
) -> Caller:
    """A caller with their own name and groups as principals.

    Raises:
        Unidentified: A name is none, or looks like another.
    """
    try:
        own = principal(f"{prefix}{_text(name)}")
        listed = frozenset(principal(f"{prefix}{_text(group)}") for group in groups)
    except ValueError as error:
        raise Unidentified(
            "the name of the caller or of a group cannot be one; they hold no unseen characters"
        ) from error
    if not prefix and own == PUBLIC and way != "anonymous":
        raise Unidentified("the caller is named public, which is everybody and nobody")
    principals = listed | {own, PUBLIC}
    return Caller(own, principals, way, bool(principals & frozenset(administrators)))


def groups_of(claim: object) -> list[object]:
    """Groups out of a claim: one text or a list of texts; a missing claim is none.

    Raises:
        Unidentified: It is anything else: what it means is not known, and nobody is let in on a guess.
    """
    if claim is None:
        return []
    listed = [claim] if isinstance(claim, str) else claim
    if not isinstance(listed, list) or len(listed) > MOST_GROUPS or not all(isinstance(each, str) for each in listed):
        raise Unidentified(f"the groups claim must be a string or a list of at most {MOST_GROUPS:,} strings")
    return list(listed)


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise ValueError("a name is a text")
    return name
