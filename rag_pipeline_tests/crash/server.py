"""What the process imports from which others are forked."""

from __future__ import annotations

import warnings

import rag_pipeline_tests.crash.child  # noqa: F401

# It does nothing but fork, so that nothing of LanceDB is under way then.
warnings.filterwarnings("ignore", "lancedb fork support is experimental", RuntimeWarning)
