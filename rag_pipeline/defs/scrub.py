"""How an erasure takes its pieces out of all that Dagster keeps: files of a home, and databases that it names.

Belongs here: which homes and which instance there are to clean.
Does not belong here: changing files (`erased_records.py`) or rows (`erased_database.py`).
"""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from rag_pipeline.defs.erased_records import forget_principals, scrub_records
from rag_pipeline.errors import StoreUnavailable
from rag_pipeline.stores.byte_search import Needles

if TYPE_CHECKING:
    import dagster as dg

    from rag_pipeline.settings import Pipeline

_STORAGES = frozenset({"storage", "run_storage", "event_log_storage", "schedule_storage"})
# Keep nothing of what steps print.
_KEEP_NOTHING = frozenset({"NoOpComputeLogManager"})


def scrub_of(
    home: Path, principals: Collection[str] = (), instance: "dg.DagsterInstance | None" = None
) -> Callable[[Needles], list[str]]:
    """How an erasure takes its pieces, and whose it was, out of a Dagster home, which may not be there.

    Args:
        instance: Of the home, where it is open; else the one that its dagster.yaml names is opened, if it names any.
    """

    def scrub(needles: Needles) -> list[str]:
        if not home.is_dir():
            return []
        notes = []
        for folder in (home, *_beyond(home, instance)):
            # Of several pipelines commands keep their records in folders of this one.
            for runs in sorted({*folder.rglob("history/runs.db"), *folder.glob("runs.db")}):
                forget_principals(runs, principals)
            notes += scrub_records(folder, needles)
        return [*notes, *_of_databases(home, instance, needles, principals), *_not_searched(home)]

    return scrub


def scrub_of_run(
    pipeline: "Pipeline", instance: "dg.DagsterInstance", principals: Collection[str]
) -> Callable[[Needles], list[str]]:
    """How an erasure in a run cleans the records of its instance, and those of the pipeline's own home."""
    homes: dict[Path, dg.DagsterInstance | None] = {pipeline.dagster_home.resolve(): None}
    if instance.is_persistent:
        homes[Path(instance.root_directory).resolve()] = instance
    scrubs = [scrub_of(home, principals, opened) for home, opened in homes.items()]
    return lambda needles: [note for scrub in scrubs for note in scrub(needles)]


def _opened(home: Path, instance: "dg.DagsterInstance | None", stack: ExitStack) -> "dg.DagsterInstance | None":
    """The instance whose storages are to be asked; None: it has its files in the home, as by default."""
    if not _settings(home).keys() & _STORAGES:
        return None
    if instance is not None:
        return instance
    from rag_pipeline.defs.instance import opened_instance

    try:
        return stack.enter_context(opened_instance(home))
    except Exception as error:
        raise StoreUnavailable(
            f"The storage that {home / 'dagster.yaml'} names could not be opened ({type(error).__name__}), and may "
            f"hold what was erased. Set the variables that the file reads, then run: rag-pipeline erase --finish"
        ) from None


def _beyond(home: Path, instance: "dg.DagsterInstance | None") -> list[Path]:
    from rag_pipeline.defs.erased_database import folders_elsewhere

    with ExitStack() as stack:
        opened = _opened(home, instance, stack)
        return [] if opened is None else folders_elsewhere(opened, home)


def _of_databases(
    home: Path, instance: "dg.DagsterInstance | None", needles: Needles, principals: Collection[str]
) -> list[str]:
    from rag_pipeline.defs.erased_database import scrub_databases

    with ExitStack() as stack:
        opened = _opened(home, instance, stack)
        return [] if opened is None else scrub_databases(opened, needles, principals)


def _not_searched(home: Path) -> list[str]:
    logs = _settings(home).get("compute_logs")
    if not logs or (isinstance(logs, dict) and logs.get("class") in _KEEP_NOTHING):
        return []
    return ["dagster.yaml names another store for what steps print (compute_logs): it was not searched."]


def _settings(home: Path) -> dict[str, object]:
    try:
        read = yaml.safe_load((home / "dagster.yaml").read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return read if isinstance(read, dict) else {}
