"""Tables are declared once, and listed once."""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path

import pytest

from rag_pipeline.contracts.catalog import FIXED_TABLES, TABLES, tables_of
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import BRONZE, CHUNKS, EMBEDDINGS
from rag_pipeline_tests.house.test_house import ROOT, in_every_module, name_of, tree_of

CATALOG = ROOT / "contracts" / "catalog.py"
# A few of them may be named together, for what these have in common; more than that is a second catalog.
MOST_TOGETHER = 5


@cache
def declared() -> dict[str, TableContract]:
    found: dict[str, TableContract] = {}
    for path in sorted((ROOT / "contracts").glob("*.py")):
        module = importlib.import_module(f"rag_pipeline.contracts.{path.stem}")
        found |= {name: value for name, value in vars(module).items() if isinstance(value, TableContract)}
    return found


def test_every_table_is_in_the_catalog_once() -> None:
    assert sorted(table.kind for table in declared().values()) == sorted(table.kind for table in TABLES)


@in_every_module
def test_there_is_no_second_list_of_tables(path: Path) -> None:
    """What is to be done with every table walks the catalog, so that a new table is forgotten nowhere."""
    if path == CATALOG:
        return
    names = set(declared())
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
            members = node.keys if isinstance(node, ast.Dict) else node.elts
            roots = [each.value if isinstance(each, ast.Attribute) else each for each in members if each is not None]
            tables = [each.id for each in roots if isinstance(each, ast.Name) and each.id in names]
            assert len(tables) <= MOST_TOGETHER, f"{name_of(path)} lists {', '.join(tables)}: walk TABLES instead"


def test_a_table_knows_its_place() -> None:
    assert CHUNKS.path == CHUNKS.kind == "silver/chunks"
    assert (BRONZE.of("docs").path, EMBEDDINGS.of("f00d").path) == ("bronze/docs", "gold/embeddings/f00d")
    assert BRONZE.of("docs").columns is BRONZE.columns
    paths = [table.path for table in tables_of(["docs", "wiki"], ["f00d"])]
    assert paths == ["bronze/docs", "bronze/wiki", *(table.path for table in FIXED_TABLES), "gold/embeddings/f00d"]
    with pytest.raises(ValueError, match="say which"):
        _ = BRONZE.path
    with pytest.raises(ValueError, match="no other"):
        CHUNKS.of("docs")
