"""`rag-pipeline pictures`: what pictures a document holds, and one of them as a file.

Belongs here: arguments, and how pictures are listed. Does not belong here: who may see them (`retrieval/pictures.py`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rag_pipeline.cli.options import common_options, open_pipeline, principals_option
from rag_pipeline.cli.rendering import counted, emit, one_line, show, table, talk
from rag_pipeline.contracts.ids import PICTURES_MARK
from rag_pipeline.errors import UsageError


@click.command()
@click.argument("address")
@principals_option("Who asks, like public, a group or a person; give it again for each.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where the picture is written."
)
@common_options
def pictures(address: str, principals: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """List the pictures of a document that a caller may read, by its id or address, or write one of them to a file.

    Example: rag-pipeline pictures 'reports/dues.pdf!/pictures/3' --as public --out plan.png
    """
    pipeline = open_pipeline()
    from rag_pipeline.retrieval.pictures import Pictures

    if out is not None and PICTURES_MARK not in address:
        raise UsageError(f"--out is for one picture: an address that ends with {PICTURES_MARK} and a number")
    with Pictures(pipeline) as found:
        if PICTURES_MARK not in address:
            rows = found.of(address, principals=principals)
        else:
            picture, content = found.content(address, principals=principals)
            rows = [picture]
            if out is not None:
                out.write_bytes(content)
                talk(f"{out}: {picture.media_type}, {counted(len(content), 'byte')}")
    if as_json:
        for row in rows:
            emit(asdict(row))
        return
    lines = [
        (
            row.number,
            row.page or "",
            one_line(row.section or ""),
            one_line(row.caption or row.read_text),
            row.media_type.removeprefix("image/"),
            f"{row.width} x {row.height}" if row.width else "",
            row.address,
        )
        for row in rows
    ]
    if rows:
        show(table("Pictures", [("No", "right"), "Page", "Section", "Caption", "Form", "Pixels", "Address"], lines))
    talk(counted(len(rows), "picture"))
