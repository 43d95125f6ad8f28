"""A small published lake on the server, and copies of it: copying takes a tenth of the time of building one."""

from __future__ import annotations

import uuid
from pathlib import Path

from rag_pipeline.stores.objects import Objects
from rag_pipeline_tests.object_store.server import S3Server
from rag_pipeline_tests.pipeline.project import Project

TEXTS = {
    "lamps.md": "# Lamps\n\nA green lamp hangs above the door, and nobody has to look for it at night.\n",
    "pumps.md": "# Pumps\n\nThe pump has a red lever. Pull it twice, then wait for the water to come.\n",
    "keys.md": "---\nallowed_principals: [keepers]\n---\n# Keys\n\nThe keys hang behind the clock in the hall.\n",
}


def built(server: S3Server, folder: Path) -> Project:
    """A project that was published into the bucket `lakes`."""
    made = Project.create(folder, lake="s3://lakes/of all", lake_options=server.options)
    for name, text in TEXTS.items():
        made.write(name, text)
    made.refresh()
    return made


def copied(project: Project, server: S3Server, folder: Path, bucket: str = "s3://lakes") -> Project:
    """The same project with a lake of its own, at another address."""
    root, prefix = f"{bucket}/copy {uuid.uuid4().hex[:8]}", project.settings["lake"]
    copy = project.copied(folder)
    copy.settings["lake"] = root
    here, there = Objects(prefix, server.options), Objects(root, server.options)
    for name in here.entries():
        found = here.read(name)
        assert found is not None
        there.write(name, found[0])
    return copy
