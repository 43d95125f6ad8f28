"""How much one test tries: some of it in CI, all of it by `make test-all`."""

from __future__ import annotations

from hypothesis import settings

# The profile of hypothesis that `make test-all` asks for.
MANY = "many"


def tries(few: int, many: int) -> int:
    """How often something is tried, in the tests that run now."""
    return many if settings.get_current_profile_name() == MANY else few
