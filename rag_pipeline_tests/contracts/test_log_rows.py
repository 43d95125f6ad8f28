"""Log rows as values: the columns that their tables have, and back again unchanged."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from rag_pipeline.contracts.log_rows import MADE_FROM_PASSED, NO_SILVER, Audit, Publication
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import AUDITS, PUBLICATIONS

VALUES: dict[pl.DataType, Any] = {
    pl.String(): "text",
    pl.Int64(): 7,
    pl.Boolean(): True,
    pl.Datetime("us", "UTC"): datetime(2026, 11, 27, 12, tzinfo=UTC),
}


def a_row(contract: TableContract, **values: Any) -> dict[str, Any]:
    return {name: VALUES[column.dtype] for name, column in contract.columns.items()} | values


@pytest.mark.parametrize(("kind", "contract"), [(Publication, PUBLICATIONS), (Audit, AUDITS)])
def test_a_log_row_has_the_columns_of_its_table(kind: type, contract: TableContract) -> None:
    assert [field.name for field in fields(kind)] == list(contract.columns)


@pytest.mark.parametrize(
    ("kind", "contract", "said"), [(Publication, PUBLICATIONS, "figures"), (Audit, AUDITS, "findings")]
)
def test_a_log_row_is_stored_as_it_was_read(kind: Any, contract: TableContract, said: str) -> None:
    stored = a_row(contract, **{said: '{"b": 0.1, "search": {"refine_factor": 4}}'})
    value = kind.of(contract.check(contract.frame([stored])).row(0, named=True))
    assert value.row() == stored
    assert value.search == {"refine_factor": 4}
    assert value.place == ("text", 7)
    with pytest.raises(FrozenInstanceError):
        value.alias = "other"


def test_a_publication_says_what_it_was_made_from() -> None:
    plain = Publication.of(a_row(PUBLICATIONS, figures='{"audit_id": "a"}'))
    reduced = Publication.of(a_row(PUBLICATIONS, figures='{"audit_id": "b", "made_from": 3}'))
    assert (plain.made_from, plain.audit_id, plain.search) == (7, "a", {})
    assert (reduced.made_from, reduced.audit_id) == (3, "b")


@pytest.mark.parametrize(
    ("figures", "is_whole"),
    [
        ('{"audit_id": "a"}', True),
        ('{"audit_id": "a", "withheld": 0}', True),
        ('{"audit_id": "a", "withheld": 2}', False),
        ('{"audit_id": "a", "revoked": 0}', False),
        ('{"audit_id": "a", "withdrawn": 1}', False),
    ],
)
def test_a_publication_that_only_took_something_from_readers_is_not_whole(figures: str, is_whole: bool) -> None:
    """The last row is of a lake that was written before the figure had its name of now."""
    assert Publication.of(a_row(PUBLICATIONS, figures=figures)).is_whole == is_whole


@pytest.mark.parametrize(
    ("silver", "passed", "findings", "is_sound"),
    [
        (4, True, "{}", True),
        (4, False, "{}", False),
        (NO_SILVER, True, "{}", False),
        (NO_SILVER, True, f'{{"{MADE_FROM_PASSED}": false}}', False),
        (NO_SILVER, True, f'{{"{MADE_FROM_PASSED}": true}}', True),
    ],
)
def test_an_audit_against_no_silver_is_as_sound_as_what_it_was_made_from(
    silver: int, passed: bool, findings: str, is_sound: bool
) -> None:
    audit = Audit.of(a_row(AUDITS, chunks_version=silver, passed=passed, findings=findings))
    assert audit.is_sound is is_sound
