"""What docs/operations.md has typed on one machine for a team: typed, word for word, into a copy of this machine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rag_pipeline.defs.instance import DAGSTER_YAML
from rag_pipeline.settings import load_pipeline
from rag_pipeline_tests.deploy.files import DEPLOY
from rag_pipeline_tests.deploy.machine import Machine, machine
from rag_pipeline_tests.deploy.test_files import parsed
from rag_pipeline_tests.house.test_docs import WITHOUT_WEIGHTS, blocks
from rag_pipeline_tests.paths import REPOSITORY

FILES = DEPLOY / "machine"
UNITS = sorted(FILES.glob("*.service"))
PAGE = REPOSITORY / "docs" / "operations.md"
PASSWORD = "a lantern in hall three"
MARKER = "machine"
CHECKOUT = "/srv/checkout"
# Nothing can be fetched there: what the package needs is that of the tests.
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
ASKED = f"curl --silent --show-error --cacert /etc/ssl/rag-pipeline.crt --user 'alice:{PASSWORD}' https://search.example.com"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_what_a_unit_starts_is_a_command_that_its_program_takes(unit: Path) -> None:
    text = unit.read_text("utf-8")
    for line in re.findall(r"^ExecStart(?:Pre)?=/opt/rag-pipeline/bin/(.+)$", text, re.M):
        parsed(shlex.split(line))
    assert "\nUser=rag-pipeline\n" in text
    assert set(re.findall(r"^EnvironmentFile=(.+)$", text, re.M)) == {
        "/etc/rag-pipeline/environment",
        "/etc/rag-pipeline/secrets",
    }


def test_the_settings_are_those_of_every_other_way_to_run() -> None:
    theirs, ours = yaml.safe_load((FILES / "dagster.yaml").read_text("utf-8")), yaml.safe_load(DAGSTER_YAML)
    assert {name: theirs[name] for name in ours} == ours
    pipeline = load_pipeline(FILES / "pipeline.yaml", {"RAG_PIPELINE_PROXY_SECRET": "s3cret"})
    proxy = pipeline.settings.serving.proxy
    assert proxy is not None
    sent = dict(re.findall(r"proxy_set_header (X-\S+) (\$\w+);", (FILES / "nginx.conf").read_text("utf-8")))
    assert sent == {proxy.user_header: "$rag_person", proxy.groups_header: "$rag_groups"}
    assert f"127.0.0.1:{pipeline.settings.serving.port};" in (FILES / "nginx.conf").read_text("utf-8")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as booted:
        checkout = booted.root / CHECKOUT[1:]
        checkout.mkdir(parents=True)
        for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
            shutil.copy(REPOSITORY / name, checkout)
        for name in ("rag_pipeline", "deploy"):
            shutil.copytree(REPOSITORY / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        # No newer release can be fetched, either.
        (booted.root / "etc/apt/apt.conf.d/99-as-it-is").write_text('APT::Get::Upgrade "false";\n')
        booted.says("echo 127.0.0.1 search.example.com >> /etc/hosts")
        yield booted


def typed(here: Machine) -> None:
    """Each block of the page, in its order; PASSWORD is what was typed into the one before."""
    known = ""
    for _, _, script in [each for each in blocks(PAGE) if each[1] == MARKER]:
        here.says(f"{known}\n{script}", folder=CHECKOUT, given=f"{PASSWORD}\n", **OFFLINE)
        if "venv" in script:
            lend_packages(here)
        if "/srv/documents" in script:
            (here.root / "srv/documents/welcome.md").write_text("# Welcome\n\nThe lantern of hall three is lit.\n")
            said = [
                f"RAG_PIPELINE__EMBEDDING_MODELS__MINILM__{name}={WITHOUT_WEIGHTS[name]}\n" for name in WITHOUT_WEIGHTS
            ]
            with (here.root / "etc/rag-pipeline/environment").open("a") as environment:
                environment.writelines(said)
        if "systemctl enable" in script:
            here.until("curl --fail --silent http://127.0.0.1:8321/health")
            here.until("curl --fail --silent http://127.0.0.1:3000/dagster/server_info")
        if "read -rs PASSWORD" in script:
            known = f"PASSWORD={shlex.quote(PASSWORD)}"


def lend_packages(here: Machine) -> None:
    """What pip would fetch: the packages of the tests, and the commands that they bring."""
    site = next(here.root.glob("opt/rag-pipeline/lib/python3.*/site-packages"))
    # Python 3.11 brings a setuptools that is too old to build with.
    here.says(f"rm -rf {' '.join('/' + str(each.relative_to(here.root)) for each in site.glob('setuptools*'))}")
    (site / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib"))
    for path in Path(sys.executable).parent.glob("dagster*"):
        command = here.root / "opt/rag-pipeline/bin" / path.name
        command.write_text(re.sub(r"^#!.*", "#!/opt/rag-pipeline/bin/python", path.read_text("utf-8")))
        command.chmod(0o755)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_machine_is_set_up_by_what_the_page_says(here: Machine) -> None:
    typed(here)
    here.until(f"{ASKED}/ready | grep ready")
    me = json.loads(here.says(f"{ASKED}/v1/me"))
    assert me["name"] == "alice"
    assert "staff" in me["principals"]
    asked = """-H 'Content-Type: application/json' -d '{"query": "lantern"}'"""
    found = json.loads(here.says(f"{ASKED}/v1/search {asked}"))
    assert [hit["uri"] for hit in found["hits"]] == ["/srv/documents/welcome.md"]
    recorded = "runuser -u rag-pipeline -- psql --tuples-only --command 'SELECT count(*) FROM runs' dagster"
    assert int(here.says(recorded)) > 0, "runs are recorded in PostgreSQL"
    alive = "runuser -u rag-pipeline -- /opt/rag-pipeline/bin/dagster-daemon liveness-check"
    here.until(f"set -a; . /etc/rag-pipeline/environment; {alive}")
    for unit in UNITS:
        shown = here.says(f"systemctl show --property=ActiveState,UnitFileState,NRestarts {unit.name}").split()
        assert {*shown} == {"ActiveState=active", "UnitFileState=enabled", "NRestarts=0"}, unit.name
    # A service that dies is there again.
    here.says("systemctl kill --kill-who=main --signal=SIGKILL rag-pipeline-serve")
    here.until("systemctl show --property=NRestarts rag-pipeline-serve | grep =1")
    here.until(f"{ASKED}/ready | grep ready")
    # An erasure reaches the records by the same socket.
    here.says("rag-pipeline erase --address documents welcome.md --reason 'request 12' --yes")
    assert json.loads(here.says(f"{ASKED}/v1/search {asked}"))["hits"] == []
    # What stops is stopped, not killed.
    here.says("systemctl stop 'rag-pipeline-*'")
    for unit in UNITS:
        assert here.says(f"systemctl show --property=Result {unit.name}").strip() == "Result=success", unit.name
