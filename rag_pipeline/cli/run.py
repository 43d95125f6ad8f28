"""`rag-pipeline run`: one refresh of everything, and what it changed.

Belongs here: arguments, progress, the closing table and the exit code.
Does not belong here: refreshing (`defs/launch.py` and below).
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.text import Text

from rag_pipeline.cli.alerts import Telling, telling
from rag_pipeline.cli.exit_codes import FOUND, PERMANENT, STOPPED
from rag_pipeline.cli.options import common_options, config_path, is_debugging, open_pipeline
from rag_pipeline.cli.progress import showing_progress
from rag_pipeline.cli.records import recorded_releases
from rag_pipeline.cli.rendering import counted, emit, facts, show, table, talk, verdict
from rag_pipeline.cli.shell import file_argument, search_command
from rag_pipeline.cli.stopping import Stopped, begun, in_a_thread, leave, stoppable
from rag_pipeline.errors import UsageError
from rag_pipeline.shown import without_secrets
from rag_pipeline.telemetry import logs

if TYPE_CHECKING:
    from rag_pipeline.defs.summary import RunSummary
    from rag_pipeline.settings import Pipeline

# Leaves some of the five seconds within which a stopped run must be gone.
STOPPING_SECONDS = 3.0
# Of these, so that Dagster's records have the rest.
LOOKING_SECONDS = 1.0
# Of several errors the one that asks for most of a person decides: being stopped, a permanent fault, then settings,
# then a finding to judge; "try again" only where nothing else is the matter.
SEVEREST_FIRST = (STOPPED, 3, 2, 1, 4)
UNEXPECTED = "unexpected"
WARNING = "WARN"
EVENTS = {
    "live": "Objects",
    "added": "Added",
    "modified": "Modified",
    "moved": "Moved",
    "metadata_changed": "Metadata",
    "deleted": "Deleted",
    "problems": "Unreadable",
}


@click.command()
@click.option(
    "--allow-mass-deletion",
    "allowed",
    multiple=True,
    metavar="SOURCE",
    help="Let this source lose more documents than its deletion guard allows, this once.",
)
@click.option("--model", "alias", metavar="ALIAS", help="Embedding model; else the one pipeline.yaml serves.")
@click.option("--hints", "hinted", is_flag=True, help="Poll only the sources that change hints name; none: do nothing.")
@common_options
def run(allowed: tuple[str, ...], alias: str | None, hinted: bool, as_json: bool) -> None:
    """Bring everything up to date with the sources, and publish it.

    Example: rag-pipeline run
    """
    pipeline = open_pipeline()
    check_names(pipeline, allowed, alias)
    if logs.log_format(pipeline.settings.logging.format) == "json":
        logs.set_up("json")
    only = _hinted_sources(pipeline) if hinted else []
    if hinted and not only:
        talk("No hint waits, so there is nothing to look at. Everything is looked at by: rag-pipeline run")
        return
    if not as_json:
        talk(
            f"Refreshing {counted(len(only or pipeline.settings.sources), 'source')} into "
            f"{without_secrets(pipeline.lake_root)}"
        )
    launch_id = uuid.uuid4().hex
    with stoppable():
        try:
            with recorded_releases(pipeline, allowed), telling(pipeline) as after:
                summary, example = _launched(pipeline, allowed, alias, launch_id, only, after)
        except Stopped as stopped:
            _end_stopped(pipeline, stopped, launch_id)
    if as_json:
        emit(summary)
    else:
        show_summary(summary)
        if summary.published is not None:
            _show_next_steps(pipeline, summary, example or _example(pipeline))
    click.get_current_context().exit(exit_code_of(summary))


def _launched(
    pipeline: Pipeline,
    allowed: tuple[str, ...],
    alias: str | None,
    launch_id: str,
    only: Sequence[str],
    after: Telling,
) -> tuple[RunSummary, Sequence[str] | None]:
    if not (allowed or only) and alias is None:
        # The orchestrator takes longer to import than to look, so less of it is imported for that.
        from rag_pipeline.defs.look import look_first

        looked = in_a_thread(lambda: look_first(pipeline, launch_id))
        if looked is not None:
            after.unchanged_since = looked.since.timestamp()
            return looked.summary, looked.example
    from rag_pipeline.defs.launch import launch_refresh

    with showing_progress() as progress:
        summary = in_a_thread(
            lambda: launch_refresh(
                pipeline,
                allow_mass_deletion=list(allowed),
                alias=alias,
                progress=progress,
                launch_id=launch_id,
                only=only,
            )
        )
    return summary, None


def _hinted_sources(pipeline: Pipeline) -> list[str]:
    """Sources that hints name now.

    Raises:
        UsageError: pipeline.yaml names no folder of hints, or it cannot be read.
    """
    from rag_pipeline.refresh.hints_taken import hint_folder, take_in

    hints = hint_folder(pipeline)
    if hints is None:
        raise UsageError("pipeline.yaml names no folder of hints; add to it: hints: {folder: hints}")
    try:
        problem = take_in(pipeline, hints)
    except OSError as error:
        raise UsageError(f"the folder of hints {hints.folder} cannot be used: {error.strerror}") from error
    if problem:
        talk(problem, style="yellow")
    return hints.waiting()


def _end_stopped(pipeline: Pipeline, stopped: Stopped, launch_id: str) -> NoReturn:
    """Set free what the run holds, say what stands, and end the process, whatever its threads are doing."""
    talk(f"Stopped by {stopped.name}.", style="yellow")
    stop_by = time.monotonic() + STOPPING_SECONDS
    stands = "What readers see was not changed by stopping"
    try:
        stands = begun(lambda: _what_stands(pipeline))(LOOKING_SECONDS)
    except Exception as error:
        talk(f"(What is published could not be looked up in time: {type(error).__name__}.)")
    talk(
        f"{stands}. What was committed so far is kept, nothing of it is done twice, and all locks are free: "
        f"`{program_name()} run` goes on from there.",
    )
    # Nothing was launched while the orchestrator was still being imported.
    if "rag_pipeline.defs.instance" in sys.modules:
        from rag_pipeline.defs.instance import cancel_launch

        try:
            # Last, since the run goes on until the process ends, and would take again what was set free.
            begun(lambda: cancel_launch(pipeline, launch_id))(stop_by - time.monotonic())
        except Exception as error:
            talk(f"(The next run ends this one in Dagster's records, which did not answer: {type(error).__name__}.)")
    from rag_pipeline.parallel.process import end_all_workers

    end_all_workers()
    leave(stopped.exit_code)


def _what_stands(pipeline: Pipeline) -> str:
    from rag_pipeline.refresh.workspace import Workspace

    with Workspace(pipeline, run_id="") as workspace:
        last = workspace.lake.last_publication()
    if last is None:
        return "Nothing has been published yet"
    return f"Readers see {last.alias} version {last.table_version}, {counted(last.rows, 'chunk')}"


def check_names(pipeline: Pipeline, allowed: tuple[str, ...], alias: str | None) -> None:
    """Whether there are sources and an embedding model of these names.

    Raises:
        UsageError, SettingsError: There are not.
    """
    unknown = [name for name in allowed if name not in pipeline.settings.sources]
    if unknown:
        known = ", ".join(sorted(pipeline.settings.sources))
        raise UsageError(f"there is no source {unknown[0]!r}; allowed: {known}", source=unknown[0])
    if alias is not None:
        pipeline.model_spec(alias)


def exit_code_of(summary: RunSummary) -> int:
    """0 if all is well or a check only warns; else that of the severest error, or 1 for a failed check."""
    codes = {int(error["exit_code"]) for error in summary.errors}
    if codes:
        return next((code for code in SEVEREST_FIRST if code in codes), PERMANENT)
    if any(check["severity"] != WARNING for check in summary.checks_failed):
        return FOUND
    return 0 if summary.success else PERMANENT


def show_summary(summary: RunSummary) -> None:
    """Print what a run did: sources, figures, failed checks, errors."""
    happened = [name for name in list(EVENTS)[1:] if any(source.get(name) for source in summary.sources)]
    if happened:
        columns = ["Source", *((EVENTS[name], "right") for name in ("live", *happened))]
        rows = [
            [source["source"], source["live"], *(source.get(name, 0) or "" for name in happened)]
            for source in summary.sources
        ]
        show("", table("Sources", columns, rows))  # type: ignore[arg-type]
    show(
        "",
        facts(
            [
                ("Documents", f"{summary.documents:,}" + _apart(summary)),
                ("Chunks", summary.chunks),
                ("Embeddings computed", summary.embeddings_computed),
                *([("Healed", ", ".join(summary.healed))] if summary.healed else []),
                ("Checks", _checks(summary)),
                ("Published", _published(summary)),
                ("Took", f"{summary.seconds:.1f} s, {counted(summary.commits, 'commit')}"),
            ],
            title=_headline(summary),
        ),
    )
    for check in summary.checks_failed:
        warns = check["severity"] == WARNING
        text = f"{'Warning' if warns else 'Check failed'}: {check['asset']} {check['check']}"
        detail = f": {check['description']}" if check["description"] else ""
        step = check.get("next_step", "")
        if step and step not in detail:
            detail = f"{detail.removesuffix('.')}. Next: {step}"
        talk(text + detail, style="yellow" if warns else "red")
    if len(summary.held) > 1:
        talk(summary.held_because, style="red")
    for error in summary.errors:
        talk(f"Error ({error['code']}) in {error['step']}: {_message(error)}", style="red")


def _checks(summary: RunSummary) -> Text:
    """How many checks there were; that most of them passed is nothing to read above what did not."""
    warned = sum(check["severity"] == WARNING for check in summary.checks_failed)
    failed = len(summary.checks_failed) - warned
    if not summary.checks_failed:
        return Text(f"{summary.checks_passed:,} passed", style="green")
    parts = [(f"{failed:,} failed", "bold red")] if failed else []
    parts += [(counted(warned, "warning"), "yellow")] if warned else []
    said = Text(", ").join(Text(text, style=style) for text, style in parts)
    return said.append(f" in {summary.checks_passed + len(summary.checks_failed):,} checks")


def _message(error: dict[str, Any]) -> str:
    """The message; of a fault nobody foresaw, its last cause without the stack, unless that is asked for."""
    message = str(error["message"])
    if error["code"] != UNEXPECTED or is_debugging(click.get_current_context()):
        return message
    cause = message.rpartition("following exception:\n")[2].strip().partition("\n")[0]
    return f"{cause} (this is a fault of the program; run again with --debug and report what it prints)"


def _apart(summary: RunSummary) -> str:
    parts = [counted(summary.duplicates, "duplicate")] if summary.duplicates else []
    parts += [f"{summary.quarantined:,} in quarantine"] if summary.quarantined else []
    return f" ({', '.join(parts)})" if parts else ""


def _headline(summary: RunSummary) -> str:
    if summary.errors or not summary.success:
        if summary.published is None or summary.published["is_held"]:
            return "The run did not succeed; readers keep what was last published, less what was revoked"
        return "Not everything succeeded, as said below; readers see all that could be brought up to date"
    if summary.commits == 0 and summary.embeddings_computed == 0:
        return "Nothing changed: everything was up to date, and nothing was computed"
    return "The run succeeded"


def _published(summary: RunSummary) -> Any:
    published = summary.published
    if published is None:
        return verdict(False, no="nothing by this run")
    what = f"{published['alias']} version {published['table_version']}, {counted(published['rows'], 'chunk')}"
    if published["is_held"]:
        return Text(f"{what} (held by a rollback; release: rag-pipeline models publish ALIAS)", style="yellow")
    return Text(f"{what} (new)", style="green") if published["moved"] else f"{what} (as before)"


def _example(pipeline: Pipeline) -> Sequence[str] | None:
    from rag_pipeline.refresh.status import example_search
    from rag_pipeline.refresh.workspace import Workspace

    with Workspace(pipeline, run_id="") as workspace:
        return example_search(workspace)


def _show_next_steps(pipeline: Pipeline, summary: RunSummary, example: Sequence[str] | None) -> None:
    program = program_name()
    if config_path() is not None:
        program = f"RAG_PIPELINE_CONFIG={shlex.quote(str(config_path()))} {program}"
    last = (
        "quarantine list"
        if summary.quarantined
        else 'sql "SELECT source, count(*) AS documents FROM silver.documents GROUP BY ALL"'
    )
    steps = ["status", last]
    if example is not None:
        steps.insert(0, search_command(*example))
    elif not summary.documents:
        # There is nothing to search yet; what the sources list says why.
        steps = ["config check", *(f"sources test {shlex.quote(name)}" for name in list(pipeline.settings.sources)[:1])]
    talk("\nTry next:")
    for command in steps:
        talk(f"  {program} {command}")


def program_name() -> str:
    """What to type to start this program again from here."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return "python -m rag_pipeline.cli"
    if shutil.which(started.name) is None and started.exists():
        return file_argument(os.path.relpath(started))
    return file_argument(started.name)
