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

# They may not be there.
from schemathesis.generation.stateful.state_machine import StepOutput  # noqa: E402
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402
from schemathesis.specs.openapi.stateful.links import OpenApiLink  # noqa: E402

EXAMPLES = int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", "15"))
# What follows on a search is tried in this many steps each time; a few would do.
STEPS = 8
FOUND = {"query": f"word {mark_of(0)}", "k": 2}
OPERATIONS = [
    ("/v1/search", "POST"),
    ("/v1/explain", "POST"),
    ("/v1/ask", "POST"),
    ("/v1/window", "POST"),
    ("/v1/pictures", "POST"),
    ("/v1/picture", "POST"),
    ("/v1/feedback", "POST"),
    ("/v1/hints", "POST"),
    ("/v1/hints/notifications", "POST"),
    ("/v1/sources", "GET"),
    ("/v1/me", "GET"),
    ("/metrics", "GET"),
    ("/ready", "GET"),
    ("/health", "GET"),
]


@pytest.fixture(scope="module")
def written(lake: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on a lake of its own: remarks and hints are written to it."""
    project = lake.copied(tmp_path_factory.mktemp("fuzzed"))
    project.settings["hints"] = {"folder": "hints", "allowed_principals": ["board"]}
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


@pytest.mark.parametrize("path", ["/v1/search", "/v1/explain"])
def test_each_link_leads_to_what_was_found(described: Any, written: Served, path: str) -> None:
    """One by one, as the description has them."""
    asked = {"headers": {"Authorization": f"Bearer {written.tokens['eve']}"}, "base_url": written.url}
    operation = described[path]["POST"]
    case = operation.Case(body=dict(FOUND), media_type="application/json")
    output = StepOutput(case.call_and_validate(**asked), case)
    reached = {}
    for name, definition in operation.definition.raw["responses"]["200"]["links"].items():
        link = OpenApiLink(name, "200", definition, operation)
        body = link.extract(output).request_body.value.ok()
        assert body["chunk_id"] == output.response.json()["hits"][0]["chunk_id"]
        answer = link.target.Case(body=body, media_type="application/json").call_and_validate(**asked)
        reached[link.target.path] = answer.status_code
    assert reached == {"/v1/window": 200, "/v1/feedback": 201}


def test_what_follows_on_a_search_is_as_it_says(described: Any, written: Served) -> None:
    """Searches that find something, and windows and remarks on it, in any order; the same one each time."""
    headers = {"Authorization": f"Bearer {written.tokens['eve']}"}
    seen: set[tuple[str, int]] = set()
    followed: set[str] = set()

    few = described.include(path=["/v1/search", "/v1/window", "/v1/feedback"])

    class Callers(few.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: Any) -> None:
            if case.operation.path == "/v1/search":
                case.body = dict(FOUND)

        def get_call_kwargs(self, _: Any) -> dict[str, Any]:
            return {"headers": headers, "base_url": written.url}

        def step(self, input: Any) -> Any:
            if input.is_applied:
                followed.add(input.case.operation.path)
            return super().step(input)

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            seen.add((case.operation.path, response.status_code))
            case.validate_response(response, excluded_checks=[positive_data_acceptance])

    run_state_machine_as_test(
        Callers,
        settings=settings(
            max_examples=max(6, EXAMPLES // 5),
            stateful_step_count=STEPS,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
    assert ("/v1/search", 200) in seen
    assert {path for path, _ in seen} == {"/v1/search", "/v1/window", "/v1/feedback"}
    assert followed == {"/v1/window", "/v1/feedback"}
