"""Bring silver/memberships up to date with the sources that know groups, and silver/principals with that.

Belongs here: the order: who is no member any more loses the group at once, whatever else goes wrong, and who became
one gains it only after what was revoked has left readers.
Does not belong here: what follows from a listing (`transforms/memberships.py`), reading one (`sources/groups.py`).

Both tables are small and read by whoever asks, so a change of membership touches no row of the index.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from rag_pipeline.contracts.erasures import principal_hash
from rag_pipeline.contracts.groups import GroupsSpec
from rag_pipeline.contracts.memberships import MEMBERSHIPS, PRINCIPALS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import LakeDamaged, SourceUnavailable
from rag_pipeline.refresh.deliver import deliver_published
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.look import groups_state
from rag_pipeline.refresh.revoke import on_any_disk
from rag_pipeline.refresh.steps import step
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.sources.groups import memberships_of
from rag_pipeline.stores.damage import set_damage_aside
from rag_pipeline.stores.erasures import erased_from
from rag_pipeline.transforms.memberships import about, named_memberships, names_of, principals_of, standing

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MembershipsReport:
    """What asking for groups found.

    Attributes:
        added: What was not known, whether it was taken in or waits for a run.
        withdrawn: Rows of silver/principals that were taken from readers.
        unavailable: Why a source could not tell its groups, by source; what was known of them stands.
        unknown: Groups whose members could not be told, by source; what was known of them stands.
        refused: Names that were left out, by source, a sentence each.
        empty: Sources that answered and have no member of any group.
    """

    memberships: int
    groups: int
    added: int
    removed: int
    withdrawn: int
    commits: int
    unavailable: Mapping[str, str]
    unknown: Mapping[str, tuple[str, ...]]
    refused: Mapping[str, tuple[str, ...]]
    empty: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrincipalsReport:
    """What searches count now.

    Attributes:
        opened, closed: Rows that were added, and those that were taken away before.
    """

    rows: int
    members: int
    groups: int
    opened: int
    closed: int
    commits: int


def groups_of_settings(workspace: Workspace) -> dict[str, GroupsSpec]:
    """Where groups are read, by source, for those that know any."""
    # Not by `source_spec`: a source whose variable is not set must not hold up who left a group of another one.
    specs = {name: workspace.pipeline.groups_spec(name) for name in workspace.settings.sources}
    return {name: spec for name, spec in specs.items() if spec is not None}


def principals_named(workspace: Workspace) -> set[str]:
    """Every principal that one of both tables names, as a group or as a member.

    Raises:
        StoreError: A table cannot be read.
    """
    counted = workspace.lake.read(PRINCIPALS, ["member_principal", "group_principal"])
    told = names_of(workspace.lake.read(MEMBERSHIPS), groups_of_settings(workspace))
    return told.union(*counted.to_dict().values())


def erase_memberships(workspace: Workspace, principals: Collection[str]) -> None:
    """Take principals out of both tables, as groups and as members; older versions of the tables still have them.

    Raises:
        RagPipelineError: A table cannot be read or written.
    """
    lake = workspace.lake
    known = _read(workspace, PRINCIPALS)
    mine = pl.any_horizontal(pl.col("member_principal", "group_principal").is_in(list(principals)))
    lake.replace_where(PRINCIPALS, PRINCIPALS.empty(), known.filter(mine))
    # What nobody names by any settings goes first: whom such rows mean cannot be told.
    _forget_former(workspace)
    rows = about(_read(workspace, MEMBERSHIPS), groups_of_settings(workspace), lambda name: name in principals)
    lake.replace_where(MEMBERSHIPS, MEMBERSHIPS.empty(), rows)


def _forget_former(workspace: Workspace) -> None:
    """Take out what sources said that know no groups now: no run asks them again, and nothing follows from it."""
    known = _read(workspace, MEMBERSHIPS)
    former = known.filter(~pl.col("source").is_in(list(groups_of_settings(workspace))))
    if former.height:
        workspace.lake.replace_where(MEMBERSHIPS, MEMBERSHIPS.empty(), former)


@step("silver/memberships")
def poll_memberships(workspace: Workspace) -> MembershipsReport:
    """Ask every source that knows groups who is in them, and take from readers what they have no longer.

    The first step of a run, before any source is listed: `open_memberships` counts what stands here then, and a group
    may have lost documents by the time that somebody comes into it.

    A source that does not answer keeps what is known of it, under the settings of now.

    Raises:
        RagPipelineError: A table cannot be read or written, or a source failed in another way than by not answering;
            what the others withdrew has left readers before.
    """
    return _polled(workspace, takes_in=True)


def withdraw_memberships(workspace: Workspace) -> MembershipsReport:
    """The same at any other time, also beside a run: what somebody has no longer goes, and nothing that is new is kept.

    Raises:
        RagPipelineError: As `poll_memberships`.
    """
    return _polled(workspace, takes_in=False)


def _polled(workspace: Workspace, *, takes_in: bool) -> MembershipsReport:
    lake = workspace.lake
    with lake.writing():
        first_commit = lake.commits
        asked = _Asked(workspace)
        # First of all, and by itself: nothing that is written later may hold it up.
        withdrawn = _withdraw(workspace, asked.wanted)
        if withdrawn:
            deliver_published(workspace)
        known = asked.known
        rows = asked.wanted.with_columns(
            observed_at=pl.lit(workspace.now()).cast(MEMBERSHIPS.schema["observed_at"]),
            run_id=pl.lit(workspace.run_id),
        )
        new = rows.join(known, on=list(MEMBERSHIPS.key), how="anti").select(list(MEMBERSHIPS.columns))
        gone = known.join(rows, on=list(MEMBERSHIPS.key), how="anti")
        lake.replace_where(MEMBERSHIPS, new.sort(MEMBERSHIPS.key) if takes_in else new.clear(), gone)
        if asked.fault is not None:
            raise asked.fault
        return MembershipsReport(
            memberships=rows.height,
            groups=rows.select("source", "group_name").n_unique(),
            added=new.height,
            removed=gone.height,
            withdrawn=withdrawn,
            commits=lake.commits - first_commit,
            unavailable=asked.unavailable,
            unknown=asked.unknown,
            refused=asked.refused,
            empty=tuple(asked.empty),
        )


@step("silver/principals")
def open_memberships(workspace: Workspace) -> PrincipalsReport:
    """Have searches count the memberships there are: those that were withdrawn went before, those that are new come.

    Raises:
        RagPipelineError: A table cannot be read or written.
    """
    lake = workspace.lake
    with lake.writing():
        first_commit = lake.commits
        closed = _withdraw(workspace, _read(workspace, MEMBERSHIPS))
        known = _read(workspace, PRINCIPALS)
        wanted = _principals(workspace, _read(workspace, MEMBERSHIPS))
        new = wanted.join(known, on=list(PRINCIPALS.key), how="anti").with_columns(
            since_at=pl.lit(workspace.now()).cast(PRINCIPALS.schema["since_at"]), run_id=pl.lit(workspace.run_id)
        )
        if new.height:
            rows = new.select(list(PRINCIPALS.columns)).sort(PRINCIPALS.key)
            lake.replace_where(PRINCIPALS, rows, known.clear())
        # In every run, since nobody is asked for groups in one where no source knows any.
        _forget_former(workspace)
        return PrincipalsReport(
            rows=wanted.height,
            members=wanted["member_principal"].n_unique(),
            groups=wanted["group_principal"].n_unique(),
            opened=new.height,
            closed=closed,
            commits=lake.commits - first_commit,
        )


def uncounted_memberships(workspace: Workspace) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that silver/principals lacks by silver/memberships and the settings of now, and those it has beyond them."""
    wanted = _principals(workspace, workspace.lake.read(MEMBERSHIPS))
    known = workspace.lake.read(PRINCIPALS)
    key = list(PRINCIPALS.key)
    return wanted.join(known, on=key, how="anti"), known.join(wanted, on=key, how="anti")


def memberships_are_open(workspace: Workspace) -> bool:
    """Whether searches count what silver/memberships holds, and nothing else; one look at both tables."""
    return all(rows.is_empty() for rows in uncounted_memberships(workspace))


def settled_groups(workspace: Workspace) -> dict[str, str] | None:
    """`groups_state` of each source that knows groups; None: silver/memberships does not hold what one says now.

    Raises:
        SourceUnavailable: A source cannot tell.
    """
    found = {}
    known = workspace.lake.read(MEMBERSHIPS, list(MEMBERSHIPS.key))
    for name, spec in groups_of_settings(workspace).items():
        listing = memberships_of(workspace.source(name), spec)
        said = named_memberships(name, listing)
        mine = known.filter(pl.col("source") == name)
        rows = _without_erased(workspace, said.rows)
        is_same = rows.height == mine.height == rows.join(mine, on=mine.columns, how="semi").height
        if said.unknown or not is_same:
            return None
        found[name] = groups_state(listing)
    return found


class _Asked:
    """What all sources said, and what stands of those that said nothing."""

    def __init__(self, workspace: Workspace) -> None:
        self.known = _read(workspace, MEMBERSHIPS)
        self.unavailable: dict[str, str] = {}
        self.unknown: dict[str, tuple[str, ...]] = {}
        self.refused: dict[str, tuple[str, ...]] = {}
        self.empty: list[str] = []
        self.fault: BaseException | None = None
        key = list(MEMBERSHIPS.key)
        parts = [MEMBERSHIPS.empty().select(key)]
        for name, spec in groups_of_settings(workspace).items():
            mine = self.known.filter(pl.col("source") == name).select(key)
            parts.append(self._standing(workspace, name, spec, mine))
        self.wanted = _without_erased(workspace, pl.concat(parts))

    def _standing(self, workspace: Workspace, name: str, spec: GroupsSpec, mine: pl.DataFrame) -> pl.DataFrame:
        try:
            listing = memberships_of(workspace.source(name), spec)
            said = named_memberships(name, listing)
        except SourceUnavailable as error:
            self.unavailable[name] = error.message
            return mine
        except FAULTS as error:
            # What the other sources withdrew does not wait until this one is mended.
            log.error("the groups of source %s cannot be told: %s", name, error)
            self.fault = self.fault or error
            return mine
        if said.refused:
            self.refused[name] = said.refused
        if said.unknown:
            self.unknown[name] = tuple(sorted(said.unknown))
        rows = standing(mine, said, is_complete=listing.is_complete)
        if not rows.height:
            self.empty.append(name)
        return rows


def _withdraw(workspace: Workspace, memberships: pl.DataFrame) -> int:
    """Take from readers what no longer follows from some memberships; how many rows that were."""
    known = _read(workspace, PRINCIPALS)
    gone = known.join(_principals(workspace, memberships), on=list(PRINCIPALS.key), how="anti")
    if gone.height:
        on_any_disk(workspace, lambda _: workspace.lake.replace_where(PRINCIPALS, PRINCIPALS.empty(), gone))
    return gone.height


def _principals(workspace: Workspace, memberships: pl.DataFrame) -> pl.DataFrame:
    return principals_of(_without_erased(workspace, memberships), groups_of_settings(workspace))


def _without_erased(workspace: Workspace, memberships: pl.DataFrame) -> pl.DataFrame:
    """Rows that name no principal that was erased, whatever sources go on to say of them."""
    places = erased_from(workspace.lake).places
    if not places or not memberships.height:
        return memberships
    naming = groups_of_settings(workspace)
    gone = about(memberships, naming, lambda name: principal_hash(name) in places)
    return memberships.join(gone, on=list(MEMBERSHIPS.key), how="anti")


def _read(workspace: Workspace, contract: TableContract) -> pl.DataFrame:
    """A table, less what is damaged of it: that is nobody's until it is told again."""
    try:
        return workspace.lake.read(contract)
    except LakeDamaged as error:
        log.error("what is damaged of %s is set aside: %s", contract.path, error)
        set_damage_aside(workspace.lake, contract)
        return workspace.lake.read(contract)
