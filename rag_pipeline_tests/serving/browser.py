"""A real browser on the page: the system's Chromium, its complaints kept, and axe-core run on what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = Path("/usr/bin/chromium")
# Fewer rules than this mean that nothing was looked at.
LEAST_RULES = 20


@dataclass
class Browsed:
    """One page, and everything that went wrong on it.

    Attributes:
        complaints: Messages of the console, errors of the script, and requests to other places.
    """

    page: Any
    origin: str
    complaints: list[str] = field(default_factory=list)

    def assert_accessible(self) -> None:
        """axe-core finds no violation, and had something to look at."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response
        violations = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]
        assert not violations, violations
        assert len(found["passes"]) >= LEAST_RULES


@contextmanager
def browsing(browser: Any, url: str, token: str | None = None, **options: Any) -> Iterator[Browsed]:
    """A page in a context of its own; signs in where a token is given."""
    context = browser.new_context(**options)
    context.set_default_timeout(30_000)
    page = context.new_page()
    browsed = Browsed(page, url)
    origin = urlsplit(url).netloc

    def requested(request: Any) -> None:
        if urlsplit(request.url).netloc != origin:
            browsed.complaints.append(f"asks {request.url}")

    # A 401 is how the page learns that it has to ask for a token; the console says so, too.
    page.on("console", lambda message: "401" in message.text or browsed.complaints.append(message.text))
    page.on("pageerror", lambda error: browsed.complaints.append(str(error)))
    page.on("request", requested)
    try:
        page.goto(url)
        if token is not None:
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_label("What do you want to know?").wait_for()
        yield browsed
        assert not browsed.complaints, browsed.complaints
    finally:
        context.close()
