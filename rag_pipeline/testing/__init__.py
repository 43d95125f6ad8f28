"""What a kind of source is tested with: `SourceConformance`.

Belongs here: test suites for those who write kinds of sources. They need pytest, the package itself does not.
Does not belong here: tests of this package.
"""

from __future__ import annotations

import pytest

# Failures in a library show values only where pytest knows of the module before it is imported.
pytest.register_assert_rewrite("rag_pipeline.testing.conformance")

from rag_pipeline.testing.conformance import GroupsWorld, SourceConformance, SourceWorld  # noqa: E402

__all__ = ["GroupsWorld", "SourceConformance", "SourceWorld"]
