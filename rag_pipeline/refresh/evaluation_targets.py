"""Which version of an index is evaluated, and how it is searched.

Belongs here: the newest audited version and the published one, each with its recipe, and the fit on the configured
questions.
Does not belong here: evaluating, and what is kept of it (`evaluation.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from rag_pipeline.contracts.recipe import SearchRecipe
from rag_pipeline.errors import AuditFailed
from rag_pipeline.refresh.workspace import Workspace
from rag_pipeline.stores.retrievers import refine_factor_of


@dataclass(frozen=True, slots=True)
class Target:
    """One version of an index table, and how it is searched; `model_spec` opens its model when pipeline.yaml no longer
    names it."""

    alias: str
    space_fingerprint: str
    table_name: str
    table_version: int
    audit_id: str
    refine_factor: int
    recipe: SearchRecipe
    model_spec: str | None = None


def newest_audited(workspace: Workspace, alias: str) -> Target:
    space = workspace.space(alias)
    audit = workspace.lake.last_audit(space.fingerprint)
    if audit is None or not audit.passed:
        raise AuditFailed(
            f"the index of embedding model {alias} has {'not been audited' if audit is None else 'failed its audit'}, "
            f"so its figures would mean nothing; it was not evaluated. Bring it up to date first: "
            f"rag-pipeline run --model {alias}",
            alias=alias,
        )
    return Target(
        alias=alias,
        space_fingerprint=space.fingerprint,
        table_name=audit.table_name,
        table_version=audit.table_version,
        audit_id=audit.audit_id,
        refine_factor=refine_factor_of(audit),
        recipe=workspace.recipe,
    )


def published_target(workspace: Workspace) -> Target | None:
    last = workspace.lake.last_publication()
    if last is None:
        return None
    return Target(
        alias=last.alias,
        space_fingerprint=last.space_fingerprint,
        table_name=last.table_name,
        table_version=last.table_version,
        audit_id=last.audit_id,
        refine_factor=refine_factor_of(last),
        recipe=last.recipe,
        model_spec=last.model_spec,
    )


def place_of(target: Target) -> tuple[str, int, str]:
    return target.table_name, target.table_version, target.recipe.fingerprint
