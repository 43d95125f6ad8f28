"""Files that lines are added to in place are named where a backup has to know them."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from rag_pipeline import stores
from rag_pipeline.stores.backup import APPENDED
from rag_pipeline.stores.whole_files import LineFile


def test_all_files_that_lines_are_added_to_are_copied() -> None:
    modules = (import_module(f"rag_pipeline.stores.{each.name}") for each in iter_modules(stores.__path__))
    files = {each.name for module in modules for each in vars(module).values() if isinstance(each, LineFile)}
    assert files == APPENDED
