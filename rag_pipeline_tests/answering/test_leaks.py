"""No answer, source, prompt or kept text holds what its asker may not read, whoever asked before."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from starlette.responses import Response

from rag_pipeline.answering.answer import Finished, GivenSources
from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.refresh.memberships import open_memberships, poll_memberships
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Scripted, says

GROUPS = ("ants", "bees", "cats")
ASKS = 50


def tells_everything(asked: dict[str, Any]) -> Response:
    """A model that repeats all that it was given."""
    return says(asked["messages"][-1]["content"], " [1]")(asked)


def test_no_answer_holds_what_its_asker_may_not_read(tmp_path: Path, server: Scripted) -> None:
    project = answering_project(tmp_path, server.url)
    secrets: dict[str, set[str]] = {group: set() for group in GROUPS}
    for group in GROUPS:
        (tmp_path / group).mkdir()
        project.settings["sources"][group] = {"location": group, "allowed_principals": [group]}
        for number in range(4):
            secrets[group].add(f"{group}-secret-{number}")
            text = f"# Pump {number}\n\nThe pump of room {number} is opened by {group}-secret-{number}.\n"
            project.write(f"{number}.md", text, source=group)
    project.refresh()
    server.script(tells_everything)
    chance, kept = random.Random(3), 0
    with Answerer.open(project.pipeline()) as answerer:
        for _ in range(ASKS):
            principals = {"public", *chance.sample(GROUPS, chance.randint(0, 3))}
            question = f"Which secret opens the pump of room {chance.randrange(4)}?"
            mode = chance.choice(("hybrid", "vector", "text"))
            told = len(server.asked)
            events = list(answerer.stream(question, principals, mode=mode, k=chance.choice((2, 5))))
            assert isinstance(events[0], GivenSources)
            assert isinstance(events[-1], Finished)
            kept += events[-1].answer.from_cache
            everything = repr(events) + repr(server.asked[told:])
            closed = set().union(*(secrets[group] for group in GROUPS if group not in principals))
            assert not [secret for secret in closed if secret in everything]
    assert kept > 2


def test_what_is_kept_of_an_answer_is_for_who_is_in_the_group_now(tmp_path: Path, server: Scripted) -> None:
    project = answering_project(tmp_path, server.url)
    project.settings["sources"]["docs"] |= {"groups": {"file": "groups.yaml"}, "allowed_principals": ["docs:crew"]}
    project.write("pump.md", "# Pump\n\nThe pump of the crew is opened by crew-secret.\n")
    members = tmp_path / "groups.yaml"
    members.write_text("crew: [ada, bob]\n")
    project.refresh()
    server.script(tells_everything)
    with Answerer.open(project.pipeline()) as answerer:

        def told(who: str) -> tuple[bool, bool]:
            answer = answerer.ask("Which secret opens the pump of the crew?", [who])
            return "crew-secret" in answer.text, answer.from_cache

        assert (told("ada"), told("bob"), told("eve")) == ((True, False), (True, True), (False, False))
        members.write_text("crew: [bob]\n")
        with project.workspace() as workspace:
            poll_memberships(workspace)
            open_memberships(workspace)
        assert (told("ada"), told("bob")) == ((False, False), (True, True))
