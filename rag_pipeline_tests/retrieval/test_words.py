"""Words are found as they are written: of every language, whole and in parts, common ones too, and however long."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.stores import index_schema
from rag_pipeline_tests.pipeline.project import Project

DIGEST = "5f1c0b7e9d3a48627f0e1d2c3b4a59687766554433221100ffeeddccbbaa9988"
GERMAN = "Die Verwaltung der Häfen regelt alles, was auf dem Fluss und an den Ufern der Stadt geschieht"
TEXTS = {
    "staff.md": "Ask IT when a laptop breaks. It is on the second floor.",
    "band.md": "The Who played in Leeds, and nobody who heard it forgot it.",
    "other.md": "It is said that the one who asks is the one who learns. Is it true?",
    "pump.md": "The driver calls calibrateForwardGangwaySensors at each start.",
    "oracle.md": "The job ended with ORA-00600 under release v1.10.2 of the driver.",
    "release.md": "The job ended with ORA-00601 under release v2.10.1 of the driver.",
    "langs.md": "The engine is written in C++ and nothing else.",
    "plain.md": "The kernel is written in C and C alone, plain C.",
    "mail.md": "Write to jane.doe@example.org about /srv/tools/rotate_logs.sh please.",
    "mail2.md": "Write to john.doe@example.com about /srv/tools/rotate_keys.sh please.",
    "digest.md": f"The image has the digest {DIGEST} since Monday.",
    "cafe.md": "Le caf\u00e9 est ferm\u00e9 le dimanche, et nous dormons encore.",
    "fluss.md": f"{GERMAN}. Die Donaudampfschifffahrt ruht im Winter.",
    "wald.md": f"{GERMAN}. Der Wald ist im Sommer gesperrt.",
    "war.md": "They die in a war, and the son of a man waits by the door.",
    "panther.md": "\u9ed1\u8c79\u961f\u7684\u9632\u5b88\u4e22\u4e86\u4e09\u767e\u5206\u3002",
    "tea.md": "\u8fd9\u5bb6\u8336\u9986\u6bcf\u5929\u65e9\u4e0a\u4e03\u70b9\u5f00\u95e8\u3002",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.create(tmp_path_factory.mktemp("words"), deduplication={"near": False})
    for name, text in TEXTS.items():
        made.write(name, f"{text}\n")
    made.refresh()
    return made


def found(project: Project, query: str) -> list[str]:
    return [hit.uri.removeprefix("docs/") for hit in project.search(query, "public", mode="text", k=20)]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("IT", "staff.md"),
        ("The Who", "band.md"),
        ("the who", "band.md"),
        ("gangway sensors", "pump.md"),
        ("calibrateForwardGangwaySensors", "pump.md"),
        ("ORA-00600", "oracle.md"),
        ("v1.10.2", "oracle.md"),
        ("v2.10.1", "release.md"),
        ("C++", "langs.md"),
        ("C", "plain.md"),
        ("jane.doe@example.org", "mail.md"),
        ("example.com", "mail2.md"),
        ("rotate_keys.sh", "mail2.md"),
        ("/srv/tools/rotate_logs.sh", "mail.md"),
        (DIGEST, "digest.md"),
        (DIGEST.upper(), "digest.md"),
        ("caf\u00e9", "cafe.md"),
        (unicodedata.normalize("NFD", "caf\u00e9"), "cafe.md"),
        ("cafe", "cafe.md"),
        ("Schifffahrt", "fluss.md"),
        ("W\u00e4ldern gesperrter", "wald.md"),
        ("\u9632\u5b88", "panther.md"),
        ("\u8336\u9986", "tea.md"),
    ],
)
def test_what_is_written_is_found_first(project: Project, query: str, first: str) -> None:
    assert found(project, query)[:1] == [first]


@pytest.mark.parametrize("word", ["war", "die", "man", "son", "door"])
def test_a_stop_word_of_another_language_is_a_word(project: Project, word: str) -> None:
    assert "war.md" in found(project, word)


def test_a_lake_of_an_older_index_is_indexed_anew_without_embedding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path)
    project.write("a.md", TEXTS["staff.md"])
    with monkeypatch.context() as older:
        older.setattr(index_schema, "PREFIX", "chunks_v2_")
        project.refresh()
    embedded = len(project.embedded)
    assert embedded
    project.refresh()
    assert len(project.embedded) == embedded
    with project.workspace() as workspace:
        last: Any = workspace.lake.last_publication()
        assert last.table_name.startswith(index_schema.PREFIX)
        assert not last.table_name.startswith("chunks_v2_")
    assert found(project, "IT") == ["a.md"]
