"""How the lake stands: every layer counted, what waits, what is published, what ran last.

Belongs here: figures read from the tables themselves; nothing is loaded, listed or computed again.
Does not belong here: comparing the layers row by row (`verify.py`), or showing the figures (`cli/`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import polars as pl

from rag_pipeline.contracts.catalog import tables_of
from rag_pipeline.contracts.holds import Hold
from rag_pipeline.contracts.ids import fingerprint
from rag_pipeline.contracts.log_rows import Audit
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import BRONZE, CHUNKS, DOCUMENTS, QUARANTINE
from rag_pipeline.refresh.damage import (
    DamagedTable,
    damaged_tables,
    lost_histories,
    stored_spaces,
    unless_damaged,
    vanished_tables,
)
from rag_pipeline.refresh.delivered import DeliveredStatus, delivered_status
from rag_pipeline.refresh.generations import index_problem, is_complete, is_held
from rag_pipeline.refresh.holds import read_holds
from rag_pipeline.refresh.lag import late_now
from rag_pipeline.refresh.memberships import memberships_are_open
from rag_pipeline.refresh.outside import Outside, look_outside
from rag_pipeline.refresh.polls import PollStatus, poll_statuses
from rag_pipeline.refresh.undelivered import Undelivered, undelivered_to
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.shown import without_secrets
from rag_pipeline.stores.lake import Lake
from rag_pipeline.transforms.deletion_guard import describe_holds
from rag_pipeline.transforms.documents import origins_of
from rag_pipeline.transforms.freshness import content_age
from rag_pipeline.transforms.lag import Lag, Late

# A screenful.
LAST_RUNS = 5
# The last runs of an hourly pipeline lie within them.
COMMITS_LOOKED_AT = 50
RUN_ID_KEY = "rag_pipeline.run_id"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source; counts are documents.

    Attributes:
        live: Listed by the source when it was last read.
        waiting: Their newest revision, which may be that they are gone, is not reflected in silver or quarantine yet.
        newest_modified_at: Last modification among live documents, as the source says; none in the future.
        last_change_at: When a change was last observed; reading a source that has not changed leaves no row.
        polled_at, attempted_at, overdue_at, is_overdue, poll_error, erased: See `PollStatus`.
        lag: How long the changes took that readers got last, from the source to searchable; None: it was not measured.
        late: They took, or wait, longer than `searchable_within`; None: they do not.
    """

    source: str
    live: int
    waiting: int
    quarantined: int
    newest_modified_at: datetime | None
    last_change_at: datetime | None
    polled_at: datetime | None
    attempted_at: datetime | None
    overdue_at: datetime | None
    is_overdue: bool | None
    poll_error: str
    erased: int = 0
    lag: Lag | None = None
    late: Late | None = None


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One Delta table; version -1 where there is none yet."""

    table: str
    rows: int
    version: int
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class SpaceStatus:
    """One embedding space as the lake knows it.

    Attributes:
        texts: Texts that have a vector.
        rows: Rows of its index when it was last audited.
        is_current: The newest audit passed, was made against silver as it is now, and its table is there.
        index_problem: Why the audited index cannot be searched: retired or lost since, mostly. Empty: it can.
    """

    alias: str
    space_fingerprint: str | None
    texts: int
    rows: int
    audited_at: datetime | None
    audit_passed: bool | None
    is_current: bool
    is_published: bool
    index_problem: str = ""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What one run left in the Delta tables; a run that changed nothing leaves no trace there."""

    run_id: str
    started_at: datetime
    ended_at: datetime
    commits: int
    tables: list[str]


@dataclass(frozen=True, slots=True)
class Status:
    """The whole lake at a glance.

    Attributes:
        is_behind: Bronze or silver hold something that readers do not see yet.
        held: What the deletion guard holds: source, kind, counts of documents, reason, since when.
        held_because: The same in one sentence, with the command that lets it go; empty if nothing is held.
        is_held: A person went back to an older version, and runs leave readers there.
        damaged: Tables with files that are gone or cut short; figures that need them are 0 or empty.
        published_problem: Why what is published cannot be searched. Empty: it can, or nothing is published.
        polls_problem: Why it is not known when sources were last polled. Empty: it is.
        undelivered: Sinks of alerts that have not taken all messages.
        writer: Who holds the lease of a lake in an object store, or was killed while it did; empty: nobody.
        delivered: What PostgreSQL has of what is published; None: nothing is delivered there.
        outside: Budgets of chat models that are reached, and the stream of hints.
    """

    lake: str
    serve: str
    sources: list[SourceStatus]
    tables: list[TableStatus]
    spaces: list[SpaceStatus]
    published: dict[str, Any] | None
    is_behind: bool
    is_held: bool
    quarantine: dict[str, int]
    last_runs: list[RunStatus]
    held: list[dict[str, Any]]
    held_because: str
    damaged: list[DamagedTable] = field(default_factory=list)
    published_problem: str = ""
    polls_problem: str = ""
    undelivered: list[Undelivered] = field(default_factory=list)
    writer: str = ""
    delivered: DeliveredStatus | None = None
    outside: list[Outside] = field(default_factory=list)


def read_status(workspace: Workspace) -> Status:
    """Read how the lake stands; needs neither the sources nor the models."""
    lake = workspace.lake
    damaged = damaged_tables(workspace, thorough=False, asking=True)
    damaged += lost_histories(workspace) + vanished_tables(workspace)
    no_spaces: list[SpaceStatus] = []
    spaces = unless_damaged(lambda: space_statuses(workspace), no_spaces)
    tables = tables_of(workspace.settings.sources, stored_spaces(workspace))
    no_history: list[dict[str, Any]] = []
    histories = {table.path: unless_damaged(partial(_history, lake, table), no_history) for table in tables}
    reasons = unless_damaged(lambda: lake.read(QUARANTINE, ["reason_code"]), QUARANTINE.empty())
    no_holds: list[Hold] = []
    holds = unless_damaged(lambda: read_holds(workspace), no_holds)
    published = unless_damaged(lake.last_publication, None)
    polls, polls_problem = poll_statuses(workspace)
    return Status(
        lake=without_secrets(lake.root),
        serve=workspace.settings.serve,
        sources=unless_damaged(lambda: _source_statuses(workspace, polls), [_uncounted(poll) for poll in polls]),
        tables=[_table_status(lake, table, histories[table.path]) for table in tables],
        spaces=spaces,
        published=None if published is None else published.row(),
        is_behind=unless_damaged(lambda: is_behind(workspace), True),
        is_held=unless_damaged(lambda: is_held(workspace), False),
        quarantine=dict(reasons["reason_code"].value_counts(sort=True).iter_rows()),
        last_runs=_last_runs(histories),
        held=[hold.summary() for hold in holds],
        held_because=describe_holds(holds),
        damaged=damaged,
        published_problem="" if published is None else index_problem(workspace, published, "ask"),
        polls_problem=polls_problem,
        undelivered=undelivered_to(workspace),
        writer=lake.holder(),
        delivered=delivered_status(workspace, published),
        outside=look_outside(workspace.pipeline, workspace.now()),
    )


def space_statuses(workspace: Workspace) -> list[SpaceStatus]:
    """Every configured model and every one that was ever audited, without opening a model."""
    last = {audit.alias: audit for audit in workspace.lake.audits()}
    aliases = [*workspace.settings.embedding_models, *(a for a in last if a not in workspace.settings.embedding_models)]
    return [_space_status(workspace, alias, last.get(alias)) for alias in aliases]


def known_spaces(workspace: Workspace) -> dict[str, str | None]:
    """Embedding space by alias, as last audited."""
    return {space.alias: space.space_fingerprint for space in space_statuses(workspace)}


def _space_status(workspace: Workspace, alias: str, audit: Audit | None) -> SpaceStatus:
    lake = workspace.lake
    published = lake.last_publication()
    if audit is None:
        return SpaceStatus(alias, None, 0, 0, None, None, is_current=False, is_published=False)
    space = audit.space_fingerprint
    versions = _silver_versions(lake)
    problem = index_problem(workspace, audit, "ask")
    return SpaceStatus(
        alias=alias,
        space_fingerprint=space,
        texts=lake.embedded_hashes(space).height,
        rows=audit.rows,
        audited_at=audit.audited_at,
        audit_passed=audit.passed,
        is_current=is_complete(audit, versions) and not problem,
        is_published=published is not None and published.space_fingerprint == space,
        index_problem=problem,
    )


def _table_status(lake: Lake, table: TableContract, history: list[dict[str, Any]]) -> TableStatus:
    rows = unless_damaged(lambda: lake.read(table, [table.key[0]]).height, 0)
    if not history:
        return TableStatus(table.path, rows, -1, None)
    return TableStatus(table.path, rows, int(history[0]["version"]), history[0]["at"])


def _history(lake: Lake, table: TableContract) -> list[dict[str, Any]]:
    return [
        {"version": entry["version"], "run_id": str(entry.get(RUN_ID_KEY) or ""), "at": _moment(entry["timestamp"])}
        for entry in lake.history(table, COMMITS_LOOKED_AT)
    ]


def _moment(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)


def _last_runs(histories: dict[str, list[dict[str, Any]]]) -> list[RunStatus]:
    commits: dict[str, list[tuple[datetime, str]]] = {}
    for path, history in histories.items():
        for entry in history:
            commits.setdefault(entry["run_id"], []).append((entry["at"], path))
    runs = [
        RunStatus(
            run_id=run_id,
            started_at=min(at for at, _ in made),
            ended_at=max(at for at, _ in made),
            commits=len(made),
            tables=sorted({path for _, path in made}),
        )
        for run_id, made in commits.items()
        if run_id
    ]
    return sorted(runs, key=lambda run: run.ended_at, reverse=True)[:LAST_RUNS]


def is_behind(workspace: Workspace) -> bool:
    """Whether bronze or silver hold something that readers do not see yet, and that a run would bring them.

    A pointer that a rollback holds is behind by a person's wish, and no run would move it.
    """
    if not memberships_are_open(workspace):
        return True
    if is_held(workspace):
        return False
    states = _bronze_states(workspace)
    if _waiting(workspace, states).height:
        return True
    lake = workspace.lake
    published = lake.last_publication()
    if published is None:
        return bool(origins_of(states).height)
    audit = lake.last_audit(published.space_fingerprint)
    seen = audit is not None and audit.place == published.place
    return not seen or not is_complete(audit, _silver_versions(lake))


def bronze_versions(workspace: Workspace) -> str:
    """One string for the state of bronze, equal exactly while no source's table has changed."""
    versions = (f"{name}={workspace.lake.version(BRONZE.of(name))}" for name in sorted(workspace.settings.sources))
    return fingerprint("bronze versions", *versions)


def _silver_versions(lake: Lake) -> tuple[int, int]:
    return lake.version(CHUNKS), lake.version(DOCUMENTS)


def _bronze_states(workspace: Workspace) -> dict[str, pl.DataFrame]:
    return {name: workspace.lake.bronze_state(name) for name in workspace.settings.sources}


def _waiting(workspace: Workspace, states: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """(source, document_id) of objects whose last row in bronze is not reflected in silver yet."""
    lake = workspace.lake
    live = origins_of(states)
    documents = lake.read(DOCUMENTS, ["source", "origin_id", "input_key", "origin_metadata_hash"])
    documents = documents.rename({"origin_id": "document_id", "origin_metadata_hash": "metadata_hash"}).unique()
    quarantine = lake.read(QUARANTINE, ["source", "document_id", "input_key"])
    shown = ["document_id", "input_key", "metadata_hash"]
    unseen = live.join(documents, on=shown, how="anti").join(quarantine, on=["document_id", "input_key"], how="anti")
    held = pl.concat([rows.select("source", "document_id") for rows in (documents, quarantine)]).unique()
    left = held.join(live, on="document_id", how="anti")
    return pl.concat([unseen.select("source", "document_id"), left])


def _source_statuses(workspace: Workspace, polls: Sequence[PollStatus]) -> list[SourceStatus]:
    states = _bronze_states(workspace)
    waiting = _waiting(workspace, states)
    quarantined = workspace.lake.read(QUARANTINE, ["source"])
    late, lags = late_now(workspace)
    late_by_source = {each.source: each for each in late}
    statuses = []
    for poll in polls:
        state = states[poll.source]
        live = state.filter(pl.col("change") != "deleted")
        mine = pl.col("source") == poll.source
        statuses.append(
            replace(
                _uncounted(poll),
                live=live.height,
                waiting=waiting.filter(mine).height,
                quarantined=quarantined.filter(mine).height,
                newest_modified_at=content_age(live["source_modified_at"], workspace.now()).newest,
                last_change_at=state["observed_at"].max(),  # type: ignore[arg-type]
                lag=lags.get(poll.source),
                late=late_by_source.get(poll.source),
            )
        )
    return statuses


def _uncounted(poll: PollStatus) -> SourceStatus:
    """A source of which only is known how it was polled."""
    return SourceStatus(**asdict(poll), live=0, waiting=0, quarantined=0, newest_modified_at=None, last_change_at=None)


def example_search(workspace: Workspace) -> tuple[str, str] | None:
    """A question that this lake can answer, and a principal who may read the answer: a title and its first reader."""
    columns = ["uri", "title", "allowed_principals"]
    titled = workspace.lake.read(DOCUMENTS, columns, where=pl.col("title").is_not_null())
    readable = titled.filter(pl.col("allowed_principals").list.len() > 0).with_columns(
        is_public=pl.col("allowed_principals").list.contains(PUBLIC),
        is_phrase=pl.col("title").str.contains(r"^\w+( \w+){1,5}$"),
    )
    best = readable.sort("is_public", "is_phrase", "uri", descending=[True, True, False])
    if best.is_empty():
        return None
    row = best.row(0, named=True)
    return str(row["title"]), PUBLIC if row["is_public"] else str(row["allowed_principals"][0])
