"""Two tenants in one code location: what runs, is scheduled or is served for one touches nothing of the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_pipeline.defs import build_all
from rag_pipeline.settings.pipelines import read_pipelines
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import running

needs("fastapi", "needs rag-pipeline[serve]")

# Whole runs of Dagster.
pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
TENANTS = ("search", "support")


@pytest.fixture
def tenants(tmp_path: Path) -> dict[str, Project]:
    found = {}
    for name in TENANTS:
        found[name] = Project.create(tmp_path / name, automation=True, serving={"tokens": "tokens.json"})
        found[name].write("lamp.md", f"# Lamp\n\nThe lamp of {name} hangs in the hall.\n")
        found[name].pipeline()
    lines = [f"  {name}: {name}/pipeline.yaml" for name in TENANTS]
    (tmp_path / "pipelines.yaml").write_text("pipelines:\n" + "\n".join(lines) + "\n")
    return found


def files_of(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*") if path.is_file()}


def tenant_of(name: str) -> str:
    [found] = [tenant for tenant in TENANTS if name.startswith(f"{tenant}_")]
    return found


def test_schedules_sensors_and_pools_are_of_one_tenant_each(tenants: dict[str, Project], tmp_path: Path) -> None:
    assert tenants
    definitions = build_all(read_pipelines(tmp_path / "pipelines.yaml"))
    repository = definitions.get_repository_def()
    for kind in (repository.schedule_defs, repository.sensor_defs):
        assert {tenant_of(each.name) for each in kind} == set(TENANTS)
    for schedule in repository.schedule_defs:
        assert tenant_of(schedule.job_name) == tenant_of(schedule.name)
        job = repository.get_job(schedule.job_name)
        keys = {key.path[0] for key in job.asset_layer.executable_asset_keys}
        assert keys <= {tenant_of(schedule.name)}
    for job in repository.get_all_jobs():
        pools = {node.definition.pool for node in job.graph.nodes if isinstance(node.definition, dg.OpDefinition)} - {
            None
        }
        if job.name.startswith(tuple(f"{tenant}_" for tenant in TENANTS)):
            assert {tenant_of(str(pool)) for pool in pools} <= {tenant_of(job.name)}, job.name


def test_a_run_of_one_changes_no_file_of_the_other_and_is_served_by_its_own_server(
    tenants: dict[str, Project], tmp_path: Path
) -> None:
    import httpx

    from rag_pipeline.serving.app import build_app
    from rag_pipeline.serving.tokens import add_token

    definitions = build_all(read_pipelines(tmp_path / "pipelines.yaml"))
    tokens = {name: add_token(tenants[name].pipeline().tokens_file, "alice", (), None)[0] for name in TENANTS}

    def refreshed(name: str) -> None:
        other = next(tenant for tenant in TENANTS if tenant != name)
        before = files_of(tenants[other].folder)
        with dg.DagsterInstance.ephemeral() as instance:
            job = definitions.resolve_job_def(f"{name}_refresh")
            assert job.execute_in_process(instance=instance, partition_key="small").success
        assert files_of(tenants[other].folder) == before

    def asked(url: str, token: str) -> Any:
        with httpx.Client(base_url=url, timeout=60, verify=False) as client:
            headers = {"Authorization": f"Bearer {token}"}
            return client.post("/v1/search", json={"query": "lamp in the hall"}, headers=headers)

    refreshed("search")
    with (
        running(build_app(tenants["search"].pipeline())) as search,
        running(build_app(tenants["support"].pipeline())) as support,
    ):
        hits = asked(search, tokens["search"]).json()["hits"]
        assert ["The lamp of search hangs" in hit["text"] for hit in hits] == [True]
        # Nothing of it is published there, and nobody of one is known at the other.
        assert asked(support, tokens["support"]).status_code == 503
        assert asked(support, tokens["search"]).status_code == 401
        refreshed("support")
        hits = asked(support, tokens["support"]).json()["hits"]
        assert ["The lamp of support hangs" in hit["text"] for hit in hits] == [True]
        assert asked(search, tokens["support"]).status_code == 401
