"""How much of a ticket's price is paid back, and the fee for late changes.

The rules here are the ones printed in the conditions of carriage. Whoever changes a number here
changes the website in the same release.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

FULL_REFUND_BEFORE = timedelta(hours=48)
PARTIAL_REFUND_BEFORE = timedelta(hours=4)
PARTIAL_REFUND_PERCENT = 70
LATE_CHANGE_FEE_CENTS = 600


@dataclass(frozen=True)
class Cancellation:
    """A wish to cancel, with everything that decides about the refund."""

    price_cents: int
    departure_at: datetime
    requested_at: datetime
    has_medical_note: bool = False
    cancelled_by_us: bool = False


def refund_cents(cancellation: Cancellation) -> int:
    """Return the amount to pay back, in cents.

    A sailing that we cancelled is refunded in full, whatever the time. So is a journey that was
    missed because of illness, if the note arrives within fourteen days; the caller checks that date.
    """
    if cancellation.cancelled_by_us or cancellation.has_medical_note:
        return cancellation.price_cents
    notice = cancellation.departure_at - cancellation.requested_at
    if notice > FULL_REFUND_BEFORE:
        return cancellation.price_cents
    if notice >= PARTIAL_REFUND_BEFORE:
        return cancellation.price_cents * PARTIAL_REFUND_PERCENT // 100
    return 0


def change_fee_cents(tickets: int, notice: timedelta) -> int:
    """Return the fee for moving a booking of `tickets` tickets to another sailing."""
    if notice >= timedelta(hours=2):
        return 0
    return tickets * LATE_CHANGE_FEE_CENTS
