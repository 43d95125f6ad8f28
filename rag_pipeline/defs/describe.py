"""What the Dagster UI shows of a table: columns with their docs, lineage, where it is stored.

Belongs here: translating contracts into Dagster metadata.
Does not belong here: figures of a run; assets add those.
"""

from collections.abc import Mapping

import dagster as dg
import pyarrow as pa

from rag_pipeline.contracts.table import TableContract

# Columns of a table that are made from columns of the one before it; the others come from the same name there.
DERIVED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "silver/documents": {
        "document_id": ("document_id",),
        "origin_id": ("document_id",),
        "title": ("title", "raw"),
        "author": ("author", "raw"),
        "text": ("raw",),
        "blocks": ("raw",),
        "content_title": ("raw",),
        "metadata": ("raw",),
        "language": ("raw",),
        "origin_metadata_hash": ("metadata_hash",),
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


def arrow_schema(columns: Mapping[str, pa.DataType], nullable: set[str]) -> dg.TableSchema:
    """Columns of an index table."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, type=str(dtype), constraints=dg.TableColumnConstraints(nullable=name in nullable))
            for name, dtype in columns.items()
        ]
    )


def storage(uri: str, kind: str) -> dict[str, dg.MetadataValue | str]:
    """Definition metadata that the UI shows in its Storage panel."""
    return {"dagster/uri": uri, "dagster/storage_kind": kind}


def column_lineage(asset: str, contract: TableContract, upstream: list[TableContract], keys: list[dg.AssetKey]) -> dict:  # type: ignore[type-arg]
    """Which upstream columns each column is made from, as Dagster metadata and as a table a person can read."""
    derived = DERIVED.get(asset, {})
    deps: dict[str, list[dg.TableColumnDep]] = {}
    lines = ["| column | made from |", "|---|---|"]
    for name in contract.columns:
        wanted = derived.get(name, (name,))
        found = [
            dg.TableColumnDep(asset_key=key, column_name=column)
            for table, key in zip(upstream, keys, strict=True)
            for column in wanted
            if column in table.columns
        ]
        if found:
            deps[name] = found
            shown = ", ".join(sorted({f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in found}))
            lines.append(f"| {name} | {shown} |")
    return {
        "dagster/column_lineage": dg.TableColumnLineage(deps),
        "rag/column_lineage": dg.MetadataValue.md("\n".join(lines)),
    }


def counts_table(label: str, counts: Mapping[str, int]) -> dg.MetadataValue:
    """A small table of counts for the UI."""
    records = [dg.TableRecord({label: name, "count": count}) for name, count in counts.items()]
    schema = dg.TableSchema(columns=[dg.TableColumn(label, "string"), dg.TableColumn("count", "int")])
    return dg.MetadataValue.table(records=records, schema=schema)


def histogram(title: str, values: list[int], *, bins: int = 16, unit: str = "") -> dg.MetadataValue:
    """A bar chart of a distribution as an inline SVG; the UI draws it."""
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{_svg(title, values, bins, unit)})")


def _svg(title: str, values: list[int], bins: int, unit: str) -> str:
    import base64

    top = max(values, default=0) or 1
    width = max(1, -(-top // bins))
    counts = [0] * bins
    for value in values:
        counts[min(value // width, bins - 1)] += 1
    most = max(counts) or 1
    step = 560 / bins
    bars = []
    for i, count in enumerate(counts):
        height = 150 * count / most
        x = 40 + i * step
        bars.append(
            f'<rect x="{x:.1f}" y="{190 - height:.1f}" width="{step - 3:.1f}" height="{height:.1f}" rx="2" '
            f'fill="#4F43DD"/><text x="{x + step / 2:.1f}" y="{184 - height:.1f}" text-anchor="middle" '
            f'font-size="10" fill="#555">{count or ""}</text>'
        )
        if i % 2 == 0:
            bars.append(f'<text x="{x:.1f}" y="206" font-size="10" fill="#555">{i * width}</text>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="230" font-family="sans-serif">'
        f'<rect width="640" height="230" fill="#fff"/><text x="40" y="18" font-size="13" fill="#222">{title}</text>'
        f'{"".join(bars)}<text x="600" y="224" text-anchor="end" font-size="10" fill="#555">{unit}</text></svg>'
    )
    return base64.b64encode(svg.encode()).decode()
