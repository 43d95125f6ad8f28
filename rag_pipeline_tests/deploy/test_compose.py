"""Compose without containers: each service is a process, PostgreSQL and the object store are real ones, and Dagster's
launcher for Docker talks to a daemon whose containers are processes with the variables of theirs alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import yaml
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from rag_pipeline_tests.deploy.containers import LONGEST_SECONDS, Docker, Here
from rag_pipeline_tests.deploy.files import DEPLOY, compose, read_yaml, secrets
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.object_store.server import s3_server
from rag_pipeline_tests.postgres.conftest import server  # noqa: F401 - the fixture

for package in ("dagster_docker", "dagster_postgres", "dagster_webserver", "fastapi", "moto", "obstore"):
    needs(package, f"needs {package}")

# Six processes that each import Dagster, and a run in a seventh: two minutes where nothing else is done.
pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

# The first model has weights, which are not what is tried here.
WITHOUT_WEIGHTS = {
    f"RAG_PIPELINE__EMBEDDING_MODELS__MINILM__{name}": value
    for name, value in {"KIND": "hashing", "MODEL": "hashing", "DIMENSION": "64"}.items()
}
STARTED_BY_HAND = {"RAG_PIPELINE__AUTOMATION": "false"}
MINUTES, TITLE = "minutes-of-the-harbour-committee.md", "Minutes of the harbour committee in March"
LAUNCH = """
mutation ($job: String!, $tags: [ExecutionTag!]) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "rag_pipeline", repositoryName: "__repository__", jobName: $job}
    runConfigData: {} executionMetadata: {tags: $tags}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""
RUNS = "{ runsOrError { ... on Runs { results { runId status parentRunId } } } }"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Team:
    """What compose.yaml brings up, here."""

    here: Here
    docker: Docker
    services: dict[str, Any]
    ports: dict[str, int]
    database: str

    def asked(self, query: str, **variables: Any) -> Any:
        """What the webserver's API says."""
        content = json.dumps({"query": query, "variables": variables}).encode()
        address = f"http://127.0.0.1:{self.ports['webserver']}/graphql"
        request = urllib.request.Request(address, content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.load(answer)
        assert "errors" not in said, said
        return said["data"]

    def launched(self, job: str = "refresh") -> str:
        said = self.asked(LAUNCH, job=job, tags=[{"key": "dagster/partition", "value": "minilm"}])["launchRun"]
        assert said["__typename"] == "LaunchRunSuccess", said
        return str(said["run"]["runId"])

    def runs(self) -> dict[str, dict[str, Any]]:
        return {run["runId"]: run for run in self.asked(RUNS)["runsOrError"]["results"]}

    def until(self, what: Callable[[], Any]) -> Any:
        """Wait for something; each look is a request that takes its time."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not (found := what()):
            assert time.monotonic() < deadline, self.here.log("daemon")
            time.sleep(0.3)
        return found

    def container_of(self, run_id: str) -> str:
        return str(
            self.until(
                lambda: next(
                    (name for name, asked in self.docker.asked.items() if asked["Labels"]["dagster/run_id"] == run_id),
                    None,
                )
            )
        )

    def ended(self, run_id: str) -> str:
        def status() -> str | None:
            found = str(self.runs()[run_id]["status"])
            return found if found in ("SUCCESS", "FAILURE", "CANCELED") else None

        return str(self.until(status))

    def typed(self, *words: str) -> str:
        """What a command says in the container of the search server."""
        environment = self.here.environment(self.services["serve"]["environment"])
        done = subprocess.run(
            [self.here.translated(word) for word in words],
            env=environment, cwd=self.here.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self) -> str:
        """All that Dagster's database holds."""
        with psycopg.connect(self.database) as connection:
            named = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            asked = [SQL("SELECT t::text FROM {} t").format(Identifier(name)) for (name,) in named]
            return "\n".join(row for query in asked for (row,) in connection.execute(query).fetchall())


@pytest.fixture(scope="module")
def team(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:  # noqa: F811
    folder = tmp_path_factory.mktemp("compose")
    services = compose(secrets())["services"]
    ports = {name: free_port() for name in ("user-code", "webserver", "serve")}
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE ROLE dagster LOGIN")
        connection.execute("CREATE DATABASE dagster OWNER dagster")
    socket_folder = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
    with s3_server() as objects:
        objects.bucket("lake")
        places = {
            "/etc/rag-pipeline": str(folder / "config"),
            "/var/lib/rag-pipeline": str(folder / "state"),
            "/opt/dagster/dagster_home": str(folder / "home"),
            "/etc/dagster": str(folder / "dagster"),
            "http://objects:8333": objects.address,
            "http://127.0.0.1:3000": f"http://127.0.0.1:{ports['webserver']}",
            "http://127.0.0.1:8321": f"http://127.0.0.1:{ports['serve']}",
        }
        for name in ("state", "home", "dagster"):
            (folder / name).mkdir()
        here = Here(folder, places, WITHOUT_WEIGHTS | STARTED_BY_HAND)
        write_settings(here, socket_folder, ports)
        docker = Docker(here)
        here.extra |= {"DOCKER_HOST": docker.address, "RAG_PIPELINE__SERVING__PORT": str(ports["serve"])}
        with_ports(services, ports)
        database = make_conninfo(server.get_uri(), dbname="dagster")
        team = Team(here, docker, services, ports, database)
        try:
            here.done("prepare", services["prepare"])
            for name in ("user-code", "webserver", "daemon", "serve"):
                here.service(name, services[name])
                here.healthy(name, services[name])
            yield team
        finally:
            here.end()
            docker.end()


def write_settings(here: Here, socket_folder: str, ports: dict[str, int]) -> None:
    """The mounted files, with the places that their services have here."""
    shutil.copytree(DEPLOY / "config", here.folder / "config")
    config = here.folder / "config" / "pipeline.yaml"
    config.write_text(here.translated(config.read_text("utf-8")))
    dagster = read_yaml("dagster.yaml")
    dagster["storage"]["postgres"]["postgres_db"]["params"] = {"host": socket_folder}
    # Two minutes are much for a test.
    dagster["run_monitoring"]["poll_interval_seconds"] = 2
    (here.folder / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(dagster))
    workspace = read_yaml("workspace.yaml")
    workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": ports["user-code"]}
    (here.folder / "dagster" / "workspace.yaml").write_text(yaml.safe_dump(workspace))


def with_ports(services: dict[str, Any], ports: dict[str, int]) -> None:
    for name in ("user-code", "webserver"):
        for words in (services[name]["command"], services[name]["healthcheck"]["test"]):
            if "--port" in words:
                words[words.index("--port") + 1] = str(ports[name])


def test_a_run_in_a_container_of_its_own_is_served(team: Team) -> None:
    run_id = team.launched()
    container = team.container_of(run_id)
    assert team.ended(run_id) == "SUCCESS", team.here.log(container)
    asked = team.docker.asked[container]
    assert asked["Image"] == team.services["user-code"]["image"]
    assert asked["HostConfig"]["Init"] is True
    assert {each.split(":")[0] for each in asked["HostConfig"]["Binds"]} == {
        f"rag-pipeline-{name}" for name in ("config", "state", "dagster")
    }
    token = team.typed("rag-pipeline", "tokens", "add", "alice").strip()
    request = urllib.request.Request(
        f"http://127.0.0.1:{team.ports['serve']}/v1/search",
        json.dumps({"query": "documents of this folder"}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        hits = json.load(answer)["hits"]
    assert [hit["uri"] for hit in hits] == ["documents/welcome.md"]


def test_a_container_that_is_gone_is_noticed_and_its_run_begun_again(team: Team) -> None:
    (team.here.folder / "config" / "documents" / MINUTES).write_text(f"# {TITLE}\n\nThe lamp is blue.\n")
    run_id = team.launched()
    container = team.container_of(run_id)
    # One that never began is noticed after three minutes only.
    team.until(lambda: team.runs()[run_id]["status"] == "STARTED")
    os.killpg(team.here.processes[container].pid, signal.SIGKILL)
    assert team.ended(run_id) == "FAILURE"
    again = team.until(lambda: next((r for r in team.runs().values() if r["parentRunId"] == run_id), None))
    assert team.ended(again["runId"]) == "SUCCESS"
    said = team.typed("rag-pipeline", "search", "the lamp is blue", "--as", "public", "--json", "--k", "1")
    assert json.loads(said)["uri"] == f"documents/{MINUTES}"


def test_what_is_erased_leaves_the_records_in_postgres(team: Team) -> None:
    """After the runs above, which told of the document."""
    said = team.typed("rag-pipeline", "erase", "--address", "documents", MINUTES, "--reason", "4711", "--yes", "--json")
    assert "Dagster's database was searched" in said
    rows = team.rows()
    assert rows
    assert MINUTES not in rows
    assert TITLE not in rows
