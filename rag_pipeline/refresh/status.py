"""How the lake stands: every layer counted, what waits, what is published, what ran last.

Belongs here: figures read from the tables themselves; nothing is loaded, listed or computed again.
Does not belong here: comparing the layers row by row (`verify.py`), or showing the figures (`cli/`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from rag_pipeline.contracts.tables import AUDITS, BRONZE, DOCUMENTS, EMBEDDINGS, QUARANTINE
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.lake import (
    AUDITS_PATH,
    CHUNKS_PATH,
    DOCUMENTS_PATH,
    FIXED_TABLES,
    QUARANTINE_PATH,
    Lake,
    bronze_path,
    embeddings_path,
)
from rag_pipeline.transforms.documents import origins_of

LAST_RUNS = 5
COMMITS_LOOKED_AT = 50
RUN_ID_KEY = "rag_pipeline.run_id"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source; counts are documents.

    Attributes:
        live: Listed by the source when it was last read.
        waiting: Live, but their newest revision is neither in silver nor in quarantine yet.
        newest_modified_at: Last modification among live documents, as the source says.
        last_change_at: When a change was last observed; reading a source that has not changed leaves no row.
    """

    source: str
    live: int
    waiting: int
    quarantined: int
    newest_modified_at: datetime | None
    last_change_at: datetime | None


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
        is_current: The newest audit passed and was made against silver as it is now.
    """

    alias: str
    space_fingerprint: str | None
    texts: int
    rows: int
    table_name: str | None
    table_version: int | None
    audited_at: datetime | None
    audit_passed: bool | None
    is_current: bool
    is_published: bool


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
    """The whole lake at a glance."""

    lake: str
    serve: str
    sources: list[SourceStatus]
    tables: list[TableStatus]
    spaces: list[SpaceStatus]
    published: dict[str, Any] | None
    quarantine: dict[str, int]
    last_runs: list[RunStatus]


def read_status(workspace: Workspace) -> Status:
    """Read how the lake stands; needs neither the sources nor the models."""
    lake = workspace.lake
    spaces = space_statuses(workspace)
    paths = _paths(workspace, spaces)
    histories = {path: _history(lake, path) for path in paths}
    reasons = lake.read(QUARANTINE_PATH, QUARANTINE, ["reason_code"])["reason_code"].value_counts(sort=True)
    return Status(
        lake=lake.root,
        serve=workspace.settings.serve,
        sources=_source_statuses(workspace),
        tables=[_table_status(lake, path, contract, histories[path]) for path, contract in paths.items()],
        spaces=spaces,
        published=lake.last_publication(),
        quarantine=dict(reasons.iter_rows()),
        last_runs=_last_runs(histories),
    )


def space_statuses(workspace: Workspace) -> list[SpaceStatus]:
    """Every configured model and every one that was ever audited, without opening a model."""
    audits = workspace.lake.read(AUDITS_PATH, AUDITS).sort("audited_at")
    last = {row["alias"]: row for row in audits.iter_rows(named=True)}
    aliases = [*workspace.settings.embedding_models, *(a for a in last if a not in workspace.settings.embedding_models)]
    return [_space_status(workspace, alias, last.get(alias)) for alias in aliases]


def known_spaces(workspace: Workspace) -> dict[str, str | None]:
    """Embedding space by alias, as last audited."""
    return {space.alias: space.space_fingerprint for space in space_statuses(workspace)}


def _space_status(workspace: Workspace, alias: str, audit: dict[str, Any] | None) -> SpaceStatus:
    lake = workspace.lake
    published = lake.last_publication()
    if audit is None:
        return SpaceStatus(alias, None, 0, 0, None, None, None, None, is_current=False, is_published=False)
    fingerprint = str(audit["space_fingerprint"])
    versions = (lake.version(CHUNKS_PATH), lake.version(DOCUMENTS_PATH))
    return SpaceStatus(
        alias=alias,
        space_fingerprint=fingerprint,
        texts=lake.embedded_hashes(fingerprint).height,
        rows=audit["rows"],
        table_name=audit["table_name"],
        table_version=audit["table_version"],
        audited_at=audit["audited_at"],
        audit_passed=audit["passed"],
        is_current=audit["passed"] and (audit["chunks_version"], audit["documents_version"]) == versions,
        is_published=published is not None and published["space_fingerprint"] == fingerprint,
    )


def _paths(workspace: Workspace, spaces: Iterable[SpaceStatus]) -> dict[str, Any]:
    paths: dict[str, Any] = {bronze_path(name): BRONZE for name in workspace.settings.sources}
    embeddings = [embeddings_path(s.space_fingerprint) for s in spaces if s.space_fingerprint is not None]
    return paths | FIXED_TABLES | dict.fromkeys(embeddings, EMBEDDINGS)


def _table_status(lake: Lake, path: str, contract: Any, history: list[dict[str, Any]]) -> TableStatus:
    rows = lake.read(path, contract, [contract.key[0]]).height
    if not history:
        return TableStatus(path, rows, -1, None)
    return TableStatus(path, rows, int(history[0]["version"]), history[0]["at"])


def _history(lake: Lake, path: str) -> list[dict[str, Any]]:
    return [
        {"version": entry["version"], "run_id": str(entry.get(RUN_ID_KEY) or ""), "at": _moment(entry["timestamp"])}
        for entry in lake.history(path, COMMITS_LOOKED_AT)
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


def _source_statuses(workspace: Workspace) -> list[SourceStatus]:
    lake = workspace.lake
    states = {name: lake.bronze_state(name) for name in workspace.settings.sources}
    documents = lake.read(DOCUMENTS_PATH, DOCUMENTS, ["origin_id", "input_key", "origin_metadata_hash"])
    quarantine = lake.read(QUARANTINE_PATH, QUARANTINE, ["document_id", "source", "input_key"])
    live = origins_of(states)
    shown = ["document_id", "input_key", "metadata_hash"]
    reflected = documents.select(
        document_id="origin_id", input_key="input_key", metadata_hash="origin_metadata_hash"
    ).unique()
    waiting = live.join(reflected, on=shown, how="anti")
    waiting = waiting.join(quarantine, on=["document_id", "input_key"], how="anti")
    statuses = []
    for name, state in states.items():
        mine = live.filter(pl.col("source") == name)
        statuses.append(
            SourceStatus(
                source=name,
                live=mine.height,
                waiting=waiting.filter(pl.col("source") == name).height,
                quarantined=quarantine.filter(pl.col("source") == name).height,
                newest_modified_at=mine["source_modified_at"].max(),  # type: ignore[arg-type]
                last_change_at=state["observed_at"].max(),  # type: ignore[arg-type]
            )
        )
    return statuses


def example_search(workspace: Workspace) -> tuple[str, str] | None:
    """A question that this lake can answer, and a principal who may read the answer: a title and its first reader."""
    columns = ["uri", "title", "allowed_principals"]
    titled = workspace.lake.read(DOCUMENTS_PATH, DOCUMENTS, columns, where=pl.col("title").is_not_null())
    readable = titled.filter(pl.col("allowed_principals").list.len() > 0).with_columns(
        is_public=pl.col("allowed_principals").list.contains("public"),
        is_phrase=pl.col("title").str.contains(r"^\w+( \w+){1,5}$"),
    )
    best = readable.sort("is_public", "is_phrase", "uri", descending=[True, True, False])
    if best.is_empty():
        return None
    row = best.row(0, named=True)
    return str(row["title"]), "public" if row["is_public"] else str(row["allowed_principals"][0])
