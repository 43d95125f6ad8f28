"""`rag-pipeline plan`: what the next run would do, and whom it would open what to.

Belongs here: arguments, how a plan looks, and the exit code.
Does not belong here: planning (`refresh/plan.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click
from rich.text import Text

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import common_options, open_pipeline
from rag_pipeline.cli.progress import showing_progress
from rag_pipeline.cli.rendering import clean, counted, duration, emit, facts, one_line, show, table, talk
from rag_pipeline.cli.run import check_names
from rag_pipeline.cli.stopping import Stopped, stoppable
from rag_pipeline.contracts.sources import PUBLIC

if TYPE_CHECKING:
    from rag_pipeline.refresh.plan import Plan
    from rag_pipeline.transforms.readers import ReaderChange

# A screenful; all of them are in the JSON.
SHOWN_CHANGES = 20
UNKNOWN = "unknown"


@click.command()
@click.option("--allow-public", is_flag=True, help="Exit with 0 although something opens to everybody.")
@click.option(
    "--allow-mass-deletion",
    "allowed",
    multiple=True,
    metavar="SOURCE",
    help="Plan as if the run let this source lose more documents than its deletion guard allows.",
)
@click.option("--model", "alias", metavar="ALIAS", help="Plan to build the index of this embedding model as well.")
@common_options
def plan(allow_public: bool, allowed: tuple[str, ...], alias: str | None, as_json: bool) -> None:
    """Show what the next run would do, with pipeline.yaml as it stands; the lake is left as it is.

    Sources are listed, and what changed in them is read, parsed and cut, so that the figures are those of the run;
    nothing is embedded. Exit code 1: the run would open something to everybody: a document that readers have, or the
    first one of a source. --allow-public says that it is meant.

    Example: rag-pipeline plan
    """
    from rag_pipeline.refresh.plan import plan_run
    from rag_pipeline.refresh.progress import CURRENT

    pipeline = open_pipeline()
    check_names(pipeline, allowed, alias)
    # In this thread, so that a signal takes away what was parsed, too.
    with stoppable(), showing_progress() as progress:
        token = CURRENT.set(progress)
        try:
            planned = plan_run(pipeline, alias=alias, allow_mass_deletion=allowed)
        except Stopped as stopped:
            talk(f"Stopped by {stopped.name}; the lake is as it was.", style="yellow")
            click.get_current_context().exit(stopped.exit_code)
        finally:
            CURRENT.reset(token)
    if as_json:
        emit(planned)
    else:
        _show(planned)
    if planned.opens_to_public and not allow_public:
        count = counted(len(planned.opens_to_public), "document")
        talk(f"{count} would be opened to everybody. If that is meant: rag-pipeline plan --allow-public", style="red")
        click.get_current_context().exit(FOUND)


def _show(planned: Plan) -> None:
    columns = ["Source", "Listed", "New", "Changed", "Moved", "Metadata", "Gone", "Held", "Unreadable", "Bytes"]
    rows = [
        [s.source, s.listed, s.added, s.modified, s.moved, s.metadata_changed, s.deleted, s.held, s.problems, size]
        for s in planned.sources
        for size in [s.bytes_read]
    ]
    show(table("Sources", [columns[0], *((name, "right") for name in columns[1:])], rows), "")
    for source in planned.sources:
        if source.unavailable_because:
            talk(f"Source {source.source} does not answer: {source.unavailable_because}", style="yellow")
    show(facts(_figures(planned), title="What the run would do"), "")
    models = [
        [m.alias, m.texts, m.tokens, m.rows_added, m.rows_changed, m.rows_removed, _money(m.price)]
        for m in planned.models
    ]
    names = ["To embed", "Tokens", "Rows added", "Rows changed", "Rows removed", "Price"]
    show(table("Embedding models", ["Alias", *((name, "right") for name in names)], models), "")
    if planned.enrichments:
        read = [[e.name, e.kind, e.texts, e.tokens, _money(e.price)] for e in planned.enrichments]
        names = ["To read", "Tokens, about", "Price, about"]
        show(table("Enrichments", ["Name", "Kind", *((name, "right") for name in names)], read), "")
    for each in planned.enrichments:
        if each.problem:
            talk(f"Enrichment {each.name} cannot read: {each.problem}", style="yellow")
    _show_changes("Opens", planned.opens)
    _show_changes("Closes", planned.closes)
    for reason in (*planned.held_because, *planned.faults):
        talk(reason, style="red")
    if planned.is_held:
        talk("Readers were sent back to an older version by hand, and the run leaves them there.", style="yellow")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not known: no run has embedded with this model yet"
    return duration(timedelta(seconds=seconds))


def _figures(planned: Plan) -> list[tuple[str, object]]:
    refused = counted(planned.quarantined, "document")
    pages = f"; {counted(planned.pages_read, 'page')} read by recognition" if planned.pages_read else ""
    return [
        ("Parse", counted(planned.parsed, "document") + pages),
        ("New metadata", counted(planned.documents_metadata_changed, "document")),
        ("Remove", counted(planned.documents_removed, "document")),
        ("Quarantine", f"{refused} afterwards, {planned.documents_held:,} kept as they were by the deletion guard"),
        ("Cut", f"{counted(planned.documents_cut, 'document')}; {counted(planned.chunks, 'chunk')} afterwards"),
        ("Taken from readers", f"{planned.rows_revoked:,} rows removed, {planned.rows_narrowed:,} narrowed"),
        ("Takes about", _duration(planned.seconds)),
        ("Price", _money(planned.price)),
        ("Storage", f"{planned.storage_bytes:,} bytes"),
    ]


def _money(price: float | None) -> str:
    return UNKNOWN if price is None else f"{price:,.4f}".rstrip("0").rstrip(".")


def _show_changes(title: str, changes: Sequence[ReaderChange]) -> None:
    if not changes:
        return
    rows = [
        [each.source, Text(one_line(each.uri)), _principal(each.principal), each.is_new]
        for each in changes[:SHOWN_CHANGES]
    ]
    whole = "Whole" if title == "Closes" else "New"
    show(table(f"{title}: {counted(len(changes), 'permission')}", ["Source", "Document", "Reader", whole], rows))
    if len(changes) > SHOWN_CHANGES:
        talk(f"and {len(changes) - SHOWN_CHANGES:,} more; all of them: rag-pipeline plan --json")
    show("")


def _principal(name: str) -> Text:
    # As it is written everywhere else: whoever copies it into pipeline.yaml means everybody.
    return Text(name, style="bold red") if name == PUBLIC else Text(clean(name))
