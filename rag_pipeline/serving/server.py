"""Running the server: uvicorn with what is safe to leave on.

Belongs here: how the server listens, logs and stops; one process or several.
Does not belong here: the application (`app.py`), the command (`cli/serve.py`).
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import uvicorn

from rag_pipeline.errors import ServerStopped
from rag_pipeline.serving.metrics import SHARED_FOLDER
from rag_pipeline.settings import Pipeline
from rag_pipeline.settings.load import CONFIG_VARIABLE

# A connection that is not used is kept longer than clients and proxies keep theirs (5 to 60 seconds is usual). One that
# the server closes first may be closed while the next request is under way: the proxy then answers 502.
KEEP_ALIVE_SECONDS = 75


def options_of(pipeline: Pipeline) -> dict[str, Any]:
    """Options of uvicorn.

    The address of a caller is that of the connection: uvicorn would otherwise take it from headers that any caller can
    write. Its own log of requests would hold their addresses whole; ours is in `middleware.py`. Without a bound on
    stopping, one open connection would keep the server for ever.
    """
    settings = pipeline.settings.serving
    return {
        "host": settings.host,
        "port": settings.port,
        "proxy_headers": False,
        "server_header": False,
        "access_log": False,
        "log_config": None,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": settings.stop_seconds,
    }


def serve(pipeline: Pipeline) -> None:
    """Serve until a signal stops it.

    Raises:
        SettingsError: A secret that the settings name is not set.
        ServerStopped: It could not listen, or its workers did not start.
    """
    try:
        _run(pipeline)
    except SystemExit as end:
        if end.code:
            raise _stopped(pipeline) from end


def _run(pipeline: Pipeline) -> None:
    workers = pipeline.settings.serving.workers
    if workers == 1:
        from rag_pipeline.serving.app import build_app

        uvicorn.Server(uvicorn.Config(build_app(pipeline), **options_of(pipeline))).run()
        return
    with tempfile.TemporaryDirectory(prefix="rag-pipeline-metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder
        os.environ[CONFIG_VARIABLE] = str(pipeline.path)
        application = "rag_pipeline.serving.app:app_of_environment"
        uvicorn.run(application, factory=True, workers=workers, **options_of(pipeline))


def _stopped(pipeline: Pipeline) -> ServerStopped:
    settings = pipeline.settings.serving
    return ServerStopped(
        f"the server at {settings.host} port {settings.port} did not start or ended with an error; the log says why. "
        f"Another port is tried with: rag-pipeline serve --port 0"
    )
