"""Decides which ship may use which berth at which time.

Three things limit a berth: its length, the depth of water at that tide, and the ship already there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

UNDER_KEEL_CLEARANCE_M = 0.8
SAFETY_GAP = timedelta(minutes=7)
MAXIMUM_READING_AGE = timedelta(minutes=20)


class NoBerthFree(Exception):
    """No berth of the port takes this ship at this time."""


@dataclass(frozen=True)
class Ship:
    """A vessel as the planner sees it; lengths in metres."""

    name: str
    length_m: float
    draught_m: float


@dataclass(frozen=True)
class Berth:
    """A place at the quay, with its charted depth at lowest tide in metres."""

    code: str
    length_m: float
    charted_depth_m: float


@dataclass(frozen=True)
class Stay:
    """One ship at one berth from arrival to departure."""

    ship: Ship
    berth: Berth
    arrives_at: datetime
    departs_at: datetime


class BerthPlanner:
    """Assigns berths in order of arrival and remembers what it has promised."""

    def __init__(self, berths: Sequence[Berth]) -> None:
        self._berths = sorted(berths, key=lambda berth: berth.length_m)
        self._stays: list[Stay] = []

    def assign(self, ship: Ship, arrives_at: datetime, dwell: timedelta, tide_m: float) -> Stay:
        """Give the ship the shortest berth that fits, so that long ones stay free for long ships.

        Args:
            dwell: Time between arrival and departure.
            tide_m: Height of water above the charted depth, in metres.

        Raises:
            NoBerthFree: Every berth is too short, too shallow or taken.
        """
        departs_at = arrives_at + dwell
        for berth in self._berths:
            if not fits(ship, berth, tide_m):
                continue
            if self._is_free(berth, arrives_at, departs_at):
                stay = Stay(ship, berth, arrives_at, departs_at)
                self._stays.append(stay)
                return stay
        raise NoBerthFree(f"{ship.name} finds no berth at {arrives_at:%H:%M}")

    def _is_free(self, berth: Berth, arrives_at: datetime, departs_at: datetime) -> bool:
        """Keep seven minutes between two ships: the linkspan crew needs them to change the lines."""
        return all(
            departs_at + SAFETY_GAP <= stay.arrives_at or stay.departs_at + SAFETY_GAP <= arrives_at
            for stay in self._stays
            if stay.berth == berth
        )


def fits(ship: Ship, berth: Berth, tide_m: float) -> bool:
    """Tell whether length and depth suffice, with 80 centimetres of water left under the keel."""
    depth_m = berth.charted_depth_m + tide_m
    return ship.length_m <= berth.length_m and ship.draught_m + UNDER_KEEL_CLEARANCE_M <= depth_m


def newest_reading(readings: Iterable[tuple[datetime, float]], now: datetime) -> float | None:
    """Return the newest tide reading in metres, or None if all are older than twenty minutes."""
    fresh = [(taken_at, height) for taken_at, height in readings if now - taken_at <= MAXIMUM_READING_AGE]
    return max(fresh)[1] if fresh else None
