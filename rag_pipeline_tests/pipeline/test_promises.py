"""P3 to P6: what readers see while a run is under way, who may see what, that nothing is lost, and the guard."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rag_pipeline.contracts.tables import AUDITS, DOCUMENTS, DUPLICATES, QUARANTINE
from rag_pipeline.errors import AuditFailed, BadQuery, MassDeletion, NothingPublished, ParserTimeout, SourceUnavailable
from rag_pipeline.refresh import chunks, index
from rag_pipeline.refresh.documents import read_origins
from rag_pipeline.retrieval.search import MODES, Searcher
from rag_pipeline_tests.pipeline.project import Project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("built"))
    for number in range(30):
        project.write(f"doc{number}.md", f"# Document {number}\n\nLantern number {number} hangs in hall {number}.\n")
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


# P3: a reader sees the last published state until the next is complete -----------------------------------------


def test_readers_see_the_old_or_the_new_state_and_nothing_between(project: Project) -> None:
    searcher = Searcher.open(project.pipeline())
    searcher.search("lantern", principals={"public"}, mode="text", k=100)
    seen: set[frozenset[str]] = set()
    stop = threading.Event()
    faults: list[BaseException] = []

    def poll() -> None:
        try:
            while not stop.is_set():
                hits = searcher.search("lantern", principals={"public"}, mode="text", k=100)
                seen.add(frozenset(hit.text for hit in hits))
                stop.wait(0.02)
        except BaseException as error:
            faults.append(error)

    before = frozenset(hit.text for hit in searcher.search("lantern", principals={"public"}, mode="text", k=100))
    reader = threading.Thread(target=poll)
    reader.start()
    for number in range(15):
        project.write(f"doc{number}.md", f"# Document {number}\n\nLantern number {number} was taken down.\n")
    (project.folder / "docs" / "doc29.md").unlink()
    project.refresh()
    final = {hit.text for hit in Searcher.open(project.pipeline()).search("lantern", principals={"public"}, k=100)}
    stop.wait(1.5)
    stop.set()
    reader.join()
    assert not faults
    assert len(before) == 30
    deleted = {text for text in before if "number 29 " in text}
    # What is revoked goes first and waits for nothing.
    assert seen <= {before, before - deleted, frozenset(final)}, "a state between was seen"
    assert frozenset(final) in seen


def test_nothing_is_found_before_the_first_publication(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    with pytest.raises(NothingPublished, match="rag-pipeline run"):
        project.search("anything", "public")


def tamper(project: Project, **columns: Any) -> str:
    """Change columns of one index row behind the pipeline's back; returns its chunk_id."""
    with project.workspace() as workspace:
        table = workspace.vectors.open_or_create(workspace.space("small"))
        name = table.read(["chunk_id"])["chunk_id"].sort()[0]
        table.update_columns(pa.table({"chunk_id": [name], **columns}))
        return str(name)


@pytest.mark.parametrize(
    "damage",
    [
        {"allowed_principals": [["public", "spy"]]},
        {"embedded_text": ["Something else."]},
        {"vector": pa.array([[float("inf")] * 64], pa.list_(pa.float32(), 64))},
        {"vector": pa.array([[2.0] * 64], pa.list_(pa.float32(), 64))},
        {"metadata_hash": ["0"]},
    ],
    ids=["permissions", "text", "infinite", "length", "metadata"],
)
def test_a_damaged_row_is_found_by_the_next_run_and_only_it_is_rebuilt(project: Project, damage: Any) -> None:
    before = project.published()
    tamper(project, **damage)
    project.embedded.clear()
    project.refresh()
    assert project.embedded == []
    assert project.published() == before
    assert project.verify().findings == []
    with project.workspace() as workspace:
        audits = workspace.lake.read(AUDITS).sort("audited_at")
    assert audits["repaired"].to_list()[-1] == (0 if "metadata_hash" in damage else 1)


def test_lost_rows_are_put_back(project: Project) -> None:
    before = project.published()
    with project.workspace() as workspace:
        table = workspace.vectors.open_or_create(workspace.space("small"))
        table.delete(table.read(["chunk_id"])["chunk_id"].to_list()[:7])
    project.refresh()
    assert project.published() == before


def test_an_index_that_cannot_be_mended_is_not_published(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = project.published()
    tamper(project, allowed_principals=[["public", "spy"]])
    monkeypatch.setattr(index, "_repair", lambda *_: None)
    with pytest.raises(AuditFailed, match="permissions"):
        project.refresh()
    assert project.published() == before


# P4: a chunk is returned only to who may read its document ------------------------------------------------------


@pytest.fixture(scope="module")
def built_closed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("closed"))
    project.settings["sources"]["docs"] |= {
        "allowed_principals": [],
        "permission_rules": [
            {"pattern": "open/**", "allowed_principals": ["public"]},
            {"pattern": "hr/**", "allowed_principals": ["hr"]},
            {"pattern": "quoted/**", "allowed_principals": ["o'brien"]},
        ],
    }
    for place in ("open", "hr", "quoted", "nobody"):
        project.write(f"{place}/salary.md", f"# Salary\n\nThe {place} salary table has forty rows.\n")
    project.refresh()
    return project


@pytest.fixture
def closed(built_closed: Project, tmp_path: Path) -> Project:
    return built_closed.copied(tmp_path)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("principals", "visible"),
    [
        (["public"], {"open"}),
        (["hr"], {"open", "hr"}),
        (["o'brien"], {"open", "quoted"}),
        (["HR"], {"open"}),
        (["hr') OR true --"], {"open"}),
        (["%"], {"open"}),
        (["hr", "o'brien"], {"open", "hr", "quoted"}),
    ],
)
def test_every_retriever_returns_only_what_the_caller_may_read(
    closed: Project, mode: str, principals: list[str], visible: set[str]
) -> None:
    hits = closed.search("salary table rows", *principals, mode=mode, k=50)
    assert {hit.uri.split("/")[1] for hit in hits} == visible


def test_a_search_without_a_caller_is_refused(closed: Project) -> None:
    with pytest.raises(BadQuery, match="who asks"):
        closed.search("salary")
    with pytest.raises(BadQuery, match="principals must be non-empty strings"):
        closed.search("salary", "")


def test_window_and_chunk_are_filtered_too(closed: Project) -> None:
    searcher = Searcher.open(closed.pipeline())
    secret = searcher.search("hr salary", principals={"hr"}, k=50)
    hit = next(hit for hit in secret if hit.uri == "docs/hr/salary.md")
    assert searcher.chunk(hit.chunk_id, principals={"public"}) is None
    assert searcher.chunk(hit.chunk_id, principals={"hr"}) is not None
    with pytest.raises(BadQuery):
        searcher.chunk(hit.chunk_id, principals=set())


def test_malformed_permissions_hide_a_document(project: Project) -> None:
    project.write("doc3.md.meta.yaml", "allowed_principals: {broken: [")
    project.refresh()
    assert "docs/doc3.md" not in {row["uri"] for row in project.published()}
    with project.workspace() as workspace:
        origins = read_origins(workspace)
    assert origins.filter(origins["address"] == "doc3.md")["problem_code"].to_list() == ["invalid_metadata"]
    assert project.verify().findings == []


# P5 and bad input: each object ends as a document, a named duplicate or in quarantine ---------------------------


def test_bad_input_is_quarantined_with_its_reason_and_the_run_goes_on(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    project.settings["worker_processes"] = 1
    project.settings["sources"]["docs"]["max_document_bytes"] = 10_000_000
    project.write("good.md", "# Good\n\nThis one is fine.\n")
    project.write("copy.md", "# Good\n\nThis one is fine.\n")
    project.write("empty.txt", b"")
    project.write("broken.pdf", b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog")
    project.write("nul.txt", b"abc\x00def\x00\x01\x02" * 50)
    project.write("invalid.txt", b"caf\xe9 cr\xe8me, d\xe9j\xe0 vu et na\xefve \xff\xfe\n" * 20)
    project.write("new\nline.md", "# Odd name\n\nStill a document.\n")
    with (project.folder / "docs" / "huge.txt").open("wb") as huge:
        huge.truncate(100 * 2**20)
    (project.folder / "outside.txt").write_text("secret outside")
    (project.folder / "docs" / "link.txt").symlink_to(project.folder / "outside.txt")
    os.mkfifo(project.folder / "docs" / "pipe.txt")
    project.refresh()
    with project.workspace() as workspace:
        lake = workspace.lake
        reasons = dict(lake.read(QUARANTINE, ["uri", "reason_code"]).rows())
        documents = set(lake.read(DOCUMENTS, ["uri"])["uri"])
        assert lake.read(DUPLICATES).height == 1
    assert reasons["docs/empty.txt"] == "empty"
    assert reasons["docs/broken.pdf"] in ("unparsable", "empty")
    assert "docs/nul.txt" in documents | set(reasons)
    assert reasons["docs/huge.txt"] == "too_large"
    assert reasons["docs/link.txt"] == "link_outside_source"
    assert "docs/pipe.txt" in reasons
    assert {"docs/good.md", "docs/copy.md", "docs/new\nline.md"} <= documents
    assert "docs/invalid.txt" in documents | set(reasons)
    assert not any("secret outside" in row["embedded_text"] for row in project.published())
    assert project.verify().findings == []
    assert project.refresh() == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_an_unreadable_file_is_quarantined_and_comes_back(project: Project) -> None:
    path = project.folder / "docs" / "doc1.md"
    path.chmod(0)
    project.refresh()
    assert "docs/doc1.md" not in {row["uri"] for row in project.published()}
    path.chmod(0o644)
    project.refresh()
    assert "docs/doc1.md" in {row["uri"] for row in project.published()}


# P6: a source that goes quiet cannot empty the index -------------------------------------------------------------


def test_the_deletion_guard_holds_when_much_of_a_source_vanishes(project: Project) -> None:
    before = project.published()
    for number in range(11):
        (project.folder / "docs" / f"doc{number}.md").unlink()
    with pytest.raises(MassDeletion, match="--allow-mass-deletion docs"):
        project.refresh(allow_mass_deletion=False)
    assert project.published() == before
    project.refresh(allow_mass_deletion=True)
    assert len(project.published()) == 19
    assert project.verify().findings == []


def test_the_deletion_guard_lets_a_third_go_and_small_sources_alone(project: Project, tmp_path: Path) -> None:
    for number in range(10):
        (project.folder / "docs" / f"doc{number}.md").unlink()
    project.refresh(allow_mass_deletion=False)
    assert len(project.published()) == 20
    small = Project.create(tmp_path / "small")
    small.write("only.md", "# Only\n\nOne document.\n")
    small.write("other.md", "# Other\n\nAnother document.\n")
    small.refresh()
    (small.folder / "docs" / "only.md").unlink()
    small.refresh(allow_mass_deletion=False)
    assert len(small.published()) == 1


def test_many_moves_are_no_deletions(project: Project) -> None:
    ids = {hit.document_id for hit in project.search("lantern", "public", mode="text", k=100)}
    project.embedded.clear()
    docs = project.folder / "docs"
    (docs / "archive").mkdir()
    for path in list(docs.glob("*.md")):
        path.rename(docs / "archive" / path.name)
    project.refresh(allow_mass_deletion=False)
    moved = project.search("lantern", "public", mode="text", k=100)
    assert {hit.document_id for hit in moved} == ids
    assert project.embedded == []


def test_a_missing_location_changes_nothing(project: Project) -> None:
    before = project.published()
    (project.folder / "docs").rename(project.folder / "elsewhere")
    with pytest.raises(SourceUnavailable):
        project.refresh()
    assert project.published() == before


def test_a_mended_document_leaves_quarantine_at_once(project: Project) -> None:
    project.write("late.txt", b"")
    project.refresh()
    project.write("late.txt", "Now there is text.\n")
    project.refresh()
    assert project.verify().findings == []
    assert project.refresh() == 0


@pytest.mark.parametrize("name", ["My Projects", "Übung #1", "done?"])
def test_the_lake_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    project = Project.create(tmp_path / name)
    project.write("a.md", "# A\n\nThe lamp is lit.\n")
    project.refresh()
    project.write("a.md", "# A\n\nThe lamp is out.\n")
    project.refresh()
    assert project.refresh() == 0
    assert project.verify().findings == []
    assert "out" in project.search("lamp", "public")[0].text


def test_what_the_chunker_refused_comes_back_when_it_is_cut_otherwise(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("copy.md", "# Document 3\n\nLantern number 3 hangs in hall 3.\n")
    original = chunks.cut_document

    def failing(item: Any, counter: Any) -> Any:
        if "number 3 " in item[0] and item[4].min_tokens == 48:
            raise ParserTimeout("too slow")
        return original(item, counter)

    monkeypatch.setattr(chunks, "cut_document", failing)
    project.settings["chunking"] = {"min_tokens": 48, "target_tokens": 100}
    project.refresh()
    assert not {"docs/doc3.md", "docs/copy.md"} & {row["uri"] for row in project.published()}
    assert project.verify().findings == []
    project.settings["chunking"] = {"min_tokens": 0}
    project.refresh()
    assert "docs/copy.md" in {row["uri"] for row in project.published()}
    assert project.verify().findings == []
    assert project.published() == project.rebuilt()
