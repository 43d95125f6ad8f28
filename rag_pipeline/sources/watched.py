"""Which patterns of a source matched or decided nothing in a listing: what they were to close is then open.

Belongs here: watching patterns while names are listed, and what may have been meant.
Does not belong here: what a pattern means (`transforms/globs.py`), where it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rag_pipeline.contracts.sources import Idle, PermissionRule, SourceSpec
from rag_pipeline.transforms.globs import Globs, compile_globs

_DEFAULT_INCLUDE = SourceSpec("", "").include


@dataclass(slots=True)
class _Pattern:
    field: str
    text: str
    globs: Globs
    # What may have been meant, with the words that say it; kept only once it has matched.
    variants: list[tuple[Globs, str]]
    meant: str = ""
    # Rules that come before this one and say something else, and the first of them that decided instead.
    before: tuple[tuple[str, Globs], ...] = ()
    decided_by: str = ""


@dataclass(slots=True)
class Watched:
    """The patterns of a source that had no effect yet; one that has is not looked at again."""

    spec: SourceSpec
    _idle: list[_Pattern] = field(default_factory=list)

    def start(self) -> None:
        """A new listing begins."""
        spec = self.spec
        include = spec.include if spec.include != _DEFAULT_INCLUDE else ()
        exclude = [pattern for pattern in spec.exclude if pattern not in spec.own_globs]
        self._idle = [
            *(_watched("include", pattern, match_hidden=False) for pattern in dict.fromkeys(include)),
            *(_watched("exclude", pattern, match_hidden=True) for pattern in dict.fromkeys(exclude)),
            *_watched_rules(spec.permission_rules),
        ]

    def saw(self, address: str, *fields: str) -> None:
        """A name that patterns of these fields are asked about."""
        used = [pattern for pattern in self._idle if pattern.field in fields and _has_effect(pattern, address)]
        if used:
            self._idle = [each for each in self._idle if all(each is not pattern for pattern in used)]

    def idle(self) -> list[Idle]:
        """The patterns that had no effect."""
        return [
            Idle(each.field, each.text, decided_by=each.decided_by)
            if each.decided_by
            else Idle(each.field, each.text, each.meant)
            for each in self._idle
        ]


def _watched_rules(rules: Sequence[PermissionRule]) -> Iterator[_Pattern]:
    for at, rule in enumerate(rules):
        watched = _watched("permission_rules", rule.pattern, match_hidden=True)
        others = (one for one in rules[:at] if set(one.allowed_principals) != set(rule.allowed_principals))
        watched.before = tuple((one.pattern, compile_globs([one.pattern], match_hidden=True)) for one in others)
        yield watched


def _watched(field_name: str, pattern: str, *, match_hidden: bool) -> _Pattern:
    globs = compile_globs([pattern], match_hidden=match_hidden)
    variants = [
        (compile_globs([text], match_hidden=match_hidden, ignore_case=ignores), words)
        for text, ignores, words in _variants(pattern)
    ]
    return _Pattern(field_name, pattern, globs, variants)


def _variants(pattern: str) -> Iterator[tuple[str, bool, str]]:
    if not pattern.endswith(("/", "**")):
        yield f"{pattern}/**", False, f"a folder is written with what is in it: {pattern}/**"
    if "[" in pattern:
        literal = pattern.replace("[", "[[]")
        yield literal, False, f"[ begins a class of letters; for the letter itself write {literal}"
    yield pattern, True, "letter case counts, and there is one in another case"
    if not pattern.startswith("**/"):
        deeper = f"**/{pattern.removeprefix('./').lstrip('/')}"
        yield deeper, False, f"it stands deeper: {deeper}"


def _has_effect(pattern: _Pattern, address: str) -> bool:
    if pattern.globs.match(address):
        decided_by = next((text for text, globs in pattern.before if globs.match(address)), "")
        pattern.decided_by = pattern.decided_by or decided_by
        return not decided_by
    if not pattern.meant:
        pattern.meant = next((words for globs, words in pattern.variants if globs.match(address)), "")
    return False
