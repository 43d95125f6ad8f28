"""DuckDB's own driver, for sources that are DuckDB files or files that DuckDB reads.

Belongs here: the driver, and how a database is opened for reading.
Does not belong here: what rows are (`sources/`), queries over the lake (`sql.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

DRIVER: Any = duckdb
# Nothing is fetched from a network to read a file: what reads Parquet, CSV and JSON comes with DuckDB.
_OPENING = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


def opening_of(place: str | None) -> tuple[str, dict[str, Any]]:
    """Database and options to open a place with: a DuckDB file is only read, and of a folder the files are.

    Args:
        place: None: a database in memory, for queries that name files by their whole paths.
    """
    if not place:
        return ":memory:", {"config": _OPENING}
    if Path(place).is_dir():
        return ":memory:", {"config": _OPENING | {"file_search_path": str(Path(place).absolute())}}
    return place, {"config": _OPENING, "read_only": True}
