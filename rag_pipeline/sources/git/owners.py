"""CODEOWNERS: who owns a file, as principals who may read it.

Belongs here: reading the file and deciding on one path.
Does not belong here: finding the file in a repository (`source.py`).

The last line that matches decides, as on GitHub. What is not understood opens nothing: a line with a pattern that
CODEOWNERS does not have, and sections as GitLab has them, close every file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_pipeline.contracts.names import comparable
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.transforms.globs import Globs, compile_globs

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
        self._rules: list[tuple[Globs, tuple[str, ...]]] = []
        for number, line in enumerate(text.splitlines(), start=1):
            words = _words(line)
            if not words:
                continue
            names = [name_of(word) for word in words[1:]]
            if _UNKNOWN.match(words[0]) or None in names:
                self.problems.append(f"line {number}: {line.strip()[:100]}")
                continue
            # A login of that name is one person, and no word for everybody.
            owners = tuple(sorted({name for name in names if name is not None} - {PUBLIC}))
            self._rules.append((_compiled(words[0].replace("\\ ", " ")), owners))
        self._rules.reverse()

    def of(self, path: str) -> tuple[str, ...] | None:
        """Who owns the file; empty: nobody; None: no line matches it."""
        if self.problems:
            return ()
        compared = comparable(path)
        return next((owners for globs, owners in self._rules if globs.expression.fullmatch(compared)), None)


def _words(line: str) -> Sequence[str]:
    """The pattern and the owners; a comment begins with # after a blank or at the beginning."""
    return _WORDS.findall(re.sub(r"(?:^|\s)#.*", "", line))


def name_of(word: str) -> str | None:
    """An owner as a principal: `@acme/docs` is `acme/docs`; None: it is none."""
    if word.startswith("@"):
        return word[1:] or None
    return word if "@" in word.strip("@") else None


def _compiled(pattern: str) -> Globs:
    """Like in .gitignore: anchored where it has a slash before its end, everything below a folder included."""
    # A bracket is no class here. The first slash keeps a `.` at the beginning, which no path has.
    body = pattern.strip("/").replace("[", "[[]")
    if not body:
        return compile_globs([], match_hidden=True)
    is_anchored = pattern.startswith("/") or "/" in body
    place = f"/{body}" if is_anchored else f"/**/{body}"
    if pattern.endswith("/"):
        # What lies below a folder that `**` is, which is at least one.
        found = [f"{place}/*/**" if place.endswith("/**") else f"{place}/**"]
    elif place.endswith(("/*", "/**")) and "/" in body:
        # `docs/*` owns what lies in the folder and not below it; any other name may be a folder's.
        found = [place]
    else:
        found = [place, f"{place}/**"]
    return compile_globs(found, match_hidden=True)
