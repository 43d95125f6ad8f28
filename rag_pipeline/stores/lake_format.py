"""Which format a lake has: a small file at its root, written with the first write.

Belongs here: refusing a lake that a newer program wrote, and bringing an older one up to date.
Does not belong here: columns of tables (`contracts/`), which each table tells itself. Standard library only.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from rag_pipeline import __version__
from rag_pipeline.errors import LakeDamaged, LakeTooNew
from rag_pipeline.stores.small_files import replace_file

log = logging.getLogger(__name__)

FORMAT_FILE = "lake.json"
# Raise it when a program of before would misread or damage what is written now, and add how a lake of before is brought
# up to date. Columns and index layouts do not count: tables that lack any are made again from what is below them, and
# texts that were embedded are not embedded again. A lake of before there was such a file is of format 0, as it is now.
LAKE_FORMAT = 1
# Beside a lake: one that is being made from a backup, and the one that it replaces.
RESTORING = ".restoring-"
REPLACED = ".replaced-"


def settle_format(root: Path) -> None:
    """Make sure that this program may write to a lake in a folder, and note its format where that is not noted.

    Raises:
        LakeTooNew: A newer program wrote it; nothing was written.
        LakeDamaged: It is gone, since a restore was killed between two names.
    """
    path = root / FORMAT_FILE
    if not path.exists():
        for aside in sorted(root.parent.glob(f"{root.name}{REPLACED}*/{FORMAT_FILE}")):
            raise LakeDamaged(
                f"the lake {root} is not there: a restore was killed while it replaced it. What was there before is "
                f"{aside.parent}. Run the restore again, or give that folder the name of the lake; nothing was written."
            )
    found = _format_of(path)
    if found > LAKE_FORMAT:
        raise LakeTooNew(
            f"the lake {root} has format {found}, and this is rag-pipeline {__version__}, which knows up to format "
            f"{LAKE_FORMAT}; nothing was written. Use the version that wrote it ({path} names it), or another lake.",
            lake=str(root),
        )
    if found == LAKE_FORMAT:
        return
    try:
        record = {"format": LAKE_FORMAT, "written_by": f"rag-pipeline {__version__}"}
        replace_file(path, (json.dumps(record) + "\n").encode())
    except OSError as error:
        # A full disk must not keep anybody from taking away what was revoked.
        log.warning("the format of the lake %s could not be noted: %s", root, error)


def _format_of(path: Path) -> int:
    try:
        return int(json.loads(path.read_bytes())["format"])
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, TypeError, KeyError) as error:
        # Whether it is newer then shows in its tables, which refuse what they do not know.
        log.warning("%s cannot be read, and is written anew: %s", path, error)
        return 0
