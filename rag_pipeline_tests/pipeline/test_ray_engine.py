"""A pipeline whose heavy work goes to Ray: the same index, and what is withdrawn leaves readers without it, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rag_pipeline.errors import EngineUnavailable
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.progress import CURRENT, NoProgress
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.pipeline.project import Project

needs("ray", "needs the extra ray")

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
        project.settings["engine"] = {"kind": "ray", "address": cluster.address}
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
