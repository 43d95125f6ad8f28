"""Whether the tables of people still name somebody who was erased.

Belongs here: which files of remarks, memberships and principals do, of whatever version.
Does not belong here: taking them out (`memberships.py`, `erase_remains.py`), pieces of documents (`erase_proof.py`).

A name is no piece that is searched for everywhere: `mo` may be a group of a source, too, and documents that others
read go on to name who may read them. So each column that names somebody is compared as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import PurePosixPath

import polars as pl

from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.contracts.memberships import MEMBERSHIPS, PRINCIPALS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.refresh.memberships import groups_of_settings
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.byte_search import Needles, found_in_file
from rag_pipeline.stores.lake_files import files_of, looked_into
from rag_pipeline.transforms.memberships import names_of


def files_naming(workspace: Workspace, principals: Collection[str]) -> Iterator[str]:
    """Files of tables that name one of some principals; of one that is damaged its bytes are searched."""
    if not principals:
        return
    lake, naming = workspace.lake, groups_of_settings(workspace)
    told: list[tuple[TableContract, list[str], Callable[[pl.DataFrame], set[str]]]] = [
        (FEEDBACK, ["caller"], lambda rows: set(rows["caller"])),
        (
            PRINCIPALS,
            ["member_principal", "group_principal"],
            lambda rows: {*rows["member_principal"], *rows["group_principal"]},
        ),
        (MEMBERSHIPS, list(MEMBERSHIPS.key), lambda rows: names_of(rows, naming)),
    ]
    needles = Needles(tuple(each.encode("utf-8", "surrogatepass") for each in principals))
    for contract, columns, named in told:
        # The log has files of the same kind in a folder of its own.
        names = [
            name for name in files_of(lake, contract.path) if PurePosixPath(name).match(f"{contract.path}/*.parquet")
        ]
        for name, path in looked_into(lake, sorted(names)):
            try:
                is_named = not named(pl.read_parquet(path, columns=columns)).isdisjoint(principals)
            except (pl.exceptions.PolarsError, OSError):
                is_named = bool(found_in_file(path, needles))
            if is_named:
                yield lake.uri(name)
