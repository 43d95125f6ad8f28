"""Dates, times and durations of spreadsheet cells as their format shows them.

Belongs here: the date letters of format codes. Does not belong here: reading codes (`number_formats`).
Names of months and days are English, whatever the locale of the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

# Day 0 of the calendar of Excel, in which 1900 is a leap year; right for all days from March 1900 on.
EPOCH = datetime.combine(date(1899, 12, 30), time(0))
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a format code: a letter group, a place for a digit, a mark, or literal text."""

    kind: str
    text: str


def is_date_format(tokens: Sequence[Token]) -> bool:
    """Whether a section of a format shows a date, a time or a duration."""
    return any(token.kind in ("date", "elapsed") for token in tokens)


def shown_date(value: date | time | datetime | timedelta, tokens: Sequence[Token]) -> str:
    """The value by the tokens of a date format. An `m` beside hours or seconds is minutes."""
    moment, elapsed = _moment(value)
    has_half = any(token.kind == "ampm" for token in tokens)
    out: list[str] = []
    for index, token in enumerate(tokens):
        if token.kind == "date":
            out.append(_part(token.text, moment, has_half, is_minute=_is_minute(tokens, index)))
        elif token.kind == "elapsed":
            seconds = int(elapsed.total_seconds())
            unit = {"h": 3600, "m": 60, "s": 1}[token.text[0]]
            out.append(f"{seconds // unit:0{len(token.text)}d}")
        elif token.kind == "dots":
            digits = len(token.text) - 1
            out.append(f".{moment.microsecond:06d}"[: 1 + min(digits, 6)])
        elif token.kind == "ampm":
            half = "PM" if moment.hour >= 12 else "AM"
            out.append(half[: 1 if len(token.text) == 3 else 2])
        elif token.kind != "@":
            out.append(token.text)
    return "".join(out).strip()


def _moment(value: date | time | datetime | timedelta) -> tuple[datetime, timedelta]:
    if isinstance(value, timedelta):
        return EPOCH + value, value
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=None)
    elif isinstance(value, time):
        moment = datetime.combine(EPOCH.date(), value.replace(tzinfo=None))
    else:
        moment = datetime.combine(value, time(0))
    # A thousandth is what a serial number can tell; its binary fraction is often a microsecond short.
    moment = moment + timedelta(microseconds=500)
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return moment, moment - EPOCH


def _is_minute(tokens: Sequence[Token], index: int) -> bool:
    if tokens[index].text[0] != "m" or len(tokens[index].text) > 2:
        return False
    timed = [token for token in tokens if token.kind in ("date", "elapsed")]
    position = next(place for place, token in enumerate(timed) if token is tokens[index])
    before = timed[position - 1].text[0] if position else ""
    after = timed[position + 1].text[0] if position + 1 < len(timed) else ""
    return before == "h" or after == "s"


def _part(letters: str, moment: datetime, has_half: bool, *, is_minute: bool) -> str:
    letter, count = letters[0], len(letters)
    if letter == "y":
        return f"{moment.year % 100:02d}" if count < 3 else f"{moment.year:04d}"
    if letter == "m":
        number = moment.minute if is_minute else moment.month
        if count < 3 or is_minute:
            return f"{number:0{min(count, 2)}d}"
        name = _MONTHS[moment.month - 1]
        return name[:3] if count == 3 else name[:1] if count == 5 else name
    if letter == "d":
        name = _DAYS[moment.weekday()]
        return f"{moment.day:0{count}d}" if count < 3 else name[:3] if count == 3 else name
    if letter == "h":
        return f"{(moment.hour - 1) % 12 + 1 if has_half else moment.hour:0{min(count, 2)}d}"
    return f"{moment.second:0{min(count, 2)}d}"
