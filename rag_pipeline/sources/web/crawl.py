"""Which addresses of a site are asked for, in which order, and where it ends.

Every address is asked for once, whatever leads to it. Links of a page that names another address as its proper one are
not followed, unless that one turns out to be no page: so sessions and spellings multiply nothing.

Belongs here: the walk and its bounds.
Does not belong here: what one answer means (`asking.py`), what is listed in the end (`listing.py`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rag_pipeline.sources.reading import Down
from rag_pipeline.sources.web.addresses import is_variant_of
from rag_pipeline.sources.web.asking import Failed, Missing, Moved, Outcome, Read

# Redirects and proper addresses in a row.
MOST_HOPS = 6
# Not worth a request: their bytes are no text, whatever their server says.
_FURNITURE = (
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".ico", ".avif", ".bmp", ".tif", ".tiff"),
    *(".css", ".js", ".mjs", ".map", ".woff", ".woff2", ".ttf", ".otf", ".eot", ".rss", ".atom"),
    *(".mp3", ".mp4", ".webm", ".ogg", ".avi", ".mov", ".mkv", ".wav", ".flac", ".m4a", ".m4v"),
    *(".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".tar", ".exe", ".dmg", ".iso", ".msi", ".deb", ".rpm"),
)


class CutShort(Exception):
    """The walk cannot be ended, so that nothing is known of what it did not reach; the message says why."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a walk goes.

    Attributes:
        follows: Links are followed; else what it begins with is all.
        max_depth: Links in a row from the first page; what lies deeper is not looked for.
        max_pages: Addresses that are asked for. A walk that needs more is cut short.
        max_seconds: The same for its time.
    """

    follows: bool
    max_depth: int
    max_pages: int
    max_seconds: float


class Crawl:
    """One walk through a site.

    Args:
        entry: Page that always answers where the site does.
    """

    def __init__(self, bounds: Bounds, entry: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._ask: Callable[[str], Outcome] = _asks_nobody
        self._may_ask: Callable[[str], bool] = bool
        self._bounds = bounds
        self._entry = entry
        self._clock = clock
        self._asked = 0
        self._down = Down(clock=clock)
        self._ends_at = 0.0
        self._waiting: deque[tuple[str, int, int]] = deque()
        # A menu stands on every page: its links wait once.
        self._linked: set[str] = set()
        # Pages that name another address as their own, and how deep they lie.
        self._improper: dict[str, int] = {}
        self._known: Mapping[str, str] = {}
        # Where known pages redirect to for now: the address, the target, and how deep and far that lies.
        self._elsewhere: deque[tuple[str, str, int, int]] = deque()
        self._looked: dict[str, Outcome] = {}

    def run(
        self,
        first: Iterable[str],
        known: Mapping[str, str],
        ask: Callable[[str], Outcome],
        may_ask: Callable[[str], bool],
    ) -> None:
        """Fill `outcomes`.

        Args:
            first: Where to begin.
            known: What was listed before, each with the hash of its bytes, empty where that is not remembered;
                whatever of it nothing leads to any more is asked for itself.
            ask: What there is at an address.
            may_ask: Whether the site and the settings allow to ask for it.

        Raises:
            CutShort: It needs more pages or time than it has, or the site went down on the way.
        """
        self._ask, self._may_ask, self._known = ask, may_ask, known
        self._ends_at = self._clock() + self._bounds.max_seconds
        for url in first:
            self._waiting.append((url, 0, 0))
        self._walk()
        while left := [url for url in self._improper if self.place_of(url) == url]:
            for url in left:
                self._follow(url, self._improper.pop(url))
            self._walk()
        if self._bounds.follows:
            for url in known:
                self._waiting.append((url, self._bounds.max_depth, 0))
            self._walk()
        self._look_elsewhere()

    @property
    def follows(self) -> bool:
        """Whether it goes where links lead."""
        return self._bounds.follows

    def place_of(self, url: str) -> str | None:
        """The address under which what is read at an address is listed; None: nothing is read there."""
        seen = [url]
        while (further := self._step(seen[-1])) is not None and further not in seen:
            seen.append(further)
        pages = [each for each in seen if isinstance(self.outcomes.get(each), Read)]
        if further is not None:
            # Pages that name each other are one, whichever was met first.
            circle = [each for each in seen[seen.index(further) :] if each in pages]
            return min(circle, default=pages[-1] if pages else None)
        return pages[-1] if pages else None

    def is_failing(self, url: str) -> str:
        """Why it is not known what became of an address; empty: it is known."""
        known: list[str] = []
        for _ in range(MOST_HOPS):
            outcome = self.outcomes.get(url)
            if url in self._known:
                known.append(url)
            if isinstance(outcome, Failed):
                return outcome.reason
            if not isinstance(outcome, Moved):
                return ""
            if not outcome.for_ever and outcome.target is None:
                return "it redirects to elsewhere for now"
            if outcome.target is None:
                return ""
            there = self.outcomes.get(outcome.target)
            if known and not outcome.for_ever and not any(self._is_same(each, outcome.target, there) for each in known):
                # A page for logging in, or a notice: what was here is not there.
                return f"it redirects for now to {outcome.target}, which is another page"
            url = outcome.target
        return "it redirects without end"

    def _step(self, url: str) -> str | None:
        outcome = self.outcomes.get(url)
        if isinstance(outcome, Moved):
            return outcome.target
        if isinstance(outcome, Read) and outcome.page.proper not in (None, url):
            return outcome.page.proper
        return None

    def _walk(self) -> None:
        while self._waiting:
            url, depth, hops = self._waiting.popleft()
            if url in self.outcomes:
                continue
            outcome = self._looked.pop(url, None) or self._outcome(url)
            self.outcomes[url] = outcome
            further = self._step(url)
            if further is not None and self._leaves_for_now(url, outcome):
                self._elsewhere.append((url, further, depth, hops))
            elif further is not None and hops < MOST_HOPS:
                self._waiting.append((further, depth, hops + 1))
            if isinstance(outcome, Read):
                if further is None:
                    self._follow(url, depth)
                else:
                    self._improper[url] = depth

    def _leaves_for_now(self, url: str, outcome: Outcome) -> bool:
        return url in self._known and isinstance(outcome, Moved) and not outcome.for_ever

    def _is_same(self, url: str, target: str, there: Outcome | None) -> bool:
        """Whether a known page is what stands at another address now: the same bytes, or a spelling of its address."""
        if not isinstance(there, Read):
            return False
        is_spelling = is_variant_of(url) == is_variant_of(target) and url.partition("?")[2] == target.partition("?")[2]
        return is_spelling or there.page.hash == self._known[url]

    def _look_elsewhere(self) -> None:
        """Go on where known pages moved to, and not to what only stands in their way: that is no page of the site."""
        while self._elsewhere:
            url, target, depth, hops = self._elsewhere.popleft()
            if target in self.outcomes or hops >= MOST_HOPS:
                continue
            if target not in self._looked:
                self._looked[target] = self._outcome(target)
            if self._is_same(url, target, self._looked[target]):
                self._waiting.append((target, depth, hops + 1))
                self._walk()

    def _follow(self, url: str, depth: int) -> None:
        outcome = self.outcomes[url]
        if isinstance(outcome, Read) and self._bounds.follows and depth < self._bounds.max_depth:
            new = [link for link in outcome.page.links if link not in self._linked]
            self._linked.update(new)
            self._waiting.extend((link, depth + 1, 0) for link in new)

    def _outcome(self, url: str) -> Outcome:
        if url.partition("?")[0].lower().endswith(_FURNITURE) or not self._may_ask(url):
            return Missing()
        if self._asked >= self._bounds.max_pages:
            raise CutShort(
                f"it has more than {self._bounds.max_pages:,} addresses, so what lies behind them is not known; "
                "raise `sources.NAME.max_pages`, or leave parts out with `sources.NAME.exclude`"
            )
        if self._clock() > self._ends_at:
            raise CutShort(
                f"it could not be read within {self._bounds.max_seconds / 60:,.0f} minutes ({self._asked:,} addresses "
                "were asked for); raise `sources.NAME.max_duration`, or lower `sources.NAME.delay_seconds`"
            )
        self._asked += 1
        outcome = self._ask(url)
        self._look_whether_down(outcome)
        return outcome

    def _look_whether_down(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Failed) or not outcome.is_down:
            self._down.answered()
        elif self._down.failed(is_silent=outcome.is_silent, is_there=self._is_there):
            raise CutShort(f"it went down while it was read ({outcome.reason}); try again")

    def _is_there(self) -> bool:
        answer = self._ask(self._entry)
        return not (isinstance(answer, Failed) and answer.is_down)


def _asks_nobody(url: str) -> Outcome:
    raise AssertionError(f"{url} is asked for before the walk begins")
