"""Who is in which group, as a source says it.

Belongs here: plain frozen dataclasses. Standard library only.
Does not belong here: the tables that are made of it (`memberships.py`), reading a source's groups (`sources/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# So many memberships of one source are held in memory a few times over; ten times as many as in any directory that was
# met. A source with more is refused as a whole: a part of it would shut people out, or let them stay.
MOST_MEMBERSHIPS = 1_000_000


@dataclass(frozen=True, slots=True)
class Membership:
    """One member of one group, both as the source names them.

    Attributes:
        is_group: The member is itself a group of the source, whose members are in the outer one too.
    """

    group: str
    member: str
    is_group: bool = False


@dataclass(frozen=True, slots=True)
class Memberships:
    """What a source says of its groups at one moment. The members of each group are all there, or it is `unknown`.

    Attributes:
        unknown: Groups that are there and whose members it could not tell now: what was known of them stands.
        is_complete: A group that is not named is gone. Else what was known of it stands.
        named: Groups that are named; only needed where the listing is not complete, for those without any member.
    """

    memberships: tuple[Membership, ...]
    unknown: frozenset[str] = frozenset()
    is_complete: bool = True
    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GroupsSpec:
    """Where a source's groups are read, and what readers know them by.

    Attributes:
        prefix: Put before the name of each group, so that equal names of two sources are two groups.
        member_prefix: Put before the name of each person, as the identity provider's names have it.
        file: Absolute path of a file with all groups; None: the source itself is asked.
        fields: What only this kind of source has for that, by name.
    """

    prefix: str
    member_prefix: str = ""
    file: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
