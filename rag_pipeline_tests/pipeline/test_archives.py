"""An archive in a source: its members are documents with the archive's permissions, and follow it."""

from __future__ import annotations

import gzip
from pathlib import Path

from rag_pipeline.contracts.tables import DOCUMENTS
from rag_pipeline_tests.parsing.office_files import container
from rag_pipeline_tests.pipeline.project import Project


def addresses(project: Project) -> dict[str, list[str]]:
    with project.workspace() as workspace:
        found = workspace.lake.read(DOCUMENTS, ["uri", "allowed_principals"])
    return {uri.rpartition("reports.zip")[2]: names for uri, names in found.rows()}


def test_members_have_addresses_of_their_own_and_the_permissions_of_the_archive(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    [source] = project.settings["sources"]
    project.settings["sources"][source]["allowed_principals"] = ["crew"]
    dues, tides = b"# Dues\n\nSeven coins a night.\n", b"# Tides\n\nHigh water at noon.\n"
    project.write("reports.zip", container({"2026/dues.md": dues, "tides.md": tides}))
    project.refresh()
    assert addresses(project) == {"!/2026/dues.md": ["crew"], "!/tides.md": ["crew"]}
    project.write("reports.zip", container({"2026/dues.md": dues}))
    project.refresh()
    assert addresses(project) == {"!/2026/dues.md": ["crew"]}


def test_a_packed_file_that_is_renamed_is_what_a_rebuild_would_give(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    packed = gzip.compress(b"# Tides\n\nHigh water at noon.\n")
    project.write("reports.zip.md.gz", packed)
    project.refresh()
    assert list(addresses(project)) == [".md.gz!/content.md"]
    (tmp_path / "docs/reports.zip.md.gz").rename(tmp_path / "docs/reports.zip.txt.gz")
    project.refresh()
    assert list(addresses(project)) == [".txt.gz!/content.txt"]
