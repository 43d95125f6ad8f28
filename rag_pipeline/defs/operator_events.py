"""What a person did that no run of an asset tells: a model that was retired, losses that were let go.

Belongs here: these events as the Dagster UI shows them, and writing events that no run made.
Does not belong here: publications (`publication_events.py`), doing it (`refresh/`).

They are observations: nothing was made, so neither the time nor the data version of the asset changes.
"""

from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from rag_pipeline.contracts.holds import Hold
from rag_pipeline.defs.specs import DOCUMENTS_KEY, INDEX_KEY, bronze_key
from rag_pipeline.defs.words import counted

Event = dg.AssetMaterialization | dg.AssetObservation


def retirement_event(alias: str, table_name: str, *, by_whom: str, how: str) -> dg.AssetObservation:
    """Stands in the history of a model's partition of gold/index."""
    return dg.AssetObservation(
        INDEX_KEY,
        partition=alias,
        description=f"The index of {alias}, table {table_name}, was dropped by {by_whom} with {how}; its vectors are "
        f"kept for their retention time, so building it again embeds nothing",
        metadata={"rag/retired": alias, "rag/table_name": table_name, "rag/by_whom": by_whom, "rag/how": how},
    )


def release_event(hold: Hold, *, by_whom: str, how: str) -> dg.AssetObservation:
    """Stands in the history of the asset whose check said that something was held.

    Args:
        hold: What the deletion guard held before it was let go.
    """
    held, measured = len(hold.held), len(hold.measured)
    return dg.AssetObservation(
        bronze_key(hold.source) if hold.kind == "vanished" else DOCUMENTS_KEY,
        description=f"{counted(held, 'document')} of {measured:,} of source {hold.source}, which the deletion guard "
        f"held as {hold.kind} since {hold.since_at:%Y-%m-%d %H:%M} UTC, let go by {by_whom} with {how}",
        metadata={
            "rag/released_count": held,
            "rag/released_of_count": measured,
            "rag/held_because": hold.reason,
            "rag/held_since": dg.MetadataValue.timestamp(hold.since_at),
            "rag/by_whom": by_whom,
            "rag/how": how,
        },
    )


def report_events(home: Path, events: Iterable[Event]) -> None:
    """Write events that no run made into the instance of a Dagster home, in order."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for event in events:
            instance.report_runless_asset_event(event)
