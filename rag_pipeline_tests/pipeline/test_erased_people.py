"""Whoever was erased is in no remark, group or right afterwards, whatever became of the settings or was restored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from rag_pipeline.contracts.erasures import Erasure, principal_hash, read_erased
from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.contracts.memberships import MEMBERSHIPS, PRINCIPALS
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure, release
from rag_pipeline.refresh.erase_people import files_naming
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.refresh.memberships import open_memberships, poll_memberships
from rag_pipeline.refresh.restore import RestoreReport, restore
from rag_pipeline.stores.backup import back_up
from rag_pipeline_tests.pipeline.project import Project

REMARK: dict[str, Any] = {
    "query": "when is the pump oiled",
    "mode": "text",
    "rank": 1,
    "chunk_id": "c",
    "document_id": "d",
    "uri": "u",
    "verdict": "up",
    "comment": "",
    "publication": 1,
}
ALL = {"ada", "bob", "eve"}


@pytest.fixture(autouse=True)
def _nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three people in a group, each of whom made a remark; and a backup of that."""
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.settings["sources"]["docs"]["groups"] = {"file": "groups.yaml"}
    (project.folder / "groups.yaml").write_text(yaml.safe_dump({"crew": sorted(ALL)}))
    project.write("pump.md", "# Pump\n\nThe pump is oiled at dawn by everybody.\n")
    project.refresh()
    now = datetime.now(UTC)
    rows = [REMARK | {"feedback_id": who, "caller": who, "principals": [who], "given_at": now} for who in sorted(ALL)]
    with project.workspace() as workspace:
        workspace.lake.append(FEEDBACK, FEEDBACK.frame(rows))
        back_up(workspace.lake, project.folder / "copies", now)
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def erased(project: Project, who: str, *, only_begin: bool = False) -> str:
    with project.workspace() as workspace:
        plan = begin_erasure(workspace, Wanted(principal=who), reason="asked", erased_by="test")
        if not only_begin:
            assert finish_erasure(workspace) is not None
        return plan.erasure_id


def restored(project: Project) -> RestoreReport:
    return restore(project.pipeline(), project.folder / "copies", to=None, name=None, may_replace=True)


def people(project: Project) -> dict[str, set[str]]:
    """Who is named by the tables, and by any file of them, of whatever version."""
    columns = [(FEEDBACK, "caller"), (MEMBERSHIPS, "member_name"), (PRINCIPALS, "member_principal")]
    found = {}
    with project.workspace() as workspace:
        for table, column in columns:
            found[table.name] = set(workspace.lake.read(table)[column])
            files = sorted((project.folder / "lake" / table.path).glob("*.parquet"))
            assert found[table.name] == {each for path in files for each in pl.read_parquet(path)[column]}, table.name
    return found


def only(who: set[str]) -> dict[str, set[str]]:
    return dict.fromkeys(("feedback", "memberships", "principals"), who)


def test_a_restore_brings_no_erased_person_back(project: Project) -> None:
    """Neither one whose erasure was done, nor one whose erasure was begun."""
    assert people(project) == only(ALL)
    erased(project, "ada")
    erased(project, "eve", only_begin=True)
    assert restored(project).findings == 0
    assert people(project) == only({"bob"})
    project.refresh()
    assert people(project) == only({"bob"})


def test_a_restore_brings_no_erased_person_back_where_no_source_knows_groups_any_more(project: Project) -> None:
    del project.settings["sources"]["docs"]["groups"]
    erased(project, "ada")
    with project.workspace() as workspace:
        assert read_erased(workspace.lake.root).places == {principal_hash("ada")}
    restored(project)
    assert people(project)["feedback"] == {"bob", "eve"}
    assert "ada" not in people(project)["memberships"] | people(project)["principals"]


def test_nobody_stays_in_groups_that_no_source_knows_any_more(project: Project) -> None:
    groups = project.settings["sources"]["docs"].pop("groups")
    erased(project, "ada")
    assert people(project) == {"feedback": {"bob", "eve"}, "memberships": set(), "principals": {"bob", "eve"}}
    with project.workspace() as workspace:
        open_memberships(workspace)
        assert open_memberships(workspace).commits == 0
    # Whoever was erased where no source knew groups stays out of those that one knows later.
    project.settings["sources"]["docs"]["groups"] = groups
    with project.workspace() as workspace:
        poll_memberships(workspace)
        open_memberships(workspace)
        assert set(workspace.lake.read(MEMBERSHIPS)["member_name"]) == {"bob", "eve"}
        del project.settings["sources"]["docs"]["groups"]
    with project.workspace() as workspace:
        open_memberships(workspace)
        assert workspace.lake.read(MEMBERSHIPS).is_empty()


def test_a_file_that_still_names_whoever_is_erased_keeps_the_erasure_open(project: Project) -> None:
    left = project.folder / "lake" / MEMBERSHIPS.path / "part-left.parquet"
    row = {"source": "docs", "group_name": "crew", "member_name": "ada", "is_group": False}
    rows = pl.DataFrame([row | {"observed_at": datetime.now(UTC), "run_id": "r"}], schema=MEMBERSHIPS.schema)
    with project.workspace() as workspace:
        rows.write_parquet(left)
        assert list(files_naming(workspace, ["bob"])) != []
        assert str(left) in files_naming(workspace, ["ada"])
        # A group of that name is nobody's but the source's, and the rest of a damaged file is its bytes.
        assert str(left) not in files_naming(workspace, ["crew"])
        left.write_bytes(b"PAR1 of eve and bob")
        assert str(left) in files_naming(workspace, ["eve"])
        assert str(left) not in files_naming(workspace, ["ada"])


def test_whoever_was_released_comes_back_with_a_restore(project: Project) -> None:
    erasure_id = erased(project, "ada")
    with project.workspace() as workspace:
        release(workspace, erasure_id)
    restored(project)
    assert people(project) == only(ALL)


def test_a_remark_of_after_an_erasure_stays_with_a_restore(project: Project) -> None:
    erased(project, "ada")
    now = datetime.now(UTC)
    row = REMARK | {"feedback_id": "later", "caller": "ada", "principals": ["ada"], "given_at": now}
    with project.workspace() as workspace:
        workspace.lake.append(FEEDBACK, FEEDBACK.frame([row]))
        back_up(workspace.lake, project.folder / "copies", now)
    restored(project)
    assert people(project)["feedback"] == ALL


def test_a_plan_of_an_earlier_program_names_one_person() -> None:
    plan = Erasure("e", "why", "who", "now", {}, (), (), (), (), (), principals=("ada",))
    assert Erasure.of(plan.encoded()) == plan
    earlier = plan.encoded().replace(b'"principals": ["ada"]', b'"principal": "ada"')
    assert b'"principal": "ada"' in earlier
    assert Erasure.of(earlier) == plan
    assert Erasure.of(earlier.replace(b'"ada"', b'""')).principals == ()
