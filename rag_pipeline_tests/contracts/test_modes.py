"""The ways to search are named in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import rag_pipeline
from rag_pipeline.contracts.modes import MODES


def test_no_other_module_lists_the_modes() -> None:
    package = Path(rag_pipeline.__file__).parent
    listing = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Tuple | ast.List | ast.Set)
        and {each.value for each in node.elts if isinstance(each, ast.Constant)} >= set(MODES)
    }
    assert listing == {"contracts/modes.py"}
