"""Cron expressions of five fields, as cronsim reads them.

Belongs here: what an expression may hold, and what to say of one that may not be.
Does not belong here: when a schedule runs; that is Dagster's.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

# Dagster reads `L` and `#` in another way than cronsim, and `W` not at all. A step of 0, or one of more than a field
# holds, is a mistake to one of the two.
_WORD = r"[a-z]{3}|[0-9]{1,2}"
_ITEM = re.compile(rf"(?:\*|(?:{_WORD})(?:-(?:{_WORD}))?)(?:/0*(?P<step>[1-9][0-9]?))?", re.ASCII)
_FIELDS = {
    "minute": ("0 to 59", 59),
    "hour": ("0 to 23", 23),
    "day-of-month": ("1 to 31", 31),
    "month": ("1 to 12, or jan to dec", 12),
    "day-of-week": ("0 to 7, or sun to sat", 7),
}
# Every date falls on every weekday within 28 years, but for centuries without a leap year.
_FROM = datetime(2026, 1, 1, tzinfo=UTC)


def cron(value: str) -> str:
    """The five fields with one space between them.

    Raises:
        ValueError: It is no cron expression, or names a day that no chosen month has.
    """
    texts = value.split()
    if len(texts) != len(_FIELDS):
        raise ValueError('want five cron fields, like "0 * * * *" (minute hour day month weekday)')
    for name, text in zip(_FIELDS, texts, strict=True):
        for item in text.lower().split(","):
            match = _ITEM.fullmatch(item)
            if match is None or int(match["step"] or 1) > _FIELDS[name][1]:
                raise _refused(name, item)
    expression = " ".join(texts)
    try:
        if next(CronSim(expression, _FROM), None) is None:
            raise ValueError(f"{expression!r} never runs: no such day comes within 50 years")
        # On its weekdays alone it would run for cronsim, and is refused by Dagster where no month chosen has the day.
        CronSim(" ".join([*texts[:4], "*"]), _FROM)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        raise _refused(name, texts[list(_FIELDS).index(name)]) from error
    return expression


def _refused(name: str, text: str) -> ValueError:
    return ValueError(
        f"the {name} {text!r} cannot be: want numbers of {_FIELDS[name][0]}, ranges (least-most), steps (*/2) or *, "
        f"parted by commas, and a day that a month chosen has"
    )
