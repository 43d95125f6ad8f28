"""Which documents are parsed again when a parser changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from rag_pipeline.contracts.sources import DeclaredMetadata
from rag_pipeline.contracts.tables import DOCUMENTS, QUARANTINE
from rag_pipeline.errors import ParserTimeout, UnparsableDocument
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.transforms import worker_tasks
from rag_pipeline.transforms.documents import document_rows, plan_documents, quarantine_row, unvouched
from rag_pipeline.transforms.enrich import EnrichOptions
from rag_pipeline.transforms.worker_tasks import ParseRecipe, parse_object
from rag_pipeline_tests.parsing.pdf_files import pdf_with_files

NOW = datetime(2026, 5, 4, tzinfo=UTC)
RECIPE = ParseRecipe(ParseLimits(), EnrichOptions())
PDF, MARKDOWN = "application/pdf", "text/markdown"
OBJECTS: dict[str, tuple[str, bytes]] = {
    "alone.pdf": (PDF, pdf_with_files([])),
    "with.pdf": (PDF, pdf_with_files([("a.md", b"# Tides\n\nNoon.\n")])),
    "unread.pdf": (PDF, pdf_with_files([("a.exe", b"MZ\0\0\0\x01" * 9)])),
    "cover.pdf": (PDF, pdf_with_files([("a.md", b"# Tides\n\nNoon.\n")], content=b"")),
    "notes.md": (MARKDOWN, b"# Tides\n\nNoon.\n"),
}


@pytest.fixture(autouse=True)
def versions_read_anew() -> Iterator[None]:
    worker_tasks._recipe_fingerprint.cache_clear()
    yield
    worker_tasks._recipe_fingerprint.cache_clear()


def origin(name: str) -> dict[str, Any]:
    return {
        "document_id": name,
        "source": "docs",
        "address": name,
        "uri": name,
        "title": None,
        "author": None,
        "declared": DeclaredMetadata().to_json(),
        "allowed_principals": ["public"],
        "source_modified_at": NOW,
        "metadata_hash": "m",
        "input_key": f"h:{name}",
        "problem_code": None,
    }


def state() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Origins, documents and quarantine as a run left them; one PDF more could not be read."""
    rows = [
        row
        for name, (media_type, raw) in OBJECTS.items()
        for row in document_rows(origin(name), media_type, parse_object((raw, media_type, name), RECIPE), RECIPE)
    ]
    error = UnparsableDocument("bad.pdf: not a readable PDF.", address="bad.pdf")
    refused = quarantine_row(
        origin("bad.pdf"), error, stage="parse", media_type=PDF, recipe=RECIPE, before=None, now=NOW
    )
    origins = pl.DataFrame(
        [origin(name) for name in [*OBJECTS, "bad.pdf"]], schema_overrides={"problem_code": pl.String}
    )
    return origins, DOCUMENTS.frame(rows), QUARANTINE.frame([refused])


def parsed_again(state: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]) -> list[str]:
    origins, documents, quarantine = state
    plan = plan_documents(origins, documents, quarantine, recipes={"docs": RECIPE}, now=NOW, keep_last_good=True)
    return sorted(plan.to_parse["document_id"])


@pytest.mark.parametrize(
    ("module", "again"),
    [
        ("markup.markdown", ["bad.pdf", "cover.pdf", "notes.md", "unread.pdf", "with.pdf"]),
        ("office.rtf", ["bad.pdf", "cover.pdf", "unread.pdf", "with.pdf"]),
        ("pdf.pdf", ["alone.pdf", "bad.pdf", "cover.pdf", "unread.pdf", "with.pdf"]),
    ],
)
def test_a_pdf_follows_other_parsers_where_other_files_are_in_it(
    module: str, again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state()
    assert parsed_again(before) == []
    monkeypatch.setattr(f"rag_pipeline.parsing.{module}.VERSION", "99")
    worker_tasks._recipe_fingerprint.cache_clear()
    assert parsed_again(before) == again
    assert parsed_again(state()) == []


def test_a_source_that_is_not_configured_has_no_present_recipe() -> None:
    origins, documents, quarantine = state()
    plan = plan_documents(origins, documents, quarantine, recipes={}, now=NOW, keep_last_good=True)
    assert plan.to_parse.height == len(OBJECTS) + 1


def test_nothing_vouches_for_documents_parsed_before_redaction_with_and_without_files_in_them() -> None:
    _, documents, _ = state()
    for wanted in ("redact", "quarantine"):
        hiding = ParseRecipe(ParseLimits(max_document_bytes=99_999), EnrichOptions(sensitive=wanted))
        assert set(unvouched(documents, {"docs": hiding})["document_id"]) == set(documents["document_id"])
    for recipe in (RECIPE, ParseRecipe(ParseLimits(), EnrichOptions(sensitive="flag"))):
        assert unvouched(documents, {"docs": recipe}).is_empty()


def test_what_was_refused_by_a_clock_that_was_ahead_is_tried_again() -> None:
    origins, documents, _ = state()
    error = ParserTimeout("bad.pdf took too long", address="bad.pdf")

    def tried_again(seen_at: datetime) -> bool:
        row = quarantine_row(
            origin("bad.pdf"), error, stage="parse", media_type=PDF, recipe=RECIPE, before=None, now=seen_at
        )
        return "bad.pdf" in parsed_again((origins, documents, QUARANTINE.frame([row])))

    assert not tried_again(NOW - timedelta(minutes=1))
    assert tried_again(NOW - timedelta(days=8))
    assert tried_again(NOW + timedelta(days=1))
