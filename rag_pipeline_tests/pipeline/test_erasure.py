"""After an erasure no file holds a word of the document, the others are untouched, and it does not come back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lancedb
import polars as pl
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rag_pipeline.cli.app import cli
from rag_pipeline.contracts.erasures import PENDING_FILE, Erasure, read_erased
from rag_pipeline.contracts.feedback import FEEDBACK
from rag_pipeline.contracts.tables import BRONZE, DOCUMENTS, EMBEDDINGS, QUARANTINE
from rag_pipeline.errors import StoreError, UsageError
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh import erase_plan
from rag_pipeline.refresh.erase import begin_erasure, finish_erasure, release
from rag_pipeline.refresh.erase_plan import Wanted
from rag_pipeline.refresh.erase_proof import Certificate
from rag_pipeline.refresh.maintenance import maintain
from rag_pipeline.refresh.status import read_status
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores import byte_search
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project

TITLE = "Wolfram Quillsby dossier"
FIRST = f"# {TITLE}\n\nHe keeps nineteen lanterns in the northern shed, and oils them.\n"
SECOND = f'# {TITLE}\n\nHe keeps "twenty-three" lanterns \u2013 brass ones \u2013 in the southern shed now.\n'
LOST = (TITLE, "nineteen lanterns in the northern", "brass ones", "southern shed")
OTHER = "# Ferries\n\nThe ferry leaves at nine, and the pump runs until the tide has turned again.\n"


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder as it is, and what it holds once it is decompressed."""
    for path in folder.rglob("*"):
        if not path.is_file() or path.suffix == ".md" or path.name == "pipeline.yaml":
            continue
        raw = path.read_bytes()
        yield str(path), raw
        if raw[:4] == b"PAR1":
            yield str(path), str(pq.read_table(path).to_pylist()).encode("utf-8", "replace")
        if raw[:15] == b"SQLite format 3":
            with closing(sqlite3.connect(path)) as file:
                for (name,) in file.execute("select name from sqlite_master where type = 'table'").fetchall():
                    yield str(path), repr(file.execute(f'select * from "{name}"').fetchall()).encode()
    for path in folder.rglob("*.lance"):
        if path.is_dir():
            table = lancedb.connect(str(path.parent)).open_table(path.stem)
            for version in table.list_versions():
                table.checkout(version["version"])
                yield str(path), str(table.to_arrow().to_pylist()).encode()


def holding(folder: Path, *words: str) -> set[str]:
    forms = {form for word in words for form in (word, json.dumps(word)[1:-1])}
    return {path for path, content in contents(folder) for form in forms if form.encode() in content}


@pytest.fixture(autouse=True)
def _nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"), sources=("docs", "people"))
    project.write("quillsby.md", FIRST)
    for name in ("ferries", "tides"):
        project.write(f"{name}.md", OTHER.replace("Ferries", name))
    project.write("bands.md", "# Bands\n\nA keeper of lamps is paid in copper.\n", source="people")
    project.refresh()
    project.write("quillsby.md", SECOND)
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path, polled=True)


def begun(project: Project, wanted: Wanted) -> None:
    with project.workspace() as workspace:
        begin_erasure(workspace, wanted, reason="request 4711", erased_by="dpo")


def finished(project: Project) -> Certificate | None:
    with project.workspace() as workspace:
        return finish_erasure(workspace)


HERE = Wanted(place=("docs", "quillsby.md"))


def check_erased(project: Project) -> None:
    assert holding(project.folder, *LOST) == set()
    assert project.verify().findings == []
    assert all(TITLE not in str(row) for row in project.published())


def test_nothing_of_the_document_is_left_and_the_others_are_as_a_rebuild_makes_them(project: Project) -> None:
    assert holding(project.folder, *LOST)
    with project.workspace() as workspace:
        state = workspace.lake.bronze_state("docs").filter(pl.col("address") == "quillsby.md").row(0, named=True)
        remark = {
            "feedback_id": "1", "query": f"where is the {TITLE}", "mode": "text", "rank": 1, "chunk_id": "c",
            "document_id": state["document_id"], "uri": state["uri"], "verdict": "up", "comment": "", "caller": "al",
            "principals": ["public"], "publication": 1, "given_at": datetime.now(UTC),
        }  # fmt: skip
        other = remark | {"feedback_id": "2", "query": "when does the ferry leave", "document_id": "d", "uri": "u"}
        answered = {"chunk_id": None, "document_id": None, "uri": None, "cited_chunk_ids": ["c"]}
        cites = other | answered | {"feedback_id": "3", "cited_document_ids": [state["document_id"]]}
        workspace.lake.append(FEEDBACK, FEEDBACK.frame([remark, other, cites]))
    reader = Searcher.open(project.pipeline())
    assert reader.search("lanterns", principals=["public"])[0].title == TITLE
    begun(project, HERE)
    certificate = finished(project)
    assert certificate is not None
    # A reader that was there before goes on, and has lost it.
    assert all(hit.title != TITLE for hit in reader.search("lanterns", principals=["public"]))
    check_erased(project)
    assert certificate.pieces > 4
    assert certificate.found == []
    assert certificate.removed
    assert TITLE not in str(certificate)
    with project.workspace() as workspace:
        assert workspace.lake.read(FEEDBACK)["feedback_id"].to_list() == ["2"]
        assert workspace.lake.read(EMBEDDINGS.of(workspace.space("small").fingerprint)).height == 3
    # It does not come back, and nothing is left to do.
    project.embedded.clear()
    assert project.refresh() == 0
    assert project.embedded == []
    with project.workspace() as workspace:
        counts = {each.source: (each.live, each.erased) for each in read_status(workspace).sources}
    assert counts == {"docs": (2, 1), "people": (1, 0)}
    (project.folder / "docs" / "quillsby.md").rename(project.folder / "kept.md")
    assert project.published() == project.rebuilt()
    (project.folder / "kept.md").rename(project.folder / "docs" / "quillsby.md")
    with project.workspace() as workspace:
        assert release(workspace, certificate.erasure_id) == 1
    project.refresh()
    assert TITLE in str(project.published())
    assert project.verify().findings == []


@pytest.mark.parametrize("by_content", [False, True])
def test_equal_bytes_of_another_document_stay_unless_the_content_is_meant(project: Project, by_content: bool) -> None:
    project.write("copy.md", SECOND)
    project.refresh()
    begun(project, Wanted(place=("docs", "quillsby.md"), by_content=by_content))
    certificate = finished(project)
    assert certificate is not None
    assert len(certificate.shared_with) == (not by_content)
    project.refresh()
    assert [row["uri"] for row in project.published() if TITLE in str(row)] == ["docs/copy.md"] * (not by_content)
    assert project.verify().findings == []
    # Only what that one does not hold was searched for, and is gone: the revision of before.
    assert holding(project.folder, "nineteen lanterns in the northern") == set()
    project.write("third.md", SECOND)
    project.refresh()
    with project.workspace() as workspace:
        refused = workspace.lake.read(QUARANTINE).filter(pl.col("reason_code") == "erased")["uri"].to_list()
        taken = workspace.lake.read(DOCUMENTS)["uri"].to_list()
    assert refused == (["docs/third.md"] if by_content else [])
    assert ("docs/third.md" in taken) is not by_content
    assert project.verify().findings == []


STEPS = ("_take_from_readers", "_take_from_tables", "renew_indexes", "forget_versions", "_take_small_files")


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_that_is_killed_is_finished_by_the_next_run(
    built: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Killed(BaseException):
        pass

    project = built.copied(tmp_path)
    calls: list[int] = []
    original = getattr(erasing, step)

    def killed(*arguments: Any, **values: Any) -> Any:
        original(*arguments, **values)
        calls.append(1)
        raise Killed

    monkeypatch.setattr(erasing, step, killed)
    begun(project, HERE)
    with pytest.raises(Killed):
        finished(project)
    assert calls
    monkeypatch.setattr(erasing, step, original)
    assert all(TITLE not in str(hit) for hit in project.search("lanterns", "public"))
    assert (project.folder / "lake" / PENDING_FILE).exists()
    project.refresh()
    assert not (project.folder / "lake" / PENDING_FILE).exists()
    check_erased(project)


def test_what_is_left_somewhere_is_named_and_the_erasure_stays_open(project: Project) -> None:
    stray = project.folder / "lake" / "notes.txt"
    stray.write_text(f"see the {TITLE}")
    begun(project, HERE)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        finished(project)
    with pytest.raises(UsageError, match="--finish"):
        begun(project, HERE)
    stray.unlink()
    assert finished(project) is not None
    check_erased(project)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_person_s_own_documents_go_with_their_principal(project: Project, is_deleted: bool) -> None:
    project.settings["sources"]["people"]["allowed_principals"] = ["mo"]
    project.refresh()
    with pytest.raises(UsageError, match="everybody"):
        begun(project, Wanted(principal="public"))
    if is_deleted:
        (project.folder / "people" / "bands.md").unlink()
        project.refresh()
    begun(project, Wanted(principal="mo"))
    certificate = finished(project)
    assert certificate is not None
    assert [each["source"] for each in certificate.documents] == ["people"]
    with project.workspace() as workspace:
        assert workspace.lake.read(BRONZE.of("people")).height == 0
        # Of the document, and of whose it was.
        assert len(read_erased(workspace.lake.root).tombstones) == 2
    assert holding(project.folder, "keeper of lamps is paid") == set()
    assert is_deleted or project.refresh() == 0
    assert project.verify().findings == []


def test_a_damaged_table_hinders_no_erasure(project: Project) -> None:
    for path in (project.folder / "lake" / "silver" / "documents").rglob("*.parquet"):
        if "_delta_log" not in str(path):
            path.write_bytes(path.read_bytes()[:40])
    begun(project, HERE)
    assert finished(project) is not None
    assert holding(project.folder, *LOST) == set()
    project.refresh()
    check_erased(project)


def test_the_command_erases_from_dagster_s_records_too(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.write("quillsby.md", SECOND)
    project.write("ferries.md", OTHER)
    project.pipeline()
    assert ask_in(tmp_path, "run", "--json").code == 0
    (log,) = (path for path in (tmp_path / ".dagster").rglob("index.db"))
    with closing(sqlite3.connect(log)) as file:
        file.execute("update event_logs set event = json_set(event, '$.user_message', ?)", (f"took {TITLE}\n",))
        file.commit()
    unsaid = ask_in(tmp_path, "erase", "docs/quillsby.md", "--reason", "request", "--json")
    assert (unsaid.code, "--yes" in unsaid.err) == (2, True)
    answer = ask_in(tmp_path, "erase", "docs/quillsby.md", "--reason", "request", "--by", "dpo", "--json", "--yes")
    assert (answer.code, answer.err) == (0, "")
    assert answer.records[0]["erased_by"] == "dpo"
    assert holding(tmp_path, *LOST) == set()
    assert ask_in(tmp_path, "verify").code == 0
    assert ask_in(tmp_path, "run", "--json").records[0]["documents"] == 1
    again = ask_in(tmp_path, "erase", "docs/quillsby.md", "--reason", "request", "--yes")
    assert again.code == 2
    assert "there is no document" in again.err


def test_a_piece_is_found_in_whatever_a_file_is_packed(tmp_path: Path) -> None:
    import gzip

    import pyarrow as pa

    needles = byte_search.Needles((b"southern shed",))
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x" * 99 + b"the southern shed"))
    with pa.CompressedOutputStream(str(tmp_path / "b.zst"), "zstd") as stream:
        stream.write(b"the southern shed")
    pl.DataFrame({"a": [["", "the southern shed"]]}).write_parquet(tmp_path / "c.parquet", compression="zstd")
    with closing(sqlite3.connect(tmp_path / "d.db")) as file:
        file.execute("create table t(v text)")
        file.execute("insert into t values (?)", ("y" * 5_000 + " southern shed " + "z" * 5_000,))
        file.commit()
    for name in ("a.gz", "b.zst", "c.parquet", "d.db"):
        assert byte_search.found_in_file(tmp_path / name, needles) == {0}, name
    assert needles.redacted('{"a": "{\\"b\\": \\"southern shed\\"}"}') == '{"a": "{\\"b\\": \\"[erased]\\"}"}'


def test_the_plan_reads_back_and_says_nothing_in_clear() -> None:
    plan = Erasure("e", "why", "who", "now", {"docs": ("d",)}, ("d",), ("docs/ä.md",), (), (b"southern",), ())
    assert Erasure.of(plan.encoded()) == plan
    assert b"southern" not in plan.encoded()


def test_housekeeping_goes_on_after_an_erasure(project: Project) -> None:
    begun(project, HERE)
    finished(project)
    with project.workspace() as workspace:
        assert maintain(workspace).at_fault == []
    project.refresh()
    check_erased(project)


def test_whether_it_is_meant_is_asked_before_any_document_is_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.pipeline()
    planned: list[int] = []
    pieces_of = erase_plan.pieces_of

    def counted(*arguments: Any) -> Any:
        planned.append(1)
        return pieces_of(*arguments)

    monkeypatch.setattr(erase_plan, "pieces_of", counted)
    command = ["erase", "docs/quillsby.md", "--reason", "request"]
    variables = {"RAG_PIPELINE_CONFIG": str(project.folder / "pipeline.yaml")}
    for answer, code, count in (("n", 1, 0), ("y", 0, 1)):
        result = CliRunner().invoke(cli, command, env=variables, input=f"{answer}\n")
        assert (result.exit_code, len(planned)) == (code, count)
        assert "docs/quillsby.md" in result.stderr
    assert holding(project.folder, *LOST) == set()
