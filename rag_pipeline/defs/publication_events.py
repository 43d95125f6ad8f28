"""A publication as the Dagster UI shows it, whoever moved the pointer: the asset, a job or the command line.

Belongs here: the facts of a publication, its data version, and those that no run of it made.
Does not belong here: moving the pointer (`refresh/publication.py`).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_pipeline.defs.names import DATA_VERSION_TAG
from rag_pipeline.defs.specs import PUBLICATION_KEY
from rag_pipeline.defs.words import HAPPENED, counted

if TYPE_CHECKING:
    from rag_pipeline.contracts.log_rows import Publication
    from rag_pipeline.refresh.publication import PublicationReport

_SHOWN = ("sequence", "alias", "space_fingerprint", "table_name", "table_version", "rows", "documents")


def publication_facts(row: "Publication | PublicationReport", *, moved: bool, is_held: bool) -> dict[str, Any]:
    """Metadata of a publication: the same names from everywhere, since the UI shows those of the last event only.

    Args:
        row: The publication, or the report on moving it.
    """
    shown = {f"rag/{name}": getattr(row, name) for name in _SHOWN}
    state = {"rag/moved": moved, "rag/is_held": is_held, "rag/commits": int(moved)}
    did = "Readers were pointed to" if moved else "Readers stay on"
    said = {HAPPENED: f"{did} the index of {row.alias}, version {row.table_version}: {counted(row.rows, 'chunk')}."}
    return {**said, "dagster/row_count": row.sequence + 1, **shown, **state}


def publication_version(row: "Publication | PublicationReport") -> str:
    """The data version of a publication: it changes when what readers see does."""
    return str(row.sequence)


def publication_event(
    row: "Publication | PublicationReport",
    *,
    moved: bool,
    is_held: bool,
    why: str,
    by_whom: str,
    how: str,
    beside: Mapping[str, Any],
) -> dg.AssetMaterialization:
    """The event that stands in the history of gold/publication.

    Args:
        beside: What else the page shows (`standing_facts`).
        why: The reason that a person gave; may be empty.
        by_whom: Who asked for it.
        how: What was typed or started.
    """
    did = "Readers were pointed to" if moved else "Readers stay on"
    because = f": {why}" if why else ""
    return dg.AssetMaterialization(
        PUBLICATION_KEY,
        description=f"{did} the index of {row.alias}, version {row.table_version}, by {by_whom} with {how}{because}",
        metadata={
            **publication_facts(row, moved=moved, is_held=is_held),
            "rag/why": why or "no reason was given",
            "rag/by_whom": by_whom,
            "rag/how": how,
            **beside,
        },
        tags={DATA_VERSION_TAG: publication_version(row)},
    )


def publication_events(
    publications: "Sequence[Publication]", *, by_whom: str, how: str, is_held: bool, beside: Mapping[str, Any]
) -> list[dg.AssetMaterialization]:
    """Publications that no run made, for the history of gold/publication.

    Args:
        publications: In order.
        is_held: Whether the last of them holds readers there.
        beside: What else the page shows (`standing_facts`).
    """
    return [
        publication_event(
            each,
            moved=True,
            is_held=is_held and at == len(publications),
            why=each.note,
            by_whom=by_whom,
            how=how,
            beside=beside,
        )
        for at, each in enumerate(publications, start=1)
    ]
