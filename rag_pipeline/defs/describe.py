"""What the Dagster UI shows of a table: columns with their docs, lineage, where it is stored.

Belongs here: translating contracts into Dagster metadata.
Does not belong here: figures of a run; assets add those.
"""

import base64
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import CHUNKS, DOCUMENTS
from rag_pipeline.refresh.timings import Timings
from rag_pipeline.shown import visible

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# A table, and which columns it has.
_Columns = tuple[dg.AssetKey, Container[str]]
# The UI draws Markdown shorter than this where it stands, and hides longer text behind a click.
INLINE_CHARS = 1_000
# What begins a picture, a link, a tag, an entity, code or an emphasis in Markdown.
_MARKDOWN = re.compile(r"[\\`*\[\]<>&~]")
# Columns of a table that are made from columns of the one before it; the others come from the same name there.
DERIVED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "silver/documents": {
        "document_id": ("document_id",),
        "origin_id": ("document_id",),
        "title": ("title", "raw"),
        "author": ("author", "raw"),
        "text": ("raw",),
        "blocks": ("raw",),
        "pictures": ("raw",),
        "content_title": ("raw",),
        "metadata": ("raw",),
        "language": ("raw",),
        "quality_score": ("raw",),
        "rank_weight": ("raw",),
        "block_hashes": ("raw",),
        "origin_metadata_hash": ("metadata_hash",),
    },
    "silver/principals": {
        "member_principal": ("member_name", "is_group"),
        "group_principal": ("group_name",),
        "since_at": (),
    },
    "silver/quarantine": {"reason_code": ("problem_code", "raw"), "detail": ("problem_detail", "raw")},
    "silver/chunks": {
        "section_path": ("blocks",),
        "header": ("content_title", "blocks"),
        "start_char": ("blocks",),
        "end_char": ("blocks",),
        "token_count": ("text", "blocks"),
        "page": ("blocks",),
        "line": ("blocks",),
    },
    "gold/embeddings": {"vector": ("text",), "batch": (), "embedded_at": (), "run_id": ()},
    "gold/index": {
        "embedded_text": ("header", "text"),
        "header_chars": ("header",),
        "word_forms": ("header", "text", "language"),
        "facts": ("metadata", "declared", "enriched"),
    },
}
# Columns that an index table does not share with silver.
INDEX_ONLY: Mapping[str, str] = {
    "header_chars": "Length of the header at the beginning of embedded_text; the text alone is the rest.",
    "embedded_text": "Header and text as one: what the model and the full-text index see.",
    "facts": "What the document says of itself or was read out of it, as name=value, and each name alone: for filters.",
    "word_forms": "What is searched beside the words: identifiers, acronyms, beginnings of words that are not English.",
    "vector": "The text's vector in the table's embedding space, unit length.",
}


def column_schema(contract: TableContract) -> dg.TableSchema:
    """Columns of a contract with types, docs and constraints."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=str(column.dtype),
                description=column.doc,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=contract.key == (name,)),
            )
            for name, column in contract.columns.items()
        ]
    )


def columns_list(contract: TableContract) -> dg.MetadataValue:
    """The same as a list that stands where it is put."""
    return lines_of(f"**{name}** ({column.dtype}): {column.doc}" for name, column in contract.columns.items())


def arrow_schema(columns: Mapping[str, pa.DataType], nullable: set[str]) -> dg.TableSchema:
    """Columns of an index table, the vector among them, with the docs of the tables they are taken from."""
    docs = index_column_docs()
    shown = {name: str(dtype) for name, dtype in columns.items()} | {"vector": "fixed_size_list<float>"}
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                type=dtype,
                description=docs[name],
                constraints=dg.TableColumnConstraints(nullable=name in nullable, unique=name == "chunk_id"),
            )
            for name, dtype in shown.items()
        ]
    )


def index_column_docs() -> dict[str, str]:
    """One sentence on each column an index table can have."""
    taken = [*DOCUMENTS.columns.items(), *CHUNKS.columns.items()]
    return {**{name: column.doc for name, column in taken}, **INDEX_ONLY}


def storage(uri: str, kind: str) -> dict[str, dg.MetadataValue | str]:
    """Definition metadata that the UI shows in its Storage panel."""
    return {"dagster/uri": uri, "dagster/storage_kind": kind}


def column_lineage(contract: TableContract, upstream: list[TableContract], keys: list[dg.AssetKey]) -> dict[str, Any]:
    """Which upstream columns each column is made from, as Dagster metadata and as a table a person can read."""
    above = [(key, table.columns) for table, key in zip(upstream, keys, strict=True)]
    return _lineage(contract.kind, contract.columns, [above])


def index_lineage(key: dg.AssetKey, above: Sequence[tuple[dg.AssetKey, TableContract]]) -> dict[str, Any]:
    """As `column_lineage`, of the table that readers search; what several tables have is taken from the first."""
    return _lineage(key.to_user_string(), [*ROW_COLUMNS, "vector"], [[(one, table.columns)] for one, table in above])


def _lineage(kind: str, names: Iterable[str], layers: Sequence[Sequence[_Columns]]) -> dict[str, Any]:
    """Lineage of the columns of a table.

    Args:
        layers: Tables of one layer each, which have the same columns; the first that has a column is where it is from.
    """
    derived = DERIVED.get(kind, {})
    deps: dict[str, list[dg.TableColumnDep]] = {}
    lines = ["| column | made from |", "|---|---|"]
    for name in names:
        shown = []
        for column in derived.get(name, (name,)):
            layer = next((each for each in layers if any(column in there for _, there in each)), ())
            keys = [key for key, there in layer if column in there]
            if keys:
                deps[name] = [*deps.get(name, ()), *(dg.TableColumnDep(key, column) for key in keys)]
                shown.append(_shown(column, [key for key, _ in layer]))
        if shown:
            lines.append(f"| {name} | {', '.join(shown)} |")
    return {
        "dagster/column_lineage": dg.TableColumnLineage(deps),
        "rag/column_lineage": dg.MetadataValue.md("\n".join(lines)),
    }


def _shown(column: str, keys: Sequence[dg.AssetKey]) -> str:
    """A column of one table, or of all the tables of a layer where each of them has it."""
    return f"{keys[0].to_user_string() if len(keys) == 1 else f'{keys[0].path[0]}/*'}.{column}"


def counts_table(label: str, counts: Mapping[str, int]) -> dg.MetadataValue:
    """A small table of counts for the UI."""
    records = [dg.TableRecord({label: name, "count": count}) for name, count in counts.items()]
    schema = dg.TableSchema(columns=[dg.TableColumn(label, "string"), dg.TableColumn("count", "int")])
    return dg.MetadataValue.table(records=records, schema=schema)


def rows_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> dg.MetadataValue:
    """A table of rows for the UI, all columns of the first row or those named; fractions to three places."""
    names = list(columns or (rows[0] if rows else ()))
    types = {int: "int", float: "float"}
    shown = [{name: _cell(row[name]) for name in names} for row in rows]
    first = shown[0] if shown else {}
    schema = [dg.TableColumn(name.replace("_", " "), types.get(type(first.get(name)), "string")) for name in names]
    records = [dg.TableRecord({name.replace("_", " "): value for name, value in row.items()}) for row in shown]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema(columns=schema))


def _cell(value: Any) -> str | int | float:
    if value is None:
        return ""
    return round(value, 3) if isinstance(value, float) else value if isinstance(value, int) else visible(str(value))


def plain(value: object) -> str:
    """A text as it stands: who asks a question, or writes or names a document, draws nothing in the UI."""
    return _MARKDOWN.sub(r"\\\g<0>", visible(" ".join(str(value).split())))


def lines_of(lines: Iterable[str]) -> dg.MetadataValue:
    """A list for the UI. It wraps, where a wide table pushes everything beside it out of sight."""
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))


def timing_tables(timings: Timings, *, size_unit: str) -> dict[str, dg.MetadataValue]:
    """What documents took in workers, by media type and for the slowest; nothing if none was worked on."""
    if not timings.by_media_type:
        return {}
    ordered = sorted(timings.by_media_type.items(), key=lambda item: -item[1].seconds)
    speed = [
        {
            "media_type": media_type,
            "documents": found.documents,
            f"million {size_unit}": found.size / 1e6,
            "core seconds": found.seconds,
            "documents per second": found.documents / max(found.seconds, 1e-9),
        }
        for media_type, found in ordered
    ]
    slowest = [
        {"seconds": each.seconds, size_unit: each.size, "media_type": each.media_type, "document": each.uri}
        for each in timings.slowest
    ]
    return {"rag/speed_by_media_type": rows_table(speed), "rag/slowest_documents": rows_table(slowest)}


def histogram(
    title: str, values: Sequence[int], *, bins: int = 16, limit: int | None = None, unit: str = ""
) -> dg.MetadataValue:
    """A bar chart of a distribution that the UI draws in place; the highest bar carries its count.

    Args:
        limit: The greatest value there can be, counted with the last bin; none: the greatest there is.
    """
    width = max(1, -(-(max(values, default=0) + 1) // bins)) if limit is None else max(1, limit // bins)
    counts = [0] * bins
    for value in values:
        counts[min(value // width, bins - 1)] += 1
    drawn = base64.b64encode(_svg(counts, width, unit).encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{drawn})")


def _svg(counts: Sequence[int], width: int, unit: str) -> str:
    """The chart in as few characters as can be: see `INLINE_CHARS`."""
    step = 576 // len(counts)
    most = max(*counts, 1)
    heights = [-(-120 * count // most) for count in counts]
    bars = "".join(f"M{step * i} 140v-{height}h{step - 3}v{height}z" for i, height in enumerate(heights) if height)
    top = counts.index(most) if most in counts else 0
    words = [(step * top + 8, 15, most), *((step * i, 155, width * i) for i in range(0, len(counts), 4))]
    texts = "".join(f'<text x="{x}" y="{y}">{word}</text>' for x, y, word in [*words, (430, 175, unit)])
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="180" font-family="sans-serif" font-size="12" '
        'fill="#555">'
        f'<path fill="#4F43DD" d="{bars}"/>{texts}</svg>'
    )


def figures_of(report: "DataclassInstance") -> dict[str, Any]:
    """The numbers of a report, as they are told; its lists, one entry a document or chunk, are not looked at."""
    named = ((each.name, getattr(report, each.name)) for each in fields(report))
    return {f"rag/{name}": value for name, value in named if isinstance(value, int)}
