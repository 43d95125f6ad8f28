"""What enrichments do while something beside them changes or breaks: redaction, damage, repair, other labels."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from rag_pipeline.contracts.tables import DOCUMENTS, ENRICHMENTS
from rag_pipeline.errors import LakeDamaged
from rag_pipeline.refresh import erase as erasing
from rag_pipeline.refresh.damage import vanished_tables
from rag_pipeline.refresh.enrichments import refresh_enrichments
from rag_pipeline.refresh.everything import refresh_everything
from rag_pipeline.refresh.heal import heal_damage
from rag_pipeline.refresh.rebuild import rebuild
from rag_pipeline.refresh.revoke import revoke_now
from rag_pipeline_tests.answering.scripted import Scripted, says
from rag_pipeline_tests.cli.conftest import ask_in
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_enrichments import LAMPS, NEAREST, PUMPS, both, found

MAIL = {"kind": "extract", "model": "big", "fields": {"mail": {}}, "concurrency": 1}
KEY = "AKIAIOSFODNN7EXAMPLE"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path, cache="cache", deduplication={"near": False})
    project.write("pump.md", PUMPS)
    project.write("lamp.md", LAMPS)
    return project


def asking(project: Project, server: Scripted, **enrichments: Any) -> None:
    project.settings["chat_models"] = {"big": {"model": "m", "base_url": server.url, "deadline_seconds": 5}}
    project.settings["enrichments"] = enrichments


def enriched(project: Project) -> list[str | None]:
    with project.workspace() as workspace:
        return workspace.lake.read(DOCUMENTS, ["uri", "enriched"]).sort("uri")["enriched"].to_list()


def test_what_a_model_put_together_is_closed_and_redacted_once_its_source_wants_that(
    project: Project, server: Scripted
) -> None:
    asking(project, server, people=MAIL)
    server.script(says(f'{{"mail": "{KEY}"}}'))
    project.refresh()
    assert found(project, f"mail={KEY}") == {"pump.md", "lamp.md"}
    project.settings["sources"]["docs"]["sensitive"] = "redact"
    with project.workspace() as workspace:
        report = revoke_now(workspace)
    assert report.documents == 2, "readers lose it before anything is parsed"
    assert project.search("pump lamp", "public") == []
    project.refresh()
    assert found(project, f"mail={KEY}") == set()
    assert enriched(project) == ['{"mail": ["[redacted:aws_key]"]}'] * 2
    assert project.verify().findings == []


def test_a_document_that_stays_as_it_was_shows_nothing_that_was_read_out_of_it(
    project: Project, server: Scripted
) -> None:
    """Both are refused now, and kept as they last were: of one a model made a key, the other a mailbox may read."""
    project.settings["quarantined_documents"] = "keep_last_good"
    asking(project, server, people=MAIL)
    project.write("lamp.md.meta.yaml", "allowed_principals: [public, ada@example.org]\n")

    def reads(asked: dict[str, Any]) -> Response:
        return says(f'{{"mail": "{KEY}"}}' if "pump" in str(asked["messages"]) else '{"mail": null}')(asked)

    server.script(reads)
    project.refresh()
    for name in ("pump.md", "lamp.md"):
        project.write(name, b"\x00\x01\x02" * 100)
    project.settings["sources"]["docs"]["sensitive"] = "redact"
    with project.workspace() as workspace:
        refresh_everything(workspace, evaluate=False)
        kept = workspace.lake.read(DOCUMENTS, ["uri", "enriched"])
    assert KEY not in str(kept.rows())
    assert [Path(uri).name for uri in kept["uri"]] == ["lamp.md"]
    assert {Path(hit.uri).name for hit in project.search("pump lamp", "public")} == {"lamp.md"}


def test_what_is_to_be_redacted_is_sent_to_no_server_before_it_is(project: Project, server: Scripted) -> None:
    project.write("key.md", f"# Keys\n\nThe key is {KEY}.\n")
    project.refresh()
    asking(project, server, people=MAIL)
    server.script(says('{"mail": null}'))
    project.settings["sources"]["docs"]["sensitive"] = "redact"
    with project.workspace() as workspace:
        # As somebody does who materializes this asset alone.
        report = refresh_enrichments(workspace)
    assert KEY not in str(server.asked)
    assert (report.computed, report.waiting) == (2, 1)
    assert "wants hidden" in report.enrichments[0].waiting_because
    project.refresh()
    assert KEY not in str(server.asked)
    assert len(server.asked) == 3


def test_damage_of_what_was_read_holds_no_revocation_up(project: Project) -> None:
    project.settings["enrichments"] = NEAREST
    project.write("pump.md", PUMPS + "\nThe code of the door is 4711.\n")
    project.refresh()
    for file in (project.folder / "lake" / ENRICHMENTS.path).glob("*.parquet"):
        file.write_bytes(b"nothing that can be read")
    project.write("pump.md", PUMPS)
    (project.folder / "docs" / "lamp.md").unlink()
    with project.workspace() as workspace, pytest.raises(LakeDamaged):
        refresh_everything(workspace, evaluate=False)
    assert "4711" not in str(project.published())
    assert "lamp" not in str(project.published())


def test_a_table_of_readings_that_is_gone_is_said_before_all_is_paid_for_again(project: Project) -> None:
    project.settings["enrichments"] = NEAREST
    with project.workspace() as workspace:
        assert vanished_tables(workspace) == []
    project.refresh()
    with project.workspace() as workspace:
        assert vanished_tables(workspace) == []
        shutil.rmtree(project.folder / "lake" / ENRICHMENTS.path)
        (gone,) = vanished_tables(workspace)
        assert (gone.table, "paid for" in gone.reason) == (ENRICHMENTS.path, True)
        assert heal_damage(workspace).gone == [ENRICHMENTS.path]
    project.refresh()
    assert found(project, "subject=water") == {"pump.md"}
    with project.workspace() as workspace:
        assert vanished_tables(workspace) == []


def test_other_labels_compute_no_vector_of_a_text_again(project: Project) -> None:
    project.settings["enrichments"] = NEAREST
    project.refresh()
    before = len(project.embedded)
    labels = {"water": "Pull the red lever twice, then wait for the pump.", "night": "The lamp burns until dawn."}
    project.settings["enrichments"] = {
        "subject": NEAREST["subject"] | {"labels": labels},
        "other": NEAREST["subject"] | {"threshold": 0.9},
    }
    project.refresh()
    assert set(project.embedded[before:]) == set(labels.values()), "the prototypes alone"
    assert found(project, "subject=night") == {"lamp.md"}
    published, rebuilt = both(project)
    assert published == rebuilt


@pytest.mark.exhaustive
def test_a_rebuild_reads_again_itself_what_needs_no_server(project: Project) -> None:
    project.settings["enrichments"] = NEAREST
    project.refresh()
    for file in (project.folder / "lake" / ENRICHMENTS.path).glob("*.parquet"):
        file.write_bytes(b"nothing that can be read")
    with project.workspace() as workspace:
        rebuild(workspace)
    assert found(project, "subject=water") == {"pump.md"}


@pytest.mark.slow
def test_a_document_that_an_erasure_lets_stand_has_its_labels_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "POINTER_SECONDS", -erasing.MARGIN_SECONDS)
    project.settings |= {"enrichments": NEAREST, "deduplication": {"near": True}}
    words = " ".join(f"word{at}" for at in range(200))
    project.write("pump.md", f"{PUMPS}\n{words}\n")
    project.write("pump2.md", f"{PUMPS}\n{words} more\n")
    project.refresh()
    with project.workspace() as workspace:
        stands = workspace.lake.read(DOCUMENTS, ["uri", "enriched"]).drop_nulls()["uri"]
    first = next(Path(uri).name for uri in stands if "pump" in uri)
    assert len(stands) == 2
    assert ask_in(project.folder, "erase", "--address", "docs", first, "--reason", "asked", "--yes").code == 0
    assert found(project, "subject") == {"pump.md", "pump2.md", "lamp.md"} - {first}
