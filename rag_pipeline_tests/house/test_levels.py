"""What the levels of tests name is there: a test that was renamed would leave CI in silence."""

from __future__ import annotations

import pytest

from rag_pipeline_tests import conftest


@pytest.mark.parametrize("names", ["SLOW", "TRIED_BY_CI", "LONG", "SAMPLED", "EXHAUSTIVE", "NOT_TRACED"])
def test_each_name_begins_the_place_of_a_test(names: str) -> None:
    for name in getattr(conftest, names):
        file, _, function = name.partition("::")
        assert "/" in file, f"{names}: {name!r} is no place"
        texts = [path.read_text("utf-8") for path in conftest.HERE.glob(f"{file}*") if path.is_file()]
        assert texts, f"{names}: {name} names no file"
        begin = f"def {function.partition('[')[0]}"
        assert not function or any(begin in text for text in texts), f"{names}: {name} names no test"
