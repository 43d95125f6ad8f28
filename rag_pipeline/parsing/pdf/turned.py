"""Pages of a PDF whose text lies on its side or upside down, as those with wide tables do.

Belongs here: which pages, and by how much. Does not belong here: reading them again (`pdf`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liteparse.types import ParsedPage

# Text that leans a little is still read along its page.
MAX_LEAN = 10


def turned_pages(pages: Iterable[ParsedPage]) -> dict[int, int]:
    """By page number from 1, the quarter turns in degrees that most of the page's text is turned by."""
    found = {page.page_num: _turn(page) for page in pages}
    return {number: turn for number, turn in found.items() if turn}


def _turn(page: ParsedPage) -> int:
    # On most pages nothing is turned, and nothing need be counted.
    if not any(item.rotation for item in page.text_items):
        return 0
    letters: Counter[int] = Counter()
    for item in page.text_items:
        quarter = round(item.rotation / 90) * 90
        # 1 stands for all that leans.
        turn = quarter % 360 if abs(item.rotation - quarter) <= MAX_LEAN else 1
        letters[turn] += sum(map(str.isalnum, item.text))
    turn, count = max(letters.items(), key=lambda found: found[1], default=(0, 0))
    return turn if turn != 1 and 2 * count > letters.total() else 0
