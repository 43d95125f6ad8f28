"""The command line: `rag-pipeline`, or `python -m rag_pipeline.cli`.

Belongs here: arguments, exit codes, and showing what the other packages return; one module per group of commands.
Does not belong here: any work of its own. Commands import what they need when they run, so that `--help` is instant
and a search never waits for an orchestrator.
"""

from __future__ import annotations

import atexit
import os
import sys


def main() -> None:
    """Entry point of the `rag-pipeline` script; ends the process."""
    from rag_pipeline.cli import collecting
    from rag_pipeline.defs import put_off
    from rag_pipeline.stores import light_lancedb

    collecting.start()
    light_lancedb.keep_rest_client_out()
    light_lancedb.keep_override_checks_out()
    put_off.put_off_imports((*put_off.SELDOM_USED, *light_lancedb.SELDOM_USED))
    _load_rich()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that cannot show a character shows a question mark; it must not end the command.
            reconfigure(errors="replace")
    from rag_pipeline.cli.app import cli

    try:
        cli(prog_name=_program_name())
    except SystemExit as end:
        _leave(end.code)


def _load_rich() -> None:
    """Rich loads attrs where it is installed, to print objects that were made by it, and we print none."""
    if "attr" not in sys.modules:
        sys.modules["attr"] = None  # type: ignore[assignment]
        try:
            import rich.pretty  # noqa: F401
        finally:
            del sys.modules["attr"]


def _leave(code: str | int | None) -> None:
    """End the process without taking the interpreter apart, which costs up to half a second and changes nothing.

    Everything a command wrote is committed by then; what is registered for the end (temporary folders, worker
    processes, logging) is run, and buffered text is written. Does nothing when buffered text cannot be written: the
    ordinary end then says why.
    """
    if isinstance(code, str):
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _program_name() -> str:
    return "rag-pipeline" if not sys.argv[0].endswith("__main__.py") else "python -m rag_pipeline.cli"
