"""What silver/documents and silver/quarantine should hold, compared with what they hold: pure planning.

Belongs here: which objects to parse, which rows to update or remove, quarantine rows, exact duplicates.
Does not belong here: parsing (`parse/`), reading or writing tables (`refresh/documents.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.contracts.ids import MEMBER_MARK, digest, principals_key
from rag_pipeline.contracts.sources import DeclaredMetadata
from rag_pipeline.contracts.tables import DUPLICATES
from rag_pipeline.errors import DocumentError
from rag_pipeline.parsing.ocr.options import CONCERNED, EITHER, HAS_PICTURES, LACKS_TEXT, PICTURED, concerns
from rag_pipeline.parsing.registry import PICTURES
from rag_pipeline.transforms.enrich import EnrichOptions
from rag_pipeline.transforms.freshness import CLOCK_TOLERANCE
from rag_pipeline.transforms.quality import total_score
from rag_pipeline.transforms.sensitive import redact_declared
from rag_pipeline.transforms.worker_tasks import ParseRecipe, block_rows

# The suffix of the name, or the whole name if it has none: all of an address that may decide the media type. A packed
# file, such as `dues.csv.gz`, says by its last suffix but one what it holds.
_NAME_END = r"(?i)((?:\.[^/.]+)?\.(?:gz|gzip|bz2|xz)|\.[^/.]+|[^/.]+)$"
# Failures that depend on the machine's load are tried again by themselves, at growing distance.
TRANSIENT_CODES = frozenset({"parser_timeout", "parser_crashed"})
FIRST_RETRY = timedelta(hours=1)
LONGEST_RETRY = timedelta(days=7)
# Refused before any picture of it was looked at; a container is refused for what one of its files is.
SETTLED_CODES = frozenset({"encrypted", "too_large", "unparsable"})
SETTLED = frozenset({"application/pdf", *PICTURES})
# Stage of what the deletion guard keeps from being refused: in quarantine with its reason, and shown as it last was.
HELD = "held"
METADATA_COLUMNS = (
    "uri",
    "title",
    "author",
    "declared",
    "allowed_principals",
    "principals_key",
    "source_modified_at",
    "origin_metadata_hash",
    "metadata_hash",
)


def origins_of(states: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Live objects of all sources as one frame, `input_key` added.

    Args:
        states: Bronze state by source name.
    """
    frames = [
        state.filter(pl.col("change") != "deleted").with_columns(source=pl.lit(name)) for name, state in states.items()
    ]
    return pl.concat(frames).with_columns(
        input_key=pl.concat_str(
            pl.col("bytes_hash").fill_null(""),
            pl.lit(":"),
            # What the source says of the kind of an object comes before its name.
            pl.coalesce(
                pl.col("declared").str.json_path_match("$.media_type"),
                pl.col("address").str.extract(_NAME_END).str.to_lowercase(),
            ),
        )
    )


@dataclass(frozen=True, slots=True)
class DocumentPlan:
    """Differences between bronze and silver.

    Attributes:
        to_parse: Origins to parse, all columns of `origins_of`.
        to_refresh: Rows of silver/documents whose metadata changed, with the origin's columns suffixed `_new`.
        gone: document_ids of rows whose origin is gone or may not be shown.
        quarantine_gone: document_ids to take out of quarantine.
        unreadable: Origins that bronze could not read, to put in quarantine.
        held: Rows of quarantine that the deletion guard keeps in sight, and that need no new attempt.
    """

    to_parse: pl.DataFrame
    to_refresh: pl.DataFrame
    gone: list[str]
    quarantine_gone: list[str]
    unreadable: pl.DataFrame
    held: pl.DataFrame


def plan_documents(
    origins: pl.DataFrame,
    documents: pl.DataFrame,
    quarantine: pl.DataFrame,
    *,
    recipes: Mapping[str, ParseRecipe],
    now: datetime,
    keep_last_good: bool,
) -> DocumentPlan:
    """Compare live objects with what was parsed and what was refused.

    Args:
        origins: From `origins_of`.
        documents: silver/documents without text and blocks.
        quarantine: silver/quarantine, all columns.
        recipes: By source.
        keep_last_good: Documents whose newest revision was refused stay visible as they last were.
    """
    readable = origins.filter(pl.col("problem_code").is_null())
    broken = origins.filter(pl.col("problem_code").is_not_null())
    parsed = _with_expected(_one_of_each(documents, recipes), "origin_media_type", recipes).select(
        document_id="origin_id", input_key="input_key", is_current_recipe="is_current_recipe"
    )
    refused = _with_expected(quarantine.filter(pl.col("stage") != "fetch"), "media_type", recipes)
    # Not where the clock was ahead when that was written.
    is_later = (pl.col("next_attempt_at") > now) & (pl.col("last_seen_at") <= now + CLOCK_TOLERANCE)
    waiting = refused.filter(pl.col("next_attempt_at").is_null() | is_later)
    known = pl.concat([parsed, waiting.select(parsed.columns)]).filter("is_current_recipe")
    to_parse = readable.join(known, on=["document_id", "input_key"], how="anti")
    still_refused = waiting.filter("is_current_recipe").join(readable, on=["document_id", "input_key"], how="semi")

    is_held = pl.col("stage") == HELD
    hidden = broken["document_id"].to_list() + still_refused.filter(~is_held)["document_id"].to_list()
    visible = origins if keep_last_good else origins.filter(~pl.col("document_id").is_in(hidden))
    gone = documents.join(visible, left_on="origin_id", right_on="document_id", how="anti")
    kept = documents.join(to_parse.select(origin_id="document_id"), on="origin_id", how="anti")
    quarantine_gone = quarantine.join(
        pl.concat([broken.select("document_id"), still_refused.select("document_id")]),
        on="document_id",
        how="anti",
    )
    return DocumentPlan(
        to_parse=to_parse,
        to_refresh=with_new_metadata(kept, visible),
        gone=gone["document_id"].to_list(),
        quarantine_gone=quarantine_gone["document_id"].to_list(),
        unreadable=broken,
        held=still_refused.filter(is_held).select(quarantine.columns),
    )


def with_new_metadata(documents: pl.DataFrame, origins: pl.DataFrame) -> pl.DataFrame:
    """Rows of silver/documents whose origin's metadata differs, with the origin's columns suffixed `_new`."""
    both = documents.join(
        origins.select(
            origin_id="document_id",
            uri_new="uri",
            title_new="title",
            author_new="author",
            declared_new="declared",
            allowed_principals_new="allowed_principals",
            source_modified_at_new="source_modified_at",
            metadata_hash_new="metadata_hash",
        ),
        on="origin_id",
    )
    # Rows of older versions said with one hash that an object is for some readers, and that it is for nobody.
    closed = pl.col("allowed_principals_new").list.len() == 0
    is_other = closed != (pl.col("allowed_principals").list.len() == 0)
    return both.filter((pl.col("origin_metadata_hash") != pl.col("metadata_hash_new")) | is_other)


def _one_of_each(documents: pl.DataFrame, recipes: Mapping[str, ParseRecipe]) -> pl.DataFrame:
    """A row of each object; where pictures are read, what its rows have to do with that."""
    if all(recipe.ocr is None for recipe in recipes.values()):
        return documents.unique("origin_id")
    parts = ((CONCERNED, LACKS_TEXT), (PICTURED, HAS_PICTURES))
    marks = [pl.col("metadata").str.contains(mark).any().over("origin_id").cast(pl.Int8) * bit for mark, bit in parts]
    return documents.with_columns(concern=pl.sum_horizontal(marks)).unique("origin_id")


def _with_expected(rows: pl.DataFrame, media_type_column: str, recipes: Mapping[str, ParseRecipe]) -> pl.DataFrame:
    """The rows, and whether they were parsed as they would be now.

    An object without other files in it has a fingerprint of its own, so that is as good as the one with them. One that
    reading pictures does not concern is as good with that on as with it off.
    """
    if "concern" in rows.columns:
        concern = pl.col("concern")
    elif "reason_code" in rows.columns:
        is_settled = pl.col("reason_code").is_in(list(SETTLED_CODES)) & pl.col(media_type_column).is_in(list(SETTLED))
        concern = pl.when(is_settled.fill_null(False)).then(0).otherwise(EITHER)
    else:
        concern = pl.lit(0)
    rows = rows.with_columns(concern=concern.cast(pl.Int8))
    key = pl.concat_str("source", media_type_column, "concern", separator=":")
    kinds = rows.select("source", media_type_column, "concern").unique().drop_nulls()
    current = [
        f"{source}:{media_type}:{concern}:{fingerprint}"
        for source, media_type, concern in kinds.iter_rows()
        if source in recipes
        # What reading would not change is as good where it was read.
        for tried in {concern, concern | LACKS_TEXT, EITHER}
        for fingerprint in recipes[source].fingerprints(media_type, concern=tried)
    ]
    marked = rows.with_columns(is_current_recipe=pl.concat_str(key, "recipe_fingerprint", separator=":").is_in(current))
    return marked.drop("concern")


def document_rows(
    origin: Mapping[str, Any], media_type: str, parsed: list[ParsedDocument], recipe: ParseRecipe
) -> list[dict[str, Any]]:
    """Rows of silver/documents for what parsing one object gave."""
    has_others = any(document.part or "attachments" in document.metadata for document in parsed)
    concern = concerns(json.dumps(document.metadata, ensure_ascii=False) for document in parsed)
    fingerprint = recipe.fingerprint(media_type, has_others=has_others, concern=concern)
    return [_document_row(origin, media_type, document, recipe.options, fingerprint) for document in parsed]


def _document_row(
    origin: Mapping[str, Any], media_type: str, parsed: ParsedDocument, options: EnrichOptions, fingerprint: str
) -> dict[str, Any]:
    blocks = block_rows(parsed.blocks)
    shape = json.dumps([list(block.values()) for block in blocks])
    facts = dict(parsed.metadata)
    if parsed.author:
        facts["author"] = parsed.author
    origin_id = origin["document_id"]
    score = total_score(parsed.quality)
    row: dict[str, Any] = {
        "document_id": digest("part", origin_id, parsed.part)[:32] if parsed.part else origin_id,
        "origin_id": origin_id,
        "part": parsed.part,
        "source": origin["source"],
        "media_type": facts.pop("media_type", media_type),
        "origin_media_type": media_type,
        "language": parsed.language,
        "text": parsed.text,
        "content_title": parsed.title,
        "blocks": blocks,
        "text_chars": len(parsed.text),
        "metadata": json.dumps(facts, sort_keys=True, ensure_ascii=False),
        "quality": json.dumps(parsed.quality, sort_keys=True),
        "quality_score": score,
        "rank_weight": options.rank_weight(score),
        "block_hashes": list(parsed.block_hashes),
        "pictures": json.dumps([asdict(picture) for picture in parsed.pictures]) if parsed.pictures else None,
        "content_hash": digest("content", parsed.text, parsed.title or "", parsed.language or "", shape),
        "input_key": origin["input_key"],
        "recipe_fingerprint": fingerprint,
    }
    return row | metadata_columns(origin, row, options)


def metadata_columns(origin: Mapping[str, Any], row: Mapping[str, Any], options: EnrichOptions) -> dict[str, Any]:
    """Everything on a document's row that comes from bronze and is not embedded.

    Args:
        origin: Row of `origins_of`.
        row: The document's row; `part`, `content_title`, `metadata`, `language`, `rank_weight` and `enriched` are read.
    """
    declared = DeclaredMetadata.from_json(origin["declared"])
    if options.hides_sensitive:
        declared = redact_declared(declared)
    facts = json.loads(row["metadata"])
    part = row["part"]
    # A member of an archive has an address of its own, as in `reports.zip!/2026/dues.pdf`.
    uri = f"{origin['uri']}{'' if not part or part.startswith(MEMBER_MARK) else '#'}{part}"
    title = declared.title or row["content_title"]
    author = declared.author or facts.get("author")
    columns = {
        "uri": uri,
        "title": title,
        "author": author,
        "declared": declared.to_json(),
        "allowed_principals": sorted(origin["allowed_principals"]),
        "principals_key": principals_key(origin["allowed_principals"]),
        "source_modified_at": origin["source_modified_at"],
        "origin_metadata_hash": origin["metadata_hash"],
    }
    return columns | {"metadata_hash": shown_hash({**row, **columns})}


def shown_hash(row: Mapping[str, Any]) -> str:
    """metadata_hash of a document's row: of everything that is shown or filtered by, and not embedded."""
    shown = [row["origin_metadata_hash"], row["uri"], row["title"] or "", row["author"] or ""]
    shown += [row["metadata"], row["language"] or "", repr(float(row["rank_weight"]))]
    if not row["allowed_principals"]:
        shown.append("nobody")
    if row.get("enriched") is not None:
        shown += ["enriched", row["enriched"]]
    return digest("shown", *shown)


def quarantine_row(
    origin: Mapping[str, Any],
    error: DocumentError,
    *,
    stage: str,
    media_type: str | None,
    recipe: ParseRecipe,
    before: Mapping[str, Any] | None,
    now: datetime,
) -> dict[str, Any]:
    """The quarantine row for a refused object; attempts are counted while input and recipe stay the same."""
    is_settled = error.code in SETTLED_CODES and media_type in SETTLED
    tried = recipe.fingerprint(media_type, concern=0 if is_settled else EITHER) if media_type is not None else ""
    again = before is not None and (before["input_key"], before["recipe_fingerprint"]) == (origin["input_key"], tried)
    attempts = before["attempts"] + 1 if before is not None and again else 1
    wait = min(FIRST_RETRY * 2 ** (attempts - 1), LONGEST_RETRY)
    return {
        "document_id": origin["document_id"],
        "source": origin["source"],
        "uri": origin["uri"],
        "stage": stage,
        "reason_code": error.code,
        "detail": error.message,
        "media_type": media_type,
        "input_key": origin["input_key"],
        "recipe_fingerprint": tried,
        "attempts": attempts,
        "first_seen_at": before["first_seen_at"] if before is not None and again else now,
        "last_seen_at": now,
        "next_attempt_at": now + wait if error.code in TRANSIENT_CODES else None,
        "allowed_principals": sorted(origin["allowed_principals"]),
    }


def held_row(refused: Mapping[str, Any]) -> dict[str, Any]:
    """The quarantine row of a refused document that stays as it last was."""
    return {**refused, "stage": HELD}


def exact_duplicates(documents: pl.DataFrame) -> pl.DataFrame:
    """Documents left out because an equal one with equal permissions is indexed, as rows of silver/duplicates.

    The one that stands for the others is the first by source and address, so the choice depends on what there is
    now and never on what came first.

    Args:
        documents: document_id, source, uri, content_hash, principals_key.
    """
    ordered = documents.sort("source", "uri", "document_id")
    group = ["content_hash", "principals_key"]
    first = ordered.with_columns(
        duplicate_of=pl.col("document_id").first().over(group), stands=pl.col("uri").first().over(group)
    )
    return (
        first.filter(pl.col("document_id") != pl.col("duplicate_of"))
        .select(
            "document_id",
            "duplicate_of",
            reason=pl.format("same text and permissions as {}, which comes first by source and address", "stands"),
            similarity=pl.lit(1.0),
        )
        .select(list(DUPLICATES.columns))
    )


def edited_documents(documents: pl.DataFrame, origins: pl.DataFrame, quarantine: pl.DataFrame) -> set[str]:
    """document_ids of silver whose object has other bytes now, which were neither parsed nor refused.

    Args:
        documents: document_id, origin_id, input_key.
        origins: From `origins_of`.
        quarantine: document_id, input_key.
    """
    now = origins.filter(pl.col("problem_code").is_null()).select(origin_id="document_id", now="input_key")
    edited = documents.join(now, on="origin_id").filter(pl.col("input_key") != pl.col("now"))
    refused = quarantine.select(origin_id="document_id", now="input_key")
    return set(edited.join(refused, on=["origin_id", "now"], how="anti")["document_id"])


def unvouched(documents: pl.DataFrame, recipes: Mapping[str, ParseRecipe]) -> pl.DataFrame:
    """Documents of sources that hide secrets and personal data which were not parsed as they would be now.

    Whatever it is that changed: a text that was redacted in another way holds nothing that is to be hidden, so to look
    at it costs time alone.

    Args:
        documents: source, origin_media_type, recipe_fingerprint and any more.
        recipes: By source.
    """
    hiding = [name for name, recipe in recipes.items() if recipe.options.hides_sensitive]
    mine = documents.filter(pl.col("source").is_in(hiding))
    return _with_expected(mine, "origin_media_type", recipes).filter(~pl.col("is_current_recipe"))
