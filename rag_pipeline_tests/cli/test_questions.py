"""`questions generate`: what is added, what is kept back, for whom, and what happens when something is in the way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from rag_pipeline.retrieval.questions import read_questions
from rag_pipeline.settings.places import rejected_beside
from rag_pipeline_tests.answering.scripted import refuses, says, scripted_server
from rag_pipeline_tests.cli.conftest import Answer, ask_in
from rag_pipeline_tests.evaluation.test_chat_writer import asked_for, texts_in
from rag_pipeline_tests.pipeline.project import Project

# Each with words that stand nowhere else.
TOPICS = {
    "boathouse": "granite cedar walnut copper velvet amber",
    "lighthouse": "crimson marble saffron cobalt linen quartz",
    "ropewalk": "hempen barley turpentine juniper wicker pewter",
    "sailmaker": "canvas thimble beeswax indigo oatmeal tallow",
    "harbourmaster": "ledger brass signet parchment ebony sealing",
    "drydock": "caisson shoring rivets scaffold bitumen ballast",
    "treasury": "florins strongbox treasurer coinage mintage bullion",
}


def page(number: int, topic: str) -> str:
    a, b, c, d, e, f = TOPICS[topic].split()
    return (
        f"# About the {topic}\n\nThe {topic} stands between {a} {b} {topic} and the quay.\n\n"
        f"## Opening the {topic}\n\nVisitors with {c} and {d} reach the {topic} within {number + 3} minutes.\n\n"
        f"## Rules of the {topic}\n\nNobody may enter the {topic} without {e} and {f}.\n"
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("asked"), sources=("docs", "people"))
    project.settings["sources"]["people"]["allowed_principals"] = ["hr"]
    for number, topic in enumerate(TOPICS):
        source = "people" if topic == "treasury" else "docs"
        project.write(f"{topic}.md", page(number, topic), source=source)
    project.refresh()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    return built.copied(tmp_path)


def generate(project: Project, *more: str, to: str = "questions.jsonl", count: int = 12) -> Answer:
    file = str(project.folder / to)
    return ask_in(project.folder, "questions", "generate", "--to", file, "--count", str(count), "--json", *more)


def test_questions_of_every_kind_are_added_once_and_say_where_they_come_from(project: Project) -> None:
    first = generate(project)
    assert first.code == 0, first.err
    assert set(first.records[0]["kinds"]) == {"heading", "phrase", "number", "negation", "unanswerable", "typo"}
    file = project.folder / "questions.jsonl"
    asked = read_questions([file])
    assert len(asked) == 12
    for question in asked:
        assert question.synthetic is not None
        assert question.synthetic.readable_by == ("public",)
        assert question.synthetic.generator.startswith("templates")
        assert not question.is_confirmed
        assert len(question.synthetic.inputs) == len(question.expected)
    before = file.read_bytes(), rejected_beside(file).read_bytes() if rejected_beside(file).exists() else b""
    # By another name it is the same file.
    project.settings["evaluation"] = {"questions": ["docs/../questions.jsonl"]}
    project.pipeline()
    again = generate(project)
    assert (again.records[0]["added"], again.records[0]["known"]) == (0, 12)
    project.settings["evaluation"] = {}
    project.pipeline()
    assert file.read_bytes() == before[0]
    # The same in another place: nothing is drawn by chance.
    generate(project, to="other.jsonl")
    assert (project.folder / "other.jsonl").read_bytes() == before[0]
    figures = ask_in(project.folder, "eval", "--questions", str(file), "--json").records[0]
    assert (figures["scored"], figures["leaks"]) == (sum(bool(each.expected) for each in asked), 0)
    assert figures["recall"] > 0.9


def test_what_readers_may_not_read_is_in_no_file_unless_they_are_named(project: Project) -> None:
    short = generate(project, count=200)
    assert short.code == 1
    assert "gave no more" in " ".join(short.err.split())
    written = "".join(path.read_text("utf-8") for path in project.folder.glob("questions*.jsonl"))
    assert "treasury" not in written
    assert "bullion" not in written
    generate(project, "--as", "hr", to="hr.jsonl", count=200)
    for question in read_questions([project.folder / "hr.jsonl"]):
        assert question.synthetic is not None
        is_of_people = any("treasury.md" in each.address for each in question.expected)
        assert question.synthetic.readable_by == (("hr",) if is_of_people else question.synthetic.readable_by)
        assert question.principals == ("hr",)
    assert "treasury" in (project.folder / "hr.jsonl").read_text("utf-8")


def test_what_people_said_stays_and_a_dropped_question_is_not_written_again(project: Project) -> None:
    generate(project, count=6)
    file = project.folder / "questions.jsonl"
    records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    records[0]["synthetic"]["standing"] = "dropped"
    records[1]["synthetic"]["standing"] = "confirmed"
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    file.write_text(text, "utf-8")
    assert generate(project, count=10).records[0]["added"] == 4
    assert file.read_text("utf-8").startswith(text)
    assert len({question.id for question in read_questions([file], with_dropped=True)}) == 10
    assert records[0]["id"] not in {question.id for question in read_questions([file])}
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    project.pipeline()
    shown = ask_in(project.folder, "eval", columns=200)
    assert "8 questions of a program that nobody confirmed" in " ".join(shown.err.split())


def test_a_question_never_becomes_a_document(project: Project) -> None:
    (project.folder / "linked").symlink_to(project.folder / "docs")
    for name in ("docs/questions.jsonl", "lake/../docs/questions.jsonl", "linked/questions.jsonl"):
        refused = generate(project, to=name)
        assert refused.code == 2
        assert "lies in the source docs" in " ".join(refused.err.split())
    assert not (project.folder / "docs" / "questions.jsonl").exists()
    # Named in pipeline.yaml it is no part of the source, wherever it lies.
    project.settings["evaluation"] = {"questions": ["docs/questions.jsonl"]}
    project.pipeline()
    assert generate(project, to="docs/./../docs/questions.jsonl", count=40).code in (0, 1)
    assert rejected_beside(project.folder / "docs" / "questions.jsonl").exists()
    project.refresh(evaluate=True)
    assert not [row for row in project.published() if "questions" in row["uri"]]


def test_what_is_in_the_way_is_named_and_nothing_is_half_written(project: Project) -> None:
    nowhere = generate(project, to="gone/questions.jsonl")
    assert nowhere.code != 0
    assert "cannot be written" in " ".join(nowhere.err.split())
    (project.folder / "broken.jsonl").write_text('{"id": 1}\n', "utf-8")
    broken = generate(project, to="broken.jsonl")
    assert broken.code == 2
    assert "broken.jsonl:1" in " ".join(broken.err.split())
    assert (project.folder / "broken.jsonl").read_text("utf-8") == '{"id": 1}\n'
    unknown = generate(project, "--kind", "riddle")
    assert unknown.code == 2
    assert "allowed: heading" in " ".join(unknown.err.split())
    # A name that no file of questions may hold would leave one that no run can read.
    nobody = generate(project, "--as", "hr ", to="nobody.jsonl")
    assert nobody.code == 2
    assert "type 'hr'" in nobody.err
    assert not (project.folder / "nobody.jsonl").exists()
    assert "pipeline.yaml names no questions" in ask_in(project.folder, "questions", "generate", columns=300).err
    (project.folder / "taken.rejected.jsonl").mkdir()
    taken = generate(project, to="taken.jsonl", count=60)
    assert taken.code == 3
    assert "taken.rejected.jsonl cannot be written" in " ".join(taken.err.split())
    (project.folder / "questions.rejected.jsonl").write_text("no json\n[1]\n", "utf-8")
    assert generate(project).code == 0


def test_stopped_between_the_two_files_it_writes_each_line_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_pipeline.refresh import questions as steps

    whole = steps.append_lines

    def stopped(file: Path, lines: object, then: str) -> None:
        if "rejected" not in file.name:
            raise KeyboardInterrupt
        whole(file, lines, then)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(steps, "append_lines", stopped)
        assert generate(project, count=60).code == 130
    assert not (project.folder / "questions.jsonl").exists()
    generate(project, count=60)
    lines = (project.folder / "questions.rejected.jsonl").read_text("utf-8").splitlines()
    names = [json.loads(line)["id"] for line in lines]
    assert names
    assert len(names) == len(set(names))


def test_a_report_says_how_diverse_they_are_and_a_collapsed_set_is_a_finding(project: Project) -> None:
    made = generate(project, count=15).records[0]["diversity"]
    project.settings["evaluation"] = {"questions": ["questions.jsonl"]}
    project.pipeline()
    told = ask_in(project.folder, "questions", "report", "--json").records[0]
    assert told == made
    assert told["questions"] == 15
    assert told["coverage"] is not None
    file = project.folder / "questions.jsonl"
    records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    records += [record | {"id": f"{record['id']}-again"} for record in records]
    for record in records:
        record["question"] = f"What does the document say about {record['question'].split()[-1]}"
    file.write_text("\n".join(map(json.dumps, records)), "utf-8")
    collapsed = ask_in(project.folder, "questions", "report")
    assert collapsed.code == 1
    assert "worded alike" in " ".join(collapsed.err.split())


OPENS = re.compile(r"Visitors with (\w+) and \w+ reach the (\w+) within (\d+) minutes\.")


def model(body: dict[str, Any]) -> Response:
    """Asks how far it is to the place of a text, if that says so, and knows it from such a text alone."""
    found = [OPENS.search(text) for text in texts_in(body)]
    first = next((each for each in found if each is not None), None)
    record: dict[str, Any]
    if asked_for(body) == "write":
        question = f"{first[1]} {first[2]}: how long?" if first else ""
        record = {"question": question, "answer": f"{first[3]} minutes" if first else ""}
        record["quotes"] = [first[0]] if first else []
    elif asked_for(body) == "answer":
        record = {"answerable": first is not None, "answer": f"{first[3]} minutes" if first else ""}
    else:
        word = re.findall(r"Question: (\w+)", body["messages"][1]["content"])
        record = {"answering": [at for at, each in enumerate(found, start=1) if each and each[1] in word]}
    return says(json.dumps(record))(body)


def test_a_chat_model_writes_within_its_budget_what_it_costs_is_said_and_the_rest_is_written_later(
    project: Project,
) -> None:
    with scripted_server() as server:
        server.script(model)
        local = {"model": "m", "base_url": server.url, "price_per_million_input_tokens": 1.0, "deadline_seconds": 5}
        project.settings["chat_models"] = {"local": local}
        project.settings["cache"] = "cache"
        project.pipeline()
        told = generate(project, "--chat", "local", "--dry-run")
        assert told.code == 0
        assert "at most about" in told.err
        assert server.asked == []
        assert not (project.folder / "questions.jsonl").exists()

        # One question needs four calls of 120 tokens; the second one is not paid any more.
        project.settings["chat_models"]["local"] = local | {"tokens_per_day": 700}
        project.pipeline()
        stopped = generate(project, "--chat", "local", "--kind", "fact", count=6)
        assert stopped.code == 4
        assert "budget_reached" in stopped.err
        file = project.folder / "questions.jsonl"
        first = file.read_bytes() if file.exists() else b""

        project.settings["chat_models"]["local"] = local
        project.pipeline()
        whole = generate(project, "--chat", "local", "--kind", "fact", count=6)
        assert whole.records[0]["added"] + whole.records[0]["known"] == 6, whole.err
        assert file.read_bytes().startswith(first)
        for question in read_questions([file]):
            assert question.synthetic is not None
            assert question.synthetic.generator.startswith("chat local")
            assert "within" in (question.expected[0].quote or "")
        # What gave no question is set aside with the reason, and hindered no other.
        assert whole.records[0]["reasons"]["not_valid"] > 0
        # What only others may read was never sent.
        assert "bullion" not in json.dumps(server.asked)

        calls = len(server.asked)
        assert generate(project, "--chat", "local", "--kind", "fact", count=6).records[0]["added"] == 0
        assert len(server.asked) == calls
    unknown = generate(project, "--chat", "other")
    assert unknown.code == 2
    assert "allowed: local" in unknown.err


def test_a_server_that_is_down_ends_it_and_keeps_what_there_is(project: Project) -> None:
    with scripted_server() as server:
        server.script(*[model] * 8, refuses(400))
        project.settings["chat_models"] = {"local": {"model": "m", "base_url": server.url, "deadline_seconds": 5}}
        project.pipeline()
        ended = generate(project, "--chat", "local", "--kind", "fact", count=6)
    assert ended.code == 3
    assert "What was written up to here is kept" in " ".join(ended.err.split())
    assert (project.folder / "questions.rejected.jsonl").exists()
    assert ended.records[0]["reasons"]["server_failed"] == 3
