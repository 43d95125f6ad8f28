"""What a terminal shows: words of the question stand out, marks of citations too, and NO_COLOR takes colours away."""

from __future__ import annotations

import os
import pty
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from rag_pipeline.cli.app import cli
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Scripted, says, scripted_server
from rag_pipeline_tests.pipeline.project import Project

# Colours of the foreground and the background, alone or beside bold; what is bold alone has none.
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])[;m]")
BOLD_YELLOW, BOLD_CYAN = "\x1b[1;33m", "\x1b[36m\x1b[1m"
Shown = Callable[..., str]


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="module")
def project(model: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = answering_project(tmp_path_factory.mktemp("colours"), model.url, cache={"keep": False})
    made.refresh()
    return made


@pytest.fixture
def shown(project: Project, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What a command writes to a terminal, which is a real one."""

    def run(*arguments: str) -> str:
        outer, inner = pty.openpty()
        parts: list[bytes] = []

        def read() -> None:
            # A terminal that nobody writes to any more ends with an error.
            try:
                while part := os.read(outer, 65_536):
                    parts.append(part)
            except OSError:
                return

        reading = Thread(target=read)
        reading.start()
        with os.fdopen(inner, "w", encoding="utf-8") as terminal, monkeypatch.context() as patched:
            for name, value in (("TERM", "xterm"), ("COLUMNS", "100"), ("COLORTERM", "")):
                patched.setenv(name, value)
            patched.setenv("RAG_PIPELINE_CONFIG", str(project.folder / "pipeline.yaml"))
            patched.setattr(sys, "stdout", terminal)
            cli.main([*arguments], standalone_mode=False)
        reading.join(30)
        os.close(outer)
        return b"".join(parts).decode()

    return run


@pytest.mark.skipif(not Path("/dev/ptmx").exists(), reason="needs a terminal")
def test_words_of_the_question_and_marks_stand_out_and_no_color_takes_colours_away(
    shown: Shown, model: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    model.script(says("Pull the red lever twice [1]."))
    search = ("search", "red lever", "--as", "public", "--mode", "text")
    ask = ("ask", "How is the pump stopped with the red lever?", "--as", "public")
    found, answer = shown(*search), shown(*ask)
    assert f"{BOLD_YELLOW}lever" in found
    # A short word says little beside a longer one, and is all there is where it is asked alone.
    assert f"{BOLD_YELLOW}red" not in found
    assert f"{BOLD_YELLOW}red" in shown("search", "red", "--as", "public", "--mode", "text")
    assert f"{BOLD_CYAN}[1]" in answer
    monkeypatch.setenv("NO_COLOR", "1")
    for text, plain in ((found, shown(*search)), (answer, shown(*ask))):
        assert COLOUR.search(text)
        assert not COLOUR.search(plain)
        assert "lever" in plain
