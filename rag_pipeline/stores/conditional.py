"""Whether an object store keeps conditional writes, without which two writers would damage a lake.

Belongs here: trying it once at a lake's first write, and remembering in the lake that it was tried.
Does not belong here: the lease that is built on it (`lease.py`).
"""

from __future__ import annotations

import json
import logging
import uuid
from contextlib import suppress
from typing import Any

from rag_pipeline import __version__
from rag_pipeline.errors import LakeDamaged, LakeTooNew, StoreError, StoreUnfit
from rag_pipeline.stores.lake_format import FORMAT_FILE, LAKE_FORMAT
from rag_pipeline.stores.objects import ConditionRefused, ConditionsUnknown, Objects, Tag

log = logging.getLogger(__name__)

TRIED = "conditional_writes"
# Says that a restore is putting a lake in the place of another, or was killed while it did.
HALF = "is_being_restored"
# Objects with a name of their own each: two first writers may try at the same time.
TRIAL = ".conditional-writes-"


def settle_store(objects: Objects, *, is_restore: bool = False) -> None:
    """Make sure that this program may write to a lake in an object store, and note what was found out.

    Args:
        is_restore: What a restore that was killed left is about to be replaced.

    Raises:
        LakeDamaged: A restore was killed while it replaced the lake; nothing was written.
        LakeTooNew: A newer program wrote it; nothing was written.
        StoreUnfit: The store does not keep conditional writes; nothing of the lake was written.
        StoreError: The store did not answer, or refused.
    """
    noted = _noted(objects)
    found = noted.get("format", LAKE_FORMAT)
    if isinstance(found, int) and found > LAKE_FORMAT:
        raise LakeTooNew(
            f"the lake {objects.root} has format {found}, and this is rag-pipeline {__version__}, which knows up to "
            f"format {LAKE_FORMAT}; nothing was written. Use the version that wrote it "
            f"({objects.root}/{FORMAT_FILE} names it), or another lake.",
            lake=objects.root,
        )
    if noted.get(HALF) and not is_restore:
        raise LakeDamaged(
            f"the lake {objects.root} is not whole: a restore was killed while it replaced it. Run it again, with "
            f"--replace; nothing was written."
        )
    # A lake that was copied to another address is tried there again.
    if noted.get(TRIED) == objects.root:
        return
    try_store(objects)
    if not noted.get(HALF):
        note_format(objects)


def note_format(objects: Objects, *, is_half: bool = False) -> None:
    """Write down which format the lake has, and that its store was tried.

    Args:
        is_half: A restore is about to replace the lake.
    """
    record = {"format": LAKE_FORMAT, "written_by": f"rag-pipeline {__version__}", TRIED: objects.root}
    objects.write(FORMAT_FILE, (json.dumps(record | ({HALF: True} if is_half else {})) + "\n").encode())


def try_store(objects: Objects) -> None:
    """Write an object in all the ways in which a store has to refuse it.

    Raises:
        StoreUnfit: It does not.
        StoreError: The store did not answer, or refused.
    """
    name = f"{TRIAL}{uuid.uuid4().hex}"
    try:
        _try_on(objects, name)
    except ConditionsUnknown:
        raise _unfit(objects, "the client has none for it, or `conditional_put` of lake_options forbids them") from None
    finally:
        with suppress(StoreError):
            objects.delete(name)


def _try_on(objects: Objects, name: str) -> None:
    try:
        first = objects.create(name, b"1")
    except ConditionRefused:
        # Nobody else has this name: it was written, the answer was lost, and the client tried again.
        first = _written(objects, name, b"1")
    if not first:
        raise _unfit(objects, "it does not say in which state an object is (no ETag)")
    if not _is_refused(objects, name, None):
        raise _unfit(objects, "it created an object that was there already (If-None-Match)")
    try:
        second = objects.replace(name, b"2", first)
    except ConditionRefused:
        second = _written(objects, name, b"2")
        if not second:
            raise _unfit(objects, "it refused to replace an object that was as expected (If-Match)") from None
    if second == first or not _is_refused(objects, name, first):
        raise _unfit(objects, "it replaced an object that had been changed meanwhile (If-Match)")


def _written(objects: Objects, name: str, content: bytes) -> Tag:
    """State of an object that has this content; empty: it has another one."""
    found = objects.read(name)
    return found[1] if found is not None and found[0] == content else ""


def _is_refused(objects: Objects, name: str, expected: Tag | None) -> bool:
    try:
        if expected is None:
            objects.create(name, b"3")
        else:
            objects.replace(name, b"3", expected)
    except ConditionRefused:
        return True
    return False


def _unfit(objects: Objects, why: str) -> StoreUnfit:
    return StoreUnfit(
        f"the object store of the lake {objects.root} does not keep conditional writes: {why}. Two writers would "
        f"damage the lake, so nothing was written. Use a store or a version of it that keeps them, like Amazon S3, "
        f"Google Cloud Storage or Azure Blob Storage, or a lake in a folder.",
        lake=objects.root,
    )


def _noted(objects: Objects) -> dict[str, Any]:
    found = objects.read(FORMAT_FILE)
    if found is None:
        return {}
    try:
        noted = json.loads(found[0])
    except (ValueError, RecursionError) as error:
        log.warning("%s/%s cannot be read, and is written anew: %s", objects.root, FORMAT_FILE, error)
        return {}
    return noted if isinstance(noted, dict) else {}
