"""A pipeline whose heavy work goes to Ray: the same index, and what is withdrawn leaves readers without it, too."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.index import ROW_COLUMNS
from rag_pipeline.contracts.tables import BOILERPLATE, CHUNKS, DOCUMENTS, DUPLICATES, EMBEDDINGS, QUARANTINE, SIGNATURES
from rag_pipeline.errors import EngineUnavailable
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.progress import CURRENT, NoProgress
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.kept import open_version
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.pipeline.project import Project

needs("ray", "needs the extra ray")

# On a busy machine Ray takes its time.
HERE = {"kind": "ray", "address": "local", "timeout": "10min"}
# Nothing listens there.
NOWHERE = {"kind": "ray", "address": "127.0.0.1:1", "timeout": "20s"}


def refresh(project: Project) -> None:
    with Workspace(project.pipeline(), run_id="test") as workspace:
        refresh_everything(workspace, strict=True, allow_mass_deletion=["docs"])


def shown(project: Project) -> dict[str, list[str]]:
    return {row["uri"].rpartition("/")[2]: row["allowed_principals"] for row in project.published()}


def test_what_is_revoked_leaves_readers_while_ray_is_down(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for name in ("kept", "deleted", "narrowed", "edited"):
        project.write(f"{name}.md", f"# {name}\n\nThe lamp of the {name} berth burns all night.\n")
    project.refresh()
    del project.settings["worker_processes"]
    project.settings["engine"] = NOWHERE
    refresh(project)
    assert len(shown(project)) == 4, "a run without work for it asks nobody"

    (tmp_path / "docs" / "deleted.md").unlink()
    project.write("edited.md", "# edited\n\nThe lamp is gone.\n")
    rule = {"pattern": "narrowed.md", "allowed_principals": ["staff"]}
    project.settings["sources"]["docs"]["permission_rules"] = [rule]
    with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:1.*ray start") as caught:
        refresh(project)
    assert caught.value.retryable
    # What is taken away goes at once; who may read it now instead waits for the documents.
    assert shown(project) == {"kept.md": ["public"], "narrowed.md": [], "edited.md": ["public"]}

    project.settings["engine"] = {"kind": "local"}
    refresh(project)
    assert project.published() == project.rebuilt()


def tables(project: Project) -> dict[str, list[dict[str, Any]]]:
    """All that a run wrote about documents, and the rows that readers search, without when and by whom."""
    with project.workspace() as workspace:
        space = workspace.space("small").fingerprint
        found = {
            contract.name: workspace.lake.read(contract)
            for contract in (DOCUMENTS, QUARANTINE, DUPLICATES, SIGNATURES, BOILERPLATE, CHUNKS, EMBEDDINGS.of(space))
        }
        last = workspace.lake.last_publication()
        assert last is not None
        found["index"] = open_version(workspace.vectors, last).read([*ROW_COLUMNS, "vector"])
    said = ["run_id", "embedded_at", "first_seen_at", "last_seen_at", "next_attempt_at"]
    without = {name: frame.drop(said, strict=False) for name, frame in found.items()}
    return {name: sorted(frame.to_dicts(), key=repr) for name, frame in without.items()}


@pytest.mark.exhaustive
def test_a_whole_refresh_gives_what_the_local_engine_gives(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for number in range(40):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of berth {number} burns {number * 7} nights.\n")
    project.write("copy.md", (tmp_path / "docs" / "7.md").read_bytes())
    project.write("broken.pdf", b"%PDF-1.4 and nothing more")
    is_read = find_spec("rapidocr") is not None
    if is_read:
        from rag_pipeline_tests.parsing.scans import drawn, encoded

        project.settings["ocr"] = "missing"
        project.write("berth.png", encoded(drawn(["Berth seven is free again."], (600, 120))))
    project.settings["worker_processes"] = 2
    by_ray = Project(tmp_path, project.settings | {"lake": "by_ray", "engine": HERE})
    refresh(project)
    refresh(by_ray)
    assert tables(by_ray) == tables(project)
    read = [row["embedded_text"] for row in by_ray.published() if row["uri"].endswith("berth.png")]
    assert len(read) == is_read

    project.write("9.md", "# Lamp nine\n\nIt is out.\n")
    (tmp_path / "docs" / "10.md").unlink()
    refresh(project)
    refresh(by_ray)
    assert by_ray.published() == project.published() == project.rebuilt()


class Killing(NoProgress):
    """Ends a node of the cluster when some of what a step works on is done."""

    def __init__(self, label: str, kill: Callable[[], None]) -> None:
        self._wanted = label
        self._kill = kill
        self._label = ""
        self.is_done = False

    def start(self, label: str, total: int) -> None:  # noqa: ARG002
        self._label = label

    def advance(self, count: int) -> None:  # noqa: ARG002
        if self._label.startswith(self._wanted) and not self.is_done:
            self.is_done = True
            self._kill()


@pytest.mark.exhaustive
def test_a_node_that_is_lost_costs_its_batches_and_no_document(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    project = Project.create(tmp_path)
    for number in range(400):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of berth {number} burns {number * 7} nights.\n")
    project.write("broken.pdf", b"%PDF-1.4 and nothing more")
    del project.settings["worker_processes"]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        lost = cluster.add_node(num_cpus=1)
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        project.settings["engine"] = {"kind": "ray", "address": cluster.address, "timeout": "10min"}
        killing = Killing("parse", lambda: cluster.remove_node(lost, allow_graceful=False))
        token = CURRENT.set(killing)
        try:
            refresh(project)
        finally:
            CURRENT.reset(token)
        assert killing.is_done
    finally:
        cluster.shutdown()
    project.settings["engine"] = {"kind": "local"}
    assert project.published() == project.rebuilt()
