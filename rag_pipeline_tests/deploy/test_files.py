"""What stands in `deploy/` is there: commands, variables, hosts, ports, volumes, and no secret."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef

from rag_pipeline.defs.instance import DAGSTER_YAML
from rag_pipeline.settings import load_pipeline
from rag_pipeline.settings.serving import ServingSettings
from rag_pipeline_tests.deploy.files import DEPLOY, compose, image, interpolated, read_yaml, secrets, uses
from rag_pipeline_tests.paths import REPOSITORY

SECRET = re.compile(r"PASSWORD|SECRET|KEY|TOKEN")
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PYPROJECT["optional-dependencies"]
# Where the command of a program is: what begins it calls that.
PROGRAMS = {
    "dagster": "dagster._cli:cli",
    "dagster-daemon": "dagster._daemon.cli:cli",
    "dagster-webserver": "dagster_webserver.cli:cli",
    "rag-pipeline": "rag_pipeline.cli.app:cli",
}
# Read by the libraries of the lake, by images of others, by Python and pip.
OF_OTHERS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PATH", "HOME", "XDG_CACHE_HOME"}
# `dagster_home` is where Dagster's chart puts it, so that one image does for both.
HOME_OF_THE_CHART = "/opt/dagster/dagster_home"


@pytest.fixture(scope="module")
def filled() -> dict[str, Any]:
    return compose(secrets())


@pytest.fixture(scope="module")
def services(filled: dict[str, Any]) -> dict[str, Any]:
    return dict(filled["services"])


def ours(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if service["image"].startswith("rag-pipeline:")}


def parsed(words: list[str]) -> None:
    """Have a command's own program read its words; nothing is called."""
    module, _, name = PROGRAMS[words[0]].partition(":")
    command: click.Command = getattr(import_module(module), name)
    here = str(DEPLOY / "workspace.yaml")
    names, rest = [words[0]], [here if word == f"{HOME_OF_THE_CHART}/workspace.yaml" else word for word in words[1:]]
    context = None
    while True:
        context = command.make_context(names[-1], rest, parent=context)
        if not isinstance(command, click.Group):
            return
        found, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert inner is not None, f"{shlex.join(words)}: no such command"
        command = inner
        names.append(str(found))


def commands(services: dict[str, Any]) -> list[list[str]]:
    """Each command of a program of ours or Dagster's, those within a shell's among them."""
    found = [image().command]
    for service in ours(services).values():
        for words in (service.get("command"), service.get("healthcheck", {}).get("test")):
            if words:
                found.append(words[1:] if words[0] == "CMD" else words)
    within = [re.findall(r"(?:^|&& |exec )([a-z-]+(?: [^&]+)?)", words[2]) for words in found if words[0] == "sh"]
    return [words for words in found if words[0] not in ("sh", "python")] + [
        shlex.split(each) for line in within for each in line if each.startswith("dagster")
    ]


def test_every_command_is_one_that_its_program_takes(services: dict[str, Any]) -> None:
    found = commands(services)
    assert {words[0] for words in found} == {"dagster", "dagster-daemon", "dagster-webserver", "rag-pipeline"}
    for words in found:
        parsed(words)


def test_a_command_that_is_none_is_noticed() -> None:
    for words in (["rag-pipeline", "serve", "--hosts", "0.0.0.0"], ["dagster", "code-server", "begin"]):
        with pytest.raises(click.UsageError):
            parsed(words)


def test_the_image_is_small_pinned_and_nobody_in_particular() -> None:
    ours = image()
    uid, _, gid = ours.user.partition(":")
    assert uid.isdigit()
    assert int(uid) > 0
    assert int(gid) > 0
    assert list(ours.stages)[-1] == "cpu"
    [extras] = [rest for word, rest in ours.stages["build"] if word == "ARG"]
    named = set(shlex.split(extras)[0].removeprefix("EXTRAS=").split(","))
    assert named <= EXTRAS.keys()
    assert {"deploy", "kubernetes", "serve", "ui", "object-store", "redis"} <= named
    for extra in named:
        assert not any(line.startswith(("torch", "sentence-transformers")) for line in EXTRAS[extra]), extra
    installed = "\n".join(rest for word, rest in ours.stages["build"] if word in ("RUN", "ENV"))
    assert "PIP_CONSTRAINT=/src/constraints.txt" in installed
    assert "sentence-transformers" in "\n".join(rest for _, rest in ours.stages["build-gpu"])
    assert image("gpu").command == ours.command
    assert ours.environment["DAGSTER_HOME"] == HOME_OF_THE_CHART
    assert set(ours.volumes) >= {ours.environment["DAGSTER_HOME"], str(Path(ours.environment["HOME"]))}


def test_what_is_copied_into_the_image_is_there_and_is_let_in() -> None:
    let_in = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8"), re.M)
    copied = [rest.split()[:-1] for word, rest in image().stages["build"] if word == "COPY"]
    assert {name for names in copied for name in names} == set(let_in)
    assert all((REPOSITORY / name).exists() for name in let_in)


def test_what_the_extras_of_the_image_need_is_pinned() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text("utf-8"), re.M))
    for extra in ("deploy", "kubernetes"):
        for line in EXTRAS[extra]:
            assert re.split(r"[^\w.-]", line)[0] in pinned, line


def test_health_is_asked_where_it_is_told() -> None:
    from rag_pipeline.serving.middleware import OPEN_PATHS

    port = ServingSettings.model_fields["port"].default
    assert re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", image().health[-1]) == [(str(port), "/health")]
    assert "/health" in OPEN_PATHS
    assert f"EXPOSE {port}" in (DEPLOY / "Dockerfile").read_text("utf-8")


def test_each_service_says_how_it_is_and_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    needed = {"postgres", "objects", "valkey", "user-code", "webserver", "daemon", "serve"}
    assert needed <= services.keys()
    for name, service in services.items():
        assert service["networks"] == ["rag"], name
        # `serve` has the image's.
        assert name == "serve" or "healthcheck" in service, name
        assert re.search(r":\d", service["image"]), f"{name}: an image without a release is another one tomorrow"
        assert service["restart"] == ("no" if name == "prepare" else "unless-stopped")
        for other, how in service.get("depends_on", {}).items():
            health = services[other].get("healthcheck", {})
            assert (how["condition"] == "service_healthy") == ("test" in health), f"{name} waits for {other}"
    for name in ours(services):
        assert "postgres" in {name, *ancestors(services, name)} or name == "serve"
    for port in (port for service in services.values() for port in service.get("ports", ())):
        assert port.startswith("127.0.0.1:"), "neither the UI nor plain HTTP is for the whole network"


def ancestors(services: dict[str, Any], name: str) -> set[str]:
    direct = set(services[name].get("depends_on", ()))
    return direct.union(*(ancestors(services, each) for each in direct))


def test_volumes_and_networks_are_declared_and_those_of_runs_are_the_same(filled: dict[str, Any]) -> None:
    services, declared = filled["services"], filled["volumes"]
    for name, service in services.items():
        mounted = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert {each for each in mounted if "/" not in each} <= declared.keys(), name
    launcher = read_yaml("dagster.yaml")["run_launcher"]["config"]
    assert launcher["network"] == filled["networks"]["rag"]["name"]
    of_code = [volume.partition(":") for volume in services["user-code"]["volumes"]]
    wanted = [f"{declared[name]['name']}:{place}" for name, _, place in of_code]
    assert launcher["container_kwargs"]["volumes"] == wanted
    assert {place.removesuffix(":ro") for _, _, place in of_code} == set(image().volumes)


def test_a_run_has_the_variables_of_the_code_server(services: dict[str, Any]) -> None:
    given = services["user-code"]["environment"]
    launcher = read_yaml("dagster.yaml")["run_launcher"]["config"]
    assert set(launcher["env_vars"]) == given.keys() - {"DAGSTER_CURRENT_IMAGE"}
    assert given["DAGSTER_CURRENT_IMAGE"] == services["user-code"]["image"]
    for name in ("webserver", "daemon", "prepare", "serve"):
        assert services[name]["environment"].keys() >= set(launcher["env_vars"]), name
    asked = set(re.findall(r"\{env: (\w+)\}", (DEPLOY / "dagster.yaml").read_text("utf-8")))
    assert asked <= set(launcher["env_vars"])


def test_every_variable_is_read_by_somebody(services: dict[str, Any]) -> None:
    text = "\n".join(path.read_text("utf-8") for path in sorted((REPOSITORY / "rag_pipeline").rglob("*.py")))
    settings = "\n".join((DEPLOY / name).read_text("utf-8") for name in ("dagster.yaml", "compose.yaml"))
    for name in {*image().environment, *(name for s in ours(services).values() for name in s["environment"])}:
        of_dagster = name in ("DAGSTER_HOME", "DAGSTER_CURRENT_IMAGE")
        of_python = name.startswith(("PIP_", "PYTHON"))
        named = f"{{env: {name}}}" in settings or f"$${name}" in settings
        assert of_dagster or of_python or named or name in OF_OTHERS or f'"{name}"' in text, name


def test_no_secret_has_a_value_here() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    example = (DEPLOY / "env.example").read_text("utf-8")
    for use in uses(text):
        if SECRET.search(use.name) or f"\n{use.name}=" in example:
            assert use.kind == ":?", f"{use.name} has to be given"
            assert f"\n{use.name}=\n" in example, f"{use.name} is not in env.example"
        else:
            assert use.kind == ":-", use.name
    with pytest.raises(KeyError, match="DAGSTER_POSTGRES_PASSWORD"):
        compose({})
    for path in filter(Path.is_file, DEPLOY.rglob("*")):
        written = re.findall(r"\b(\w*(?:PASSWORD|SECRET\w*|TOKEN)) ?[=:] ?(\S+)", path.read_text("utf-8"), re.I)
        for name, value in written:
            # Switches, names of secrets, and a mark where a person puts one.
            opens_nothing = value in ("true", "false", "…") or name.lower().endswith(
                ("secretname", "envsecrets", "secret_variable")
            )
            assert opens_nothing or value.startswith(("$", '"$', "{", "?")), f"{path.name}: {name}"


def test_hosts_that_are_named_are_services(services: dict[str, Any]) -> None:
    [server] = [each["grpc_server"] for each in read_yaml("workspace.yaml")["load_from"]]
    words = services[server["host"]]["command"]
    assert str(server["port"]) == words[words.index("--port") + 1]
    assert server["location_name"] == words[words.index("--location-name") + 1]
    named = set()
    for path in (DEPLOY / "compose.yaml", DEPLOY / "config" / "pipeline.yaml"):
        text = interpolated(path.read_text("utf-8"), secrets())
        named |= set(re.findall(r"(?:https?|redis)://(?:[^\s@/]*@)?([a-z][\w.-]*):\d+", text))
    assert named == {"objects", "valkey"}
    assert named <= services.keys()
    environment = services["user-code"]["environment"]
    assert services[environment["DAGSTER_POSTGRES_HOST"]]["environment"] == {
        f"POSTGRES_{name}": environment[f"DAGSTER_POSTGRES_{name}"] for name in ("USER", "PASSWORD", "DB")
    }


def test_the_first_pipeline_can_be_loaded_and_writes_where_there_is_a_volume(services: dict[str, Any]) -> None:
    environment = services["serve"]["environment"]
    pipeline = load_pipeline(DEPLOY / "config" / "pipeline.yaml", environment)
    bucket = next(word for word in services["objects"]["command"] if word.startswith("-bucket="))
    assert pipeline.lake_root.startswith(f"s3://{bucket.removeprefix('-bucket=')}/")
    volume = image().environment["HOME"]
    assert pipeline.cache_folder.is_relative_to(volume)
    assert pipeline.tokens_file.is_relative_to(volume)
    assert (DEPLOY / "config" / "documents").is_dir()


def test_dagster_takes_its_settings_and_they_are_those_of_one_machine(
    services: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text("utf-8"))
    for name, value in services["daemon"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings, _ = dagster_instance_config(str(tmp_path))
    launcher = InstanceRef.from_dir(str(tmp_path)).run_launcher
    assert type(launcher).__name__ == "DockerRunLauncher"
    alike = yaml.safe_load(DAGSTER_YAML)
    for name in alike.keys() - {"run_monitoring"}:
        assert settings[name] == alike[name], name
    assert settings["run_monitoring"].items() >= alike["run_monitoring"].items()
    assert settings["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    assert settings["compute_logs"]["class"] == "NoOpComputeLogManager"


def test_what_the_documentation_types_is_there(services: dict[str, Any]) -> None:
    """Commands of `docker` cannot be run by tests; what they name can be looked up, and their own commands parsed."""
    text = (REPOSITORY / "docs" / "deployment.md").read_text("utf-8")
    lines = [line for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    inner = []
    for words in map(shlex.split, lines):
        if words[:2] == ["docker", "build"]:
            assert (REPOSITORY / words[words.index("-f") + 1]).is_file()
            assert "--target" not in words or words[words.index("--target") + 1] in image().stages
        elif words[:2] == ["docker", "compose"]:
            assert words[2:4] == ["--project-directory", "deploy"]
            called = next((n for n, word in enumerate(words) if word in services), None)
            assert (called is None) == (words[4] == "up"), words
            inner.append(words[called + 1 :] if called is not None else [])
        elif words[0] == "docker":
            inner.append(words[words.index(services["serve"]["image"]) + 1 :])
        elif words[0] in ("helm", "kubectl"):
            given = dict(pairwise(words))
            for option in ("--values", "--filename"):
                assert option not in given or (REPOSITORY / given[option]).is_file(), words
            assert f"dagster=={given.get('--version', '')}" in (REPOSITORY / "constraints.txt").read_text("utf-8")
        else:
            assert words[0] == "cp"
            assert (REPOSITORY / words[1]).is_file()
    ours = [words for words in inner if words and words[0] in PROGRAMS]
    assert len(ours) > 3
    for words in ours:
        parsed(words)
    for argument in re.findall(r"--build-arg (\w+)=", text):
        assert any(
            word == "ARG" and rest.startswith(argument) for stage in image().stages.values() for word, rest in stage
        )
