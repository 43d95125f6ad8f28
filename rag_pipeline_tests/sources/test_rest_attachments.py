"""Files that are attached to objects of an API: documents below them, each read once, for whoever may read it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.sources import Remembered, RemembersListings, Source, SourceObject
from rag_pipeline.errors import DocumentTooLarge, DocumentUnreadable, DocumentVanished, SourceUnavailable
from rag_pipeline.refresh.look import inputs_of, nothing_changed, read_settled
from rag_pipeline.refresh.settle import settle
from rag_pipeline.settings.sources.rest import preset
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.rest_api import TICKETS, as_json, rest_source
from rag_pipeline_tests.sources.site import Asked, Reply, Site
from rag_pipeline_tests.sources.test_rest_presets import Confluence, Slack, wiki
from rag_pipeline_tests.sources.test_rest_trackers import GitLab, Jira, Notion, Zendesk, opened

ATTACHED = {
    "list": {"path": "items/{id}/files", "items": "files"},
    "name": ["name"],
    "url": ["href"],
    "revision": ["version"],
    "size": "size",
    "most": 3,
}


pytestmark = pytest.mark.usefixtures("no_waits")


@pytest.fixture
def files() -> Iterator[Site]:
    """Another server, which has the files."""
    found = Site()
    yield found
    found.close()


class Tickets:
    """Items with files; the revision of an item moves with its files."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.items: dict[str, dict[str, Any]] = {}
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.bytes: dict[str, bytes] = {}
        self.broken = 0
        # Addresses of files that are given out now; those of before have run out.
        self.moment = 0
        site.fallback = self._answer

    def write(self, name: str, *attached: tuple[str, str, bytes]) -> None:
        revision = self.items.get(name, {"revision": 0})["revision"] + 1
        self.items[name] = {"id": name, "body": f"Text {name}", "revision": revision, "readers": ["ada"]}
        self.files[name] = [{"id": key, "name": file, "size": len(raw), "version": 1} for key, file, raw in attached]
        self.bytes |= {key: raw for key, _, raw in attached}
        attached_keys = {each["id"] for files in self.files.values() for each in files}
        self.bytes = {key: raw for key, raw in self.bytes.items() if key in attached_keys}

    def _answer(self, asked: Asked) -> Reply:
        match asked.path.partition("?")[0].removeprefix("/api/").split("/"):
            case ["items"]:
                return as_json({"items": [self.items[name] for name in sorted(self.items)], "next": None})
            case ["items", name] if name in self.items:
                return as_json(self.items[name])
            case ["items", name, "files"] if name in self.items:
                if self.broken:
                    return as_json({}, self.broken)
                known = self.files[name]
                return as_json({"files": [each | {"href": f"/api/raw/{self.moment}/{each['id']}"} for each in known]})
            case ["raw", moment, key] if int(moment) == self.moment and key in self.bytes:
                return Reply(self.bytes[key])
        return as_json({}, 404)

    def lists(self) -> int:
        return sum(path.endswith("/files") for path in self.site.paths)


def by_address(source: Source) -> dict[str, SourceObject]:
    return {item.address: item for item in source.list()}


def tickets(site: Site, **fields: Any) -> Source:
    return rest_source(site, TICKETS | {"attachments": [ATTACHED]}, **fields)


def held(found: dict[str, SourceObject]) -> dict[str, Remembered]:
    """What the lake holds after all that was listed has been read."""
    return {
        each: Remembered(
            None if item.problem else item.stamp, item.modified_at, item.uri, item.size_bytes, item.declared
        )
        for each, item in found.items()
    }


def listed_again(source: Source, known: dict[str, Remembered]) -> dict[str, SourceObject]:
    assert isinstance(source, RemembersListings)
    source.remember(known)
    return by_address(source)


def test_what_is_attached_is_a_document_below_its_object_and_read_once(site: Site) -> None:
    api = Tickets(site)
    api.write("1", ("f1", "plan.md", b"# Plan"), ("f2", "../notes.txt", b"Notes"))
    api.write("2")
    source = tickets(site)
    before = by_address(source)
    assert sorted(before) == ["1", "1/f1/plan.md", "1/f2/..%2Fnotes.txt", "2"]
    plan = before["1/f1/plan.md"]
    assert plan.declared is not None
    assert (plan.declared.allowed_principals, plan.declared.title, plan.uri) == (
        ("ada",),
        "plan.md",
        "tickets:1#plan.md",
    )
    assert source.fetch(plan).raw == b"# Plan"
    # Another process, which has not listed, and an address that ran out since it was listed.
    assert tickets(site).fetch(plan) == source.fetch(plan)
    api.moment = 7
    assert source.fetch(plan).raw == b"# Plan"
    # Nothing changed: none of the lists is asked for, and the listing is the same one.
    asked = api.lists()
    assert listed_again(source, held(before)) == before
    assert api.lists() == asked
    # Who may read the object is another one: nothing of it is asked for, and both are for that one only.
    api.items["1"]["readers"] = ["bo"]
    after = listed_again(source, held(before))
    assert api.lists() == asked
    assert {each: item.declared.allowed_principals for each, item in after.items() if item.declared} == {
        "1": ("bo",),
        "1/f1/plan.md": ("bo",),
        "1/f2/..%2Fnotes.txt": ("bo",),
        "2": ("ada",),
    }
    assert {each: item.stamp for each, item in after.items()} == {each: item.stamp for each, item in before.items()}
    # One goes and one changes with the object: only that one's list is asked for.
    api.write("1", ("f1", "plan.md", b"# Plan"))
    api.files["1"][0]["version"] = 2
    after = listed_again(source, held(before))
    assert api.lists() == asked + 1
    assert sorted(after) == ["1", "1/f1/plan.md", "2"]
    assert after["1/f1/plan.md"].stamp != before["1/f1/plan.md"].stamp
    with pytest.raises(DocumentVanished):
        source.fetch(before["1/f2/..%2Fnotes.txt"])
    # They go with their object.
    del api.items["1"]
    api.bytes.clear()
    assert sorted(listed_again(source, held(after))) == ["2"]
    with pytest.raises(DocumentVanished):
        source.fetch(plan)


def test_what_the_lake_does_not_hold_as_it_was_listed_is_asked_for_again(site: Site) -> None:
    api = Tickets(site)
    api.write("1", ("f1", "plan.md", b"# Plan"), ("f2", "notes.txt", b"Notes"))
    source = tickets(site)
    before = by_address(source)
    # A run that was killed after the object and before all of its files.
    killed = {each: known for each, known in held(before).items() if each != "1/f2/notes.txt"}
    assert listed_again(source, killed) == before
    # One that is gone at the source and that the deletion guard holds in the lake.
    api.write("1", ("f1", "plan.md", b"# Plan"))
    after = listed_again(source, held(before))
    assert sorted(after) == ["1", "1/f1/plan.md"]
    assert listed_again(source, held(before) | held(after)) == after


def test_a_list_of_files_that_cannot_be_read_is_no_empty_one(site: Site) -> None:
    api = Tickets(site)
    api.write("1", ("f1", "plan.md", b"# Plan"))
    source = tickets(site)
    for status, said in ((403, "answers 403"), (500, "answers 500")):
        api.broken = status
        with pytest.raises(SourceUnavailable, match=rf"`attachments.0.list.path`: the server {said}"):
            source.list()
    # It was deleted while the source was listed.
    api.broken = 404
    assert sorted(by_address(source)) == ["1"]


@pytest.mark.parametrize("status", [403, 500])
def test_a_list_that_breaks_at_one_object_holds_up_nothing_that_others_withdraw(site: Site, status: int) -> None:
    api = Tickets(site)
    for name in "1234":
        api.write(name, (f"f{name}", "plan.md", b"# Plan"))
    source = tickets(site)
    before = by_address(source)
    # The first two changed, and of one of them nobody knows what is attached; the others are closed or gone.
    api.write("1")
    api.write("2")
    api.items["1"]["readers"] = ["bo"]
    api.items["3"]["readers"] = ["bo"]
    del api.items["4"]
    site.pages["/api/items/1/files"] = as_json({}, status)
    after = listed_again(source, held(before))
    assert sorted(after) == ["1", "1/f1/plan.md", "2", "3", "3/f3/plan.md"]
    readers = {each: item.declared.allowed_principals for each, item in after.items() if item.declared is not None}
    assert readers == dict.fromkeys(after, ("bo",)) | {"2": ("ada",)}
    assert {each: item.problem.code for each, item in after.items() if item.problem} == {"1/f1/plan.md": "unavailable"}
    [said] = source.idle()
    assert f"tickets:1 cannot be listed (`attachments.0.list.path`: the server answers {status}" in said.text
    # Whatever of it was taken in, it is asked for again, and what is withdrawn goes.
    for known in (held(before), held(before) | {"1": held(after)["1"]}):
        assert listed_again(source, known)["1"].stamp == after["1"].stamp
    site.pages.clear()
    assert sorted(listed_again(source, held(before) | {"1": held(after)["1"]})) == ["1", "2", "3", "3/f3/plan.md"]
    assert source.idle() == []


def test_a_server_that_breaks_at_list_after_list_is_down(site: Site) -> None:
    api = Tickets(site)
    for name in "1234":
        api.write(name)
    before = by_address(tickets(site))
    for name in "1234":
        api.write(name)
    api.broken = 500
    with pytest.raises(SourceUnavailable):
        listed_again(tickets(site), held(before))


@pytest.mark.slow
def test_a_run_that_changes_nothing_asks_for_no_list_of_files(tmp_path: Path, site: Site) -> None:
    api = Tickets(site)
    for name in "12":
        api.write(name, (f"f{name}", "plan.md", b"# Plan"))
    project = Project.create(tmp_path)
    given = TICKETS | {"attachments": [ATTACHED], "location": f"{site.url}/api", "networks": ["127.0.0.0/8"]}
    project.settings["sources"] = {"load": given | {"max_deleted_floor": 10}}
    project.refresh()
    asked = api.lists()
    project.refresh()
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        published = {name: getattr(last, name) for name in ("alias", "table_name", "table_version")}
        settle(workspace, "run", {"published": published}, inputs_of(workspace.pipeline))
    pipeline = project.pipeline()
    settled = read_settled(pipeline)
    assert settled is None or nothing_changed(pipeline, settled, datetime.now(UTC))
    assert api.lists() == asked
    # A ticket is closed while nobody knows what is attached to it: what was attached is closed with it.
    api.write("1")
    api.items["1"]["readers"] = ["bo"]
    site.pages["/api/items/1/files"] = as_json({}, 500)
    project.refresh()
    shown = {row["uri"]: row["allowed_principals"] for row in project.published()}
    assert shown == {"load:1": ["bo"], "load:1#plan.md": [], "load:2": ["ada"], "load:2#plan.md": ["ada"]}


def test_attachments_are_bounded_in_number_and_size_and_one_that_is_a_page_is_refused(site: Site) -> None:
    api = Tickets(site)
    api.write("1", *((f"f{number}", f"{number}.txt", b"x") for number in range(5)), ("g", "picture.bin", b"x"))
    api.write("2", ("h", "large.txt", b"x" * 200), ("i", "lies.txt", b"x" * 200))
    api.files["2"][1]["size"] = 1
    given = TICKETS | {"attachments": [ATTACHED | {"names": ["*.TXT"]}]}
    spec_fields = {"max_document_bytes": 100}
    source = rest_source(site, given, **spec_fields)
    found = by_address(source)
    problems = {each: item.problem.code for each, item in found.items() if item.problem is not None}
    assert problems == {
        "1/f3/3.txt": "limit_exceeded",
        "1/f4/4.txt": "limit_exceeded",
        "2/h/large.txt": "too_large",
    }
    assert "1/g/picture.bin" not in found
    # What its size is said to be is no proof.
    with pytest.raises(DocumentTooLarge):
        source.fetch(found["2/i/lies.txt"])
    site.pages["/api/raw/0/f0"] = Reply(b"<html>Sign in</html>", headers={"Content-Type": "text/html"})
    with pytest.raises(DocumentUnreadable, match="a page in place of the file"):
        source.fetch(found["1/f0/0.txt"])


def test_credentials_go_to_no_other_server_than_is_named(site: Site, files: Site) -> None:
    api = Tickets(site)
    api.write("1", ("f1", "plan.md", b"# Plan"))
    files.pages["/plan"] = Reply(b"# Elsewhere")
    listed = as_json({"files": [{"id": "f1", "name": "plan.md", "href": f"{files.url}/plan"}]})
    site.pages["/api/items/1/files"] = listed
    for named, sent in (([], None), ([files.url], "Bearer token")):
        given = TICKETS | {"attachments": [ATTACHED | {"send_auth_to": named}], "auth": {"bearer": "$token"}}
        source = rest_source(site, given)
        assert source.fetch(by_address(source)["1/f1/plan.md"]).raw == b"# Elsewhere"
        assert files.asked[-1].headers.get("authorization") == sent
    # An address of the machine itself, which no network of the settings lets in, is not asked for.
    site.pages["/api/items/1/files"] = as_json({"files": [{"id": "f1", "name": "x.md", "href": "file:///etc/passwd"}]})
    source = tickets(site)
    with pytest.raises(DocumentUnreadable):
        source.fetch(by_address(source)["1/f1/x.md"])


def test_attachments_of_an_object_that_rules_decide_on_are_for_no_more_than_may_read_it(site: Site) -> None:
    api = Tickets(site)
    api.write("1", ("f1", "plan.md", b"# Plan"))
    given = {name: value for name, value in TICKETS.items() if name != "principals"}
    [item, below] = rest_source(site, given | {"attachments": [ATTACHED]}).list()
    assert item.declared is None
    assert below.declared is not None
    assert (below.declared.allowed_principals, below.declared.link_target) == (None, "1")


class JiraWithFiles(Jira):
    def _answer(self, asked: Asked) -> Reply:
        if asked.path.startswith("/api/rest/api/2/attachment/content/"):
            return Reply(status=303, headers={"Location": f"{self.media}/x"})
        if "search/jql" in asked.path:
            assert "attachment" in asked.path
        return super()._answer(asked)

    media = ""


def test_attachments_of_issues_of_jira(site: Site, files: Site) -> None:
    jira = JiraWithFiles(site)
    jira.media = files.url
    files.pages["/x"] = Reply(b"Tides")
    jira.write(1)
    jira.write(2)
    content = f"{site.url}/api/rest/api/2/attachment/content/55"
    attached = {"id": "55", "filename": "tides.txt", "mimeType": "text/plain", "size": 5, "content": content}
    attached["created"] = "2026-01-01T00:00:00.000+0100"
    jira.issues["1001"]["fields"]["attachment"] = [attached]
    jira.issues["1002"]["fields"]["attachment"] = []
    jira.browse["ABC-1"] = ["acc-2"]
    source = opened(site, "jira_issues", {"user": "bot", "password": "$token"}, project="ABC")
    found = by_address(source)
    assert sorted(found) == ["1001", "1001/55/tides.txt", "1002"]
    fetched = source.fetch(found["1001/55/tides.txt"])
    assert (fetched.raw, fetched.declared.allowed_principals, fetched.declared.media_type) == (
        b"Tides",
        ("acc-2",),
        "text/plain",
    )
    assert "authorization" not in files.asked[-1].headers


class ZendeskWithFiles(Zendesk):
    attached: dict[str, list[dict[str, Any]]] = {}  # noqa: RUF012 (of a server that one test has)

    def _page(self, asked: Asked, name: str, entries: list[Any]) -> Reply:
        for each in entries:
            each["attachments"] = self.attached.get(each.get("plain_body", ""), [])
        return super()._page(asked, name, entries)


def test_attachments_of_tickets_of_zendesk_are_asked_for_when_the_ticket_moved(site: Site, files: Site) -> None:
    zendesk = ZendeskWithFiles(site)
    for number in (1, 2):
        zendesk.write(number)
        zendesk.comments[number] = [f"Text {number}."]
    files.pages["/a"] = Reply(b"Tides")
    file = {"id": 9, "file_name": "t.txt", "content_url": f"{files.url}/a", "content_type": "text/plain", "size": 5}
    zendesk.attached = {"Text 1.": [file | {"deleted": False}, file | {"id": 8, "deleted": True}]}
    source = opened(site, "zendesk_tickets", {"user": "bot", "password": "$token"})
    before = by_address(source)
    assert sorted(before) == ["1", "1/9/t.txt", "2"]
    assert source.fetch(before["1/9/t.txt"]).raw == b"Tides"
    asked = sum("/comments" in path for path in site.paths)
    assert listed_again(source, held(before)) == before
    assert sum("/comments" in path for path in site.paths) == asked


class GitLabWithFiles(GitLab):
    def _answer(self, asked: Asked) -> Reply:
        if "/uploads/" in asked.path:
            return Reply(asked.path.rpartition("/uploads/")[2].encode())
        return super()._answer(asked)


def test_files_that_issues_of_gitlab_link_to(site: Site) -> None:
    gitlab = GitLabWithFiles(site)
    one, two, three = "1" * 32, "2" * 32, "3" * 32
    gitlab.write(1, description=f"See ![plan](/uploads/{one}/plan.txt).", user_notes_count=2)
    gitlab.note(1, f"And [log](/uploads/{two}/log.txt)")
    gitlab.note(1, f"For us: [x](/uploads/{three}/x.txt)", internal=True)
    gitlab.write(2, user_notes_count=0)
    source = opened(site, "gitlab_issues", {"header": "PRIVATE-TOKEN", "value": "$token"}, project="7")
    found = by_address(source)
    assert sorted(found) == ["1", f"1/{one}/plan.txt", f"1/{two}/log.txt", "2"]
    assert source.fetch(found[f"1/{two}/log.txt"]).raw == f"{two}/log.txt".encode()
    assert not any("issues/2/notes" in path for path in site.paths)


class ConfluenceWithFiles(Confluence):
    attached: dict[str, list[dict[str, Any]]] = {}  # noqa: RUF012 (of a server that one test has)

    def _answer(self, asked: Asked) -> Reply:
        path = asked.path.partition("?")[0]
        if path.endswith("/attachments"):
            return as_json({"results": self.attached.get(path.split("/")[-2], []), "_links": {}})
        if path.endswith("/download"):
            return Reply(asked.path.removeprefix("/api/wiki/rest/api/content/").encode())
        return super()._answer(asked)


def test_attachments_of_pages_of_confluence_change_without_the_page(site: Site) -> None:
    confluence = ConfluenceWithFiles(site)
    confluence.space = [("user", "acc-1"), ("user", "acc-2")]
    confluence.write("10", "Home", "<p>Welcome</p>")
    file = {"id": "att5", "title": "Plan 1.txt", "mediaType": "text/plain", "fileSize": 9, "version": {"number": 1}}
    confluence.attached = {"10": [file]}
    confluence.restrictions["10"] = (["acc-1"], [])
    source = wiki(site)
    before = by_address(source)
    item = before["10/att5/Plan 1.txt"]
    assert item.declared is not None
    assert item.declared.allowed_principals == ("acc-1",)
    assert source.fetch(item).raw == b"10/child/attachment/att5/download?version=1"
    file["version"] = {"number": 2}
    after = listed_again(source, held(before))
    assert source.fetch(after[item.address]).raw.endswith(b"version=2")
    assert after[item.address].stamp != item.stamp
    confluence.attached = {}
    assert sorted(listed_again(source, held(after))) == ["10"]


def test_files_within_blocks_of_notion_have_addresses_that_run_out(site: Site, files: Site) -> None:
    notion = Notion(site)
    notion.write("a", "Page a")
    notion.block("a", "b1", "Item", "toggle")
    notion.block("b1", "b2", "", "pdf")
    notion.blocks["b1"][0] |= {"last_edited_time": "2026-01-01T00:00:00.000Z"}
    address = f"{files.url}/old/tides.pdf?X-Amz-Signature=1"
    notion.blocks["b1"][0]["pdf"] = {"type": "file", "file": {"url": address}}
    source = rest_source(site, {"kind": "rest", "preset": "notion_pages", "auth": {"bearer": "$token"}})
    before = by_address(source)
    assert sorted(before) == ["a", "a/b2/tides.pdf"]
    notion.blocks["b1"][0]["pdf"]["file"]["url"] = f"{files.url}/new/tides.pdf?X-Amz-Signature=2"
    files.pages["/old/tides.pdf"] = Reply(b"<Error>Request has expired</Error>", 403)
    files.pages["/new/tides.pdf"] = Reply(b"%PDF-1.7")
    assert source.fetch(before["a/b2/tides.pdf"]).raw == b"%PDF-1.7"
    # The address is no part of what the file is.
    assert by_address(source)["a/b2/tides.pdf"].stamp == before["a/b2/tides.pdf"].stamp


def test_files_of_messages_and_replies_of_slack_need_the_token(site: Site, files: Site) -> None:
    slack = Slack(site)
    slack.say("1600000001.000100", "See this")
    slack.say("1600000002.000100", "Anybody?")
    slack.say("1700000000.000200", "Here", "1600000002.000100")
    file = {"id": "F1", "name": "a.txt", "mimetype": "text/plain", "size": 5, "mode": "hosted", "created": 1600000001}
    thread = slack.threads
    thread["1600000001.000100"][0] |= {"files": [file | {"url_private_download": f"{files.url}/F1"}]}  # type: ignore[dict-item]
    thread["1600000002.000100"][1] |= {"files": [file | {"id": "F2", "url_private_download": f"{files.url}/F2"}]}  # type: ignore[dict-item]
    files.fallback = lambda asked: (
        Reply(b"Tides")
        if asked.headers.get("authorization") == "Bearer token"
        else Reply(b"<html>Sign in", headers={"Content-Type": "text/html"})
    )
    given = preset("slack_channel", {"channel": "C7", "team": "T1"})
    for each in given["attachments"]:
        assert each["send_auth_to"] == ["https://files.slack.com"]
        each["send_auth_to"] = [files.url]
    source = rest_source(site, given | {"kind": "rest", "auth": {"bearer": "$token"}})
    found = by_address(source)
    first, second = "1600000001.000100/F1/a.txt", "1600000002.000100/F2/a.txt"
    assert [each for each in sorted(found) if "/" in each] == [first, second]
    assert [source.fetch(found[each]).raw for each in (first, second)] == [b"Tides", b"Tides"]
    # A file that is deleted leaves its mark in the message.
    thread["1600000001.000100"][0] |= {"files": [file | {"mode": "tombstone"}]}  # type: ignore[dict-item]
    assert sorted(set(found) - set(listed_again(source, held(found)))) == [first]
