"""Who may read what, asked as a reader: names that look the same close and open the same."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag_pipeline.errors import BadQuery
from rag_pipeline.refresh.bronze import update_source
from rag_pipeline.refresh.status import read_status
from rag_pipeline_tests.pipeline.project import Project

COMPOSED, DECOMPOSED = "Prüfung", "Pru\u0308fung"


@pytest.mark.parametrize(("written", "found"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_closed_folder_is_closed_however_its_name_is_composed(tmp_path: Path, written: str, found: str) -> None:
    project = Project.create(tmp_path)
    project.write(f"{found}/befund.md", "# Befund\n\nDie Pumpe tropft seit Ostern.")
    project.write("offen.md", "# Offen\n\nDer Hafen hat auf.")
    rule = {"pattern": f"{written}/**", "allowed_principals": [f"{written} intern"]}
    project.settings["sources"]["docs"]["permission_rules"] = [rule]
    project.refresh()
    assert project.search("Pumpe tropft", "public", mode="text") == []
    assert len(project.search("Pumpe tropft", f"{COMPOSED} intern", mode="text")) == 1
    assert len(project.search("Pumpe tropft", f"{DECOMPOSED} intern", mode="text")) == 1


def test_a_name_with_what_nobody_sees_opens_nothing(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("a.md", "---\nallowed_principals: [led\u200bger]\n---\n# A\n\nThe ledger is balanced.")
    project.write("b.md", "# B\n\nThe ledger is kept by hand.")
    project.write("b.md.meta.yaml", 'allowed_principals: ["led\u2060ger"]')
    project.write("c.md", "# C\n\nThe ledger is public.")
    project.refresh()
    assert {hit.uri for hit in project.search("ledger", "ledger", mode="text")} == {"docs/c.md"}
    with project.workspace() as workspace:
        refused = workspace.lake.bronze_state("docs").filter(problem_code="invalid_metadata")
    assert set(refused["address"]) == {"a.md", "b.md"}
    assert all("type" in detail.lower() and "ledger" in detail for detail in refused["problem_detail"])
    with pytest.raises(BadQuery, match="type 'ledger'"):
        project.search("ledger", "led\u200bger")


def test_one_time_in_the_future_is_not_the_newest(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    for name, year in (("a", 2021), ("b", 2019), ("c", 2091)):
        path = project.write(f"{name}.md", f"# {name}\n\nA note on sails.")
        moment = datetime(year, 3, 1, tzinfo=UTC).timestamp()
        os.utime(path, (moment, moment))
    project.refresh()
    with project.workspace() as workspace:
        (source,) = read_status(workspace).sources
    assert source.newest_modified_at == datetime(2021, 3, 1, tzinfo=UTC)
    with project.workspace() as workspace:
        assert update_source(workspace, "docs").bytes_read == 0, "it was fetched once"
