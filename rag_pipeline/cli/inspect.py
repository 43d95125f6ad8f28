"""`rag-pipeline status`, `verify` and `trace`: looking at the lake.

Belongs here: how the state of the lake, broken promises and the way of one chunk look.
Does not belong here: finding them out (`refresh/status.py`, `refresh/verify.py`, `refresh/trace.py`).
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from rag_pipeline.cli.exit_codes import FOUND
from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.rendering import (
    age,
    clean,
    counted,
    duration,
    emit,
    facts,
    moment,
    one_line,
    show,
    shown,
    table,
    talk,
)
from rag_pipeline.contracts.polls import POLLS_FILE

if TYPE_CHECKING:
    from rag_pipeline.refresh.delivered import DeliveredStatus
    from rag_pipeline.refresh.status import SourceStatus, Status
    from rag_pipeline.refresh.trace import Trace

# A screenful; the whole history is in the JSON.
REVISIONS_SHOWN = 10


@click.command()
@common_options
def status(as_json: bool) -> None:
    """Show every layer, what waits, what is published, and the last runs.

    Exit code 1: files of a table are gone or cut short, what is published cannot be searched, or a source is overdue:
    it was not polled with success for longer than its stale_after, or its changes are later than its searchable_within;
    a chat model may cost no more today, or the stream of hints does not answer.

    Example: rag-pipeline status
    """
    from rag_pipeline.refresh.status import read_status

    with open_workspace() as workspace:
        found = read_status(workspace)
    if as_json:
        emit(found)
    else:
        _show_status(found)
    is_late = any(source.is_overdue or source.late for source in found.sources)
    if found.damaged or found.published_problem or is_late or any(each.problem for each in found.outside):
        click.get_current_context().exit(FOUND)


def _show_status(found: Status) -> None:
    show(_lake(found), "")
    if found.writer:
        talk(f"{found.writer} is writing; if it was killed, the next run takes over once its lease has expired")
    if found.held_because:
        talk(found.held_because, style="red")
    if found.damaged:
        rows = [[damaged.table, damaged.reason, damaged.next_step] for damaged in found.damaged]
        show(table("Damaged", ["Table", "What", "Next step"], rows), "")
    _show_sources(found)
    for each in found.outside:
        if each.problem:
            talk(f"{'Budget' if each.kind == 'budget' else 'Hints'}: {each.problem}", style="red")
    for sink in found.undelivered:
        said = f": {sink.error}" if sink.error else ""
        since = f" since {moment(sink.since)} UTC" if sink.since else ""
        given_up = f", {counted(sink.dropped, 'older one')} given up" if sink.dropped else ""
        talk(f"Alerts: {counted(sink.waiting, 'message')} to {sink.sink} wait{since}{given_up}{said}", style="yellow")
    tables = [[t.table, t.rows, t.version, age(t.changed_at)] for t in found.tables if t.version >= 0]
    if tables:
        show(table("Tables", ["Table", ("Rows", "right"), ("Version", "right"), "Changed"], tables), "")
    if found.quarantine:
        show(table("Quarantine", ["Reason", ("Documents", "right")], found.quarantine.items()), "")
    runs = [
        [moment(r.started_at), duration(r.ended_at - r.started_at), r.commits, _layers(r.tables), r.run_id]
        for r in found.last_runs
    ]
    if runs:
        columns = ["Started (UTC)", ("Took", "right"), ("Table commits", "right"), "Tables", "Run id"]
        show(table("Last runs that changed something", columns, runs))  # type: ignore[arg-type]


def _show_sources(found: Status) -> None:
    columns = ["Source", ("Objects", "right"), ("Waiting", "right"), ("Quarantined", "right")]
    rows = [
        [*(s.source, s.live, s.waiting, s.quarantined), *map(age, (s.newest_modified_at, s.last_change_at)), *_times(s)]
        for s in found.sources
    ]
    show(table("Sources", [*columns, "Newest", "Changed", "Polled", ("Lag", "right")], rows), "")  # type: ignore[list-item]
    for source in found.sources:
        if source.is_overdue:
            since = f"since {moment(source.overdue_at)} UTC" if source.overdue_at else "and no success is known"
            said = f": the last attempt failed: {source.poll_error}" if source.poll_error else "; run: rag-pipeline run"
            talk(f"Source {source.source} is overdue {since}{said}", style="red")
        elif source.poll_error:
            talk(f"Source {source.source} did not answer when last polled: {source.poll_error}", style="yellow")
    for source in found.sources:
        if source.late is not None:
            allowed = duration(timedelta(seconds=source.late.limit_seconds))
            took = duration(timedelta(seconds=source.late.seconds))
            what = (
                f"{counted(source.late.waiting, 'change')} not searchable"
                if source.late.waiting
                else "last changes took"
            )
            talk(f"Source {source.source} is late: {what} for {took}, {allowed} allowed", style="red")
        if source.erased:
            was = "is" if source.erased == 1 else "are"
            talk(f"Source {source.source} still lists {counted(source.erased, 'object')} that {was} left out as erased")
    if found.polls_problem and any(t.version >= 0 for t in found.tables):
        talk(
            f"When the sources were last polled is not known of each: {POLLS_FILE} in the lake: {found.polls_problem}. "
            "The next run writes it anew: rag-pipeline run",
            style="yellow",
        )


def _polled(source: SourceStatus) -> Text:
    if source.is_overdue is None:
        return Text("unknown", style="yellow")
    return Text(age(source.polled_at), style="red" if source.is_overdue else "")


def _times(source: SourceStatus) -> tuple[Text, Text]:
    return _polled(source), _lag(source)


def _lag(source: SourceStatus) -> Text:
    """What 95 % of the last changes took at most until they were searchable."""
    if source.lag is None or not source.lag.documents:
        return Text("")
    style = "red" if source.late is not None else ""
    return Text(duration(timedelta(seconds=source.lag.p95_seconds)), style=style)


def _layers(tables: list[str]) -> str:
    counts = Counter(name.partition("/")[0] for name in tables)
    return ", ".join(f"{counts[layer]} {layer}" for layer in ("bronze", "silver", "gold") if counts[layer])


def _lake(found: Status) -> Any:
    published = found.published
    pairs: list[tuple[str, Any]] = [("Lake", found.lake)]
    if published is None:
        pairs.append(("Published", Text("nothing yet; run: rag-pipeline run", style="yellow")))
        return facts(pairs)
    pairs += [
        (
            "Published",
            f"{published['alias']}: {counted(published['rows'], 'chunk')} of "
            f"{counted(published['documents'], 'document')}, {moment(published['published_at'])} UTC "
            f"({age(published['published_at'])})",
        ),
        (
            "Index",
            f"{published['table_name']} version {published['table_version']}, embedding space "
            f"{published['space_fingerprint']}",
        ),
        (
            "Readers see",
            _what_readers_see(found),
        ),
    ]
    if found.delivered is not None:
        pairs.append(("PostgreSQL", _what_is_delivered(found.delivered)))
    return facts(pairs)


def _what_is_delivered(delivered: DeliveredStatus) -> Text:
    searched = "; searches read there" if delivered.serves_searches else ""
    if delivered.problem:
        return Text(f"{clean(delivered.problem)}{searched}", style="red")
    said = f"publication {delivered.sequence}, {counted(delivered.rows, 'chunk')}, {age(delivered.delivered_at)}"
    if delivered.is_behind:
        return Text(f"{said}, which is not what is published; run: rag-pipeline run{searched}", style="yellow")
    return Text(f"{said}{searched}", style="green")


def _what_readers_see(found: Status) -> Text:
    if found.published_problem:
        return Text(f"nothing: {clean(found.published_problem)}", style="red")
    if found.is_held:
        alias = found.published["alias"] if found.published else "ALIAS"
        return Text(
            f"an older version, held by a rollback; release: rag-pipeline models publish {alias}", style="yellow"
        )
    if found.is_behind:
        return Text("an earlier state; run: rag-pipeline run", style="yellow")
    return Text("everything that bronze holds", style="green")


@click.command()
@common_options
def verify(as_json: bool) -> None:
    """Hold the tables against the promises; exit code 1 names every ghost, gap, mismatch and damaged table.

    Example: rag-pipeline verify
    """
    from rag_pipeline.refresh.verify import verify as compare

    with open_workspace() as workspace:
        report = compare(workspace)
    if as_json:
        emit(report)
    else:
        show(facts([("Ghosts", report.ghosts), ("Missing", report.missing), ("Mismatched", report.mismatched)]))
        if report.findings:
            columns = ["Finding", ("Count", "right"), "First", "Next step"]
            names = ("code", "count", "sample", "next_step")
            rows = [[finding.get(name) for name in names] for finding in report.findings]
            show("", table("", columns, rows))  # type: ignore[arg-type]
        checked = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in report.checked.items())
        talk(
            f"Compared {checked}, {counted(report.documents, 'document')}, {counted(report.chunks, 'chunk')}: "
            f"{counted(len(report.findings), 'finding') if report.findings else 'every promise holds'}."
        )
    if report.findings:
        click.get_current_context().exit(FOUND)


@click.command()
@click.argument("chunk_id")
@common_options
def trace(chunk_id: str, as_json: bool) -> None:
    """Follow a chunk back to the bytes of its source: every row, hash, version and run on the way.

    Exit code 1: no layer knows the chunk, or a hash on the way does not hold.

    Example: rag-pipeline trace 0123456789abcdef0123456789abcdef
    """
    from rag_pipeline.refresh.trace import trace_chunk

    with open_workspace() as workspace:
        found = trace_chunk(workspace, chunk_id)
    if found is None:
        talk(
            f"No chunk {chunk_id} in the published index or in silver, or more than one that begins so. It may be of "
            f"an earlier state; search again for current ids."
        )
        click.get_current_context().exit(FOUND)
    if as_json:
        emit(found)
    else:
        _show_trace(found)
    if not found.is_sound:
        click.get_current_context().exit(FOUND)


_INDEX = ("alias", "space_fingerprint", "table_name", "table_version", "published_at", "run_id", "allowed_principals")
_CHUNK = ("text", "section_path", "context", "page", "line", "start_char", "end_char", "token_count")
_CHUNK_RECIPE = ("text_hash", "chunk_hash", "content_hash", "chunker_fingerprint")
_EMBEDDING = ("space_fingerprint", "dimension", "batch", "embedded_at", "run_id")
_DOCUMENT = (
    "document_id",
    "source",
    "uri",
    "title",
    "author",
    "media_type",
    "language",
    "text_chars",
    "content_hash",
    "enriched",
)
_DOCUMENT_RECIPE = ("input_key", "recipe_fingerprint", "allowed_principals", "source_modified_at")
_QUARANTINE = ("stage", "reason_code", "detail", "attempts", "last_seen_at", "next_attempt_at")


def _show_trace(found: Trace) -> None:
    _show_row("Published index", found.index, _INDEX, "not in the published index")
    _show_row("Embedding", found.embedding, _EMBEDDING, "no vector in the published space")
    _show_row("silver/chunks", found.chunk, (*_CHUNK, *_CHUNK_RECIPE), "no longer in silver: it goes with the next run")
    _show_row("silver/documents", found.document, (*_DOCUMENT, *_DOCUMENT_RECIPE), "no longer in silver")
    if found.duplicates:
        show(table("Stands for equal documents", ["Source", "Location"], _pairs(found.duplicates, "source", "uri")), "")
    if found.quarantine is not None:
        _show_row("silver/quarantine", found.quarantine, _QUARANTINE, "")
    if found.revisions:
        columns = [("Revision", "right"), "Change", "Observed (UTC)", "Bytes", "Run", "Address"]
        rows = [_revision_cells(row) for row in found.revisions[-REVISIONS_SHOWN:]]
        title = f"bronze/{found.revisions[0]['source']}"
        if len(found.revisions) > REVISIONS_SHOWN:
            title += f", the last {REVISIONS_SHOWN} of {len(found.revisions)} revisions"
        show(table(title, columns, rows), "")  # type: ignore[arg-type]
    _show_row("Source bytes", found.content, ("bytes_hash", "size_bytes", "first_line"), "no bytes are stored")
    marks = (
        Text.assemble(("✓ ", "green") if holds else ("✗ ", "bold red"), name.replace("_", " "))
        for name, holds in found.checks.items()
    )
    show(Text("On the way", style="bold"), *marks)


def _revision_cells(row: dict[str, Any]) -> list[Any]:
    content = row["bytes_hash"] or row["problem_code"]
    return [
        row["revision"],
        row["change"],
        row["observed_at"],
        shown(content)[:12],
        row["run_id"][:8],
        one_line(row["address"]),
    ]


def _pairs(rows: list[dict[str, Any]], *names: str) -> list[list[Any]]:
    return [[one_line(row[name]) for name in names] for row in rows]


def _show_row(title: str, row: dict[str, Any] | None, names: tuple[str, ...], missing: str) -> None:
    if row is None:
        show(Text(title, style="bold"), Text(f" {missing}", style="yellow"), "")
        return
    show(facts([(name.replace("_", " "), _one_line(row.get(name))) for name in names], title=title), "")


def _one_line(value: Any) -> Any:
    if isinstance(value, str):
        flat = " ".join(clean(value).split())
        return flat if len(flat) <= 300 else f"{flat[:300]} …"
    return value
