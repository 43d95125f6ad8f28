"""What the Dagster UI is given to show."""

from __future__ import annotations

import base64
import dataclasses
import xml.etree.ElementTree as ElementTree

import dagster as dg
import pytest

from rag_pipeline.contracts.index import NULLABLE, ROW_COLUMNS
from rag_pipeline.contracts.tables import BRONZE, CHUNKS, DOCUMENTS, EMBEDDINGS
from rag_pipeline.defs.describe import (
    INLINE_CHARS,
    arrow_schema,
    column_lineage,
    figures_of,
    histogram,
    index_lineage,
)
from rag_pipeline.defs.specs import CHUNKS_KEY, DOCUMENTS_KEY, EMBEDDINGS_KEY, INDEX_KEY

LARGE = [0, *range(0, 8_192, 3), *[4_000] * 2_000_000]


@pytest.mark.parametrize(
    "values", [[], [0], [7] * 5, list(range(255)), LARGE], ids=["none", "zero", "one", "even", "large"]
)
def test_a_histogram_is_short_enough_to_be_drawn_in_place(values: list[int]) -> None:
    shown = histogram("Chunk length", values, unit="tokens, header included")
    assert len(str(shown.value)) < INLINE_CHARS
    drawing = ElementTree.fromstring(base64.b64decode(str(shown.value).split("base64,")[1].rstrip(")")))
    words = [element.text for element in drawing.iter() if element.text]
    assert "tokens, header included" in words
    if values == [7] * 5:
        assert "5" in words


def test_lineage_from_many_sources_names_each_column_once() -> None:
    keys = [dg.AssetKey(["bronze", name]) for name in ("docs", "wiki")]
    shown = column_lineage(DOCUMENTS, [BRONZE, BRONZE], keys)
    text = str(shown["rag/column_lineage"].value)
    assert "| title | bronze/*.title, bronze/*.raw |" in text
    assert len(text) < INLINE_CHARS
    assert len(shown["dagster/column_lineage"].deps_by_column["text"]) == 2


def test_every_column_of_an_index_table_says_what_it_is() -> None:
    schema = arrow_schema(ROW_COLUMNS, set(NULLABLE))
    assert all(column.description for column in schema.columns)
    assert {column.name for column in schema.columns} == {*ROW_COLUMNS, "vector"}


def test_every_column_that_readers_search_says_what_it_is_made_from() -> None:
    above = [(CHUNKS_KEY, CHUNKS), (DOCUMENTS_KEY, DOCUMENTS), (EMBEDDINGS_KEY, EMBEDDINGS)]
    shown = index_lineage(INDEX_KEY, above)
    deps = shown["dagster/column_lineage"].deps_by_column
    assert set(deps) == {*ROW_COLUMNS, "vector"}
    assert [(dep.asset_key, dep.column_name) for dep in deps["document_id"]] == [(CHUNKS_KEY, "document_id")]
    assert [dep.column_name for dep in deps["embedded_text"]] == ["header", "text"]
    assert [dep.asset_key for dep in deps["allowed_principals"]] == [DOCUMENTS_KEY]
    assert "| vector | gold/embeddings.vector |" in str(shown["rag/column_lineage"].value)


def test_of_a_report_numbers_are_told_and_its_lists_are_not_copied() -> None:
    class Uncopied(list[int]):
        def __deepcopy__(self, _: object) -> None:
            pytest.fail("one entry a chunk")

    report = dataclasses.make_dataclass("Report", ["chunks", "is_new", "lengths", "why"])(3, True, Uncopied([1]), "")
    assert figures_of(report) == {"rag/chunks": 3, "rag/is_new": True}
