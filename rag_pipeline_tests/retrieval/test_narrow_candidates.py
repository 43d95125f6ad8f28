"""Ranking reads few columns of many rows; what a hit shows besides is read of the rows that are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pytest

from rag_pipeline.retrieval import search
from rag_pipeline.retrieval.candidates import HIT_COLUMNS, ONLY_SHOWN, RANKED_COLUMNS
from rag_pipeline.retrieval.hits import Hit
from rag_pipeline.retrieval.plan import MODES
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.create(tmp_path_factory.mktemp("narrow"))
    for at in range(12):
        reader = "public" if at % 3 else "board"
        made.write(
            f"{at:02}.md",
            f"---\ntitle: Berth {at}\nallowed_principals: [{reader}]\n---\n# Rules\n\n## Tide {at}\n\n"
            f"The harbour of berth {at} opens when the tide of day {at * 7} allows it.\n",
        )
    made.refresh()
    return made


def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The columns that retrievers are asked for from now on."""
    found: list[set[str]] = []
    for retriever in ("nearest", "matching"):
        whole = getattr(VectorTable, retriever)

        def spy(table: VectorTable, what: Any, where: str, limit: int, columns: Sequence[str], _: Any = whole) -> Any:
            found.append(set(columns))
            return _(table, what, where, limit, columns)

        monkeypatch.setattr(VectorTable, retriever, spy)
    return found


def test_every_column_of_a_hit_is_read_in_one_of_the_steps() -> None:
    assert not set(ONLY_SHOWN) & set(RANKED_COLUMNS)
    assert {*ONLY_SHOWN, *RANKED_COLUMNS} <= set(HIT_COLUMNS)
    assert {field.name for field in fields(Hit)} & set(HIT_COLUMNS) <= {*ONLY_SHOWN, *RANKED_COLUMNS}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("principal", ["public", "board"])
def test_hits_are_those_of_whole_rows(
    project: Project, mode: str, principal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = asked(monkeypatch)
    narrow = project.search("when does the harbour open", principal, mode=mode, k=5)
    assert columns
    assert not any(names & set(ONLY_SHOWN) for names in columns)
    monkeypatch.setattr(search, "MOST_FOUND_AGAIN", 0)
    columns.clear()
    whole = project.search("when does the harbour open", principal, mode=mode, k=5)
    assert all(set(ONLY_SHOWN) <= names for names in columns)
    assert narrow == whole
    assert len(narrow) == 5
    assert all(hit.title and hit.section_path and hit.allowed_principals for hit in narrow)
