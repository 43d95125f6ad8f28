"""How a commit to a Delta table is made: with a label, its failure as an error of ours, and in an object store fenced.

Belongs here: what holds for every commit, whatever it writes.
Does not belong here: what is committed (`delta.py`), reading (`delta_reads.py`).

A writer that stood still while another took over its lease must not commit afterwards, and no check before a commit can
make sure of that. So in an object store a table is opened once while the lease is held, what is written is planned on
that, and it is committed through the same handle with an app transaction of one name: Delta then refuses it if anybody
has committed since. The epoch of the lease stands in it, and an older one than that is refused as well.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from rag_pipeline.contracts.table import TableContract
from rag_pipeline.errors import CommitConflict, LeaseLost
from rag_pipeline.stores.delta_reads import DeltaReads
from rag_pipeline.stores.failures import NOTHING_WRITTEN, cause_of, failed, is_failure
from rag_pipeline.stores.read_once import ReadOnce
from rag_pipeline.stores.segments import SEGMENT

log = logging.getLogger(__name__)

# One name for all writers: Delta refuses one of two commits at a time that carry it.
LEASE_TRANSACTION = "rag_pipeline.lease"

_LOG_IS_GONE = "Invalid table version"
_CONFIGURATION: Mapping[str, str | None] = {
    "delta.checkpointInterval": "10",
    "delta.logRetentionDuration": "interval 1 days",
}
COMPRESSED = WriterProperties(compression="ZSTD")


class DeltaCommits(DeltaReads):
    """All Delta tables under one root, and how they are committed to.

    Args:
        root: A folder or an object store's prefix (`s3://…`).
        storage_options: Passed to the object store client.
        run_id: Recorded in every commit.
        read_once: Keeps what is opened and read, of a root in a folder; None: nothing is kept.
    """

    def __init__(
        self,
        root: str,
        storage_options: Mapping[str, str] | None = None,
        run_id: str = "",
        read_once: ReadOnce | None = None,
    ) -> None:
        super().__init__(root, storage_options, read_once)
        self.run_id = run_id
        self.commits = 0
        # Tables as they were opened, or as this process left them, since it has held the lease.
        self._planned: dict[str, DeltaTable | None] = {}

    @property
    def epoch(self) -> int | None:
        """Of the lease of a lake in an object store while it is held; None: there is no lease, or others may write."""
        return None

    def still_writing(self) -> None:
        """Make sure that the lease, where one is held, was not lost.

        Raises:
            LeaseLost: Another process has taken over.
        """

    def _outgrow(self, epoch: int) -> None:
        """Go on with a later epoch than one that a table names, if the lease is still held.

        Raises:
            LeaseLost: It is not.
        """

    def _begin_tenure(self, *, is_continued: bool) -> None:
        """The lease was taken; continued: nobody else had it since this process did."""
        if not is_continued:
            self._planned.clear()

    def _open(self, path: str, version: int | None = None) -> DeltaTable | None:
        if version is not None or self.epoch is None:
            return super()._open(path, version)
        if path not in self._planned:
            table = self._open_anew(path)
            self._refuse_if_later(path, table)
            # That there is none yet is planned on as well.
            self._planned[path] = table
        return self._planned[path]

    def opened(self, contract: TableContract) -> DeltaTable | None:
        self._planned.pop(contract.path, None)
        return super().opened(contract)

    def _write(self, contract: TableContract, frame: pl.DataFrame, verb: str, **options: Any) -> None:
        with self._writing(verb, contract.path):
            if self.is_local:
                self._commit(contract, self.uri(contract.path), frame, storage_options=self._options, **options)
                return
            table = self._open(contract.path) or self._made(contract, frame)
            self._commit(contract, table, frame, **options)

    def _made(self, contract: TableContract, frame: pl.DataFrame) -> DeltaTable:
        """A table that was not there, empty: a first commit has no handle that fences it, and so it holds no rows."""
        path = contract.path
        self._commit(contract, self.uri(path), frame.clear(), storage_options=self._options, mode="ignore")
        self._planned.pop(path, None)
        table = self._open(path)
        if table is None or table.version():
            raise CommitFailedError(f"{path} was made at the same time")
        return table

    def _commit(self, contract: TableContract, to: Any, frame: pl.DataFrame, **options: Any) -> None:
        write_deltalake(
            to,
            frame,
            name=f"{contract.layer}_{contract.name}",
            description=contract.doc,
            # Statistics of texts would be most of the log, and only what numbers the commits is ever looked up by.
            configuration={**_CONFIGURATION, "delta.dataSkippingStatsColumns": _looked_up(contract)},
            partition_by=[SEGMENT] if contract.grouped_by else None,
            writer_properties=COMPRESSED,
            commit_properties=self._properties(contract),
            **options,
        )
        self.commits += 1

    @contextmanager
    def _writing(self, verb: str, path: str) -> Iterator[None]:
        try:
            self.still_writing()
            yield
        except BaseException as error:
            self._planned.pop(path, None)
            # Where the log begins after the version that was planned on, somebody has taken away what was before.
            if isinstance(error, CommitFailedError) or (isinstance(error, DeltaError) and _LOG_IS_GONE in str(error)):
                raise CommitConflict(
                    f"could not {verb} {self.uri(path)}: another writer changed it at the same time; nothing of this "
                    f"commit was written. Run again.",
                    table=path,
                ) from error
            if not is_failure(error):
                raise
            raise failed(verb, self.uri(path), path, error, note=NOTHING_WRITTEN) from cause_of(error)

    def _refuse_if_later(self, path: str, table: DeltaTable | None) -> None:
        """A table that a later holder of the lease has written to is not planned on by this one."""
        written_in = None if table is None else table.transaction_version(LEASE_TRANSACTION)
        if written_in is None or self.epoch is None or written_in <= self.epoch:
            return
        try:
            self._outgrow(written_in)
        except LeaseLost:
            raise LeaseLost(
                f"{self.uri(path)} was written to by a process that took over the lease of the lake from this one. "
                f"Nothing of this commit was written. Run again.",
                table=path,
            ) from None

    def signed(self) -> CommitProperties:
        """What a commit carries that is made on a table itself, and that fences it while the lease is held."""
        return self._properties()

    def _properties(self, contract: TableContract | None = None) -> CommitProperties:
        metadata = {"rag_pipeline.run_id": self.run_id}
        if contract is not None:
            metadata["rag_pipeline.contract"] = str(contract.version)
        epoch = self.epoch
        fence = None if epoch is None else [Transaction(LEASE_TRANSACTION, epoch)]
        return CommitProperties(custom_metadata=metadata, app_transactions=fence)


def _looked_up(contract: TableContract) -> str:
    return "batch" if "batch" in contract.columns else contract.key[0]
