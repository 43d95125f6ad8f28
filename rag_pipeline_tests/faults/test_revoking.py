"""Whatever breaks during a run, what was revoked does not reach a reader after it.

Each fault is one line of a table: break something, then a deletion, a revocation and closed settings happen, one run
is made as `rag-pipeline run` makes it, and the public asks. Add a fault by adding a function to BROKEN.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.errors import StoreError
from rag_pipeline.refresh import (
    bronze,
    chunks,
    data_versions,
    documents,
    duplicates,
    embeddings,
    evaluation,
    heal,
    index,
    publication,
)
from rag_pipeline.refresh.faults import FAULTS
from rag_pipeline.refresh.memberships import open_memberships, poll_memberships
from rag_pipeline.refresh.revoke import revoke_now
from rag_pipeline.refresh.unsettled import finish_revocations
from rag_pipeline.retrieval.search import Searcher
from rag_pipeline.stores import delta
from rag_pipeline.stores.vectors import VectorTable
from rag_pipeline.transforms.index import Findings
from rag_pipeline_tests.faults.recording import RECORDING
from rag_pipeline_tests.pipeline.project import Project

Fault = Callable[[Project, pytest.MonkeyPatch], None]
SECRETS = ("menu", "salaries", "cellar", "xyzzy", "rota")
BROKEN: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    BROKEN[function.__name__] = function
    return function


def lake(project: Project, path: str) -> Path:
    return project.folder / "lake" / path


def cut_files(folder: Path, pattern: str = "*.parquet") -> None:
    """Leave of every file less than half."""
    found = [path for path in folder.rglob(pattern) if path.is_file() and "_delta_log" not in path.parts]
    assert found, folder
    for path in found:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def raising(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


# tables -----------------------------------------------------------------------------------------------------------


def damaged(path: str) -> Fault:
    def damage(project: Project, _: pytest.MonkeyPatch) -> None:
        cut_files(lake(project, path))

    return damage


def emptied_log(path: str) -> Fault:
    def empty(project: Project, _: pytest.MonkeyPatch) -> None:
        for log in lake(project, path).rglob("_delta_log/*.json"):
            log.write_bytes(b"{broken")

    return empty


def missing(path: str) -> Fault:
    def remove(project: Project, _: pytest.MonkeyPatch) -> None:
        shutil.rmtree(lake(project, path))

    return remove


BROKEN.update(RECORDING)
# Whatever became of the tables of groups, too, nobody stays in one that they have left.
GROUPS = ("silver/memberships", "silver/principals")
DERIVED = (*GROUPS, "silver/chunks", "silver/documents", "silver/quarantine", "silver/signatures", "gold/embeddings")
for table in DERIVED:
    BROKEN[f"damaged {table}"] = damaged(table)
    BROKEN[f"broken log of {table}"] = emptied_log(table)
    BROKEN[f"missing {table}"] = missing(table)
for table in ("bronze/docs", "bronze/vault"):
    # It cannot be made again, so what the source gives now decides until it is restored.
    BROKEN[f"damaged {table}"] = damaged(table)
    BROKEN[f"broken log of {table}"] = emptied_log(table)
    BROKEN[f"missing {table}"] = missing(table)
BROKEN["broken log of gold/audits"] = emptied_log("gold/audits")
BROKEN["damaged gold/audits"] = damaged("gold/audits")
BROKEN["missing gold/audits"] = missing("gold/audits")


# models, tokenizers, libraries ------------------------------------------------------------------------------------


@fault
def model_folder_gone(project: Project, _: pytest.MonkeyPatch) -> None:
    model = {"model": "not/here", "folder": str(project.folder / "weights")}
    project.settings["embedding_models"] = {"small": model}


@fault
def tokenizer_damaged(project: Project, _: pytest.MonkeyPatch) -> None:
    folder = project.folder / "weights"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "modules.json", "model.safetensors"):
        (folder / name).write_text("{broken")
    project.settings["embedding_models"] = {"small": {"model": "broken/here", "folder": str(folder)}}


class Panic(BaseException):
    """Like the panic of a library: no Exception."""


for error in (ImportError("no"), KeyError("k"), TypeError("t"), Exception("e"), MemoryError(), Panic("p")):

    def model_raises(_: Project, patch: pytest.MonkeyPatch, error: BaseException = error) -> None:
        patch.setattr(embeddings, "refresh_embeddings", raising(error))

    BROKEN[f"embedding raises {type(error).__name__}"] = model_raises

for error in (OSError(errno.ENOSPC, "No space left on device"), Panic("p"), KeyError("k"), RuntimeError("r")):

    def duplicates_raise(_: Project, patch: pytest.MonkeyPatch, error: BaseException = error) -> None:
        patch.setattr(documents, "refresh_duplicates", raising(error))

    def parsing_raises(_: Project, patch: pytest.MonkeyPatch, error: BaseException = error) -> None:
        patch.setattr(documents, "parsed_objects", raising(error))

    def documents_raise(_: Project, patch: pytest.MonkeyPatch, error: BaseException = error) -> None:
        patch.setattr(documents, "update_documents", raising(error))

    BROKEN[f"duplicates raise {type(error).__name__}"] = duplicates_raise
    BROKEN[f"parsing raises {type(error).__name__}"] = parsing_raises
    BROKEN[f"documents raise {type(error).__name__}"] = documents_raise


@fault
def no_space_for_signatures(_: Project, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(duplicates, "_refresh_signatures", raising(OSError(errno.ENOSPC, "full")))


@fault
def temporary_folder_unusable(project: Project, patch: pytest.MonkeyPatch) -> None:
    project.settings["worker_processes"] = 1
    patch.setattr("tempfile.tempdir", str(project.folder / "not" / "there"))
    patch.setenv("TMPDIR", str(project.folder / "not" / "there"))


# house-keeping on the way -----------------------------------------------------------------------------------------

FULL = OSError(errno.ENOSPC, "No space left on device")


@fault
def tables_cannot_be_tidied(_: Project, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delta, "TIDY_EVERY", 1)
    patch.setattr(delta, "forget_log", raising(FULL))


@fault
def small_files_cannot_be_compacted(_: Project, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delta, "TIDY_EVERY", 1)
    patch.setattr("deltalake.table.TableOptimizer.compact", raising(FULL))


@fault
def index_cannot_be_compacted(_: Project, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VectorTable, "compact_if_due", raising(StoreError("no space left")))


@fault
def polls_damaged(project: Project, _: pytest.MonkeyPatch) -> None:
    lake(project, "polls.json").write_bytes(b"\x00{broken")


@fault
def polls_unwritable(project: Project, _: pytest.MonkeyPatch) -> None:
    lake(project, ".polls.json.new").mkdir()


@fault
def healing_breaks(_: Project, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(heal, "damaged_tables", raising(KeyError("k")))
    patch.setattr(heal, "remember_index", raising(FULL))


@fault
def data_versions_break(_: Project, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(data_versions, "frame_version", raising(MemoryError()))


# verdicts ---------------------------------------------------------------------------------------------------------


@fault
def questions_broken(project: Project, _: pytest.MonkeyPatch) -> None:
    (project.folder / "questions.jsonl").write_text("{broken")
    project.settings["evaluation"] = {"questions": ["questions.jsonl"], "mode": "text"}


@fault
def audit_says_no(_: Project, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(index, "audit_table", lambda *_, **__: Findings(0, 0, 0, {"broken": {"count": 1, "sample": []}}))


# sources ----------------------------------------------------------------------------------------------------------


@fault
def another_source_down(project: Project, _: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project.folder / "other")


# ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published lake with three secrets that the public may read, copied for each fault."""
    project = Project.create(tmp_path_factory.mktemp("faults") / "project", ("docs", "vault", "other"))
    project.write("menu.md", "# Menu\n\nThe secret menu of Monday.\n")
    project.write("salaries.md", "# Salaries\n\nThe secret salaries of the board.\n")
    project.write("door.md", "# Door\n\nA secret door.\n\n## Code\n\nThe secret code is xyzzy.\n")
    project.write("lamp.md", "# Lamp\n\nA secret lamp stays where it is.\n")
    project.write("long.md", "# Long\n\n" + " ".join(f"word{n}" for n in range(300)) + "\n")
    project.write("empty.md", "")
    project.write("cellar.md", "# Cellar\n\nThe secret cellar under the house.\n", source="vault")
    project.write("other.md", "# Other\n\nAnother secret.\n", source="other")
    # What eve reads by a group of a source, and by nothing else.
    project.settings["sources"]["other"]["groups"] = {"file": "groups.yaml"}
    (project.folder / "groups.yaml").write_text("crew: [eve]\n")
    project.write("rota.md", '---\nallowed_principals: ["other:crew"]\n---\n# Rota\n\nThe secret rota of the crew.\n')
    project.refresh()
    before = seen(project, "public", "eve")
    assert [word for word in (*SECRETS, "lamp") if word not in before] == []
    return project.folder


@pytest.fixture
def project(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    shutil.copytree(built, tmp_path / "project", copy_function=shutil.copy2)
    settings = yaml.safe_load((built / "pipeline.yaml").read_text())
    return Project(tmp_path / "project", settings)


def take_away(project: Project) -> None:
    """A file goes, another moves to hr, a section is taken out, eve leaves her group, and settings close a source.

    That source is not mounted.
    """
    (project.folder / "groups.yaml").write_text("crew: [dan]\n")
    (project.folder / "docs" / "menu.md").unlink()
    project.write("salaries.md.meta.yaml", "allowed_principals: [hr]\n")
    project.write("door.md", "# Door\n\nA secret door.\n")
    shutil.rmtree(project.folder / "vault")
    project.settings["sources"]["vault"]["allowed_principals"] = ["board"]


def seen(project: Project, *principals: str) -> str:
    """What a reader who comes after the run is shown."""
    searcher = Searcher.open(str(project.folder / "lake"))
    return " ".join(hit.text for hit in searcher.search("secret", principals=principals, mode="text", k=50))


def run(project: Project) -> None:
    """The steps of one run in their order, as Dagster takes them: a failed source is left out, and the end looks."""
    with project.workspace() as workspace:
        try:
            with suppress(*FAULTS):
                poll_memberships(workspace)
            for name in workspace.settings.sources:
                with suppress(*FAULTS):
                    bronze.refresh_source(workspace, name, allow_mass_deletion=True)
            with suppress(*FAULTS):
                revoke_now(workspace)
            open_memberships(workspace)
            documents.update_documents(workspace, allow_mass_deletion=list(workspace.settings.sources))
            chunks.refresh_chunks(workspace)
            embeddings.refresh_embeddings(workspace, "small")
            index.refresh_index(workspace, "small")
            evaluation.refresh_evaluation(workspace, "small")
            publication.publish(workspace)
        finally:
            finish_revocations(workspace)


def through_dagster(project: Project) -> None:
    launch_refresh(project.pipeline(), allow_mass_deletion=["docs"])


# Versions of data, and what can be made again, are looked at in runs of Dagster alone.
ONLY_IN_DAGSTER = ("healing_breaks", "data_versions_break")
# A panic is no Exception, a table is made again first, and a source whose step fails is left out of a second run.
IN_DAGSTER = (*ONLY_IN_DAGSTER, "parsing raises Panic", "damaged silver/chunks", "damaged bronze/docs")


@pytest.mark.parametrize(
    ("name", "in_dagster"),
    [
        *((name, False) for name in BROKEN if name not in ONLY_IN_DAGSTER),
        *(pytest.param(name, True, marks=pytest.mark.slow) for name in IN_DAGSTER),
    ],
)
def test_what_was_revoked_reaches_no_reader(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, in_dagster: bool
) -> None:
    take_away(project)
    with monkeypatch.context() as patch:
        BROKEN[name](project, patch)
        with suppress(*FAULTS, Panic):
            through_dagster(project) if in_dagster else run(project)
    public = seen(project, "public", "eve")
    assert [word for word in SECRETS if word in public] == []
    assert "lamp" in public
    if name.startswith(("embedding", "duplicates", "audit", "tables_", "small_", "index_", "polls_", "data_versions")):
        # What was parsed anew is compared wording by wording.
        assert "secret door" in public


def test_a_revocation_is_published_before_anything_is_parsed(project: Project) -> None:
    take_away(project)
    (project.folder / "vault").mkdir()
    with project.workspace() as workspace:
        for name in ("docs", "vault"):
            bronze.refresh_source(workspace, name, allow_mass_deletion=True)
        report = revoke_now(workspace)
        assert (report.documents, report.removed, report.narrowed, report.faults) == (3, 2, 1, [])
        assert revoke_now(workspace).table_version is None
    assert [word for word in SECRETS if word in seen(project, "public", "hr")] == ["xyzzy"]


@pytest.mark.parametrize("name", ["parsing raises Panic", "missing silver/chunks", "embedding raises KeyError"])
def test_what_is_to_be_redacted_reaches_no_reader(project: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    project.write("key.md", "# Key\n\nThe secret key is AKIAIOSFODNN7EXAMPLE and no other.\n")
    run(project)
    assert "AKIA" in seen(project, "public")
    project.settings["sources"]["docs"]["sensitive"] = "redact"
    with monkeypatch.context() as patch:
        BROKEN[name](project, patch)
        with suppress(*FAULTS, Panic):
            run(project)
    assert "AKIA" not in seen(project, "public")
    run(project)
    assert "The secret key is" in seen(project, "public")
    assert "AKIA" not in seen(project, "public")


@pytest.mark.parametrize("name", ["parsing raises Panic", "documents raise KeyError", "embedding raises KeyError"])
def test_the_next_run_makes_it_whole(project: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    take_away(project)
    (project.folder / "vault").mkdir()
    with monkeypatch.context() as patch:
        BROKEN[name](project, patch)
        with suppress(*FAULTS, Panic):
            run(project)
    project.refresh()
    assert project.verify().findings == []
    assert project.published() == project.rebuilt()
    assert project.refresh() == 0
