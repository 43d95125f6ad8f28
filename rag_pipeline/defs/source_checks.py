"""Checks of one source by its bronze table.

Belongs here: what is looked at in a source, and what to say of it.
Does not belong here: whether it answered, and its deletion guard, which its asset says itself (`bronze.py`).
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from rag_pipeline.defs.check_rows import Subject
from rag_pipeline.defs.words import counted, figure
from rag_pipeline.errors import InvalidMetadata
from rag_pipeline.shown import shown
from rag_pipeline.transforms.freshness import content_age

# A few unreadable files are daily life; one in ten is a wrong right or a wrong folder.
LARGEST_PROBLEM_SHARE = 0.1
# A sentence that a person reads.
_NAMED = 3


def _live(subject: Subject, *columns: str) -> pl.DataFrame:
    """Some columns of what a source holds: taking all twenty apart for each check is a part of what a run costs."""
    return subject.workspace.lake.bronze_state(subject.source, ["change", *columns]).filter(
        pl.col("change") != "deleted"
    )


def has_documents(subject: Subject) -> dg.AssetCheckResult:
    """Whether the source lists anything."""
    from rag_pipeline.refresh.polls import poll_statuses

    live = _live(subject).height
    [poll], _ = poll_statuses(subject.workspace, [subject.source])
    if not live and poll.poll_error:
        # That is red at the source already, and says nothing of what it holds.
        return dg.AssetCheckResult(passed=True, description="not known: the source did not answer")
    return dg.AssetCheckResult(
        passed=live > 0,
        description=counted(live, "document")
        if live
        else "the source lists no document; check its location, include and exclude",
        metadata={"rag/live_count": live},
    )


def somebody_may_read(subject: Subject) -> dg.AssetCheckResult:
    """Whether not everything is closed to everybody."""
    live = _live(subject, "allowed_principals")
    closed = live.filter(pl.col("allowed_principals").list.len() == 0).height
    return dg.AssetCheckResult(
        passed=closed < live.height or live.is_empty(),
        description=f"nobody may read {closed:,} of {live.height:,} objects; set allowed_principals"
        if closed
        else "somebody may read each of them",
        metadata={"rag/closed_count": closed},
    )


def objects_are_readable(subject: Subject) -> dg.AssetCheckResult:
    """Whether no more objects than LARGEST_PROBLEM_SHARE could not be fetched."""
    live = _live(subject, "address", "problem_code")
    broken = live.filter(pl.col("problem_code").is_not_null())
    share = broken.height / max(1, live.height)
    return dg.AssetCheckResult(
        passed=share <= LARGEST_PROBLEM_SHARE,
        description=f"{broken.height:,} of {live.height:,} objects cannot be read",
        metadata={
            "rag/problem_count": broken.height,
            "rag/problem_share": figure(share),
            "rag/problem_sample": ", ".join(broken["address"].head(5)),
            "rag/next_step": "rag-pipeline quarantine list",
        },
    )


def permissions_can_be_read(subject: Subject) -> dg.AssetCheckResult:
    """Whether what stands beside or in each object says who may read it; nobody reads one whose does not."""
    broken = _live(subject, "address", "problem_code").filter(pl.col("problem_code") == InvalidMetadata.code)
    return dg.AssetCheckResult(
        passed=broken.is_empty(),
        description=f"nobody may read {counted(broken.height, 'object')} whose permissions cannot be read, like "
        f"{shown(', '.join(broken['address'].sort().head(_NAMED)))}"
        if broken.height
        else "the permissions of each object can be read",
        metadata={"rag/unknown_permissions_count": broken.height, "rag/next_step": "rag-pipeline quarantine list"},
    )


def content_is_young(subject: Subject) -> dg.AssetCheckResult:
    """Whether the newest content is no older than the source's `content_stale_after`, and none is of the future."""
    limit = subject.workspace.settings.sources[subject.source].content_stale_after
    now = datetime.now(UTC)
    found = content_age(_live(subject, "source_modified_at")["source_modified_at"], now)
    age = None if found.newest is None else max(now - found.newest, timedelta(0))
    said = "no time of its content can be believed" if age is None else f"the newest content is {age.days} days old"
    if found.in_future:
        said += f"; {found.in_future:,} with a modification time in the future do not count: correct it at the source"
    return dg.AssetCheckResult(
        # What is newer than now hides how old the rest is, and no search can tell its age.
        passed=not found.in_future and (limit is None or age is None or age <= limit),
        description=said if age is not None or found.in_future else "the source tells no times",
        metadata={
            "rag/in_future_count": found.in_future,
            **({} if age is None else {"rag/content_age_hours": round(age.total_seconds() / 3600, 1)}),
        },
    )
