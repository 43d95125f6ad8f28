"""A small client for the Gangway booking API, published for travel agencies.

It does three things: find sailings, hold seats, and confirm a booking exactly once.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from typing import Any

BASE_URL = "https://api.skarrow.example/v2"
RETRYABLE_STATUS = frozenset({429, 503})
FIRST_PAUSE_S = 0.5
MAXIMUM_ATTEMPTS = 4


class GangwayError(Exception):
    """The API refused a request; `code` is one of the documented codes such as TB-5201."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True)
class Hold:
    """Seats that are set aside until `expires_at` (ISO 8601, UTC)."""

    reference: str
    expires_at: str


class GangwayClient:
    """Talks to the booking API with one key.

    Args:
        key: Test or live key, as received from the API team.
        timeout_s: Seconds to wait for an answer; the server itself gives up after twelve.
    """

    def __init__(self, key: str, timeout_s: float = 15.0) -> None:
        self._key = key
        self._timeout_s = timeout_s

    def sailings(self, origin: str, destination: str, date: str) -> list[dict[str, Any]]:
        """List the sailings of one day between two ports, given by their three-letter codes."""
        answer = self._request("GET", f"/sailings?from={origin}&to={destination}&date={date}")
        return list(answer["sailings"])

    def hold(self, sailing: str, passengers: int) -> Hold:
        """Set seats aside for eleven minutes."""
        answer = self._request("POST", "/holds", {"sailing": sailing, "passengers": passengers})
        return Hold(answer["reference"], answer["expires_at"])

    def confirm(self, hold: Hold, payment_reference: str) -> str:
        """Turn a hold into a booking and return the booking number.

        The idempotency key is derived from the hold, so calling this twice books once.
        """
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, hold.reference))
        body = {"hold": hold.reference, "payment": payment_reference, "idempotency_key": key}
        return str(self._request("POST", "/bookings", body)["number"])

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request; double the pause after each attempt that may be repeated."""
        pause_s = FIRST_PAUSE_S
        for attempt in range(1, MAXIMUM_ATTEMPTS + 1):
            try:
                return self._send(method, path, body)
            except urllib.error.HTTPError as error:
                if error.code not in RETRYABLE_STATUS or attempt == MAXIMUM_ATTEMPTS:
                    detail = json.loads(error.read() or b"{}")
                    raise GangwayError(detail.get("code", "TB-0000"), detail.get("message", "")) from error
                time.sleep(pause_s)
                pause_s *= 2
        raise AssertionError("the last attempt either returns or raises")

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(BASE_URL + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {self._key}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
            return dict(json.load(response))
