"""What storage raises becomes an error of ours that names the table and what to type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from rag_pipeline.contracts.table import TableContract
from rag_pipeline.contracts.tables import BRONZE, CHUNKS, DOCUMENTS
from rag_pipeline.errors import LakeDamaged, StoreError, StoreUnavailable, UsageError
from rag_pipeline.stores.failures import failed, is_failure, reading
from rag_pipeline.stores.lake import Lake
from rag_pipeline.stores.sql import LakeSql
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline_tests.pipeline.project import Project

TEXT = "# Running the pump\n\nHow to start the pump.\n\n## Stopping it\n\nPull the red lever twice.\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    project.write("guide.md", TEXT)
    project.write("other.md", "# Other\n\nA valve.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    """Of the size that it should have."""
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES = {"cut": cut, "emptied": emptied, "zeroed": zeroed, "gone": Path.unlink}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("table", [BRONZE.of("docs"), DOCUMENTS], ids=["bronze", "documents"])
def test_a_damaged_data_file_is_named_by_every_way_of_reading(
    project: Project, damage: Callable[[Path], None], table: TableContract
) -> None:
    lake = Lake(str(project.folder / "lake"))
    is_bronze = table.layer == "bronze"
    for file in (project.folder / "lake" / table.path).glob("**/part-*.parquet"):
        damage(file)
    ways: list[Callable[[], object]] = [
        lambda: lake.read(table),
        lambda: list(lake.stream(table, list(table.columns))),
        lambda: list(lake.stream_bytes("docs", {"0" * 64: 0})) if is_bronze else lake.read(table),
    ]
    for read in ways:
        with pytest.raises(LakeDamaged) as caught:
            read()
        said = caught.value.message
        assert str(project.folder / "lake" / table.path) in said
        assert ("rag-pipeline run" if is_bronze else "rag-pipeline rebuild silver.documents") in said
        assert "written" not in said
        assert ("backup" in said) == is_bronze
        assert (caught.value.retryable, caught.value.exit_code) == (False, 3)


@pytest.mark.parametrize("damage", [cut, zeroed])
def test_a_damaged_log_is_named(project: Project, damage: Callable[[Path], None]) -> None:
    folder = project.folder / "lake" / CHUNKS.path
    for file in (folder / "_delta_log").glob("*.json"):
        damage(file)
    with pytest.raises(LakeDamaged, match=f"could not open {folder}"):
        Lake(str(project.folder / "lake")).read(CHUNKS)


@pytest.mark.parametrize("damage", [cut, emptied, Path.unlink])
def test_a_write_that_meets_damage_says_that_nothing_was_written(
    project: Project, damage: Callable[[Path], None]
) -> None:
    lake = Lake(str(project.folder / "lake"))
    rows = lake.read(CHUNKS)
    for file in (project.folder / "lake" / CHUNKS.path).glob("**/part-*.parquet"):
        damage(file)
    with pytest.raises(LakeDamaged, match="Nothing of this commit was written"):
        lake.replace_where(CHUNKS, rows, rows.select("chunk_id").clear())


def index_table(project: Project) -> VectorTable:
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        fingerprint, version = last.space_fingerprint, last.table_version
        return workspace.vectors.open(last.table_name, fingerprint, version=version)


@pytest.mark.parametrize("damage", [cut, emptied, Path.unlink])
def test_damaged_data_of_the_index_is_named(project: Project, damage: Callable[[Path], None]) -> None:
    for file in (project.folder / "lake" / "gold" / "index").glob("*.lance/data/*"):
        damage(file)
    table = index_table(project)
    for read in (lambda: table.read(["chunk_id", "embedded_text"]), lambda: list(table.stream(["vector"]))):
        with pytest.raises(LakeDamaged, match=r"lake/gold/index/chunks_.*rag-pipeline rebuild gold\.index") as caught:
            read()
        assert "written" not in caught.value.message


def test_a_damaged_manifest_is_damage_and_not_a_missing_table(project: Project) -> None:
    for file in (project.folder / "lake" / "gold" / "index").glob("*.lance/_versions/*.manifest"):
        emptied(file)
    with pytest.raises(LakeDamaged, match="could not open"):
        index_table(project)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_sql_names_a_damaged_table_and_answers_from_the_others(
    project: Project, damage: Callable[[Path], None]
) -> None:
    for file in (project.folder / "lake" / CHUNKS.path).glob("**/part-*.parquet"):
        damage(file)
    with LakeSql(Lake(str(project.folder / "lake")), ["docs"], {"small": None}) as database:
        with pytest.raises(LakeDamaged, match="lake/silver/chunks"):
            list(database.query("SELECT * FROM silver.chunks").rows)
        assert list(database.query("SELECT count(*) FROM silver.documents").rows) == [(2,)]


def test_sql_over_a_sound_lake_still_blames_the_query(project: Project) -> None:
    with (
        LakeSql(Lake(str(project.folder / "lake")), ["docs"], {"small": None}) as database,
        pytest.raises(UsageError),
    ):
        database.query("SELECT * FROM silver.nothing")


@pytest.mark.parametrize(
    ("error", "place", "kind"),
    [
        (OSError("Generic S3 error: Error performing GET after 10 retries"), "s3://b/lake/x", StoreUnavailable),
        (RuntimeError("lance error: error sending request for url"), "s3://b/lake/x", StoreUnavailable),
        (ConnectionResetError("reset"), "/lake/x", StoreUnavailable),
        (OSError("Object at location x not found: 404 Not Found"), "s3://b/lake/x", LakeDamaged),
        (ValueError("connection"), "/lake/x", LakeDamaged),
        (PermissionError(13, "Permission denied"), "/lake/x", StoreError),
        (OSError(28, "No space left on device"), "/lake/x", StoreError),
        (pl.exceptions.PanicException("index out of bounds"), "/lake/x", LakeDamaged),
    ],
)
def test_only_what_time_can_cure_is_tried_again(error: BaseException, place: str, kind: type[StoreError]) -> None:
    found = failed("read", place, "silver/chunks", error)
    assert type(found) is kind
    assert found.retryable == (kind is StoreUnavailable)
    assert place in found.message


def test_a_stop_by_the_user_passes() -> None:
    assert not is_failure(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt), reading("read", "/lake", "silver/chunks"):
        raise KeyboardInterrupt


def test_a_cause_that_delta_draws_as_a_tree_is_read_to_its_end() -> None:
    said = (
        "Generic S3 error\n          \x1b[31m↳\x1b[0m Error performing PUT http://host/lake in 9.3s, after 10 retries"
    )
    refused = failed("append to", "s3://lake/silver/documents", "silver/documents", OSError(f"{said}\n"))
    assert isinstance(refused, StoreUnavailable)
    assert "Generic S3 error: Error performing PUT http://host/lake in 9.3s, after 10 retries." in refused.message


def test_milliseconds_are_no_status_of_http() -> None:
    said = OSError("Error performing HEAD in 401.830732ms, after 3 retries: 503 Service Unavailable")
    assert isinstance(failed("look at", "s3://lakes/a", "", said), StoreUnavailable)


GONE = "Object at location {} not found: Client error with status 404 Not Found"
SLOW = "Error performing GET {} in 9.3s, after 3 retries - Server returned non-2xx status code: 503 Service Unavailable"


@pytest.mark.parametrize(
    ("said", "place", "kind"),
    [
        (GONE.format("503/lake/silver/chunks/a.parquet"), "s3://b/503/lake/silver/chunks", LakeDamaged),
        (GONE.format("team 503/lake/silver/chunks/a.parquet"), "s3://b/team 503/lake/silver/chunks", LakeDamaged),
        (GONE.format("connections/lake/a.parquet"), "s3://slow-down/connections/lake", LakeDamaged),
        ("File not found: /srv/403/lake/silver/chunks/a.parquet", "/srv/403/lake/silver/chunks", LakeDamaged),
        ("srv/forbidden letters/lake/a is cut short", "/srv/forbidden letters/lake", LakeDamaged),
        ("expected 403 bytes at offset 503, got 401", "s3://b/lake", LakeDamaged),
        (SLOW.format("http://127.0.0.1:403/lakes/a"), "s3://lakes/a", StoreUnavailable),
        (SLOW.format("http://host/403-forbidden/a%20b/c"), "s3://403-forbidden/a b/c", StoreUnavailable),
        # Of which the status is the last thing that is said.
        (f"GET http://host/{'a' * 500} - status 503 Service Unavailable", "s3://b/a", StoreUnavailable),
        ("Client error with status 403 Forbidden: <RequestId>503</RequestId>", "s3://lakes/a", StoreError),
        ("response with status code: 401", "s3://lakes/a", StoreError),
        ("HTTP status server error (502 Bad Gateway) for url (http://host/a)", "s3://lakes/a", StoreUnavailable),
    ],
)
def test_names_and_numbers_in_what_is_said_are_no_status(said: str, place: str, kind: type[StoreError]) -> None:
    assert type(failed("read", place, "silver/chunks", OSError(said))) is kind
