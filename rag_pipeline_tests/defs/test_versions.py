"""What the UI calls unsynced is what is different: by data or by code, and by nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.transforms.versions import frame_version
from rag_pipeline_tests.pipeline.project import Project

SINGLE = {"gold/embeddings", "gold/index", "gold/evaluation"}
DATA_VERSION = "dagster/data_version"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the project and of what Dagster knows of it."""
    return tmp_path_factory.mktemp("versions")


@pytest.fixture(autouse=True)
def _home(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(place / "dagster"))


@pytest.fixture(scope="module")
def project(place: Path) -> Project:
    project = Project.create(place / "project", ["docs", "wiki"])
    project.write("a.md", "# A\n\nThe first lamp.\n")
    project.write("b.md", "# B\n\nThe second lamp.\n", source="wiki")
    project.write("broken.pdf", b"%PDF-1.4 broken", source="wiki")
    return project


@pytest.fixture
def in_step(project: Project, place: Path) -> Project:
    """The project after a run that left nothing unsynced; tests walk through it one after the other."""
    if not (place / "dagster").exists() or unsynced(project, place):
        launch_refresh(project.pipeline())
    assert unsynced(project, place) == {}
    return project


def all_versions(project: Project, tmp_path: Path) -> dict[str, str]:
    """The data version that each asset was last materialized with."""
    found = {}
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        for spec in build_definitions(project.pipeline()).resolve_all_asset_specs():
            event = instance.get_latest_materialization_event(spec.key)
            if event is not None and event.asset_materialization is not None:
                found[spec.key.to_user_string()] = (event.asset_materialization.tags or {})[DATA_VERSION]
    return found


def unsynced(project: Project, tmp_path: Path) -> dict[str, list[str]]:
    """Why each asset that is not in step is not, as the UI says it."""
    definitions = build_definitions(project.pipeline())
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        resolver = CachingStaleStatusResolver(
            instance=instance,
            asset_graph=definitions.resolve_asset_graph(),
            loading_context=LoadingContextForTest(instance),
        )
        found = {}
        for spec in definitions.resolve_all_asset_specs():
            name = spec.key.to_user_string()
            partition = "small" if name in SINGLE else None
            status = resolver.get_status(spec.key, partition)
            if status != StaleStatus.FRESH and name != "gold/maintenance":
                found[name] = [cause.reason for cause in resolver.get_stale_causes(spec.key, partition)] or [
                    str(status)
                ]
        return found


def test_an_unchanged_run_changes_no_data_version_and_leaves_nothing_unsynced(in_step: Project, place: Path) -> None:
    project = in_step
    before = all_versions(project, place)
    assert len(before) == 2 * 2 + 7 + 4
    # A compacted table holds what it held.
    with project.workspace() as workspace:
        from rag_pipeline.refresh.maintenance import maintain

        maintain(workspace)
    launch_refresh(project.pipeline())
    assert all_versions(project, place) == before
    assert unsynced(project, place) == {}


def test_an_edit_changes_the_versions_of_what_it_reaches_and_of_nothing_else(in_step: Project, place: Path) -> None:
    project = in_step
    before = all_versions(project, place)
    written = (project.folder / "docs" / "a.md").stat().st_mtime_ns
    project.write("a.md", "# A\n\nThe first lamp is green.\n")
    launch_refresh(project.pipeline())
    after = all_versions(project, place)
    assert {name for name, version in after.items() if before[name] != version} == {
        "source/docs", "bronze/docs", "silver/revocations", "silver/documents", "silver/chunks", "gold/embeddings",
        "gold/index", "gold/publication",
    }  # fmt: skip
    assert unsynced(project, place) == {}
    path = project.write("a.md", "# A\n\nThe first lamp.\n")
    os.utime(path, ns=(written, written))
    launch_refresh(project.pipeline())
    back = all_versions(project, place)
    # What holds the same again has the same version again; a log does not.
    assert back["silver/documents"] == before["silver/documents"]
    assert back["gold/index"] == before["gold/index"]
    assert back["bronze/docs"] != before["bronze/docs"]


def test_what_was_polled_but_not_taken_further_is_unsynced(in_step: Project, place: Path) -> None:
    project = in_step
    project.write("a.md", "# A\n\nAnother lamp.\n")
    with dg.DagsterInstance.from_config(str(place / "dagster")) as instance:
        job = build_definitions(project.pipeline()).resolve_job_def("refresh")
        polled = [dg.AssetKey(["source", "docs"]), dg.AssetKey(["bronze", "docs"])]
        assert job.execute_in_process(instance=instance, partition_key="small", asset_selection=polled).success
    found = unsynced(project, place)
    assert set(found) == {"silver/revocations", "silver/documents", "silver/quarantine"}
    assert found["silver/documents"] == ["has a new dependency data version"]


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        ("rag_pipeline.defs.versions.CHUNKER_VERSION", {"silver/chunks"}),
        ("rag_pipeline.parsing.markup.markdown.VERSION", {"silver/documents", "silver/quarantine"}),
        ("rag_pipeline.transforms.quality.VERSION", {"silver/documents", "silver/quarantine"}),
        ("rag_pipeline.transforms.near_duplicates.VERSION", {"silver/duplicates"}),
        ("rag_pipeline.defs.versions.EVALUATOR_VERSION", {"gold/evaluation"}),
    ],
)
def test_a_new_version_of_the_code_is_told_by_the_assets_that_it_makes(
    project: Project, monkeypatch: pytest.MonkeyPatch, constant: str, expected: set[str]
) -> None:
    def code_versions() -> dict[str, str | None]:
        specs = build_definitions(project.pipeline()).resolve_all_asset_specs()
        return {spec.key.to_user_string(): spec.code_version for spec in specs}

    before = code_versions()
    assert all(before.values())
    monkeypatch.setattr(constant, "99")
    after = code_versions()
    assert {name for name in after if before[name] != after[name]} == expected


TEXT = st.text(max_size=5)
ROWS = st.lists(
    st.tuples(TEXT, st.integers(-(2**63), 2**63 - 1), st.one_of(st.none(), TEXT), st.lists(TEXT, max_size=3)),
    max_size=6,
)
SCHEMA = {"key": pl.String, "count": pl.Int64, "said": pl.String, "names": pl.List(pl.String)}


@given(ROWS, st.randoms())
def test_equal_rows_have_equal_versions_in_any_order(rows: list[tuple[object, ...]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    frames = [pl.DataFrame(each, schema=SCHEMA, orient="row") for each in (rows, shuffled)]
    assert frame_version(frames[0]) == frame_version(frames[1])


def test_rows_that_differ_anywhere_have_other_versions() -> None:
    rows: list[tuple[object, ...]] = [
        ("a", 1, None, ["x"]), ("a", 1, "", ["x"]), ("a", 1, "x", []), ("a", 1, None, []), ("a", 1, None, [""]),
        ("a", 1, None, ["x", "y"]), ("a", 11, None, ["x"]), ("", 1, "a", ["x"]), ("a", -1, None, ["x"]),
    ]  # fmt: skip
    versions = [frame_version(pl.DataFrame([row], schema=SCHEMA, orient="row")) for row in rows]
    versions += [
        frame_version(pl.DataFrame(rows[:2], schema=SCHEMA, orient="row")),
        frame_version(pl.DataFrame(schema=SCHEMA)),
    ]
    assert len(set(versions)) == len(versions)
