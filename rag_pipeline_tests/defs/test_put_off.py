"""What Dagster loads at every start and seldom uses is loaded when it is used, and does then what it always does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

A_RUN_STARTS = """
import json, sys
from pathlib import Path
from rag_pipeline.defs.put_off import put_off_imports
put_off_imports()
import rag_pipeline.defs.launch
from rag_pipeline.defs.instance import DAGSTER_YAML, opened_instance
kept_out = ("mako", "alembic.ddl")
told = {"loaded": [name for name in sys.modules if name.startswith(kept_out)]}
home = Path(sys.argv[1])
(home / "dagster.yaml").write_text(DAGSTER_YAML, "utf-8")
with opened_instance(home) as instance:
    told["revisions"] = [
        each.alembic_version()
        for each in (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    ]
from alembic.runtime.migration import MigrationContext
from dagster._core.storage import sql
class Own(sql.MigrationContext):
    pass
told["is_itself"] = Own.__mro__[1] is MigrationContext and not isinstance(home, sql.MigrationContext)
print(json.dumps(told))
"""


def test_a_run_starts_without_what_migrates_tables_and_new_tables_are_set_up_by_it_all_the_same(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", A_RUN_STARTS, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["loaded"] == []
    assert all(now is not None and now == newest for now, newest in told["revisions"]), told
    assert told["is_itself"]
