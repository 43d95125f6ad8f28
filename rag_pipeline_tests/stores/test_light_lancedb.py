"""LanceDB behind the stand-ins for what it loads for nobody does everything a lake asks of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rag_pipeline.stores.light_lancedb import REST_CLIENT, keep_override_checks_out, keep_rest_client_out

EVERY_CALL = """
import sys
from datetime import timedelta
from rag_pipeline.defs.put_off import put_off_imports
from rag_pipeline.stores.light_lancedb import (
    REST_CLIENT, SELDOM_USED, keep_override_checks_out, keep_rest_client_out
)
put_off_imports(SELDOM_USED)
assert keep_rest_client_out() and keep_override_checks_out() and not keep_override_checks_out()
import numpy as np
import pyarrow as pa
import lancedb
from lancedb.index import FTS, Bitmap, BTree, IvfRq, LabelList
from lancedb.query import MatchQuery

def rows(first, count):
    vectors = np.random.default_rng(first).normal(size=(count, 16)).astype("float32")
    return pa.table({
        "chunk_id": [str(first + i) for i in range(count)],
        "text": [f"the lever number {first + i}" for i in range(count)],
        "readers": pa.array([["public"]] * count, pa.list_(pa.string())),
        "vector": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 16),
    })

db = lancedb.connect(sys.argv[1])
table = db.create_table("t", schema=rows(0, 1).schema)
for name in ("a", "b", "c"):
    db.create_table(name, schema=rows(0, 1).schema)
first = db.list_tables(limit=2)
assert len(first.tables) == 2 and first.page_token, vars(first)
rest = db.list_tables(page_token=first.page_token)
assert sorted(first.tables + rest.tables) == ["a", "b", "c", "t"]
db.drop_table("a", ignore_missing=True)
table.add(rows(0, 600))
for column, kind in {"text": FTS(), "readers": LabelList(), "chunk_id": BTree()}.items():
    table.create_index(column, config=kind, replace=True)
table.create_index("vector", config=IvfRq(distance_type="cosine"), replace=True)
version = table.version
table.merge_insert("chunk_id").when_matched_update_all().when_not_matched_insert_all().execute(rows(590, 20))
table.delete("chunk_id IN ('1', '2')")
assert table.count_rows() == 608
assert {index.name for index in table.list_indices()} == {"text_idx", "readers_idx", "chunk_id_idx", "vector_idx"}
assert 0 < table.index_stats("text_idx").num_indexed_rows <= 600
mine = "array_has_any(readers, ['public'])"
found = table.search(MatchQuery("lever", "text"), query_type="fts").where(mine, prefilter=True).limit(5).to_arrow()
assert found.num_rows == 5
near = table.search(np.ones(16, "float32"), vector_column_name="vector").distance_type("cosine").where(mine)
assert near.nprobes(100).refine_factor(10).limit(5).to_arrow().num_rows == 5
assert sum(batch.num_rows for batch in table.search().select(["chunk_id"]).limit(None).to_batches()) == 608
old = db.open_table("t")
old.checkout(version)
assert old.count_rows() == 600
table.optimize(cleanup_older_than=timedelta(days=1))
table.drop_index("vector_idx")
try:
    db.open_table("nope")
except ValueError:
    pass
else:
    raise AssertionError("a missing table opened")
assert not [name for name in sys.modules if name.startswith("overrides.")]
assert not [name for name in sys.modules if name.startswith("lancedb.functions.")]
assert getattr(sys.modules["lancedb.functions"], "__file__", None) is None
loaded = [name for name in sys.modules if name.startswith(REST_CLIENT)]
assert all(type(sys.modules[name]).__name__ == "_StandInModule" for name in loaded), loaded
"""


def test_every_call_of_a_lake_works_without_the_rest_client(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EVERY_CALL, str(tmp_path / "db")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_process_that_has_lancedb_is_left_as_it_is() -> None:
    import lancedb

    assert lancedb.__name__ in sys.modules
    finders = list(sys.meta_path)
    assert keep_rest_client_out() is False
    assert keep_override_checks_out() is False
    assert sys.meta_path == finders
    assert type(sys.modules[REST_CLIENT]).__name__ == "module"
    assert getattr(sys.modules["overrides"], "__file__", None)
