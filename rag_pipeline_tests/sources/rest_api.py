"""Sources of the kind `rest` for tests, and answers of servers of this machine.

Belongs here: what several modules of tests share. Does not belong here: tests.
"""

from __future__ import annotations

import json
from typing import Any

from rag_pipeline.contracts.groups import GroupsSpec
from rag_pipeline.contracts.sources import Source, SourceSpec
from rag_pipeline.settings.sources import RestSettings
from rag_pipeline.sources import open_source
from rag_pipeline_tests.sources.site import Reply, Site

TICKETS: dict[str, Any] = {
    "kind": "rest",
    "list": {
        "path": "items",
        "items": "items",
        "pages": {"type": "cursor", "field": "next", "param": "cursor", "size_param": "limit", "size": 2},
    },
    "id": "id",
    "revision": ["revision"],
    "detail": "items/{id}",
    "template": "{body}",
    "principals": "readers",
}


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(json.dumps(value).encode(), status, {"Content-Type": "application/json"} | headers)


def rest_source(site: Site, settings: dict[str, Any] = TICKETS, **fields: Any) -> Source:
    own = rest_fields(site, settings, **fields)
    location = str(fields.get("location", f"{site.url}/api"))
    read = RestSettings.model_validate(settings | {"location": location} | fields)
    groups = read.groups and GroupsSpec("tickets:", fields=read.groups.own_fields)
    limit = read.max_document_bytes
    return open_source(
        SourceSpec("tickets", location, kind="rest", fields=own, groups=groups, max_document_bytes=limit)
    )


def rest_fields(site: Site, settings: dict[str, Any] = TICKETS, **fields: Any) -> dict[str, Any]:
    """What a spec has of the settings."""
    given = settings | {"location": f"{site.url}/api", "networks": ["127.0.0.0/8"]} | fields
    read = RestSettings.model_validate(given)
    return read.own_fields | {"auth": {name: value.removeprefix("$") for name, value in read.auth.items()}}
