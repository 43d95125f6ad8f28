"""Who may read a document: sidecar, then front matter, then the first matching rule, then the default.

Belongs here: precedence, and nothing that reads a source.
Does not belong here: parsing what is declared (`metadata.py`), filtering searches (`retrieval/`).

Nothing listed is nobody. Everybody is the explicit principal `public`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

from rag_pipeline.contracts.names import principal
from rag_pipeline.contracts.sources import DeclaredMetadata, PermissionRule, SourceSpec
from rag_pipeline.transforms.globs import Globs, compile_globs


def allowed_principals(address: str, declared: DeclaredMetadata, spec: SourceSpec) -> tuple[str, ...]:
    """Sorted, unique principals that may read the document at `address`; empty is nobody.

    A symbolic link gives no more than its target does: whoever may create a link in an open folder must
    not open a closed one with it. So a link is read by those who may read both.
    """
    principals = _principals(address, declared.allowed_principals, spec)
    if declared.link_target is not None:
        target = _principals(declared.link_target, declared.link_target_principals, spec)
        principals = tuple(principal for principal in principals if principal in target)
    return principals


def _principals(address: str, declared: tuple[str, ...] | None, spec: SourceSpec) -> tuple[str, ...]:
    if declared is not None:
        return _sorted(declared)
    if spec.permission_rules:
        for pattern, principals in _compiled(spec.permission_rules):
            if pattern.match(address):
                return principals
    return _sorted(spec.allowed_principals)


@lru_cache(maxsize=64)
def _compiled(rules: tuple[PermissionRule, ...]) -> tuple[tuple[Globs, tuple[str, ...]], ...]:
    # A rule that closes a folder must close what is hidden in it too.
    return tuple((compile_globs([rule.pattern], match_hidden=True), _sorted(rule.allowed_principals)) for rule in rules)


@lru_cache(maxsize=256)
def _sorted(principals: tuple[str, ...]) -> tuple[str, ...]:
    # Settings and metadata refuse what is no name; whatever comes here all the same opens nothing.
    names = set()
    for name in principals:
        with suppress(ValueError):
            names.add(principal(name))
    return tuple(sorted(names))
