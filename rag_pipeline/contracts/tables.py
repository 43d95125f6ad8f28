"""The Delta tables of the lake, declared once; `catalog.py` lists all of them.

Belongs here: columns with their meaning and units, keys, row rules. Column docs in Dagster, SQL views and the
configuration reference come from here.
Does not belong here: how tables are stored (`stores/`) or filled (`refresh/`).
"""

from __future__ import annotations

import polars as pl

from rag_pipeline.contracts.table import Column, RowRule, TableContract

UTC_TIME = pl.Datetime("us", "UTC")
PRINCIPALS = pl.List(pl.String())
BLOCKS = pl.List(
    pl.Struct(
        {
            "kind": pl.String(),
            "start_char": pl.Int64(),
            "end_char": pl.Int64(),
            "level": pl.Int64(),
            "label": pl.String(),
            "page": pl.Int64(),
            "line": pl.Int64(),
        }
    )
)


def _text(doc: str, *, nullable: bool = False) -> Column:
    return Column(pl.String(), doc, nullable)


def _count(doc: str, *, nullable: bool = False) -> Column:
    return Column(pl.Int64(), doc, nullable)


def _time(doc: str, *, nullable: bool = False) -> Column:
    return Column(UTC_TIME, doc, nullable)


BRONZE = TableContract(
    layer="bronze",
    name="source",
    each="{}",
    doc="One row per observed change of a source object, append-only; the last row of a document is its state.",
    key=("document_id", "revision"),
    columns={
        "document_id": _text("Document the object is; survives edits and moves."),
        "revision": _count("Number of this change of the document, from 0."),
        "change": _text("added, modified, moved, metadata_changed or deleted."),
        "address": _text("Where the object lies in its source."),
        "uri": _text("The object's location for people: the source's location and the address."),
        "raw": Column(pl.Binary(), "The bytes, on rows that brought new ones.", nullable=True),
        "bytes_hash": _text("SHA-256 of the bytes; null when they could not be read.", nullable=True),
        "bytes_batch": _count("Commit number of the row that holds these bytes.", nullable=True),
        "batch": _count("Number of the commit that wrote this row, from 0."),
        "media_type": _text("Media type by content when the bytes were read.", nullable=True),
        "size_bytes": _count("Size of the object.", nullable=True),
        "title": _text("Title from a sidecar.", nullable=True),
        "author": _text("Author from a sidecar or front matter.", nullable=True),
        "allowed_principals": Column(PRINCIPALS, "Who may read it; an empty list is nobody."),
        "source_modified_at": _time("When the source says it was last modified.", nullable=True),
        "declared": _text("What sidecar and front matter say, as JSON."),
        "metadata_hash": _text("Digest of everything that travels with the text but is not embedded."),
        "stamp": _text("What the source's listing said; equal stamps mean not changed."),
        "problem_code": _text("Why the bytes could not be taken in.", nullable=True),
        "problem_detail": _text("The same for a person.", nullable=True),
        "observed_at": _time("When the change was seen."),
        "run_id": _text("Run that saw it."),
    },
    rules=(
        RowRule(
            "bytes_or_problem",
            (pl.col("change") == "deleted")
            | (pl.col("bytes_hash").is_not_null() != pl.col("problem_code").is_not_null()),
            "a live revision has bytes, or a problem that says why not",
        ),
        RowRule(
            "bytes_are_somewhere",
            pl.col("bytes_hash").is_null() | pl.col("bytes_batch").is_not_null(),
            "bytes that are hashed are stored",
        ),
    ),
)

DOCUMENTS = TableContract(
    layer="silver",
    name="documents",
    doc="One row per live document that was parsed.",
    key=("document_id",),
    grouped_by="origin_id",
    columns={
        "document_id": _text("Document; for a part of a larger object, derived from it and the part."),
        "origin_id": _text("document_id in bronze of the object it came from."),
        "part": _text("Which part of that object, empty when it is all of it."),
        "source": _text("Source the object came from."),
        "uri": _text("Location for people."),
        "title": _text("From a sidecar, else from the content.", nullable=True),
        "author": _text("From a sidecar or the content.", nullable=True),
        "media_type": _text("Media type by content."),
        "origin_media_type": _text("Media type of the object it came from."),
        "language": _text("ISO 639-1 code.", nullable=True),
        "text": _text("The document as clean text."),
        "content_title": _text("Title that the content itself gives; part of what is embedded.", nullable=True),
        "blocks": Column(
            BLOCKS, "Structure of the text: spans with kind, level, page, line (below 0: of its beginning)."
        ),
        "text_chars": _count("Length of the text in code points."),
        "metadata": _text("Further facts that the content gives, its author among them, as JSON."),
        "declared": _text("What sidecar and front matter say, as JSON."),
        "quality": _text("Named parts of the quality score, as JSON."),
        "quality_score": Column(pl.Float64(), "How good the text is, 0 to 1; only extremes are low."),
        "rank_weight": Column(pl.Float64(), "What its scores in search are multiplied by; below 1 it is ranked down."),
        "block_hashes": Column(
            pl.List(pl.Int64()), "Hashes of its blocks and sections that could be boilerplate, ascending."
        ),
        "content_hash": _text("Digest of text, structure and content title: what the chunker sees."),
        "allowed_principals": Column(PRINCIPALS, "Who may read it."),
        "principals_key": _text("Digest of the principals as a set."),
        "source_modified_at": _time("Last modified, as the source says.", nullable=True),
        "origin_metadata_hash": _text("metadata_hash of the bronze row this row reflects."),
        "metadata_hash": _text("Digest of everything on the row that is shown but not embedded."),
        "input_key": _text("What was parsed: hash of the bytes and the address's suffix."),
        "recipe_fingerprint": _text("How it was parsed: versions, limits and the source's options."),
        "pictures": Column(
            pl.String(), "Form, pixels, bytes, hash of each picture block, as JSON.", nullable=True, later=True
        ),
        "enriched": Column(
            pl.String(), "Metadata that enrichments read out of it, as JSON; null: none.", nullable=True, later=True
        ),
    },
    rules=(
        RowRule("no_text", pl.col("text_chars") > 0, "an empty document is in quarantine, not here"),
        RowRule(
            "text_chars_is_length",
            pl.col("text").str.len_chars() == pl.col("text_chars"),
            "length in code points",
        ),
        RowRule("rank_weight_is_share", pl.col("rank_weight").is_between(0, 1), "a weight ranks down and never up"),
    ),
)

# Everything about a document but what it says: small enough to be read for all of them.
DOCUMENT_FACTS = [name for name in DOCUMENTS.columns if name not in ("text", "blocks", "block_hashes", "pictures")]

QUARANTINE = TableContract(
    layer="silver",
    name="quarantine",
    doc="One row per document that was refused, with the reason.",
    key=("document_id",),
    columns={
        "document_id": _text("document_id in bronze."),
        "source": _text("Source of the object."),
        "uri": _text("Location for people."),
        "stage": _text("Where it was refused: fetch, parse or chunk; held: refused, but the deletion guard keeps it."),
        "reason_code": _text("Stable code of the reason."),
        "detail": _text("The reason for a person, with what to do."),
        "media_type": _text("Media type by content, where it was read.", nullable=True),
        "input_key": _text("What was tried: bytes hash and suffix; empty when nothing was read."),
        "recipe_fingerprint": _text("How it was tried."),
        "chunker_fingerprint": _text("How it was to be cut, for what the chunker refused.", nullable=True),
        "attempts": _count("How often the same input was tried with the same recipe."),
        "first_seen_at": _time("When this input was first refused by this recipe."),
        "last_seen_at": _time("When it was last refused."),
        "next_attempt_at": _time("When it is tried again without a change; null: never.", nullable=True),
        "allowed_principals": Column(PRINCIPALS, "Who may read the document."),
    },
)

DUPLICATES = TableContract(
    layer="silver",
    name="duplicates",
    doc="One row per document left out of the index because an equal or nearly equal one with equal permissions is in.",
    key=("document_id",),
    columns={
        "document_id": _text("The document left out."),
        "duplicate_of": _text("The document that stands for it."),
        "reason": _text("Why they count as the same, and why the other one stands."),
        "similarity": Column(pl.Float64(), "1.0 for equal texts, else the Jaccard similarity of shingles."),
    },
)

SIGNATURES = TableContract(
    layer="silver",
    name="signatures",
    doc="One row per text of a document, with what is needed to find texts of nearly the same wording.",
    key=("content_hash",),
    grouped_by="content_hash",
    columns={
        "content_hash": _text("content_hash of the documents that have this text."),
        "words": _count("Words of the text."),
        "shingles": _count("Distinct sequences of five words."),
        "minhash": Column(pl.Binary(), "MinHash of those sequences: 128 numbers of 4 bytes, the lowest byte first."),
        "recipe_fingerprint": _text("How it was computed."),
    },
    rules=(RowRule("minhash_is_whole", pl.col("minhash").bin.size() == 512, "a signature has 128 numbers of 4 bytes"),),
)

SIMILAR_PAIRS = TableContract(
    layer="silver",
    name="similar_pairs",
    doc="One row per two texts that were compared because their signatures are alike.",
    key=("left_hash", "right_hash"),
    columns={
        "left_hash": _text("The lesser content_hash of the two."),
        "right_hash": _text("The greater content_hash of the two."),
        "similarity": Column(pl.Float64(), "Share of their five-word sequences that both have (Jaccard), 0 to 1."),
        "recipe_fingerprint": _text("How it was computed."),
    },
    rules=(RowRule("pair_in_order", pl.col("left_hash") < pl.col("right_hash"), "each pair is there once"),),
)

BOILERPLATE = TableContract(
    layer="silver",
    name="boilerplate",
    doc="One row per block or section that repeats across a source and is left out of the index but for one document.",
    key=("source", "block_hash"),
    columns={
        "source": _text("Source across which it repeats."),
        "block_hash": _count("Hash of its wording, as in block_hashes of silver/documents."),
        "text": _text("The wording in lower case, cut after 500 characters."),
        "documents": _count("Indexed documents of the source that hold it."),
        "of_documents": _count("Indexed documents of the source."),
        "kept_in": Column(pl.List(pl.String()), "Documents that keep it, one for each audience."),
    },
)

CHUNKS = TableContract(
    layer="silver",
    name="chunks",
    doc="One row per chunk of each document that is indexed.",
    key=("chunk_id",),
    grouped_by="document_id",
    columns={
        "chunk_id": _text("From document, text hash and ordinal among equal texts."),
        "document_id": _text("Document it was cut from."),
        "position": _count("Number of the chunk in its document, from 0."),
        "section_path": Column(pl.List(pl.String()), "Headings from the root to its section."),
        "header": _text("Context put before the text for embedding and full-text search."),
        "text": _text("Exactly the document's text[start_char:end_char]."),
        "start_char": _count("Span start, code points, inclusive."),
        "end_char": _count("Span end, code points, exclusive."),
        "token_count": _count("Tokens of header and text, without special tokens."),
        "kind": _text("Kind of its first block."),
        "page": _count("Page of its first character, from 1.", nullable=True),
        "line": _count("Line in the original file, or row in a sheet, from 1.", nullable=True),
        "is_hard_split": Column(pl.Boolean(), "It ends inside a unit that alone was over the limit."),
        "text_hash": _text("SHA-256 of header and text: what is embedded."),
        "chunk_hash": _text("Digest of everything on the row that is shown but not embedded."),
        "content_hash": _text("content_hash of the document it was cut from."),
        "chunker_fingerprint": _text("Chunker version, parameters and tokenizer."),
        "left_out_hash": _text("Digest of the boilerplate that was left out of the document; empty if none was."),
        "context": Column(pl.String(), "What models wrote of it, put into header: lines.", nullable=True, later=True),
        "context_key": Column(pl.String(), "Names what a model is shown that situates it.", nullable=True, later=True),
        "part_key": Column(
            pl.String(), "text_hash that it would have without context; null: it has none.", nullable=True, later=True
        ),
    },
    rules=(
        RowRule(
            "span_is_text",
            pl.col("text").str.len_chars() == pl.col("end_char") - pl.col("start_char"),
            "a span is as long as its text",
        ),
        RowRule("blank_chunk", pl.col("text").str.strip_chars() != "", "no chunk is only white space"),
    ),
)

ENRICHMENTS = TableContract(
    layer="silver",
    name="enrichments",
    doc="One row per text and recipe: what a model or rules read out of it, or why nothing valid came of it.",
    key=("recipe", "input_hash"),
    columns={
        "recipe": _text("Names what decides a reading: kind, version, model, prompt, schema, labels."),
        "input_hash": _text(
            "What has this text: content_hash of documents; of chunks context_key (`context`), part_key or text_hash."
        ),
        "enrichment": _text("Name in pipeline.yaml of the enrichment that first read it."),
        "value": _text("What was read, as JSON: labels, or values by field.", nullable=True),
        "reason_code": _text("Why nothing valid was read.", nullable=True),
        "detail": _text("The same for a person; holds nothing of the text.", nullable=True),
        "asked_as": _text("How it was asked; what was refused is asked again when this is another."),
        "tokens": _count("Tokens that the model read and wrote for it; 0 without a chat model."),
        "price": Column(pl.Float64(), "What that cost, in the currency of the prices; null: not known.", nullable=True),
        "unused_since": _time("When maintenance first found it unused; null: it is used.", nullable=True),
        "computed_at": _time("When."),
        "run_id": _text("Run that computed it."),
    },
    rules=(
        RowRule(
            "value_or_reason",
            pl.col("value").is_not_null() != pl.col("reason_code").is_not_null(),
            "a text has a reading, or a reason why it has none",
        ),
    ),
)

EMBEDDINGS = TableContract(
    layer="gold",
    name="embeddings",
    each="embeddings/{}",
    doc="One row per text that was embedded in one embedding space; append-only.",
    key=("text_hash",),
    columns={
        "text_hash": _text("SHA-256 of the text."),
        "vector": Column(pl.List(pl.Float32()), "Its vector, unit length."),
        "batch": _count("Number of the commit that wrote this row, from 0."),
        "embedded_at": _time("When it was computed."),
        "run_id": _text("Run that computed it."),
    },
)

AUDITS = TableContract(
    layer="gold",
    name="audits",
    doc="One row per audit of one version of an index table.",
    key=("audit_id",),
    columns={
        "audit_id": _text("Digest of what was audited and when."),
        "sequence": _count("Number of the audit, from 0; the highest of a space is its newest, whatever clocks say."),
        "alias": _text("Embedding model's name in pipeline.yaml."),
        "space_fingerprint": _text("Embedding space of the table."),
        "table_name": _text("Index table."),
        "table_version": _count("Version that was audited."),
        "chunks_version": _count("Version of silver/chunks it was compared with."),
        "documents_version": _count("Version of silver/documents it was compared with."),
        "rows": _count("Rows in the table."),
        "documents": _count("Distinct documents in the table."),
        "repaired": _count("Rows that were found lost or damaged and taken from silver again before the audit."),
        "ghosts": _count("Rows with no chunk in silver."),
        "missing": _count("Chunks in silver with no row."),
        "mismatched": _count("Rows whose text, metadata or permissions differ from silver's."),
        "withheld": _count("Chunks left out or older than silver's for want of a vector; 0 unless embedding failed."),
        "findings": _text("Every finding with a sample of ids, as JSON."),
        "passed": Column(pl.Boolean(), "It may be published: nothing was found, or nothing but what is withheld."),
        "audited_at": _time("When."),
        "run_id": _text("Run that audited."),
    },
)

PUBLICATIONS = TableContract(
    layer="gold",
    name="publications",
    doc="Append-only log of what readers were pointed to; the last row is the pointer.",
    key=("sequence",),
    columns={
        "sequence": _count("Number of the publication, from 0; the highest is served."),
        "action": _text("publish, or rollback, which holds the pointer until a person publishes again."),
        "configured_alias": _text("Model that pipeline.yaml served at the time."),
        "alias": _text("Embedding model's name in pipeline.yaml."),
        "space_fingerprint": _text("Embedding space readers must query with."),
        "space": _text("That embedding space in full, as JSON."),
        "model_spec": _text("How the model is opened, as JSON; holds no secrets."),
        "table_name": _text("Index table."),
        "table_version": _count("Version of it that readers see."),
        "rows": _count("Chunks in it."),
        "documents": _count("Documents in it."),
        "figures": _text("Audit and evaluation figures at publication, as JSON."),
        "published_at": _time("When."),
        "run_id": _text("Run that published."),
        "note": _text("Why, where a person gave a reason."),
    },
)

UNUSED_EMBEDDINGS = TableContract(
    layer="gold",
    name="unused_embeddings",
    doc="One row per vector that nothing uses now, and since when; after the retention time it is removed.",
    key=("space_fingerprint", "text_hash"),
    columns={
        "space_fingerprint": _text("Embedding space of the vector."),
        "text_hash": _text("SHA-256 of the text."),
        "unused_since": _time("When maintenance first found it unused."),
    },
)

CANARIES = TableContract(
    layer="gold",
    name="canaries",
    doc="One row per check of a model against the vectors it gave for a fixed set of texts when first checked.",
    key=("space_fingerprint", "checked_at"),
    columns={
        "space_fingerprint": _text("Embedding space of the model."),
        "canary_fingerprint": _text("Names the set of texts."),
        "drift": Column(pl.Float64(), "Largest cosine distance to the first vectors, 0 to 2."),
        "tolerance": Column(pl.Float64(), "Largest distance that counts as rounding."),
        "dimension": _count("Width of the vectors."),
        "vectors": Column(pl.List(pl.Float32()), "On the first row of a space: all vectors in a row.", nullable=True),
        "checked_at": _time("When."),
        "run_id": _text("Run that checked."),
    },
)
