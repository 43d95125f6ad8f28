"""Take out of a lake that is made from a backup what was erased after that was taken.

Belongs here: what was erased since, which documents of an older lake those are, and their certificates.
Does not belong here: erasing (`erase.py`), putting the lake in its place (`restore.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import polars as pl

from rag_pipeline.answering.erasing import erase_kept
from rag_pipeline.contracts.erasures import (
    CERTIFICATES,
    ERASED_FILE,
    PENDING_FILE,
    RELEASED_AT,
    Erased,
    Erasure,
    Tombstone,
    place_hash,
    principal_hash,
    read_erased,
)
from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.refresh.erase import Scrub, finish_erasure
from rag_pipeline.refresh.erase_plan import bronze_states, plan_of
from rag_pipeline.refresh.memberships import principals_named
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.erasures import erased_from, pending_erasure
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.lake_files import files_of, looked_into
from rag_pipeline.stores.small_files import replace_file


@dataclass(frozen=True, slots=True)
class Since:
    """What was erased according to the lakes that a backup takes the place of.

    Attributes:
        pending: Plans of erasures that were begun there and are not done.
        lakes: Where their certificates are.
    """

    erased: Erased
    pending: tuple[Erasure, ...]
    lakes: tuple[Lake, ...]

    @classmethod
    def of(cls, lakes: Iterable[Lake]) -> Since:
        """From their files.

        Raises:
            LakeDamaged: One cannot be read.
            StoreError: An object store did not answer.
        """
        erased = Erased()
        pending: dict[str, Erasure] = {}
        elders = tuple(lakes)
        for lake in elders:
            said, begun = erased_from(lake), pending_erasure(lake)
            erased = erased.plus(said.tombstones, said.released)
            if begun is not None:
                pending[begun.erasure_id] = begun
        for each in pending.values():
            erased = erased.plus(each.tombstones)
        return cls(erased, tuple(pending.values()), elders)


def erase_again(pipeline: Pipeline, served: Pipeline, since: Since, scrub: Scrub | None) -> int:
    """Take out of a restored lake what was erased after it was backed up; how many documents that were.

    One erasure for all, which ends those that were begun, too.

    Args:
        served: As the pipeline is when the lake is in its place, by which kept answers are known.

    Raises:
        RagPipelineError: What `finish_erasure` raises.
        OSError: A certificate could not be copied.
    """
    root = Path(pipeline.lake_root)
    then = read_erased(str(root))
    now = then.plus(since.erased.tombstones, since.erased.released)
    if now != then:
        replace_file(root / ERASED_FILE, now.encoded())
    # After what the backup knew was told, which may be by its certificates alone; and before anything is erased, since
    # those of now may name it, too.
    for elder in since.lakes:
        _keep_certificates(elder, root)
    known = set(then.tombstones)
    new = [each for each in now.tombstones if each not in known]
    if not new and not since.pending:
        return 0
    with Workspace(pipeline, run_id="restore") as workspace:
        states, unread = bronze_states(workspace)
        for name, error in unread.items():
            raise _untold(f"bronze of {name}", error)
        documents = documents_of(states, new)
        people = _people_of(workspace, new)
        if not documents and not people and not since.pending:
            return 0
        plan = _plan(workspace, states, documents, people, new, since.pending)
        replace_file(root / PENDING_FILE, plan.encoded())
        erase_kept(served, plan.derived)
        finish_erasure(workspace, scrub)
    return sum(map(len, documents.values()))


def _plan(
    workspace: Workspace,
    states: dict[str, pl.DataFrame],
    documents: dict[str, set[str]],
    people: set[str],
    new: list[Tombstone],
    pending: tuple[Erasure, ...],
) -> Erasure:
    """One plan for all; the tombstones that have a certificate stand in that, and not in another."""
    begun = [f"{each.reason} ({each.erasure_id}, by {each.erased_by})" for each in pending]
    done = sorted({each.erasure_id for each in new} - {each.erasure_id for each in pending})
    plan = plan_of(
        workspace,
        states,
        documents,
        reason="; ".join([*begun, *(f"erased by {each}" for each in done)]),
        erased_by="restore",
        by_content=any(each.by_content for each in new),
        known_pieces=[piece for each in pending for piece in each.needles],
    )
    return replace(
        plan,
        erasure_id=pending[0].erasure_id if pending else plan.erasure_id,
        derived=tuple(sorted({*plan.derived, *(each for one in pending for each in one.derived)})),
        uris=tuple(sorted({*plan.uris, *(each for one in pending for each in one.uris)})),
        tombstones=tuple(stone for each in pending for stone in each.tombstones),
        principals=tuple(sorted(people.union(*(each.principals for each in pending)))),
    )


def _people_of(workspace: Workspace, stones: Iterable[Tombstone]) -> set[str]:
    """Whom tombstones of a newer lake mean among those that made remarks in an older one, or have or are its groups.

    Raises:
        LakeDamaged: A table of these is damaged.
    """
    places = {each.place for each in stones}
    try:
        named = {*workspace.lake.read(FEEDBACK, ["caller"])["caller"], *principals_named(workspace)}
    except LakeDamaged as error:
        raise _untold("what says who made remarks or is in groups", error) from error
    return {each for each in named if principal_hash(each) in places}


def _untold(what: str, error: LakeDamaged) -> LakeDamaged:
    return LakeDamaged(
        f"{what} in the backup is damaged, so what was erased since cannot be taken out of it; nothing was restored. "
        f"Take another one: --backup. ({error})"
    )


def documents_of(states: dict[str, pl.DataFrame], stones: Iterable[Tombstone]) -> dict[str, set[str]]:
    """document_id of what tombstones of a newer lake mean in an older one, by source.

    By the id, wherever the document lay then; by the place; and by the bytes, where they are meant, or where an
    earlier program noted no id and nothing lies at the place.
    """
    stones = list(stones)
    found: dict[str, set[str]] = {name: set() for name in states}
    places: set[str] = set()
    for name, rows in states.items():
        last = rows.sort("document_id", "revision", "batch").unique("document_id", keep="last")
        place_of = {each: place_hash(name, each) for each in last["address"].unique()}
        wanted = {each.place for each in stones}
        here = [address for address, place in place_of.items() if place in wanted]
        places |= {place_of[address] for address in here}
        ids = {each.document for each in stones if each.document}
        is_meant = pl.col("address").is_in(here) | pl.col("document_id").is_in(list(ids))
        found[name] |= set(last.filter(is_meant)["document_id"])
    unplaced = (each for each in stones if each.by_content or not (each.document or each.place in places))
    hashes = {hashed for each in unplaced for hashed in each.contents}
    for name, rows in states.items():
        found[name] |= set(rows.filter(pl.col("bytes_hash").is_in(list(hashes)))["document_id"])
    return {name: ids for name, ids in found.items() if ids}


def _keep_certificates(elder: Lake, restored: Path) -> None:
    """Have the certificates of a lake in the restored one, too; the one with the note of a release counts.

    Raises:
        OSError: One could not be copied.
    """
    names = [name for name in sorted(files_of(elder, CERTIFICATES)) if not PurePosixPath(name).name.startswith(".")]
    for name, path in looked_into(elder, names):
        there = Path(restored, name)
        there.parent.mkdir(exist_ok=True)
        if not there.exists() or (_is_released(path) and not _is_released(there)):
            shutil.copy2(path, there)


def _is_released(path: Path) -> bool:
    return f'"{RELEASED_AT}"'.encode() in path.read_bytes()
