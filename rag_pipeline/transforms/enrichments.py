"""Which texts an enrichment still has to read, what documents then say, and reading by rules and by nearness.

Belongs here: pure planning over rows, labels from words and from vectors.
Does not belong here: asking models (`enrichment/`), reading or writing tables (`refresh/enrichments.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
import polars as pl

from rag_pipeline.contracts.enrichments import NO_LABEL, Enrichment
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE
from rag_pipeline.transforms.sensitive import redact_text

# A share of fewer texts than these moves by chance.
LEAST_TEXTS = 30
# So far a share may move: the same bound as for the share of a language in a source.
MOVED_BY = 0.2
# A server that failed at a text may have another model or more memory by then; each time costs three requests.
RETRY_AFTER = timedelta(days=1)
_SERVER_FAILED = "server_failed"
# Patterns of so many enrichments are kept ready.
_KEPT_PATTERNS = 256


def concerned_by(enrichment: Enrichment) -> pl.Expr:
    """Whether an enrichment reads a document, by source, media_type and language."""
    chosen = pl.lit(True)
    if enrichment.sources:
        chosen &= pl.col("source").is_in(list(enrichment.sources))
    if enrichment.media_types:
        chosen &= pl.col("media_type").is_in(list(enrichment.media_types))
    if enrichment.not_language:
        chosen &= pl.col("language").ne_missing(enrichment.not_language)
    return chosen


def texts_due(documents: pl.DataFrame, enrichment: Enrichment, rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """(document_id, content_hash) of the texts that it has not read: each once, in an order that is always the same.

    Args:
        documents: document_id, source, media_type, language and content_hash of what is indexed.
        rows: recipe, input_hash, reason_code, asked_as and computed_at of silver/enrichments.
    """
    mine = rows.filter(pl.col("recipe") == enrichment.recipe)
    # What came to nothing is asked again once the model is asked otherwise, with more room for its answer, say.
    stands = pl.col("asked_as") == enrichment.asked_as
    # Not by a clock that was ahead.
    is_just_asked = pl.col("computed_at").is_between(now - RETRY_AFTER, now + CLOCK_TOLERANCE, closed="right")
    stands &= (pl.col("reason_code") != _SERVER_FAILED) | is_just_asked
    known = mine.filter(pl.col("reason_code").is_null() | stands)
    wanted = documents.filter(concerned_by(enrichment)).join(
        known, left_on="content_hash", right_on="input_hash", how="anti"
    )
    ordered = wanted.select("document_id", "content_hash").sort("content_hash", "document_id")
    return ordered.unique("content_hash", keep="first", maintain_order=True)


def failed_at(rows: pl.DataFrame) -> list[datetime]:
    """When a server failed at each of the texts that are to be asked about again."""
    return rows.filter(pl.col("reason_code") == _SERVER_FAILED)["computed_at"].to_list()


def refused_texts(documents: pl.DataFrame, enrichment: Enrichment, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of silver/enrichments that say why a text of a document that is there has no reading.

    Args:
        documents, rows: As `texts_due` takes them.
    """
    wanted = documents.filter(concerned_by(enrichment)).select(input_hash="content_hash")
    mine = rows.filter((pl.col("recipe") == enrichment.recipe) & pl.col("reason_code").is_not_null())
    return mine.join(wanted, on="input_hash", how="semi")


def enriched_documents(
    documents: pl.DataFrame,
    enrichments: Sequence[Enrichment],
    rows: pl.DataFrame,
    *,
    hiding: Collection[str] = (),
) -> dict[str, str | None]:
    """By document_id, what its row should say as `enriched`; None: no enrichment concerns it.

    A name without values stands for what is not known yet or could not be read: no other value of that name counts.

    Args:
        documents: document_id, source, media_type, language and content_hash of what is indexed.
        rows: recipe, input_hash and value of silver/enrichments.
        hiding: Sources whose documents show nothing sensitive: a model may put together what a text says in pieces.
    """
    said: dict[str, dict[str, list[str]]] = {}
    for enrichment in enrichments:
        if not enrichment.fields:
            continue
        mine = rows.filter((pl.col("recipe") == enrichment.recipe) & pl.col("value").is_not_null())
        values = {hashed: _by_field(enrichment, value) for hashed, value in mine["input_hash", "value"].iter_rows()}
        nothing: dict[str, list[str]] = {name: [] for name in enrichment.fields}
        redacted: dict[str, dict[str, list[str]]] = {}
        concerned = documents.filter(concerned_by(enrichment))
        for document, source, hashed in concerned["document_id", "source", "content_hash"].iter_rows():
            found = values.get(hashed, nothing)
            if source in hiding:
                found = redacted[hashed] = redacted.get(hashed) or _redacted(found)
            said.setdefault(document, {}).update(found)
    texts = {document: json.dumps(each, ensure_ascii=False, sort_keys=True) for document, each in said.items()}
    return {document: texts.get(document) for document in documents["document_id"]}


def _by_field(enrichment: Enrichment, value: str) -> dict[str, list[str]]:
    read = json.loads(value)
    found = read if isinstance(read, dict) else {enrichment.fields[0]: read}
    return {name: list(found.get(name, ())) for name in enrichment.fields}


def _redacted(found: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: [redact_text(value) for value in values] for name, values in found.items()}


@dataclass(frozen=True, slots=True)
class MovedShare:
    """A label that new texts of a source have more or less often than those before."""

    enrichment: str
    source: str
    label: str
    before: float
    now: float


def moved_shares(enrichment: Enrichment, labels: pl.DataFrame, since: datetime) -> list[MovedShare]:
    """Labels whose share among the texts read since then is another than among those read before, in one source.

    Args:
        labels: source, label and computed_at, a row for each text and label.
    """
    is_new = pl.col("computed_at") >= since
    found = []
    for (source,), rows in labels.sort("source").group_by("source", maintain_order=True):
        new, old = rows.filter(is_new), rows.filter(~is_new)
        if min(new.height, old.height) < LEAST_TEXTS:
            continue
        were, are = (dict(each["label"].value_counts(normalize=True).iter_rows()) for each in (old, new))
        for label in sorted({*were, *are}):
            before, now = were.get(label, 0.0), are.get(label, 0.0)
            if abs(now - before) >= MOVED_BY:
                found.append(MovedShare(enrichment.name, str(source), label, round(before, 3), round(now, 3)))
    return found


def labels_by_rules(enrichment: Enrichment, title: str | None, text: str) -> list[str]:
    """Labels of which a phrase stands in title or text; the first alone, unless there may be many."""
    read = f"{title or ''}\n{text}"
    found = [label for label, phrases in enrichment.labels if _pattern(phrases).search(read)]
    return _given(found, enrichment)


@lru_cache(_KEPT_PATTERNS)
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of some phrases, as words: between letters or digits there is none; blanks stand for any blanks."""
    words = [r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases]
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.I)


def labels_by_nearness(
    enrichment: Enrichment, vectors: np.ndarray, prototypes: Mapping[str, np.ndarray]
) -> list[list[str]]:
    """Labels of each of some texts: those of a prototype that is near enough, the nearest first.

    Args:
        vectors: Of the texts, [texts, dimension], unit length.
        prototypes: Vectors of its prototypes by label.
    """
    labels = list(prototypes)
    nearness = np.stack([(vectors @ prototypes[label].T).max(axis=1) for label in labels], axis=1)
    found = []
    for row in nearness:
        # Of equally near ones the first in pipeline.yaml.
        order = sorted(range(len(labels)), key=lambda at: (-float(row[at]), at))
        near = [labels[at] for at in order if row[at] >= enrichment.threshold]
        found.append(_given(near, enrichment))
    return found


def _given(found: list[str], enrichment: Enrichment) -> list[str]:
    return (found if enrichment.takes_many else found[:1]) or [NO_LABEL]
