"""The application: routes, layers and one service, from a pipeline.yaml.

Belongs here: putting the parts together, and what is opened and closed with the server.
Does not belong here: the parts; running a server (`server.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from rag_pipeline import __version__
from rag_pipeline.serving import page
from rag_pipeline.serving.agents import Agents
from rag_pipeline.serving.answers import Writing
from rag_pipeline.serving.api import PROBLEM_SCHEMA, Api
from rag_pipeline.serving.context import current_caller
from rag_pipeline.serving.identity import Identity
from rag_pipeline.serving.limits import RequestRate, Turnstile
from rag_pipeline.serving.metrics import Metrics
from rag_pipeline.serving.middleware import Gate, Identified, Net, Sized
from rag_pipeline.serving.problems import problem
from rag_pipeline.serving.service import Service
from rag_pipeline.settings import Pipeline, load_pipeline
from rag_pipeline.settings.serving import ServingSettings
from rag_pipeline.telemetry import logs
from rag_pipeline.telemetry.tracing import tracing

_CODES = {401: "unidentified", 403: "forbidden", 404: "not_there", 405: "method_not_allowed"}
# So many faults of a request are told at once.
_MOST_FAULTS = 5


def build_app(pipeline: Pipeline) -> FastAPI:
    """The application on what a pipeline publishes.

    Raises:
        SettingsError: A secret that the settings name is not set.
    """
    settings = pipeline.settings.serving
    service, metrics = Service(pipeline), Metrics()
    api = Api(service, metrics)
    agents = Agents(service, api.answered, api.written, current_caller)
    agent_routes = agents.routes(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        api.turnstile = Turnstile(settings.searches_at_once, settings.searches_waiting)
        api.writing = Writing(settings.answers_at_once, metrics)
        try:
            with tracing(pipeline.settings.telemetry):
                async with agents.server.session_manager.run():
                    yield
        finally:
            service.close()

    app = FastAPI(
        title="rag-pipeline",
        version=__version__,
        description="Search what the pipeline publishes; each caller gets what they may read.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # It would send a question on to an address made of the Host header, without the TLS of a proxy before it.
        redirect_slashes=False,
    )
    app.include_router(api.router())
    app.include_router(api.watching())
    app.include_router(page.router())
    app.router.routes.extend(agent_routes)
    app.add_exception_handler(RequestValidationError, _not_as_described)
    app.add_exception_handler(HTTPException, _refused)
    # The last one is the outermost.
    app.add_middleware(Gate, identity=Identity(pipeline), rate=RequestRate(settings.requests_per_minute))
    app.add_middleware(Sized, max_bytes=settings.max_body_bytes)
    app.add_middleware(Net)
    app.add_middleware(Identified, metrics=metrics)
    app.openapi_schema = _described(app, settings)
    return app


def app_of_environment() -> FastAPI:
    """The application of the pipeline.yaml that the environment names; each of several processes makes its own."""
    pipeline = load_pipeline(None)
    # Before the SDK of agents, which would set up a slower log of its own where there is none.
    logs.set_up(pipeline.settings.logging.format)
    return build_app(pipeline)


def _described(app: FastAPI, settings: ServingSettings) -> dict[str, Any]:
    """What OpenAPI says: problems are of the kind that is really sent, and bounds those of this server."""
    schema = app.openapi()
    schemas = schema["components"]["schemas"]
    schemas["Problem"] = PROBLEM_SCHEMA
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for name in ("SearchQuestion", "ExplainQuestion"):
        schemas[name]["properties"]["k"]["maximum"] = settings.max_hits
    schemas["WindowQuestion"]["properties"]["max_tokens"]["maximum"] = settings.max_window_tokens
    return schema


async def _not_as_described(request: Request, error: Exception) -> Response:
    """What is wrong with a request, without what stands in it."""
    faults = error.errors()[:_MOST_FAULTS] if isinstance(error, RequestValidationError) else []
    said = "; ".join(f"{'.'.join(map(str, fault['loc']))[:200]}: {fault['msg'][:200]}" for fault in faults)
    if any(fault["loc"] == ("body",) for fault in faults) and "json" not in request.headers.get("content-type", ""):
        said += "; send JSON, with the header 'Content-Type: application/json'"
    return problem(422, "bad_request", f"the request is not as described: {said}", request.state.request_id)


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 400:
        # What FastAPI says of a body whose bytes are no text; the API has one status for what is not as described.
        return problem(422, "bad_request", "the request's body cannot be read as JSON", request.state.request_id)
    headers = error.headers if isinstance(error, HTTPException) else None
    detail = "there is nothing here; /openapi.json says what there is" if status in (404, 405) else "not possible"
    return problem(status, _CODES.get(status, "bad_request"), detail, request.state.request_id, headers)
