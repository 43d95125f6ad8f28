"""What a model may cost in a day, counted over all processes of one machine, and refused beyond.

Belongs here: the count by day, in a small file, and the refusal.
Does not belong here: prices (`contracts/chat.py`), what is asked.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rag_pipeline.contracts.chat import ChatModelSpec
from rag_pipeline.errors import BudgetReached

LOG = logging.getLogger(__name__)
# Who finds the file locked for longer goes by what it spent itself.
BUSY_SECONDS = 2.0
# So long it is left alone then, or each call would wait as long, one behind the other.
REST_SECONDS = 10.0
# A year to look back on.
KEPT_DAYS = 366
_TABLE = """
create table if not exists spent(
    day text, model text, tokens integer not null, cost real not null, primary key (day, model)
) without rowid
"""
_ADD = """
insert into spent values (?, ?, ?, ?)
on conflict do update set tokens = tokens + excluded.tokens, cost = cost + excluded.cost
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens read and written, and their cost in the currency of the prices."""

    tokens: int = 0
    cost: float = 0.0

    def plus(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, self.cost + other.cost)

    def or_more(self, other: Spent) -> Spent:
        return Spent(max(self.tokens, other.tokens), max(self.cost, other.cost))


def day_ends_at(now: datetime) -> datetime:
    """When the day of a moment ends, and what may be spent begins anew: 00:00 UTC."""
    today = now.astimezone(UTC)
    return datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1)


class DailyBudget:
    """What one model may cost in a day of UTC; for any number of threads, and processes that name the same file.

    Calls that are under way when it is reached are finished and counted. Where the file cannot be used, what this
    process spent counts alone.

    Args:
        now: The time with its zone.
    """

    def __init__(
        self, spec: ChatModelSpec, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._spec = spec
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._rests_until = 0.0
        self._day = ""
        # Of this day: all of this process, and what of it is not in the file.
        self._own = self._unwritten = Spent()

    def check(self) -> None:
        """Go on, or refuse.

        Raises:
            BudgetReached: What was spent today is at the bound or above.
        """
        now = self._now()
        reached = self._reached()
        spec = self._spec
        if reached is not None:
            raise BudgetReached(
                f"chat model {spec.alias} has used up what it may cost today: {reached}. It is asked again from 00:00 "
                f"UTC on, and what is kept is still answered; or raise `chat_models.NAME.budget_per_day` or "
                f"`chat_models.NAME.tokens_per_day`",
                retry_after=(day_ends_at(now) - now).total_seconds(),
            )

    def _reached(self) -> str | None:
        spent, spec = self.spent(), self._spec
        if spec.budget_per_day is not None and spent.cost >= spec.budget_per_day:
            return f"{spent.cost:g} of {spec.budget_per_day:g} (`budget_per_day`)"
        if spec.tokens_per_day is not None and spent.tokens >= spec.tokens_per_day:
            return f"{spent.tokens:,} of {spec.tokens_per_day:,} tokens (`tokens_per_day`)"
        return None

    def add(self, tokens_in: int, tokens_out: int) -> None:
        """Count a call that was made."""
        spent = Spent(tokens_in + tokens_out, self._spec.cost(tokens_in, tokens_out) or 0.0)
        with self._lock:
            day = self._today()
            self._own = self._own.plus(spent)
            self._unwritten = self._unwritten.plus(spent)
            if self._in_file(lambda file: self._write(file, day)) is not None:
                self._unwritten = Spent()

    def spent(self) -> Spent:
        """What this day has cost so far."""
        with self._lock:
            day = self._today()
            known = self._in_file(lambda file: self._read(file, day)) or Spent()
            return known.plus(self._unwritten).or_more(self._own)

    def _today(self) -> str:
        day = self._now().astimezone(UTC).date().isoformat()
        if day != self._day:
            self._day, self._own, self._unwritten = day, Spent(), Spent()
        return day

    def _write(self, file: sqlite3.Connection, day: str) -> Spent:
        oldest = (self._now() - timedelta(days=KEPT_DAYS)).date().isoformat()
        with file:
            file.execute(_ADD, (day, self._spec.alias, self._unwritten.tokens, self._unwritten.cost))
            file.execute("delete from spent where day < ?", (oldest,))
        return self._unwritten

    def _read(self, file: sqlite3.Connection, day: str) -> Spent:
        asked = (day, self._spec.alias)
        row = file.execute("select tokens, cost from spent where day = ? and model = ?", asked).fetchone()
        return Spent() if row is None else Spent(int(row[0]), float(row[1]))

    def _in_file(self, action: Callable[[sqlite3.Connection], Spent]) -> Spent | None:
        """What an action on the file gives; None: it cannot be used now."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as file:
                file.execute(_TABLE)
                return action(file)
        except sqlite3.OperationalError as error:
            self._said(error)
            self._rests_until = time.monotonic() + REST_SECONDS
        except (sqlite3.DatabaseError, ValueError) as error:
            # It is no such file any more: the next call begins it anew, from what is known here.
            self._said(error)
            self._unwritten = self._own
            with suppress(OSError):
                self._path.unlink()
        except OSError as error:
            self._said(error)
        return None

    def _said(self, error: Exception) -> None:
        LOG.warning(
            "what chat model %s has cost today stands in %s, which cannot be used: %s. What this process spent counts "
            "alone until it can.",
            self._spec.alias,
            self._path,
            error,
        )
