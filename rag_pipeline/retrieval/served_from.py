"""Where answers are read from: the lake, or PostgreSQL to which it is delivered.

Belongs here: one call for both, by which who asks and what they may read are of one version.
Does not belong here: following the pointer of the lake (`published.py`), connections (`stores/postgres/reader.py`),
what an answer is (`search.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeVar

from rag_pipeline.contracts.log_rows import Publication
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import ExtraMissing
from rag_pipeline.retrieval.arguments import checked_principals
from rag_pipeline.retrieval.memberships import CallersGroups
from rag_pipeline.retrieval.plan import SourceRules
from rag_pipeline.retrieval.published import Pointer, Served
from rag_pipeline.retrieval.supersession import Successions
from rag_pipeline.settings import Pipeline

if TYPE_CHECKING:
    from rag_pipeline.stores.postgres.reader import PostgresReader
    from rag_pipeline.stores.postgres.served import ServedRows

T = TypeVar("T")
# Callers whose view of older and newer versions is kept, which is read anew for each version otherwise.
MOST_KEPT = 256


class ServedFrom(Protocol):
    """What is published, for whoever asks; many threads may ask."""

    def answered(self, own: Collection[str], action: Callable[[Served, frozenset[str]], T]) -> T:
        """The result of an action on what is published, and on who asks with all their groups; it may be tried twice.

        Args:
            own: Who asks, as they say it.

        Raises:
            BadQuery: Nobody asks.
            NothingPublished: There is nothing yet.
            StoreError: It cannot be read.
        """
        ...

    def principals_of(self, own: Collection[str]) -> frozenset[str]:
        """Who asks, with all their groups; raises what `answered` does."""
        ...

    def publication(self) -> Publication:
        """What is published now; raises what `answered` does."""
        ...

    def close(self) -> None:
        """Let go of what is kept open."""
        ...


class FromLake:
    """Answers out of the lake's own index."""

    def __init__(self, pointer: Pointer, groups: CallersGroups) -> None:
        self._pointer = pointer
        self._groups = groups

    def answered(self, own: Collection[str], action: Callable[[Served, frozenset[str]], T]) -> T:
        """See `ServedFrom.answered`."""
        names = self._groups.of(own)
        return self._pointer.answered(lambda served: action(served, names))

    def principals_of(self, own: Collection[str]) -> frozenset[str]:
        """See `ServedFrom.principals_of`."""
        return self._groups.of(own)

    def publication(self) -> Publication:
        """See `ServedFrom.publication`."""
        return self._pointer.publication()

    def close(self) -> None:
        """See `ServedFrom.close`."""


class FromPostgres:
    """Answers out of what was delivered, groups included: each in one transaction."""

    def __init__(self, reader: PostgresReader) -> None:
        self._reader = reader
        self._key = ("", "")
        self._successions: OrderedDict[frozenset[str], dict[tuple[SourceRules, ...], Successions]] = OrderedDict()
        self._lock = Lock()

    @classmethod
    def of(cls, pipeline: Pipeline) -> FromPostgres:
        """Where that pipeline is delivered to.

        Raises:
            ExtraMissing: The driver is not installed.
            DeliveryFailed: Its address is none.
        """
        try:
            from rag_pipeline.stores.postgres.reader import PostgresReader
        except ImportError as error:
            raise ExtraMissing(
                "serve_from: postgres needs packages that are not installed: pip install 'rag-pipeline[postgres]'"
            ) from error
        postgres = pipeline.settings.publish_to.postgres
        assert postgres is not None
        return cls(PostgresReader(pipeline.postgres_dsn, postgres.schema_name))

    def answered(self, own: Collection[str], action: Callable[[Served, frozenset[str]], T]) -> T:
        """See `ServedFrom.answered`."""

        def in_one_snapshot(rows: ServedRows) -> T:
            version = rows.version
            return action(Served(version.publication, rows, version.key, self._kept(rows)), version.principals)

        return self._reader.answered(checked_principals(own), in_one_snapshot)

    def principals_of(self, own: Collection[str]) -> frozenset[str]:
        """See `ServedFrom.principals_of`."""
        return self.answered(own, lambda _, names: names)

    def publication(self) -> Publication:
        """See `ServedFrom.publication`."""
        return self.answered([PUBLIC], lambda served, _: served.publication)

    def close(self) -> None:
        """See `ServedFrom.close`."""
        self._reader.close()

    def _kept(self, rows: ServedRows) -> dict[tuple[SourceRules, ...], Successions]:
        """What was read of older and newer versions already, by callers who may read the same."""
        version = rows.version
        with self._lock:
            if version.key != self._key:
                self._key = version.key
                self._successions.clear()
            found = self._successions.setdefault(version.principals, {})
            self._successions.move_to_end(version.principals)
            while len(self._successions) > MOST_KEPT:
                self._successions.popitem(last=False)
        return found
