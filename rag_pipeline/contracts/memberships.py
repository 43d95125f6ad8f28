"""The two tables of memberships: with the names as sources say them, and with those that readers are found by.

Belongs here: columns with their meaning.
Does not belong here: memberships as values (`groups.py`), what a caller has by them (`transforms/memberships.py`).
"""

from __future__ import annotations

import polars as pl

from rag_pipeline.contracts.table import Column, TableContract
from rag_pipeline.contracts.tables import UTC_TIME

MEMBERSHIPS = TableContract(
    layer="silver",
    name="memberships",
    doc="One row per member of a group, as the sources that know groups last said it.",
    key=("source", "group_name", "member_name", "is_group"),
    columns={
        "source": Column(pl.String(), "Source that says it."),
        "group_name": Column(pl.String(), "The group, as the source names it."),
        "member_name": Column(pl.String(), "Who is in it, as the source names them."),
        "is_group": Column(pl.Boolean(), "The member is another group of the source, whose members are in it too."),
        "observed_at": Column(UTC_TIME, "When it was first seen."),
        "run_id": Column(pl.String(), "Run that saw it."),
    },
)

PRINCIPALS = TableContract(
    layer="silver",
    name="principals",
    doc="One row per principal that another principal has: whoever asks as the member also has the group. Searches "
    "look here, so a change counts from the next one on.",
    key=("source", "member_principal", "group_principal"),
    columns={
        "source": Column(pl.String(), "Source whose group it is."),
        "member_principal": Column(pl.String(), "A person or another group, by the name that callers have."),
        "group_principal": Column(pl.String(), "The group, by the name that documents list."),
        "since_at": Column(UTC_TIME, "Since when searches count it."),
        "run_id": Column(pl.String(), "Run that made it count."),
    },
)
