"""Figures of silver in the UI, and the checks that hold them against thresholds."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_pipeline.defs import build_definitions
from rag_pipeline.defs.describe import rows_table
from rag_pipeline.defs.launch import launch_refresh
from rag_pipeline.defs.summary import RunSummary
from rag_pipeline.transforms.left_out import losses
from rag_pipeline_tests.pipeline.project import Project

LETTERS = "qwrtzpsdfghjklxcvbnm"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    project = Project.create(tmp_path / "project", ["docs", "wiki"])
    for number in range(6):
        project.write(f"{number}.md", f"# Lamp {number}\n\nThe lamp of berth {number} burns from dusk until dawn.\n")
    project.write("page.md", "# Page\n\nOne page that nobody complains about.\n", source="wiki")
    return project


def warnings(summary: RunSummary) -> dict[str, str]:
    assert all(check["severity"] == "WARN" for check in summary.checks_failed)
    return {check["check"]: check["description"] for check in summary.checks_failed}


def test_one_time_in_the_future_does_not_hide_that_content_is_old(project: Project) -> None:
    project.settings["sources"]["docs"]["content_stale_after"] = "30d"
    for number in range(6):
        moment = datetime(2090 if number == 3 else 2018, 5, 1, tzinfo=UTC).timestamp()
        os.utime(project.folder / f"docs/{number}.md", (moment, moment))
    summary = launch_refresh(project.pipeline())
    assert summary.success
    said = warnings(summary)["content_is_fresh"]
    assert said.startswith("the newest content is ")
    assert "1 with a modification time in the future" in said


def test_a_rule_that_matches_nothing_warns(project: Project) -> None:
    rule = {"pattern": "bridge", "allowed_principals": ["mates"]}
    project.settings["sources"]["wiki"]["permission_rules"] = [rule]
    project.write("bridge/log.md", "# Log\n\nThe mates keep the log.\n", source="wiki")
    summary = launch_refresh(project.pipeline())
    assert summary.success
    assert list(warnings(summary)) == ["patterns_match_something"]
    assert "bridge/**" in warnings(summary)["patterns_match_something"]


def test_garbage_copies_refusals_and_fragments_warn_by_source_and_stop_nothing(project: Project) -> None:
    chosen = random.Random(7)
    for number in range(6):
        mash = " ".join("".join(chosen.choices(LETTERS, k=7)) for _ in range(100))
        project.write(f"mash{number}.txt", mash)
        project.write(f"copy{number}.md", "# Copy\n\nSome text that stands in six files alike.\n", source="wiki")
        project.write(f"broken{number}.pdf", b"%PDF-1.4 and nothing more", source="wiki")
    project.write("long.txt", " ".join(chosen.choices(["lamp", "rope", "tide", "gate", "buoy"], k=6_000)))
    project.settings["thresholds"] = {"max_hard_split_share": 0.1, "max_parse_seconds": 1e-6, "short_chunk_tokens": 60}
    project.settings["thresholds"]["max_short_chunk_share"] = 0.1
    summary = launch_refresh(project.pipeline())
    found = warnings(summary)
    slow = found.pop("no_document_is_slow")
    assert "s to parse" in slow
    assert found.pop("few_chunks_are_cut_inside_a_sentence").startswith("chunks end inside a sentence (docs: ")
    assert found.pop("few_chunks_are_short").startswith("chunks are short (docs: ")
    assert found == {
        "duplicates_are_few": "documents are duplicates (wiki: 5 of 7); the limit is 50%",
        "quality_is_good": "documents are of low quality (docs: 7 of 13); the limit is 10%",
        "quarantine_is_small": "objects are in quarantine (wiki: 6 of 13); the limit is 20%",
    }
    assert summary.success
    assert summary.published is not None
    project.settings["thresholds"] |= {"max_low_quality_share": 1, "max_quarantined_share": 1, "max_duplicate_share": 1}
    assert not {"quality_is_good", "quarantine_is_small", "duplicates_are_few"} & set(
        warnings(launch_refresh(project.pipeline()))
    )


def metadata_of(project: Project, name: str) -> dict[str, Any]:
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = project.pipeline()
        job = build_definitions(pipeline).resolve_job_def("refresh")
        result = job.execute_in_process(instance=instance, partition_key="small")
        key = dg.AssetKey(name.split("/"))
        found = [m for m in result.get_asset_materialization_events() if m.asset_key == key]
        return dict(found[-1].step_materialization_data.materialization.metadata)


def records(value: Any) -> list[dict[str, Any]]:
    return [dict(record.data) for record in value.records]


def test_the_ui_shows_sources_formats_and_the_slowest_documents(project: Project) -> None:
    project.write("copy.md", "# Page\n\nOne page that nobody complains about.\n", source="wiki")
    project.write("broken.pdf", b"%PDF-1.4 and nothing more", source="wiki")
    shown = metadata_of(project, "silver/documents")
    sources = records(shown["rag/by_source"])
    assert [(row["source"], row["documents"], row["quarantined"], row["duplicates"]) for row in sources] == [
        ("docs", 6, 0, 0),
        ("wiki", 2, 1, 1),
    ]
    formats = {row["media type"]: (row["documents"], row["quarantined"]) for row in records(shown["rag/by_media_type"])}
    assert formats == {"text/markdown": (8, 0), "application/pdf": (0, 1)}
    slowest = records(shown["rag/slowest_documents"])
    assert len(slowest) == 9
    assert [row["seconds"] for row in slowest] == sorted((row["seconds"] for row in slowest), reverse=True)
    speed = {row["media type"]: row["documents"] for row in records(shown["rag/speed_by_media_type"])}
    assert speed == {"text/markdown": 8, "application/pdf": 1}
    # What was not worked on again was not slow.
    assert "rag/slowest_documents" not in metadata_of(project, "silver/documents")


def test_the_ui_shows_what_repeats(project: Project) -> None:
    project.settings["deduplication"] = {"near": False}
    for number in range(6):
        text = f"# Lamp {number}\n\nThe lamp of berth {number} burns from dusk.\n\nAsk the harbour master first.\n"
        project.write(f"{number}.md", text)
    (row,) = records(metadata_of(project, "silver/boilerplate")["rag/most_repeated"])
    assert row == {"source": "docs", "documents": 6, "of documents": 6, "text": "ask the harbour master first."}


def test_an_empty_table_is_a_table() -> None:
    assert records(rows_table([])) == []
    assert records(rows_table([{"share": 1 / 3, "median_quality": None}])) == [{"share": 0.333, "median quality": ""}]


def test_sound_documents_pass_every_threshold_and_a_source_that_loses_more_than_before_warns(project: Project) -> None:
    sound = launch_refresh(project.pipeline())
    assert sound.success
    assert warnings(sound) == {}
    for number in range(6):
        project.write(f"{number}.md", f"# Lamp {number}\n\nIt burns until dawn.\n\n%% draft %%\n")
    summary = launch_refresh(project.pipeline())
    assert warnings(summary) == {
        "documents_lose_no_more_than_usual": "more is left out than before (docs: 6 hidden comment in 6 documents, "
        "so far 0)"
    }
    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["silver", "documents"]))
    assert event is not None
    assert event.asset_materialization is not None
    counts = event.asset_materialization.metadata["rag/left_out_counts"].value
    assert counts == {"docs": {"documents": 6, "hidden_comment": 6}, "wiki": {"documents": 1}}
    # What a source loses for good becomes its history.
    assert warnings(launch_refresh(project.pipeline())) == {}


def test_a_few_more_than_usual_are_no_loss_and_a_new_source_has_no_history() -> None:
    before = [{"docs": {"documents": 10, "bad_cue": 10}}]
    assert losses({"docs": {"documents": 12, "bad_cue": 15}}, before) == []
    assert losses({"docs": {"documents": 10, "running_line": 900}}, before) == []
    assert losses({"wiki": {"documents": 1, "bad_cue": 99}}, before) == []
    assert losses({"docs": {"documents": 10, "hidden_row": 4}}, before) == []
    [loss] = losses({"docs": {"documents": 20, "bad_cue": 40}}, before)
    assert (loss.count, loss.usual) == (40, 20)
