"""What the next run would do, without doing it: nothing of the lake is touched, and nothing is embedded.

Belongs here: the figures of the steps of a run, tried on a lake beside the lake, and what they mean for readers.
Does not belong here: that lake (`stores/shadow.py`), the steps (`everything.py`, `embeddings.py`, `index.py`).

The steps are the very ones of a run, with pipeline.yaml as it stands, so the figures are those that the run will have
if neither a source nor a setting changes meanwhile. Whether what it makes passes its audit and its questions, only the
run can tell.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import polars as pl

from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS, DUPLICATES
from rag_pipeline.errors import LakeDamaged, TableMissing, TableOutdated
from rag_pipeline.refresh.bronze import BronzeReport
from rag_pipeline.refresh.costs import expected_seconds
from rag_pipeline.refresh.embeddings import check_alias, embeddings_due, estimated_cost
from rag_pipeline.refresh.everything import Layers, refresh_layers
from rag_pipeline.refresh.expected_readings import EnrichmentPlan, enrichment_plans
from rag_pipeline.refresh.generations import aliases_behind, is_held, served_alias
from rag_pipeline.refresh.index import index_due
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.settings import Pipeline
from rag_pipeline.stores.costs import read_costs
from rag_pipeline.stores.kept import open_version
from rag_pipeline.stores.shadow import shadow_lake, written_bytes
from rag_pipeline.transforms.readers import ReaderChange, Shown, changed_readers, opened_to_public

# Bytes of one number of a vector, which is stored with the embeddings and with the index.
_NUMBER_BYTES = 4


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What a run finds in one source; counts are objects.

    Attributes:
        held: That are gone, and that the deletion guard keeps.
        unavailable_because: Why it cannot be listed; empty: it can.
    """

    source: str
    listed: int
    added: int
    modified: int
    moved: int
    metadata_changed: int
    deleted: int
    problems: int
    held: int
    bytes_read: int
    unavailable_because: str


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What a run does for one embedding model.

    Attributes:
        texts, tokens: To embed: each text once, and none that was embedded before.
        rows_added, rows_changed, rows_removed: Of its index.
        price: In the currency of `price_per_million_tokens`; 0 on this machine, None: not known.
        seconds: What embedding takes; None: not known.
        storage_bytes: Of the vectors, with the embeddings and with the index.
    """

    alias: str
    space_fingerprint: str
    is_served: bool
    texts: int
    tokens: int
    rows_added: int
    rows_changed: int
    rows_removed: int
    price: float | None
    seconds: float | None
    storage_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What the next run would do.

    Attributes:
        parsed, documents_removed, quarantined: Documents; quarantined are all that are afterwards.
        pages_read: Pages and pictures whose text recognition reads.
        documents_cut, documents_uncut: Whose chunks are made, and whose chunks go.
        chunks: That there are afterwards.
        rows_revoked, rows_narrowed: Of the index that readers see, taken away before anything is parsed.
        opens, closes: Each permission that readers gain or lose; what concerns everybody stands first.
        opens_to_public: Of `opens` what a person has to allow.
        held_because: What the deletion guard says.
        is_held: A person sent readers back to an older version, and the run leaves them there.
        seconds, price: Of all; None: not known. Listing, parsing and cutting take as long as they took here.
        storage_bytes: That the run adds to the lake, before anything old is tidied away.
    """

    sources: list[SourcePlan]
    parsed: int
    documents_metadata_changed: int
    documents_removed: int
    quarantined: int
    documents_held: int
    documents_cut: int
    documents_uncut: int
    chunks: int
    rows_revoked: int
    rows_narrowed: int
    models: list[ModelPlan]
    enrichments: list[EnrichmentPlan]
    opens: list[ReaderChange]
    closes: list[ReaderChange]
    opens_to_public: list[ReaderChange]
    held_because: list[str]
    is_held: bool
    seconds: float | None
    price: float | None
    storage_bytes: int
    pages_read: int = 0
    faults: list[str] = field(default_factory=list)


def plan_run(pipeline: Pipeline, *, alias: str | None = None, allow_mass_deletion: Collection[str] = ()) -> Plan:
    """Try a run on a lake beside the lake.

    Args:
        alias: Embedding model whose index is built beside the served one.
        allow_mass_deletion: Sources whose deletion guard lets everything go.

    Raises:
        StoreError: The lake is in an object store that does not answer, or is too large for the folder for temporary
            files.
        EmbeddingSpaceMismatch, LakeDamaged, ModelUnavailable: As the run would.
    """
    with (
        _quietly(),
        shadow_lake(pipeline.lake_root, "plan", pipeline.lake_options) as lake,
        Workspace(pipeline, run_id="plan", lake=lake) as workspace,
    ):
        return _planned(workspace, alias, allow_mass_deletion)


@contextmanager
def _quietly() -> Iterator[None]:
    """What the steps log of their doing is not so: nothing is published or committed here."""
    logger = logging.getLogger("rag_pipeline")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _planned(workspace: Workspace, alias: str | None, allowed: Collection[str]) -> Plan:
    before = _readers_of_published(workspace)
    began = time.monotonic()
    layers = refresh_layers(workspace, allow_mass_deletion=allowed)
    seconds = time.monotonic() - began
    written = written_bytes(workspace.lake)
    served = served_alias(workspace)
    others = [*aliases_behind(workspace), *([alias] if alias is not None else [])]
    models = [_model_plan(workspace, name, name == served) for name in dict.fromkeys([served, *others])]
    enrichments = enrichment_plans(workspace)
    held = is_held(workspace)
    opens, closes = changed_readers(before, _readers_of_published(workspace) if held else _readers_of_silver(workspace))
    return _plan(
        layers,
        models,
        enrichments=enrichments,
        opens=opens,
        closes=closes,
        opens_to_public=opened_to_public(opens, before),
        is_held=held,
        seconds=_sum([seconds, *(model.seconds for model in models)]),
        price=_sum([*(model.price for model in models), *(each.price for each in enrichments)]),
        storage_bytes=written + sum(model.storage_bytes for model in models),
    )


def _plan(
    layers: Layers,
    models: list[ModelPlan],
    *,
    enrichments: list[EnrichmentPlan],
    opens: list[ReaderChange],
    closes: list[ReaderChange],
    opens_to_public: list[ReaderChange],
    is_held: bool,
    seconds: float | None,
    price: float | None,
    storage_bytes: int,
) -> Plan:
    documents, chunks = layers.documents, layers.chunks
    reasons = [report.held_because for report in layers.bronze.values()]
    return Plan(
        sources=[_source_plan(report) for report in layers.bronze.values()],
        parsed=documents.parsed,
        documents_metadata_changed=documents.metadata_changed,
        documents_removed=documents.removed,
        quarantined=documents.quarantined,
        documents_held=documents.held,
        documents_cut=chunks.documents_cut,
        documents_uncut=chunks.documents_removed,
        chunks=chunks.chunks,
        rows_revoked=layers.revocations.removed,
        rows_narrowed=layers.revocations.narrowed,
        models=models,
        enrichments=enrichments,
        opens=opens,
        closes=closes,
        opens_to_public=opens_to_public,
        held_because=[reason for reason in (*reasons, documents.held_because) if reason],
        is_held=is_held,
        seconds=seconds,
        price=price,
        storage_bytes=storage_bytes,
        pages_read=documents.pages_read,
        faults=layers.revocations.faults,
    )


def _source_plan(report: BronzeReport) -> SourcePlan:
    return SourcePlan(**{name: getattr(report, name) for name in SourcePlan.__dataclass_fields__})


def _model_plan(workspace: Workspace, alias: str, is_served: bool) -> ModelPlan:
    space = workspace.space(alias)
    check_alias(workspace, alias, space)
    _, _, due = embeddings_due(workspace, space)
    _, rows = index_due(workspace.lake, workspace.vectors.open_or_create(space))
    tokens = due["token_count"].to_list()
    cost = estimated_cost(workspace, alias, tokens)
    return ModelPlan(
        alias=alias,
        space_fingerprint=space.fingerprint,
        is_served=is_served,
        texts=due.height,
        tokens=sum(tokens),
        rows_added=len(rows.new),
        rows_changed=len(rows.changed),
        rows_removed=rows.removed,
        price=0.0 if cost is None or not tokens else cost.price,
        seconds=expected_seconds(read_costs(workspace.lake), space.fingerprint, sum(tokens)),
        storage_bytes=(due.height + len(rows.new)) * space.dimension * _NUMBER_BYTES,
    )


def _sum(parts: list[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _readers_of_published(workspace: Workspace) -> dict[str, Shown]:
    """By document_id, what readers see now; one that is left out for an equal one is seen in that."""
    last = workspace.lake.last_publication()
    if last is None:
        return {}
    try:
        table = open_version(workspace.vectors, last)
        rows = table.read(["document_id", "source", "uri", "allowed_principals"])
    except (LakeDamaged, TableMissing, TableOutdated):
        # No reader can open it either.
        return {}
    shown: dict[str, Shown] = {}
    for document, source, uri, principals in rows.unique().iter_rows():
        known = shown.get(document)
        shown[document] = Shown(source, uri, frozenset(principals).union(known.principals if known else ()))
    documents = workspace.lake.read(DOCUMENTS, ["document_id", "source", "uri"])
    copies = workspace.lake.read(DUPLICATES, ["document_id", "duplicate_of"]).join(documents, on="document_id")
    for document, standing, source, uri in copies.iter_rows():
        if document not in shown and standing in shown:
            shown[document] = Shown(source, uri, shown[standing].principals)
    return shown


def _readers_of_silver(workspace: Workspace) -> dict[str, Shown]:
    """By document_id, what readers see when silver is published."""
    lake = workspace.lake
    cut = lake.read(CHUNKS, ["document_id"]).unique()
    copies = lake.read(DUPLICATES, ["document_id", "duplicate_of"])
    copies = copies.join(cut, left_on="duplicate_of", right_on="document_id", how="semi").select("document_id")
    seen = pl.concat([cut, copies]).unique()
    columns = ["document_id", "source", "uri", "allowed_principals"]
    rows = lake.read(DOCUMENTS, columns).join(seen, on="document_id", how="semi")
    return {document: Shown(source, uri, frozenset(names)) for document, source, uri, names in rows.iter_rows()}
