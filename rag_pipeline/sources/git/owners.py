"""CODEOWNERS: who owns a file, as principals who may read it.

Belongs here: reading the file and deciding on one path.
Does not belong here: finding the file in a repository (`source.py`).

The last line that matches decides, as on GitHub. What is not understood opens nothing: a line with a pattern that
CODEOWNERS does not have, and sections as GitLab has them, close every file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Where forges look for it, in their order.
PLACES = (b".github/CODEOWNERS", b"CODEOWNERS", b"docs/CODEOWNERS", b".gitlab/CODEOWNERS")
# GitHub ignores larger ones.
MAX_BYTES = 3 * 2**20
_UNKNOWN = re.compile(r"^(?:!|\^?\[|.*[^\\]\[|\\#)")
_WORDS = re.compile(r"(?:\\.|[^\s\\])+")


class Owners:
    """The owners of a repository's files.

    Attributes:
        problems: Lines that are not understood, by number; while there are any, nobody owns anything.
    """

    def __init__(self, text: str) -> None:
        self.problems: list[str] = []
        self._rules: list[tuple[re.Pattern[str], tuple[str, ...]]] = []
        for number, line in enumerate(text.splitlines(), start=1):
            words = _words(line)
            if not words:
                continue
            names = [name_of(word) for word in words[1:]]
            if _UNKNOWN.match(words[0]) or None in names:
                self.problems.append(f"line {number}: {line.strip()[:100]}")
                continue
            owners = tuple(sorted({name for name in names if name is not None}))
            self._rules.append((_compiled(words[0].replace("\\ ", " ")), owners))
        self._rules.reverse()

    def of(self, path: str) -> tuple[str, ...] | None:
        """Who owns the file; empty: nobody; None: no line matches it."""
        if self.problems:
            return ()
        return next((owners for pattern, owners in self._rules if pattern.fullmatch(path)), None)


def _words(line: str) -> Sequence[str]:
    """The pattern and the owners; a comment begins with # after a blank or at the beginning."""
    return _WORDS.findall(re.sub(r"(?:^|\s)#.*", "", line))


def name_of(word: str) -> str | None:
    """An owner as a principal: `@acme/docs` is `acme/docs`; None: it is none."""
    if word.startswith("@"):
        return word[1:] or None
    return word if "@" in word.strip("@") else None


def _compiled(pattern: str) -> re.Pattern[str]:
    """Like in .gitignore: anchored where it has a slash before its end, everything below a folder included."""
    body = pattern.strip("/")
    is_anchored = pattern.startswith("/") or "/" in body
    parts = [] if is_anchored else ["(?:.*/)?"]
    segments = body.split("/")
    for number, segment in enumerate(segments):
        is_last = number == len(segments) - 1
        if segment == "**":
            parts.append(".+" if is_last else "(?:.*/)?")
        else:
            parts.append(re.escape(segment).replace(r"\*", "[^/]*").replace(r"\?", "[^/]"))
            parts.append("" if is_last else "/")
    # `docs/*` owns what lies in the folder and not below it; any other name may be a folder's.
    below = "/.+" if pattern.endswith("/") else "" if segments[-1] in ("*", "**") and len(segments) > 1 else "(?:/.+)?"
    return re.compile("".join(parts) + below, re.DOTALL)
