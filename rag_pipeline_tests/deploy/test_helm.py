"""Values for Dagster's chart and the manifest beside them: one image, one secret, one configuration, as in Compose."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance

from rag_pipeline.serving.middleware import OPEN_PATHS
from rag_pipeline_tests.deploy.files import DEPLOY, image, read_yaml
from rag_pipeline_tests.deploy.test_files import parsed
from rag_pipeline_tests.paths import REPOSITORY

# What the chart of Dagster 1.13 has at its top and we say; others would be passed over without a word.
CHART = {
    *("global", "generatePostgresqlPasswordSecret", "generateCeleryConfigSecret", "telemetry", "postgresql"),
    *("dagsterWebserver", "dagsterDaemon", "dagster-user-deployments", "runLauncher", "computeLogManager"),
    *("retention", "additionalInstanceConfig"),
}
# Of a deployment of code, and of the launcher.
OF_CODE = {
    *(
        "name",
        "image",
        "port",
        "codeServerArgs",
        "includeConfigInLaunchedRuns",
        "envSecrets",
        "volumes",
        "volumeMounts",
    ),
    *("podSecurityContext", "securityContext", "readinessProbe", "resources"),
}
OF_LAUNCHER = {"imagePullPolicy", "loadInclusterConfig", "resources", "runK8sConfig"}


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return dict(read_yaml("helm/values.yaml"))


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    read = yaml.safe_load_all((DEPLOY / "helm" / "serve.yaml").read_text("utf-8"))
    return {each["kind"]: each for each in read}


def code(values: dict[str, Any]) -> dict[str, Any]:
    [deployment] = values["dagster-user-deployments"]["deployments"]
    return dict(deployment)


def test_only_what_the_chart_reads_is_said(values: dict[str, Any]) -> None:
    assert values.keys() <= CHART
    assert code(values).keys() <= OF_CODE
    launcher = values["runLauncher"]
    assert launcher["type"] == "K8sRunLauncher"
    assert launcher["config"].keys() == {"k8sRunLauncher"}
    assert launcher["config"]["k8sRunLauncher"].keys() <= OF_LAUNCHER
    assert values["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"
    assert "postgresqlPassword" not in values["postgresql"]


def test_all_of_them_are_one_image_that_is_nobody(values: dict[str, Any], manifests: dict[str, Any]) -> None:
    uid, gid = image().user.split(":")
    [container] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    named = [values["dagsterWebserver"], values["dagsterDaemon"], code(values)]
    version = re.findall(r'^version = "(.*)"', (REPOSITORY / "pyproject.toml").read_text("utf-8"), re.M)[0]
    assert {f"{each['image']['repository']}:{each['image']['tag']}" for each in named} == {f"rag-pipeline:{version}"}
    assert container["image"] == f"rag-pipeline:{version}"
    pods = [each["podSecurityContext"] for each in named]
    for pod in (*pods, manifests["Deployment"]["spec"]["template"]["spec"]["securityContext"]):
        assert (pod["runAsNonRoot"], pod["runAsUser"], pod["runAsGroup"]) == (True, int(uid), int(gid))
    assert values["global"]["dagsterHome"] == image().environment["DAGSTER_HOME"]


def test_code_runs_and_server_have_the_same_settings_and_secrets(
    values: dict[str, Any], manifests: dict[str, Any]
) -> None:
    deployment = code(values)
    assert deployment["includeConfigInLaunchedRuns"] == {"enabled": True}
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert [each["secretRef"] for each in container["envFrom"]] == deployment["envSecrets"]
    for volume in deployment["volumes"]:
        assert volume in pod["volumes"]
    for mount in deployment["volumeMounts"]:
        assert mount in container["volumeMounts"]
    mounted = {mount["mountPath"] for mount in deployment["volumeMounts"]}
    assert mounted == set(image().volumes) - {image().environment["DAGSTER_HOME"]}
    for each in (deployment["volumes"], pod["volumes"]):
        names = {volume["name"] for volume in each}
        assert {mount["name"] for mount in container["volumeMounts"] if each is pod["volumes"]} <= names
    told = (DEPLOY / "helm" / "values.yaml").read_text("utf-8")
    for name in (values["global"]["postgresqlSecretName"], deployment["envSecrets"][0]["name"], "rag-pipeline-config"):
        assert re.search(rf"kubectl create \w+( generic)? {name} ", told), f"nobody says how {name} is made"


def test_commands_and_probes_are_there(values: dict[str, Any], manifests: dict[str, Any]) -> None:
    deployment = code(values)
    # How the chart begins it.
    begun = ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", str(deployment["port"])]
    parsed([*begun, *deployment["codeServerArgs"]])
    pod = manifests["Deployment"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    parsed(container["args"])
    [port] = container["ports"]
    assert f"EXPOSE {port['containerPort']}" in (DEPLOY / "Dockerfile").read_text("utf-8")
    probes = [container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert {probe["path"] for probe in probes} == {"/health", "/ready"} <= OPEN_PATHS
    assert {probe["port"] for probe in probes} == {port["name"]}
    service = manifests["Service"]["spec"]
    assert [each["targetPort"] for each in service["ports"]] == [port["name"]]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert manifests["Deployment"]["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]


def test_dagster_takes_what_the_chart_passes_on(values: dict[str, Any], tmp_path: Path) -> None:
    """The chart writes these settings into dagster.yaml under Dagster's own names."""
    daemon, compose = values["dagsterDaemon"], read_yaml("dagster.yaml")
    assert daemon["runCoordinator"] == {"enabled": False}

    def of_chart(names: dict[str, Any]) -> dict[str, Any]:
        return {re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name): value for name, value in names.items()}

    written = {
        "run_monitoring": of_chart(daemon["runMonitoring"]),
        "run_retries": of_chart(daemon["runRetries"]),
        "retention": {name: of_chart(values["retention"][name]) for name in ("schedule", "sensor")},
        "telemetry": values["telemetry"],
        **values["additionalInstanceConfig"],
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(written))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
    for name in ("concurrency", "run_retries", "retention", "telemetry", "nux"):
        assert written[name] == compose[name], name
    assert written["run_monitoring"].items() >= (compose["run_monitoring"].items() - {("max_resume_run_attempts", 0)})


@pytest.mark.skipif(find_spec("dagster_k8s") is None, reason="needs rag-pipeline[kubernetes]")
def test_the_launcher_takes_its_settings(values: dict[str, Any]) -> None:
    from dagster_k8s.job import UserDefinedDagsterK8sConfig

    said = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    names = {"jobSpecConfig": "job_spec_config", "podSpecConfig": "pod_spec_config"}
    assert UserDefinedDagsterK8sConfig.from_dict({names[name]: value for name, value in said.items()})
