"""What is lost of a Ray cluster, or with the run that uses it, costs what was under way and holds nothing up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.ray_crew import _UNDER_WAY
from rag_pipeline.parallel.ray_engine import GROUP_ITEMS, RayEngine
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.parallel import jobs

needs("ray", "needs the extra ray")

pytestmark = pytest.mark.exhaustive

# On a busy machine Ray takes its time; what never comes still ends the test.
PATIENCE_SECONDS = 600
ITEMS = 1200
DRIVER = """
import sys
from rag_pipeline.parallel.limits import WorkerLimits
from rag_pipeline.parallel.ray_engine import RayEngine
from rag_pipeline_tests.parallel import jobs

engine = RayEngine(sys.argv[1], WorkerLimits(), timeout_seconds=600)
list(engine.map(jobs.hang_and_tell, [sys.argv[2]]))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    # Ray's sockets lie below it, and have short names.
    folder = tempfile.mkdtemp(prefix="rp-", dir="/tmp")
    head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def engine_on(cluster: Any) -> RayEngine:
    return RayEngine(cluster.address, WorkerLimits(), timeout_seconds=PATIENCE_SECONDS)


def come_true(is_true: Any) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_true() and time.monotonic() < until:
        time.sleep(0.1)
    return bool(is_true())


def test_a_lost_node_costs_its_batches_and_nothing_else(cluster: Any, tmp_path: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    engine = engine_on(cluster)
    results = []
    try:
        for result in engine.map(jobs.Marking(str(tmp_path)), range(ITEMS)):
            results.append(result)
            if len(results) == ITEMS // 3:
                cluster.remove_node(nodes[0], allow_graceful=False)
    finally:
        engine.close()
        cluster.remove_node(nodes[1])
    assert results == [(number, number) for number in range(ITEMS)]
    calls = Counter(int(line) for file in tmp_path.iterdir() for line in file.read_text().split())
    assert set(calls) == set(range(ITEMS))
    assert calls.total() - ITEMS <= _UNDER_WAY * GROUP_ITEMS
    assert max(calls.values()) <= 2


def test_a_run_that_is_killed_gives_its_processors_to_the_next(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    told = tmp_path / "told"
    driver = subprocess.Popen([sys.executable, "-W", "ignore", "-c", DRIVER, cluster.address, str(told)])
    try:
        assert come_true(lambda: told.exists() and told.read_text().endswith("\n"))
        driver.kill()
        driver.wait()
        engine = engine_on(cluster)
        try:
            assert list(engine.map(jobs.double, [1, 2])) == [(0, 2), (1, 4)]
        finally:
            engine.close()
        assert come_true(lambda: not is_running(int(told.read_text().split()[0])))
    finally:
        driver.kill()
        cluster.remove_node(node)


def test_of_a_run_that_is_killed_no_process_is_left(tmp_path: Path) -> None:
    told, mark = tmp_path / "told", uuid.uuid4().hex
    environment = {**os.environ, "RAG_PIPELINE_TEST_MARK": mark}
    driver = subprocess.Popen([sys.executable, "-W", "ignore", "-c", DRIVER, "local", str(told)], env=environment)
    try:
        assert come_true(lambda: told.exists() and told.read_text().endswith("\n"))
        assert len(marked(mark)) > 1
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert come_true(lambda: not marked(mark))
    assert not is_running(int(told.read_text().split()[0]))


def is_running(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def marked(mark: str) -> list[str]:
    """Processes that came of one whose environment had the mark."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark.encode() in environment.read_bytes():
                found.append(environment.parent.name)
    return found
