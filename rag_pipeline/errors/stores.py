"""Tables of the lake: broken contracts, busy, damaged, missing, outdated."""

from __future__ import annotations

from rag_pipeline.errors.base import RagPipelineError


class ContractViolation(RagPipelineError):
    """Our own frame broke a table's promise: a bug or drift. Nothing was written."""

    code = "contract_violation"


class StoreError(RagPipelineError):
    """Reading or writing the lake failed."""

    code = "store"


class CommitConflict(StoreError):
    """Another writer changed the table at the same time, more often than we retry."""

    code = "commit_conflict"
    retryable = True
    exit_code = 4


class LakeBusy(StoreError):
    """Another process holds the lake's write lock."""

    code = "lake_busy"
    retryable = True
    exit_code = 4


class LeaseLost(StoreError):
    """This process stood still for so long that another one took over the lease of the lake."""

    code = "lease_lost"
    retryable = True
    exit_code = 4


class StoreUnfit(StoreError):
    """The object store does not keep conditional writes, so that two writers would damage a lake in it."""

    code = "store_unfit"


class StoreUnavailable(StoreError):
    """The disk, network or object store that holds the lake did not answer."""

    code = "store_unavailable"
    retryable = True
    exit_code = 4


class LakeDamaged(StoreError):
    """Files of a table are gone, cut short or changed, so that it cannot be read."""

    code = "lake_damaged"


class LakeTooNew(StoreError):
    """A newer version of this program wrote the lake, in a format that this one does not know."""

    code = "lake_too_new"


class TableMissing(StoreError):
    """A table that should be there is not."""

    code = "table_missing"


class TableOutdated(StoreError):
    """A table was written under another contract and lacks columns of the present one."""

    code = "table_outdated"


class DeliveryFailed(StoreError):
    """What is published could not be delivered to a store beside the lake; readers there keep what they had."""

    code = "delivery_failed"
    retryable = True
    exit_code = 4
