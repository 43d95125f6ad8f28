"""The Ray cluster: reached, or started on this machine for one run.

Belongs here: connecting and parting, which nodes there are, whether it still answers.
Does not belong here: workers (`ray_crew.py`).
"""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rag_pipeline.errors import EngineUnavailable, ExtraMissing, SettingsError

# Enough for what is on its way between workers and the run; what is more waits on the disk.
_STORE_BYTES = 256 * 2**20
# Ray's sockets lie below its folder, and the name of a socket may have about a hundred bytes.
_LONGEST_FOLDER = 40
_PREFIX = "rp-ray-"
# A cluster on the same network answers within milliseconds.
_PROBE_SECONDS = 5.0
# Ray would end this process, the run with it, after a minute without its head node.
_PATIENCE_VARIABLE = "RAY_gcs_rpc_server_reconnect_timeout_s"
_PATIENCE_SECONDS = "86400"
_TOKEN = "RAY_AUTH_TOKEN"
_TOKEN_PLACES = {_TOKEN, "RAY_AUTH_TOKEN_PATH"}


class RayCluster:
    """A connection to Ray. Close it.

    Args:
        address: `auto` or `host:port` of a cluster that this machine is a node of, or `local` for one that is started
            here and ended with the connection.
        timeout_seconds: What it may take to answer.

    Raises:
        ExtraMissing: Ray is not installed.
        EngineUnavailable: There is no such cluster, or it does not answer.
    """

    def __init__(self, address: str, timeout_seconds: float) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ExtraMissing("engine: ray needs a package that is not installed: pip install 'rag-pipeline[ray]'")
        import ray

        self._folder: Path | None = None
        self._held = -1
        self._is_ours = not ray.is_initialized()
        if self._is_ours and address == "local":
            self._start()
        elif self._is_ours:
            self._join(address, timeout_seconds)
        host, _, port = str(ray.get_runtime_context().gcs_address).rpartition(":")
        self._place = host, int(port)

    def close(self) -> None:
        """Part from the cluster; one that was started here ends."""
        import ray

        if self._is_ours:
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._held)
            self._folder = None

    def nodes(self) -> list[dict[str, Any]]:
        """Nodes that are alive, as Ray describes them, in the order of their ids."""
        import ray

        known: list[dict[str, Any]] = ray.nodes()
        return sorted((node for node in known if node["Alive"]), key=lambda node: str(node["NodeID"]))

    def others(self) -> list[str]:
        """Names of the nodes on other machines than this one that have processors to work with."""
        here = socket.gethostname()
        working = (node for node in self.nodes() if node["Resources"].get("CPU"))
        return sorted({str(node["NodeManagerHostname"]) for node in working} - {here})

    def is_there(self) -> bool:
        """Whether the cluster's head node takes connections."""
        return _listens(*self._place)

    def _start(self) -> None:
        folder = tempfile.gettempdir()
        self._folder, self._held = own_folder(Path(folder if len(folder) <= _LONGEST_FOLDER else "/tmp"))
        # Whoever knows the token may run anything here. In a variable it ends with this process; Ray would write it
        # into the home folder.
        token = {} if _TOKEN_PLACES & set(os.environ) else {_TOKEN: secrets.token_hex(32)}
        try:
            with _variables({**_QUIET, **token}), own_signals():
                _init(
                    address="local",
                    include_dashboard=False,
                    object_store_memory=_STORE_BYTES,
                    _temp_dir=str(self._folder),
                )
        except BaseException as error:
            self.close()
            # On a busy machine it gives up by a plain Exception.
            if isinstance(error, Exception | SystemExit):
                raise EngineUnavailable(f"Ray could not be started on this machine: {error}") from error
            raise

    def _join(self, address: str, timeout_seconds: float) -> None:
        asked = [] if address == "auto" else ["--address", address]
        command = [sys.executable, "-W", "ignore", "-m", "ray.scripts.scripts", "health-check", *asked]
        host, _, port = address.rpartition(":")
        answer = None
        # Ray would try for minutes, and then end this process, so a process of its own asks first; where nothing
        # listens, not even that.
        if address == "auto" or _listens(host, int(port)):
            with suppress(subprocess.TimeoutExpired):
                answer = subprocess.run(command, capture_output=True, timeout=timeout_seconds, check=False)
        if answer is None or answer.returncode:
            raise EngineUnavailable(
                f"The Ray cluster at engine.address {address!r} does not answer. Documents wait; what was deleted or "
                f"closed leaves readers all the same. Start it (`ray start`) or set `engine: {{kind: local}}`, and run "
                f"again.",
                address=address,
            )
        try:
            with _variables(_QUIET), own_signals():
                _init(address=address)
        except (Exception, SystemExit) as error:
            raise EngineUnavailable(
                f"This machine could not join the Ray cluster at engine.address {address!r}: {error}. It has to be a "
                f"node of it (`ray start --address=…`), with the cluster's token if it has one.",
                address=address,
            ) from error


def own_folder(parent: Path) -> tuple[Path, int]:
    """A new folder for Ray, locked as long as the descriptor is open; those of runs that were killed are removed."""
    for left in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_unheld(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_EX)
    return folder, held


def _remove_unheld(folder: Path) -> None:
    # Nothing is followed in a folder that others may write to, and only what is ours is touched.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # An empty one is about to be locked by who made it.
        if os.fstat(descriptor).st_uid == os.getuid() and any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def refuse_folder_beyond(cluster: RayCluster, lake_root: str) -> None:
    """Refuse a lake in a folder where workers on other machines would have to read it.

    Raises:
        SettingsError: It is one.
    """
    others = [] if "://" in lake_root else cluster.others()
    if others:
        raise SettingsError(
            f"engine: the lake is a folder of this machine, and the Ray cluster has workers on others "
            f"({', '.join(others[:3])}), which read documents from the lake. Put the lake into an object store, or "
            f"give the others no processors (`ray start --num-cpus 0`).",
            lake=lake_root,
        )


# What Ray tells its makers, and a warning of a default that does not concern us.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    _PATIENCE_VARIABLE: _PATIENCE_SECONDS,
}


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), _PROBE_SECONDS):
            return True
    except OSError:
        return False


def _init(**options: Any) -> None:
    import ray

    # It starts its processes by fork and exec, and says where tokens and handlers of signals are as it wishes them.
    warnings.filterwarnings("ignore", "lancedb fork support is experimental", RuntimeWarning)
    if (log := logging.getLogger("ray")).level == logging.NOTSET:
        log.setLevel(logging.ERROR)
    ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    """Environment variables that Ray reads as it begins; what is set already stays."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            # The token is read again with each connection, so it stays as long as the process.
            if name != _TOKEN:
                os.environ.pop(name, None)


@contextmanager
def own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, which the command line has a use for."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if is_main else None
    try:
        yield
    except SystemExit as left:
        if before is None or left.code != signal.SIGTERM:
            raise
        # It was no failure to start: whoever asked this process to end is heard.
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
