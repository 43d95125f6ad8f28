"""Checks of silver against its own history: what is unusual turns yellow, so that nothing changes unseen.

Belongs here: what to say of it.
Does not belong here: what is unusual (`transforms/history.py`), recording it (`refresh/history.py`).

None of them blocks: what is unusual may be meant. A fresh lake has no history, and is green.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from rag_pipeline.defs.check_rows import Subject
from rag_pipeline.defs.describe import rows_table
from rag_pipeline.defs.words import figure
from rag_pipeline.transforms.fields import fields_moved
from rag_pipeline.transforms.history import (
    DAYS_COMPARED,
    Moved,
    languages_moved,
    lengths_moved,
    openness_moved,
    quality_moved,
    readers_moved,
    refusals_moved,
    volumes_moved,
)

if TYPE_CHECKING:
    from rag_pipeline.contracts.history import Snapshot
    from rag_pipeline.refresh.workspace import Workspace

_Look = Callable[[Sequence["Snapshot"], datetime], list[Moved]]
# A sentence that a person reads.
_NAMED = 5


def _check(look: _Look, next_step: str) -> Callable[[Subject], dg.AssetCheckResult]:
    def found(subject: Subject) -> dg.AssetCheckResult:
        from rag_pipeline.stores.history import read_history

        snapshots = read_history(subject.workspace.lake)
        moved = look(snapshots, subject.workspace.now())
        return dg.AssetCheckResult(
            passed=not moved,
            description=_said(moved) or "nothing is unusual",
            metadata={
                "rag/states_known": len(snapshots),
                "rag/days_compared": DAYS_COMPARED,
                "rag/unusual_count": len(moved),
                **({"rag/unusual": rows_table([_row(each) for each in moved])} if moved else {}),
                "rag/next_step": next_step,
            },
        )

    return found


def _said(moved: Sequence[Moved]) -> str:
    parts = [
        f"{each.source}: {_value(each, each.now)} {each.what}, usual are {_value(each, each.usual)}"
        for each in moved[:_NAMED]
    ]
    return "; ".join(parts) + (f"; and {len(moved) - _NAMED:,} more" if len(moved) > _NAMED else "")


def _value(moved: Moved, value: float) -> str:
    return f"{value:.0%}" if moved.is_share else f"{value:,.0f}"


def _row(moved: Moved) -> dict[str, object]:
    return {
        "source": moved.source,
        "what": moved.what,
        "now": figure(moved.now),
        "usual": figure(moved.usual),
    }


volumes_are_usual = _check(volumes_moved, "rag-pipeline status, then ask the owner of the source")
refusals_are_usual = _check(refusals_moved, "rag-pipeline quarantine list")
languages_are_usual = _check(
    languages_moved, 'rag-pipeline sql "SELECT language, count(*) FROM silver.documents GROUP BY ALL"'
)
chunk_lengths_are_usual = _check(lengths_moved, "rag-pipeline inspect FILE")
fields_are_usual = _check(fields_moved, "rag-pipeline inspect FILE, then ask the owner of the source")
quality_is_usual = _check(
    quality_moved, 'rag-pipeline sql "SELECT source, quality_score, uri FROM silver.documents ORDER BY 2"'
)
openness_is_usual = _check(openness_moved, "rag-pipeline plan names each permission that opens or closes")


def readers_are_known(subject: Subject) -> dg.AssetCheckResult:
    """Whether the principals who may read a good part of a source are those of a day ago."""
    from rag_pipeline.stores.history import read_history

    workspace = subject.workspace
    found = readers_moved(read_history(workspace.lake), workspace.now())
    parts = []
    for each in found:
        names = _names(workspace, each.source, {*each.appeared, *each.vanished})
        came = [f"{names.get(hashed, 'somebody')} appeared" for hashed in each.appeared]
        went = [f"{names.get(hashed, 'somebody')} vanished" for hashed in each.vanished]
        parts.append(f"{each.source}: {', '.join([*came, *went])}")
    return dg.AssetCheckResult(
        passed=not found,
        description="; ".join(parts) or "no principal appeared or vanished",
        metadata={"rag/sources_with_others": len(found), "rag/next_step": "rag-pipeline plan"},
    )


def _names(workspace: "Workspace", source: str, wanted: set[str]) -> dict[str, str]:
    """Principals by their hash, as bronze holds them in any revision."""
    from rag_pipeline.contracts.tables import BRONZE
    from rag_pipeline.refresh.history import reader_hash

    rows = workspace.lake.read(BRONZE.of(source), ["allowed_principals"])["allowed_principals"]
    known = ((reader_hash(name), name) for name in rows.explode().drop_nulls().unique().to_list())
    return {hashed: name for hashed, name in known if hashed in wanted}


def vectors_point_where_they_did(subject: Subject) -> dg.AssetCheckResult:
    """Whether what was embedded last points where the vectors of its source pointed before."""
    from rag_pipeline.stores.directions import read_directions
    from rag_pipeline.transforms.directions import turned

    workspace = subject.workspace
    found = turned(read_directions(workspace.lake), workspace.space(subject.alias).fingerprint, workspace.now())
    named = "; ".join(
        f"{each.source}: {each.texts:,} new vectors, {each.alike:.0%} alike, with a mean of cosine "
        f"{each.cosine:.2f} to that of before"
        for each in found[:_NAMED]
    )
    return dg.AssetCheckResult(
        passed=not found,
        description=named or "new vectors point where those before did",
        metadata={"rag/sources_turned": len(found), "rag/next_step": "rag-pipeline inspect FILE"},
    )


def vector_lengths_are_usual(subject: Subject) -> dg.AssetCheckResult:
    """Whether a model gives the vectors of each source as long as before, which are made unit vectors then."""
    from rag_pipeline.stores.directions import read_directions
    from rag_pipeline.transforms.directions import stretched

    workspace = subject.workspace
    found = stretched(read_directions(workspace.lake), workspace.space(subject.alias).fingerprint, workspace.now())
    named = "; ".join(
        f"{each.source}: {each.texts:,} new vectors of length {each.lengths[1]:.3g} ({each.lengths[0]:.3g} to "
        f"{each.lengths[2]:.3g}), usual are {each.usual[1]:.3g} ({each.usual[0]:.3g} to {each.usual[2]:.3g})"
        for each in found[:_NAMED]
    )
    return dg.AssetCheckResult(
        passed=not found,
        description=named or "vectors come as long as they did",
        metadata={"rag/sources_stretched": len(found), "rag/next_step": "rag-pipeline inspect FILE"},
    )


def neighbours_are_as_near(subject: Subject) -> dg.AssetCheckResult:
    """Whether the texts of each source lie as near to each other as in the last weeks."""
    from rag_pipeline.stores.neighbours import read_neighbours
    from rag_pipeline.transforms.neighbours import moved_together

    workspace = subject.workspace
    rows = read_neighbours(workspace.lake)
    found = moved_together(rows, workspace.space(subject.alias).fingerprint, workspace.now())
    named = "; ".join(
        f"{each.source}: the nearest other text is {each.p50:.2f} away, usual are {each.usual_p50:.2f}; "
        f"{each.same_share:.0%} are nearly the same as another one, usual are {each.usual_same_share:.0%}"
        for each in found[:_NAMED]
    )
    return dg.AssetCheckResult(
        passed=not found,
        description=named or "texts lie as near to each other as they did",
        metadata={"rag/sources_moved": len(found), "rag/next_step": "rag-pipeline inspect FILE"},
    )
