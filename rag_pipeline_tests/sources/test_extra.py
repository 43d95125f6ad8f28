"""A kind of source whose packages are missing says what to type."""

from __future__ import annotations

import pytest

from rag_pipeline.errors import ExtraMissing
from rag_pipeline.sources.extra import require_extra


def test_missing_packages_are_named_with_the_command() -> None:
    require_extra("web", "json")
    with pytest.raises(ExtraMissing, match=r"no_such_package.*pip install 'rag-pipeline\[web\]'"):
        require_extra("web", "json", "no_such_package")
