"""Look before a run whether anything at all could make it do something.

Belongs here: what a finished run noted of the state it left, and comparing that with the state of now.
Does not belong here: making the note (`settle.py`), the run, or telling Dagster that it was looked (`defs/look.py`).

A look says "nothing changed" only where everything that a run reads is what it was when a run last found nothing left
to do: the program and its libraries, the settings, the models' files, the questions, each file of the lake, and what
each source lists. Whatever it cannot tell is a reason for a run. No library of frames or storage is imported here:
importing them takes longer than looking.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import rag_pipeline
from rag_pipeline.contracts.alerts import ALERTS_FILE, ALERTS_LOCKS
from rag_pipeline.contracts.erasures import read_erased
from rag_pipeline.contracts.groups import Memberships
from rag_pipeline.contracts.ids import bytes_hash, digest
from rag_pipeline.contracts.order import in_order
from rag_pipeline.contracts.polls import POLLS_FILE, Poll, bytes_of, polls_of
from rag_pipeline.contracts.searches import SEARCHES_FILE, SEARCHES_LOCK
from rag_pipeline.contracts.sources import DeclaredMetadata, Source, SourceObject
from rag_pipeline.embedding.space import resolve
from rag_pipeline.enrichment.recipes import named_files
from rag_pipeline.errors import DocumentError, RagPipelineError
from rag_pipeline.parsing.registry import FORMATS, recipe_version
from rag_pipeline.settings import Pipeline
from rag_pipeline.sources import open_source
from rag_pipeline.sources.erased import without_erased
from rag_pipeline.sources.groups import memberships_of
from rag_pipeline.stores.lock import HOLDER_NAME, LOCK_NAME, WriteLock
from rag_pipeline.stores.small_files import replace_file
from rag_pipeline.transforms.chunk.params import ChunkParams

log = logging.getLogger(__name__)

SETTLED_FILE = ".settled.json"
# Raise it when an older program would misread the note.
_FORMAT = 2
# Files of the lake that say nothing of what is in it.
_ASIDE = frozenset({LOCK_NAME, HOLDER_NAME, POLLS_FILE, f".{POLLS_FILE}.new", SETTLED_FILE, f"{SETTLED_FILE}.new"})
_ASIDE |= {ALERTS_FILE, f".{ALERTS_FILE}.new", *ALERTS_LOCKS}
_ASIDE |= {SEARCHES_FILE, f".{SEARCHES_FILE}.new", SEARCHES_LOCK}
# What people say of hits while they search gives no run anything to do.
_REMARKS = "gold/feedback/"
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Listed:
    """What a source listed when a run had taken all of it in.

    Attributes:
        listing: Digest of the listing.
        idle: Digest of what matched nothing.
        racy: (address, bytes_hash, digest of what is declared) of objects that were written so shortly before they were
            read that equal stamps prove nothing: their bytes are compared.
        objects: How many were listed.
        version: Version of what bronze holds of it, as Dagster is told.
    """

    listing: str
    idle: str
    racy: tuple[tuple[str, str, str], ...]
    objects: int
    version: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A run's note that nothing was left to do.

    Attributes:
        run_id: Its run in Dagster; a newer one makes the note worthless.
        since, until: When it was made, and when time alone gives a run something to do.
        inputs: Digest of what runs are made with: program, settings, models, questions.
        lake: Digest of the files of the lake.
        summary: What the run told; a look tells the same.
        example: A question to try, and a principal to ask it as; None: nothing can be found by anybody.
        groups: Digest of who was in which group, by source that knows groups.
    """

    run_id: str
    since: datetime
    until: datetime
    inputs: str
    lake: str
    sources: Mapping[str, Listed]
    summary: Mapping[str, Any]
    example: Sequence[str] | None
    groups: Mapping[str, str]


def read_settled(pipeline: Pipeline) -> Settled | None:
    """The note of the last run that left nothing to do; None: there is none that can be understood."""
    if "://" in pipeline.lake_root:
        return None
    try:
        record = json.loads(Path(pipeline.lake_root, SETTLED_FILE).read_bytes())
        if record.pop("format") != _FORMAT:
            return None
        since, until = (datetime.fromisoformat(record.pop(name)).astimezone(UTC) for name in ("since", "until"))
        sources = {
            name: Listed(**values | {"racy": tuple(tuple(each) for each in values["racy"])})
            for name, values in record.pop("sources").items()
        }
        return Settled(since=since, until=until, sources=sources, **record)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def write_settled(pipeline: Pipeline, settled: Settled) -> None:
    """Make the note; the caller holds the lake's lock.

    Raises:
        OSError: It could not be written.
    """
    record = asdict(settled) | {"format": _FORMAT}
    record |= {"since": settled.since.isoformat(), "until": settled.until.isoformat()}
    replace_file(Path(pipeline.lake_root, SETTLED_FILE), json.dumps(record).encode())


def forget_settled(pipeline: Pipeline) -> None:
    """There is something left to do. A note that cannot be removed is no fault of a run: what it says is compared."""
    if "://" in pipeline.lake_root:
        return
    try:
        Path(pipeline.lake_root, SETTLED_FILE).unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed from the lake: %s", SETTLED_FILE, error)


def nothing_changed(pipeline: Pipeline, settled: Settled, now: datetime) -> bool:
    """Whether a run would find nothing to do; if so, it is recorded that the sources were polled.

    What cannot be looked at is for the run to find.
    """
    try:
        return _nothing_changed(pipeline, settled, now)
    except (RagPipelineError, OSError) as error:
        log.info("looking ended, and a run finds out more: %s: %s", type(error).__name__, error)
        return False


def _nothing_changed(pipeline: Pipeline, settled: Settled, now: datetime) -> bool:
    # A clock that was set back says nothing of what is due.
    if not settled.since <= now < settled.until or settled.inputs != inputs_of(pipeline):
        return False
    root = Path(pipeline.lake_root)
    # Whoever is writing now changes something.
    if (root / HOLDER_NAME).exists() or settled.sources.keys() != pipeline.settings.sources.keys():
        return False
    with WriteLock(str(root), "", _LOCK_SECONDS).held():
        if lake_state(root) != settled.lake:
            return False
        # Listed while holding the lock, as a run does.
        if not all(_is_as_listed(pipeline, name, listed) for name, listed in settled.sources.items()):
            return False
        if any(_groups_now(pipeline, name) != before for name, before in settled.groups.items()):
            return False
        _record_polls(pipeline, now)
    return True


def _groups_now(pipeline: Pipeline, name: str) -> str:
    spec = pipeline.source_spec(name)
    return "" if spec.groups is None else groups_state(memberships_of(open_source(spec), spec.groups))


def groups_state(told: Memberships) -> str:
    """Equal while the same members are in the same groups of a source."""
    rows = sorted({repr((one.group, one.member, one.is_group)) for one in told.memberships})
    return digest("groups", str(told.is_complete), repr(sorted(told.unknown)), repr(sorted(told.named)), *rows)


def _is_as_listed(pipeline: Pipeline, name: str, before: Listed) -> bool:
    source = without_erased(open_source(pipeline.source_spec(name)), read_erased(pipeline.lake_root))
    listed = source.list()
    if listing_state(listed) != before.listing or idle_state(source) != before.idle:
        return False
    addresses = {address for address, *_ in before.racy}
    by_address = {item.address: item for item in listed if item.address in addresses} if addresses else {}
    return all(reads_the_same(source, by_address[address], *known) for address, *known in before.racy)


def reads_the_same(source: Source, item: SourceObject, hashed: str, declared: str) -> bool:
    """Whether an object has the bytes of that hash and what is declared of it has that digest."""
    try:
        fetched = source.fetch(item)
    except DocumentError:
        return False
    return bytes_hash(fetched.raw) == hashed and declared_state(fetched.declared) == declared


def declared_state(declared: DeclaredMetadata) -> str:
    """Digest of what is declared of an object: the note outlives it, and holds nothing that it said."""
    return digest("declared", declared.to_json())


def _record_polls(pipeline: Pipeline, now: datetime) -> None:
    path = Path(pipeline.lake_root, POLLS_FILE)
    known = dict(polls_of(path.read_bytes()).by_source) if path.is_file() else {}
    sources = pipeline.settings.sources
    never = Poll(now, None, "", timedelta(0))
    polls = {}
    for name, source in sources.items():
        before = known.get(name, never)
        polls[name] = Poll(
            now, now, "", source.stale_after, erased=before.erased, earlier=before.successes, idle=before.idle
        )
    replace_file(path, bytes_of({name: known[name] for name in known if name in sources} | polls))


def listing_state(listed: Sequence[SourceObject]) -> str:
    """Equal for listings of which a run would make the same."""
    sha = hashlib.sha256()
    for item in in_order(listed):
        problem = item.problem.code if item.problem is not None else None
        declared = item.declared.to_json() if item.declared is not None else None
        values = (item.address, item.uri, item.size_bytes, item.stamp, problem, item.sidecar_address, declared)
        modified = item.modified_at.isoformat() if item.modified_at else None
        sha.update(repr((*values, modified)).encode("utf-8", "surrogatepass"))
    return sha.hexdigest()


def idle_state(source: Source) -> str:
    """Digest of what matched nothing in the listing before."""
    return digest("idle", *(each.text for each in source.idle()))


def lake_state(root: Path) -> str:
    """Digest of names, sizes and times of all files of the lake: every commit and every damage changes it."""
    sha = hashlib.sha256()
    for path, status in sorted(_files(str(root))):
        if path not in _ASIDE and not path.startswith(_REMARKS):
            # The time of the last change of any kind: the one of writing can be set.
            sha.update(repr((path, status.st_size, status.st_ctime_ns)).encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def inputs_of(pipeline: Pipeline) -> str:
    """Digest of everything a run is made with, but for the sources and the lake.

    Raises:
        RagPipelineError: A model's files are not there, or a question's.
    """
    settings, spec = pipeline.settings, pipeline.model_spec
    spaces = [resolve(spec(alias), pipeline.cache_folder).space.fingerprint for alias in settings.embedding_models]
    recipes = [ChunkParams(max_tokens=512).fingerprint, *map(recipe_version, FORMATS)]
    return digest(
        repr(
            [str(pipeline.path), pipeline.lake_root, str(pipeline.cache_folder), sorted(pipeline.lake_options.items())]
        ),
        pipeline.path.read_bytes(),
        settings.model_dump_json(),
        repr([spaces, recipes, _reranker(pipeline)]),
        *(path.read_bytes() for path in pipeline.question_files),
        *(path.read_bytes() for path in named_files(pipeline).values()),
        *_program(),
    )


def _reranker(pipeline: Pipeline) -> str:
    """What the files of the reranking model compute; empty without one."""
    spec = pipeline.reranker_spec
    if spec is None:
        return ""
    # It brings a library of numbers along, which nothing else here needs.
    from rag_pipeline.embedding.reranker import resolve_reranker

    return resolve_reranker(spec, pipeline.cache_folder).fingerprint


def _program() -> Iterator[str]:
    """What stands for this program and the libraries beside it; a file that is edited while it runs counts as new."""
    yield sys.version
    package = Path(rag_pipeline.__file__).parent
    for path, status in sorted(_files(str(package))):
        if path.endswith(".py"):
            yield repr((path, status.st_size, status.st_mtime_ns))
    for folder in sys.path:
        if Path(folder or ".").is_dir():
            yield from sorted(name for name in os.listdir(folder or ".") if name.endswith(".dist-info"))  # noqa: PTH208


def _files(root: str, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(f"{root}/{below}") as entries:
        for entry in entries:
            path = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _files(root, f"{path}/")
            else:
                yield path, entry.stat(follow_symlinks=False)
