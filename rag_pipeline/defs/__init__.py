"""Dagster: assets by layer, checks, jobs, schedules, sensors and the resource they share.

Belongs here: everything that imports dagster. Assets are thin: open, call one refresh step, report.
Does not belong here: any decision about data; that is in `transforms/` and `refresh/`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag_pipeline.defs.build import build_definitions
    from rag_pipeline.defs.many import build_all

__all__ = ["build_all", "build_definitions"]


def __getattr__(name: str) -> Any:
    # Whoever looks before a run needs none of the assets, which take longer to import than to look.
    if name == "build_definitions":
        from rag_pipeline.defs.build import build_definitions

        return build_definitions
    if name == "build_all":
        from rag_pipeline.defs.many import build_all

        return build_all
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
