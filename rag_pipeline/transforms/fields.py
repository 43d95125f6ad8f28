"""Fields of documents' metadata: how many have which, with values of which type, and what is unusual of that.

Belongs here: counting fields, and the schema of a source against its own history.
Does not belong here: other figures of a source (`history.py`), recording them (`refresh/history.py`).

Names and counts alone are looked at: no value leaves the document that has it, and no name that few documents have.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from rag_pipeline.contracts.history import Snapshot, SourceFigures, field_key, field_of
from rag_pipeline.transforms.history import LEAST_CHANGE, MOST_RATIO, Measure, Moved, notable_readers, sampled, usual

# What most documents had is missed when most of those have it no more.
MOST_HAVE = 0.5
# Half of the values of a field are of another type: a reader's filter by it finds half of what it did.
MOST_RETYPED = 0.5
# A schema has tens of fields; what has hundreds has values for names, and those are no place to be erased from.
FIELDS_NAMED = 100
# The same of a name that is longer than a person would write.
NAME_CHARS = 60

_KINDS = ((bool, "boolean"), ((int, float), "number"), (str, "text"), (list, "list"), (dict, "object"))


def field_figures(metadata: Iterable[str | None]) -> tuple[int, dict[str, float]]:
    """How many different fields some documents have, and how many have those that many have, by `field_key`."""
    typed: Counter[str] = Counter()
    named: Counter[str] = Counter()
    documents = 0
    for text in metadata:
        documents += 1
        # Whatever is not an object has no fields.
        facts = json.loads(text) if text else {}
        for name, value in facts.items() if isinstance(facts, dict) else ():
            kind = _kind(value)
            if kind:
                named[name] += 1
                typed[field_key(kind, name)] += 1
    notable = Counter({name: count for name, count in notable_readers(named, documents).items() if _is_name(name)})
    kept = {name for name, _ in sorted(notable.items(), key=lambda each: (-each[1], each[0]))[:FIELDS_NAMED]}
    return len(named), {key: count for key, count in sorted(typed.items()) if field_of(key)[1] in kept}


def _kind(value: object) -> str:
    return next((kind for types, kind in _KINDS if isinstance(value, types)), "")


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARS and name.isprintable()


def fields_moved(snapshots: Sequence[Snapshot], now: datetime) -> list[Moved]:
    """Fields that most documents of a source had and have no more, or with other types; and floods of new fields."""
    return [
        moved
        for source, state, history in sampled(snapshots)
        if state.sampled >= LEAST_CHANGE
        for moved in (
            *_flood(source, state, history, now),
            *(
                found
                for name in sorted({field_of(key)[1] for _, each in history for key in each.fields})
                for found in _field_moved(source, name, state, history, now)
            ),
        )
    ]


def _flood(
    source: str, state: SourceFigures, history: Sequence[tuple[datetime, SourceFigures]], now: datetime
) -> list[Moved]:
    before = usual(history, now, lambda each: each.field_names)
    is_flood = bool(before) and all(
        state.field_names >= each + LEAST_CHANGE and state.field_names > each * MOST_RATIO for each in before
    )
    return [Moved(source, "different fields of metadata", state.field_names, before[0])] if is_flood else []


def _field_moved(
    source: str, name: str, state: SourceFigures, history: Sequence[tuple[datetime, SourceFigures]], now: datetime
) -> list[Moved]:
    having = _share_having(name)
    before = usual(history, now, having)
    if not before or min(before) < MOST_HAVE:
        return []
    share = having(state)
    if all(share <= each / MOST_RATIO for each in before):
        return [Moved(source, f"with the field {name}", share, before[0], is_share=True)]
    found = []
    for _, kind in _KINDS:
        of_kind = _share_typed(name, kind)
        known = usual(history, now, of_kind)
        if all(of_kind(state) - each >= MOST_RETYPED for each in known):
            what = f"of the values of the field {name} are of type {kind}"
            found.append(Moved(source, what, of_kind(state), known[0], is_share=True))
    return found


def _share_having(name: str) -> Measure:
    return lambda state: _having(state, name) / max(1, state.sampled)


def _share_typed(name: str, kind: str) -> Measure:
    return lambda state: state.fields.get(field_key(kind, name), 0) / max(1, _having(state, name))


def _having(state: SourceFigures, name: str) -> float:
    return sum(state.fields.get(field_key(kind, name), 0) for _, kind in _KINDS)
