"""How values look: JSON lines, tables, times, and text from documents that must not steer a terminal.

Belongs here: everything that commands share in printing.
Does not belong here: progress (`progress.py`), or what a single command shows.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rag_pipeline.shown import shown as as_shown
from rag_pipeline.shown import visible
from rag_pipeline.telemetry import logs

# Files and pipes have no width; tables stay readable in a log viewer.
WIDTH_OFF_TERMINAL = 120
NOTHING = "-"
# Columns of short values that are copied or compared as a whole.
_IDENTIFYING = {"Alias", "Document", "Reason", "Run", "Source", "Space", "Stage"}
WHOLE = _IDENTIFYING | {"Bytes", "Change", "Index", "Observed (UTC)", "Started (UTC)", "Took"}
SHORT_ID_CHARS = 12
# Seconds and name of each unit of time; months and years are the Gregorian calendar's mean.
_UNITS = ((31_556_952, "years"), (2_629_746, "months"), (86_400, "days"), (3_600, "h"), (60, "min"))
Justify = Literal["left", "right", "center"]


def console(*, stderr: bool = False) -> Console:
    """A console on the stream as it is now; plain text of a fixed width off a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH_OFF_TERMINAL
    return Console(stderr=stderr, highlight=False, width=width)


def talk(text: str, *, style: str = "") -> None:
    """Say something to the person, on standard error, without secrets and in a length that can be read."""
    if logs.is_json():
        logging.getLogger(__name__).info("%s", text)
        return
    output = console(stderr=True)
    # Off a terminal a paragraph is one line, so that it can be searched for.
    output.print(Text(clean(as_shown(text)), style=style), soft_wrap=not output.is_terminal)


def show(*renderables: RenderableType) -> None:
    """Print for a person, on standard output."""
    output = console()
    for renderable in renderables:
        output.print(renderable)


def emit(record: Any) -> None:
    """Print one JSON object on one line of standard output, always as UTF-8."""
    values = asdict(record) if is_dataclass(record) and not isinstance(record, type) else record
    line = json.dumps(jsonable(values), ensure_ascii=False, allow_nan=False)
    click.echo(line.encode("utf-8", "replace"))


def jsonable(value: Any) -> Any:
    """A value as JSON can hold it: times as ISO 8601, bytes as base64, numbers that JSON lacks as null."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


def clean(text: str) -> str:
    """Text that can be shown: no control characters but tabs and line ends."""
    return visible(text)


def one_line(text: str) -> str:
    """A name or a place that can be shown: an address with a line end in it begins no line of its own."""
    return clean(text).replace("\n", "·").replace("\t", " ")


def shown(value: Any) -> str:
    """One value of a table's cell."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or "(none)"
    return clean(str(value))


def moment(at: datetime) -> str:
    """A time for people, in UTC and to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" if at.tzinfo else f"{at:%Y-%m-%d %H:%M}"


def age(at: datetime | None) -> str:
    """How long ago a time was, in its largest unit."""
    if at is None:
        return NOTHING
    return f"{duration(datetime.now(UTC) - at)} ago"


def duration(length: timedelta) -> str:
    """A length of time in its largest unit."""
    seconds = max(0.0, length.total_seconds())
    for unit, name in _UNITS:
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 hit`, `3 hits`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def table(title: str, columns: Sequence[str | tuple[str, Justify]], rows: Iterable[Sequence[Any]]) -> Group:
    """A table under its title; cells are shown by `shown`, or as they are if they are rich texts.

    Args:
        columns: Names, with the side to which the column leans. Those named in `WHOLE` are never broken.
    """
    drawn = Table(box=SIMPLE_HEAD, show_edge=False)
    for column in columns:
        name, justify = (column, "left") if isinstance(column, str) else column
        drawn.add_column(
            name,
            justify=justify,  # type: ignore[arg-type]
            overflow="fold",
            no_wrap=name in WHOLE,
            header_style="dim",
        )
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row))
    return _titled(title, drawn)


def facts(pairs: Iterable[tuple[str, Any]], *, title: str = "") -> Group:
    """Names and values below each other, under a title."""
    drawn = Table(box=None, show_header=False)
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        drawn.add_row(name, value if isinstance(value, Text) else Text(shown(value)))
    return _titled(title, drawn)


def _titled(title: str, drawn: Table) -> Group:
    # Not the table's own title: that would be broken at the width of a narrow table.
    return Group(Text(title, style="bold"), drawn) if title else Group(drawn)


def verdict(holds: bool | None, yes: str = "yes", no: str = "no") -> Text:
    """A word that is green when all is well and red when not."""
    if holds is None:
        return Text(NOTHING)
    return Text(yes, style="green") if holds else Text(no, style="bold red")
