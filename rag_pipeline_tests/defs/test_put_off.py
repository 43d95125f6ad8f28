"""What Dagster loads at every start and seldom uses is loaded when it is used, and does then what it always does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

A_RUN_STARTS = """
import json, sys
from pathlib import Path
from rag_pipeline.defs.put_off import put_off_imports
put_off_imports()
import rag_pipeline.defs.launch
from rag_pipeline.defs.instance import DAGSTER_YAML, opened_instance
kept_out = ("mako", "alembic.ddl", "dagster.components.lib", "dagster._daemon.asset_daemon", "structlog")
stand_in = type(sys.modules["alembic"])
told = {"loaded": [n for n, each in sys.modules.items() if n.startswith(kept_out) and type(each) is not stand_in]}
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
import dagster as dg
from dagster._daemon.types import DaemonHeartbeat
class Part(dg.Component):
    def build_defs(self, context):
        return dg.Definitions()
from dagster.components.component.component import Component
told["is_component"] = Part.__mro__[1] is Component and isinstance(Part(), dg.Component)
beat = DaemonHeartbeat(timestamp=1.0, daemon_type="SENSOR", daemon_id="one", errors=[])
told["is_read_back"] = dg.deserialize_value(dg.serialize_value(beat), DaemonHeartbeat) == beat
print(json.dumps(told))
"""

A_NAME_IS_LOOKED_AT = """
import json, sys, typing
from pathlib import Path
from rag_pipeline.defs.put_off import put_off_imports
home = Path(sys.argv[1])
(home / "seldom").mkdir()
(home / "seldom" / "__init__.py").write_text("class Thing: pass\\nclass Worse(Exception): pass\\n")
(home / "seldom" / "inner.py").write_text("from seldom import Thing\\ndef made(): return Thing()\\n")
(home / "seldomly.py").write_text("A = 1\\n")
sys.path.insert(0, str(home))
put_off_imports(["seldom"])
from seldom import Thing
import seldomly
def annotated(one: Thing | None, other: None | Thing, third: typing.Union[Thing, int, None]) -> list[Thing]: ...
def is_real():
    return getattr(sys.modules["seldom"], "__file__", None) is not None
told = {"another": seldomly.A, "is_other": not isinstance(home, (Thing, str)), "waits": not is_real()}
from seldom.inner import made
told["still_waits"] = not is_real()
told["is_its_own"] = isinstance(made(), Thing)
told["loaded"] = is_real()
told["is_not"] = not isinstance(home, Thing)
print(json.dumps(told))
"""


def test_a_name_that_stands_in_annotations_and_is_compared_with_waits_until_it_is_called(tmp_path: Path) -> None:
    assert all(_told(A_NAME_IS_LOOKED_AT, tmp_path).values())


def test_a_run_starts_without_what_migrates_tables_and_new_tables_are_set_up_by_it_all_the_same(tmp_path: Path) -> None:
    told = _told(A_RUN_STARTS, tmp_path)
    assert told["loaded"] == []
    assert all(now is not None and now == newest for now, newest in told["revisions"]), told
    assert told["is_itself"]
    assert told["is_component"]
    assert told["is_read_back"]


def _told(program: str, folder: Path) -> dict[str, Any]:
    ended = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found
