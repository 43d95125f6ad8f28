"""Cron expressions of five fields, checked field by field.

Belongs here: what an expression may hold, and what to say of one that may not be.
Does not belong here: when a schedule runs; that is Dagster's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CRON_ITEM = re.compile(r"(?:\*|(?P<first>[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?)(?:/(?P<step>[0-9]{1,4}))?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS_OF_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _CronField:
    """One field of a cron expression: the numbers it may hold and the names that stand for them."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> set[int]:
        """The numbers that the field's text selects."""
        return {number for item in text.lower().split(",") for number in self._item(item)}

    def _item(self, item: str) -> range:
        match = _CRON_ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"the {self.name} {item!r} is no number, range, step or *")
        step = int(match["step"] or 1)
        if not 1 <= step <= self.most:
            raise ValueError(f"the {self.name} {item!r} has a step of {step}, want 1 to {self.most}")
        if match["first"] is None:
            return range(self.least, self.most + 1, step)
        first = self._number(match["first"])
        last = self._number(match["last"]) if match["last"] else self.most if match["step"] else first
        if last < first:
            raise ValueError(f"the {self.name} {item!r} ends before it begins; write two ranges, parted by a comma")
        return range(first, last + 1, step)

    def _number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.least
        if not text.isdecimal() or len(text) > 4 or not self.least <= int(text) <= self.most:
            raise ValueError(f"the {self.name} is {text!r}, want {self.least} to {self.most}")
        return int(text)


_CRON_FIELDS = (
    _CronField("minute", 0, 59),
    _CronField("hour", 0, 23),
    _CronField("day", 1, 31),
    _CronField("month", 1, 12, _MONTHS),
    _CronField("weekday", 0, 7, _WEEKDAYS),
)


def cron(value: str) -> str:
    """The five fields with one space between them.

    Raises:
        ValueError: It is no cron expression, or names a day that no chosen month has.
    """
    texts = value.split()
    if len(texts) != len(_CRON_FIELDS):
        raise ValueError('want five cron fields, like "0 * * * *" (minute hour day month weekday)')
    chosen = {field.name: field.values(text) for field, text in zip(_CRON_FIELDS, texts, strict=True)}
    if min(chosen["day"]) > max(_DAYS_OF_MONTHS[month - 1] for month in chosen["month"]):
        raise ValueError(f"no month chosen has a day {min(chosen['day'])}")
    return " ".join(texts)
