"""Documents that a question names are found by their address or its end, and not by looking at all of them."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.evaluation import ExpectedDocument
from rag_pipeline.retrieval import addresses
from rag_pipeline.retrieval.addresses import Addresses

DOCUMENTS = [("one", "docs/a/one.md"), ("part", "docs/a/one.md#2"), ("two", "docs/a-one.md"), ("same", "more/one.md")]


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (ExpectedDocument(uri="docs/a/one.md"), {"one", "part"}),
        (ExpectedDocument(uri="docs/a/one.md#2"), {"part"}),
        (ExpectedDocument(uri_suffix="one.md"), {"one", "part", "same"}),
        (ExpectedDocument(uri_suffix="/a/one.md"), {"one", "part"}),
        (ExpectedDocument(uri_suffix="ne.md"), set()),
        (ExpectedDocument(document_id="gone"), {"gone"}),
    ],
)
def test_documents_are_named_by_id_address_or_its_end(expected: ExpectedDocument, found: set[str]) -> None:
    assert Addresses(DOCUMENTS).of(expected) == found


def test_a_question_looks_at_no_document_that_ends_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, looked_at = addresses._is_at, []

    def counted(address: str, expected: ExpectedDocument) -> bool:
        looked_at.append(address)
        return whole(address, expected)

    monkeypatch.setattr(addresses, "_is_at", counted)
    there = Addresses((str(number), f"docs/{number}.md") for number in range(1_000))
    for number in range(1_000):
        assert there.of(ExpectedDocument(uri=f"docs/{number}.md")) == {str(number)}
    assert len(looked_at) == 1_000
