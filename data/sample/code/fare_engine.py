"""Prices for one crossing: base fare, discounts and the surcharge for busy sailings.

All amounts are whole cents, because a price that was rounded twice is a price nobody can explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

RESIDENT_DISCOUNT_PERCENT = 50
BUSY_SURCHARGE_PERCENT = 15
BUSY_FROM_LOAD = 0.85
MAXIMUM_FARE_CENTS = 12_000


class Passenger(Enum):
    """The passenger types that a ticket can be sold for."""

    ADULT = "adult"
    CHILD = "child"
    INFANT = "infant"


@dataclass(frozen=True)
class FareRequest:
    """What a caller wants to know the price of.

    Attributes:
        base_cents: Adult fare of the route, in cents.
        passenger: Who travels.
        is_resident: Whether a valid resident card was shown.
        load: Share of the sailing's seats already sold, from 0 to 1.
    """

    base_cents: int
    passenger: Passenger
    is_resident: bool = False
    load: float = 0.0


class FareEngine:
    """Computes fares; holds no state besides its table of shares per passenger type."""

    def __init__(self, shares: dict[Passenger, int] | None = None) -> None:
        self._shares = shares or {Passenger.ADULT: 100, Passenger.CHILD: 50, Passenger.INFANT: 0}

    def price_cents(self, request: FareRequest) -> int:
        """Return the fare in cents, never above `MAXIMUM_FARE_CENTS`.

        The busy surcharge comes before the resident discount, so that residents pay half of it too.

        Raises:
            ValueError: The load is not between 0 and 1.
        """
        if not 0.0 <= request.load <= 1.0:
            raise ValueError(f"load must lie between 0 and 1, not {request.load}")
        cents = request.base_cents * self._shares[request.passenger] / 100
        if request.load >= BUSY_FROM_LOAD:
            cents *= 1 + BUSY_SURCHARGE_PERCENT / 100
        if request.is_resident:
            cents *= 1 - RESIDENT_DISCOUNT_PERCENT / 100
        return min(_round_to_ten_cents(cents), MAXIMUM_FARE_CENTS)


def _round_to_ten_cents(cents: float) -> int:
    """Round half up to a multiple of ten cents, as the ticket machines have no smaller coins."""
    return int((cents + 5) // 10) * 10
