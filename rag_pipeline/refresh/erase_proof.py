"""The certificate of an erasure, and the search that proves it.

Belongs here: what is searched, what is said of it.
Does not belong here: erasing (`erase.py`), reading files (`stores/byte_search.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rag_pipeline.answering.erasing import answers_file
from rag_pipeline.contracts.erasures import PENDING_FILE, Erasure, Tombstone, principal_hash
from rag_pipeline.refresh.erase_copies import copies
from rag_pipeline.refresh.erase_people import files_naming
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings.places import rejected_beside
from rag_pipeline.stores.byte_search import Needles, found_in_file, found_in_index
from rag_pipeline.stores.conditional import TRIAL
from rag_pipeline.stores.erasures import erased_from
from rag_pipeline.stores.lake import INDEX_PATH, Lake
from rag_pipeline.stores.lake_files import State, files_of, looked_into
from rag_pipeline.stores.lake_format import REPLACED
from rag_pipeline.stores.purge import index_tables


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was erased, where, when, by whom and why, and the proof; no word of what it said.

    Attributes:
        documents: document_id, source and hashes of what was erased.
        shared_with: document_id of others with equal bytes, which stay.
        removed, written: Files of the lake that went, and that were written.
        notes: What a person should know.
        pieces: How many pieces of what was erased were searched for.
        searched_files, searched_bytes: In how much.
        found: Files that still hold a piece; none, or the erasure is not done.
    """

    erasure_id: str
    documents: list[dict[str, Any]]
    tombstones: list[dict[str, Any]]
    shared_with: list[str]
    reason: str
    erased_by: str
    began_at: str
    ended_at: str
    removed: list[str]
    written: list[str]
    notes: list[str]
    pieces: int
    searched_files: int
    searched_bytes: int
    found: list[str]

    def __str__(self) -> str:
        what = "\n".join(
            f"  document {each['document_id']} of source {each['source']}: place {each['place'] or 'of before'}, "
            f"bytes {', '.join(each['contents']) or 'none'}"
            for each in self.documents
        )
        proof = ", ".join(self.found) or "none"
        return (
            f"Certificate of erasure {self.erasure_id}\n\nErased by {self.erased_by}, from {self.began_at} to "
            f"{self.ended_at}.\nReason: {self.reason}\n\nWhat (by hash):\n{what or '  no document'}\n\n"
            f"Proof: {self.pieces} pieces of its bytes, text, title and address were searched for in the decompressed "
            f"content of {self.searched_files} files ({self.searched_bytes} bytes). Files that hold one: {proof}.\n"
            f"Other documents with equal bytes, which stay: {', '.join(self.shared_with) or 'none'}.\n\n"
            f"Removed files:\n" + _lines(self.removed) + "\nWritten files:\n" + _lines(self.written) + "\nNotes:\n"
        ) + _lines(self.notes)


_SHORT_ONES = (
    "Titles and addresses of less than 20 bytes were searched for as words of their own; those that are numbers or "
    "dates, words of any lake, whatever is in it, or the name of a source or a model were not searched for."
)

_BY_PLACE = (
    "The source and address alone are refused from now on: under another name, source or location the same bytes come "
    "back, and a new document at the address stays out."
)

_BY_NAME = (
    "The name of the principal was looked for in all files of the tables of remarks, memberships and principals; "
    "documents that others may read too stay, with whatever they say."
)

# What every certificate may say.
NOTES = (_SHORT_ONES, _BY_PLACE, _BY_NAME)


def _lines(values: list[str]) -> str:
    return "".join(f"  {value}\n" for value in values or ["none"])


def keeps_versions(lake: Lake) -> bool | None:
    """Whether what is removed from the lake stays in older versions of its objects; None: the store does not say."""
    return False if lake.is_local else lake.objects.keeps_versions(f"{TRIAL}{uuid.uuid4().hex}")


def _searched(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    """Every file that could hold a word of a document, and where to read it.

    The lake, Dagster's records, kept answers, notes of sources.
    """
    pipeline, lake = workspace.pipeline, workspace.lake
    names = [name for name in sorted(files_of(lake)) if PurePosixPath(name).name != PENDING_FILE]
    yield from ((lake.uri(name), path) for name, path in looked_into(lake, names))
    folders = [pipeline.dagster_home]
    if lake.is_local:
        # A restore that was killed may have left the lake of before beside.
        root = Path(lake.root)
        folders += sorted(root.parent.glob(f"{root.name}{REPLACED}*"))
    for folder in folders:
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != PENDING_FILE)
        yield from ((str(path), path) for path in paths)
    yield from ((str(path), path) for path in copies(workspace))
    kept = answers_file(pipeline)
    yield from ((str(path), path) for path in sorted(kept.parent.glob(f"{kept.name}*")) if path.is_file())


def _said_of_versions(lake: Lake) -> list[str]:
    """What the store may have of it that nothing here can see."""
    kept = keeps_versions(lake)
    if kept:
        return [
            f"NOT GONE YET: the bucket keeps older versions of its objects, and those of the removed and the written "
            f"files hold what was erased. Remove every version below {lake.root} that is not the newest one with the "
            f"tools of the store; it was not searched."
        ]
    if kept is None:
        return [
            f"Whether the store keeps what is removed below {lake.root}, as older versions or for some days, it does "
            f"not say; look at the settings of the bucket. It was not searched."
        ]
    return []


def _said_by_questions(workspace: Workspace, needles: Needles) -> list[str]:
    """Files of questions are a person's own, and what they ask is recorded again with each evaluation."""
    answers = workspace.pipeline.settings.answers
    asked = answers.questions if answers is not None else ()
    generated = (path for each in workspace.pipeline.question_files for path in (each, rejected_beside(each)))
    paths = dict.fromkeys([*generated, *(workspace.pipeline.folder / name for name in asked)])
    return [
        f"The file of questions {path} still says a piece of it, and what it asks is recorded with each evaluation: "
        f"take it out there."
        for path in paths
        if path.is_file() and found_in_file(path, needles)
    ]


def _of_documents(plan: Erasure) -> list[Tombstone]:
    """Its tombstones but for those that stand for people."""
    people = set(map(principal_hash, plan.principals))
    return [each for each in plan.tombstones if each.place not in people]


def _documents(plan: Erasure, known: Iterable[Tombstone]) -> list[dict[str, Any]]:
    """What was erased; where it is erased again, an erasure of before has its tombstone."""
    named = [(name, each) for name, ids in plan.documents.items() for each in ids]
    mine = _of_documents(plan)
    stones = {each.document: each for each in (*known, *mine) if each.document}
    if len(named) == len(mine):
        # An earlier program noted no ids, and wrote them in this order.
        stones = {each: stone for (_, each), stone in zip(named, mine, strict=True)} | stones
    return [
        {
            "document_id": each,
            "source": name,
            "place": stones[each].place if each in stones else "",
            "contents": list(stones[each].contents) if each in stones else [],
        }
        for name, each in named
    ]


def certified(
    workspace: Workspace, plan: Erasure, notes: list[str], before: dict[str, State], *, is_scrubbed: bool
) -> Certificate:
    """Search everything, and say what was done and found.

    Args:
        is_scrubbed: Dagster's records were cleaned, so that a short piece which is still there is a word of their own.
    """
    needles, lake = Needles(plan.needles), workspace.lake
    found, count, size = [], 0, 0
    home, words = workspace.pipeline.dagster_home, 0
    for said, path in _searched(workspace):
        count, size = count + 1, size + path.stat().st_size
        held = found_in_file(path, needles)
        is_dagsters = is_scrubbed and path.is_relative_to(home)
        if held and is_dagsters and all(needles.is_short(number) for number in held):
            words += 1
        elif held:
            found.append(said)
    found += files_naming(workspace, plan.principals)
    notes = [*notes, _SHORT_ONES, *([_BY_NAME] if plan.principals else [])]
    if not all(each.by_content for each in _of_documents(plan)):
        notes.append(_BY_PLACE)
    if plan.parts:
        notes.append(
            f"They went with all that was made of them: {plan.parts} documents, such as members of an archive."
        )
    if words:
        notes.append(f"A short title or address is a word of Dagster's own in {words} files, where it stays.")
    notes += _said_by_questions(workspace, needles)
    notes += _said_of_versions(lake)
    for name in index_tables(lake):
        if found_in_index(lake.uri(INDEX_PATH), name, needles, lake.storage_options):
            found.append(lake.uri(f"{INDEX_PATH}/{name}.lance"))
    after = files_of(lake)
    if plan.shared:
        notes = [*notes, "What other documents hold too stays with them, and was not searched for."]
    return Certificate(
        erasure_id=plan.erasure_id,
        documents=_documents(plan, erased_from(lake).tombstones),
        tombstones=[asdict(each) for each in plan.tombstones],
        shared_with=list(plan.shared),
        # Whoever gives the reason may name whom it is about.
        reason=needles.redacted(plan.reason),
        erased_by=plan.erased_by,
        began_at=plan.began_at,
        ended_at=workspace.now().isoformat(),
        removed=sorted(before.keys() - after.keys()),
        written=sorted(path for path, state in after.items() if before.get(path) != state),
        notes=notes,
        pieces=len(plan.needles),
        searched_files=count,
        searched_bytes=size,
        found=found,
    )
