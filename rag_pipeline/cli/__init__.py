"""The command line: `rag-pipeline`, or `python -m rag_pipeline.cli`.

Belongs here: arguments, exit codes, and showing what the other packages return; one module per group of commands.
Does not belong here: any work of its own. Commands import what they need when they run, so that `--help` is instant
and a search never waits for an orchestrator.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `rag-pipeline` script."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that cannot show a character shows a question mark; it must not end the command.
            reconfigure(errors="replace")
    from rag_pipeline.cli.app import cli

    cli(prog_name=_program_name())


def _program_name() -> str:
    return "rag-pipeline" if not sys.argv[0].endswith("__main__.py") else "python -m rag_pipeline.cli"
