"""Memberships as tables and as what a caller has: pure.

Belongs here: which rows a listing of groups gives, what principals follow from them, and who has what in the end.
Does not belong here: reading and writing (`refresh/memberships.py`), asking for a caller (`retrieval/memberships.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from rag_pipeline.contracts.groups import GroupsSpec, Memberships
from rag_pipeline.contracts.memberships import MEMBERSHIPS, PRINCIPALS
from rag_pipeline.contracts.names import principal
from rag_pipeline.contracts.sources import PUBLIC

_NAMES = ["source", "group_name", "member_name", "is_group"]
_PAIRS = ["source", "member_principal", "group_principal"]


@dataclass(frozen=True, slots=True)
class NamedMemberships:
    """What a listing says, with the names as they are compared.

    Attributes:
        rows: The key of `silver/memberships`, each once.
        refused: Why names were left out, a sentence each: one that looks like another's is nobody's.
        unknown, named: Groups of the listing, by their compared names.
    """

    rows: pl.DataFrame
    refused: tuple[str, ...]
    unknown: frozenset[str]
    named: frozenset[str]


def named_memberships(source: str, listing: Memberships) -> NamedMemberships:
    """A listing with names as they are compared; what is no name is left out and said."""
    known: dict[object, str | None] = {}
    refused: dict[str, None] = {}

    def name_of(given: object) -> str | None:
        if given not in known:
            known[given], fault = _compared(given)
            refused.update(dict.fromkeys(filter(None, [fault])))
        return known[given]

    found = {(name_of(one.group), name_of(one.member), one.is_group): None for one in listing.memberships}
    rows = [(source, group, member, inner) for group, member, inner in found if group and member]
    schema = {name: MEMBERSHIPS.schema[name] for name in _NAMES}
    unknown = frozenset(name for group in listing.unknown if (name := name_of(group)) is not None)
    named = frozenset(name for group in listing.named if (name := name_of(group)) is not None)
    return NamedMemberships(
        pl.DataFrame(rows, schema=schema, orient="row"), tuple(refused), unknown, named | {row[1] for row in rows}
    )


def standing(known: pl.DataFrame, said: NamedMemberships, *, is_complete: bool) -> pl.DataFrame:
    """Rows of a source that hold now: what it says, and what was known of groups that it says nothing of."""
    is_silent = pl.col("group_name").is_in(list(said.unknown))
    if not is_complete:
        is_silent |= ~pl.col("group_name").is_in(list(said.named))
    kept = known.filter(is_silent).select(_NAMES)
    told = said.rows.filter(~pl.col("group_name").is_in(list(said.unknown)))
    return pl.concat([told, kept]).unique()


def about(memberships: pl.DataFrame, naming: Mapping[str, GroupsSpec], is_meant: Callable[[str], bool]) -> pl.DataFrame:
    """The rows of `silver/memberships` in which some principals are the group or the member."""
    parts = [memberships.clear()]
    for name, spec in naming.items():
        mine = memberships.filter(pl.col("source") == name)
        outer = {each for each in mine["group_name"] if is_meant(f"{spec.prefix}{each}")}
        inner = {each for each in mine.filter("is_group")["member_name"] if is_meant(f"{spec.prefix}{each}")}
        people = {
            each for each in mine.filter(~pl.col("is_group"))["member_name"] if is_meant(f"{spec.member_prefix}{each}")
        }
        is_inner = pl.col("is_group") & pl.col("member_name").is_in(list(inner))
        is_member = is_inner | (~pl.col("is_group") & pl.col("member_name").is_in(list(people)))
        parts.append(mine.filter(pl.col("group_name").is_in(list(outer)) | is_member))
    return pl.concat(parts)


def names_of(memberships: pl.DataFrame, naming: Mapping[str, GroupsSpec]) -> set[str]:
    """Every principal that rows of `silver/memberships` name, as the group or the member.

    Of a source that knows no groups now nobody can tell how it named them; they are taken by the names that it says,
    and by those that settings give where they say nothing.
    """
    found: set[str] = set()
    for source, group, member, is_group in memberships.select(_NAMES).iter_rows():
        spec = naming.get(source)
        before, before_member = (spec.prefix, spec.member_prefix) if spec else (f"{source}:", "")
        found |= {f"{before}{group}", f"{before if is_group else before_member}{member}"}
        if spec is None:
            found |= {group, member}
    return found


def principals_of(memberships: pl.DataFrame, naming: Mapping[str, GroupsSpec]) -> pl.DataFrame:
    """The key of `silver/principals` for some rows of `silver/memberships`.

    Args:
        naming: How the names of each source become principals; a source that is not there gives none.
    """
    parts = [PRINCIPALS.empty().select(_PAIRS)]
    for name, spec in naming.items():
        mine = memberships.filter(pl.col("source") == name)
        groups = {*mine["group_name"], *mine.filter("is_group")["member_name"]}
        people = set(mine.filter(~pl.col("is_group"))["member_name"])
        by_kind = pl.concat(
            [
                _prefixed(groups, spec.prefix, is_group=True),
                _prefixed(people, spec.member_prefix, is_group=False),
            ]
        )
        outer = by_kind.filter("is_group").select(group_name="name", group_principal="principal")
        members = by_kind.rename({"name": "member_name", "principal": "member_principal"})
        found = mine.join(outer, on="group_name").join(members, on=["member_name", "is_group"]).select(_PAIRS)
        parts.append(found.filter(pl.col("member_principal") != pl.col("group_principal")))
    return pl.concat(parts).unique()


def groups_by_member(principals: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """For each principal those that it has at once by `silver/principals`."""
    grouped = principals.group_by("member_principal").agg(pl.col("group_principal").unique())
    return {member: tuple(groups) for member, groups in grouped.iter_rows()}


def all_principals(own: Iterable[str], groups: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Some principals and all that they have by groups, groups of groups too; a circle of groups ends like any other.

    `public` has nothing: what everybody has is said of documents.
    """
    found = set(own)
    waiting = [each for each in found if each != PUBLIC]
    while waiting:
        for group in groups.get(waiting.pop(), ()):
            if group not in found:
                found.add(group)
                waiting.append(group)
    return frozenset(found)


def _compared(given: object) -> tuple[str | None, str]:
    try:
        name = principal(given)
    except ValueError as error:
        return None, str(error)
    if name == PUBLIC:
        return None, f"{PUBLIC} is everybody, and neither a group nor a member"
    return name, ""


def _prefixed(names: Collection[str], prefix: str, *, is_group: bool) -> pl.DataFrame:
    """Names with their principals; what becomes no name, or another one, behind the prefix is left out."""
    rows = []
    for name in names:
        whole = f"{prefix}{name}"
        found, _ = _compared(whole)
        # An accent at its beginning would join with the prefix, which then would keep nothing apart.
        if found == whole:
            rows.append((name, is_group, whole))
    schema = {"name": pl.String(), "is_group": pl.Boolean(), "principal": pl.String()}
    return pl.DataFrame(rows, schema=schema, orient="row")
