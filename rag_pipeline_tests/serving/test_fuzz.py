"""What schemathesis makes of the API's description: no error of the server, nothing that is not described."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test

from rag_pipeline.serving.app import build_app
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import Served, mark_of, running, tokens_for

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402 - it may not be there

EXAMPLES = int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "15"))
OPERATIONS = [
    ("/v1/search", "POST"),
    ("/v1/explain", "POST"),
    ("/v1/ask", "POST"),
    ("/v1/window", "POST"),
    ("/v1/feedback", "POST"),
    ("/v1/sources", "GET"),
    ("/v1/me", "GET"),
    ("/metrics", "GET"),
    ("/ready", "GET"),
    ("/health", "GET"),
]


@pytest.fixture(scope="module")
def written(lake: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on a lake of its own: remarks are written to it."""
    project = lake.copied(tmp_path_factory.mktemp("fuzzed"))
    tokens = tokens_for(project)
    with running(build_app(project.pipeline())) as url:
        yield Served(url, project, tokens)


@pytest.fixture(scope="module")
def described(written: Served) -> Any:
    """The description as the server gives it, with real ids among its examples: made-up ones are nearly all absent."""
    with written.client("eve") as client:
        hit = client.post("/v1/search", json={"query": f"word {mark_of(0)}", "k": 1}).json()["hits"][0]
        raw = client.get("/openapi.json").json()
    for question in ("WindowQuestion", "FeedbackQuestion"):
        raw["components"]["schemas"][question]["properties"]["chunk_id"]["examples"] = [hit["chunk_id"]]
    for path in ("/v1/search", "/v1/explain"):
        # What a hit is asked further for.
        found = {"chunk_id": "$response.body#/hits/0/chunk_id"}
        raw["paths"][path]["post"]["responses"]["200"]["links"] = {
            "Window": {"operationId": raw["paths"]["/v1/window"]["post"]["operationId"], "requestBody": found},
            "Feedback": {
                "operationId": raw["paths"]["/v1/feedback"]["post"]["operationId"],
                "requestBody": found | {"query": "pump", "verdict": "up"},
            },
        }
    return schemathesis.openapi.from_dict(raw)


def test_every_operation_is_tried(described: Any) -> None:
    found = {(result.ok().path, result.ok().method.upper()) for result in described.get_all_operations()}
    assert found == set(OPERATIONS)


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda each: each)
def test_the_api_is_as_it_says(described: Any, written: Served, path: str, method: str) -> None:
    headers = {"Authorization": f"Bearer {written.tokens['eve']}"}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy())
    def check(case: Any) -> None:
        # A text may be as described and still be no time, no condition, or a source that is not there.
        case.call_and_validate(base_url=written.url, headers=headers, excluded_checks=[positive_data_acceptance])

    check()


def test_what_follows_on_a_search_is_as_it_says(described: Any, written: Served) -> None:
    """Searches, and windows and remarks on what they found, in any order."""
    headers = {"Authorization": f"Bearer {written.tokens['eve']}"}
    seen: set[tuple[str, int]] = set()

    few = described.include(path=["/v1/search", "/v1/window", "/v1/feedback"])

    class Callers(few.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, _: Any) -> dict[str, Any]:
            return {"headers": headers, "base_url": written.url}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            seen.add((case.operation.path, response.status_code))
            case.validate_response(response, excluded_checks=[positive_data_acceptance])

    run_state_machine_as_test(
        Callers,
        settings=settings(
            max_examples=max(6, EXAMPLES // 5),
            stateful_step_count=6,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    # Which links are followed is drawn at random; that several operations follow on each other is not.
    assert ("/v1/search", 200) in seen
    assert len({path for path, _ in seen}) > 1
