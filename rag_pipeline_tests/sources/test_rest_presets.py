"""Presets of the kind `rest`, against servers of this machine that speak the published APIs."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rag_pipeline.contracts.sources import KnowsGroups, Source
from rag_pipeline.errors import DocumentUnreadable, DocumentVanished, SourceUnavailable
from rag_pipeline.settings.sources.rest import preset, preset_names
from rag_pipeline_tests.paths import REPOSITORY
from rag_pipeline_tests.sources.rest_api import as_json, rest_source
from rag_pipeline_tests.sources.site import Asked, Reply, Site
from rag_pipeline_tests.sources.test_rest_trackers import members_of

pytestmark = pytest.mark.usefixtures("no_waits")


class Confluence:
    """A space as Confluence Cloud gives it: pages by cursor, two of them each, members of groups by number."""

    def __init__(self, site: Site) -> None:
        self.site = site
        # By id: title, text, page above.
        self.pages: dict[str, tuple[str, str, str]] = {}
        self.versions: dict[str, int] = {}
        # By page: users and groups.
        self.restrictions: dict[str, tuple[list[str], list[str]] | None] = {}
        self.groups: dict[str, list[str]] = {}
        self.space: list[tuple[str, str]] = []
        self.expired = 0
        self.hidden: set[str] = set()
        site.fallback = self._answer

    def write(self, name: str, title: str, text: str, above: str = "") -> None:
        self.pages[name] = (title, text, above)
        self.versions[name] = self.versions.get(name, 0) + 1

    def _answer(self, asked: Asked) -> Reply:
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path.removeprefix("/api/wiki/").split("/"):
            case ["api", "v2", "spaces", "7", "pages"]:
                if self.expired and "cursor" in query:
                    self.expired -= 1
                    return as_json({"errors": [{"status": 400, "title": "Invalid cursor"}]}, 400)
                return self._page(asked, query, [self._shown(name) for name in sorted(self.pages)])
            case ["api", "v2", "spaces", "7", "permissions"]:
                return self._page(asked, query, [each for kind, name in self.space for each in _grants(kind, name)])
            case ["api", "v2", "pages", name]:
                text = {"storage": {"value": self.pages[name][1], "representation": "storage"}}
                return as_json(self._shown(name) | {"body": text}) if name in self.pages else as_json({}, 404)
            case ["api", "v2", "pages", name, "ancestors"]:
                above = []
                while name := self.pages[name][2]:
                    above.insert(0, {"id": name, "type": "page"})
                return self._page(asked, query, above)
            case ["rest", "api", "content", name, "restriction"]:
                return as_json({}, 404) if name in self.hidden else as_json({"results": self._restrictions(name)})
            case ["rest", "api", "group", name, "membersByGroupId"]:
                start = int(query["start"])
                found = [{"type": "known", "accountId": each} for each in self.groups[name][start : start + 2]]
                return as_json({"results": found, "start": start, "limit": 2, "size": len(found)})
        return as_json({}, 404)

    def _shown(self, name: str) -> dict[str, Any]:
        version = {"number": self.versions[name], "createdAt": "2026-01-05T10:00:00.000Z"}
        return {"id": name, "title": self.pages[name][0], "authorId": "acc-1", "version": version, "status": "current"}

    def _restrictions(self, name: str) -> list[dict[str, Any]]:
        def entry(operation: str, users: list[str], groups: list[str]) -> dict[str, Any]:
            named = {"user": {"results": [{"accountId": each} for each in users], "size": len(users), "limit": 200}}
            named["group"] = {"results": [{"id": each, "name": each} for each in groups], "size": 0, "limit": 200}
            return {"operation": operation, "restrictions": named}

        if self.restrictions.get(name, ()) is None:
            return [{"operation": "read", "restrictions": {}}]
        # Who may change a page is no word on who may read it.
        return [entry("update", ["acc-9"], []), entry("read", *(self.restrictions.get(name) or ([], [])))]

    def _page(self, asked: Asked, query: dict[str, str], entries: list[Any]) -> Reply:
        start = int(query.get("cursor", 0))
        links = {}
        if start + 2 < len(entries):
            links["next"] = f"{urlsplit(asked.path).path}?limit=2&cursor={start + 2}"
        return as_json({"results": entries[start : start + 2], "_links": links})


def _grants(kind: str, name: str) -> list[dict[str, Any]]:
    principal = {"type": kind, "id": name}
    read = {"id": "1", "principal": principal, "operation": {"key": "read", "targetType": "space"}}
    return [{"id": "2", "principal": {"type": "user", "id": "acc-9"}, "operation": {"key": "create"}}, read]


@pytest.fixture
def confluence(site: Site) -> Confluence:
    found = Confluence(site)
    found.space = [("user", "acc-1"), ("group", "staff")]
    found.groups = {"staff": ["acc-2", "acc-3", "acc-4"], "crew": ["acc-3", "acc-5"]}
    found.write("10", "Home", "<p>Welcome</p>")
    found.write("11", "Crew", "<p>Below</p>", "10")
    found.write("12", "Rota", "<p>Lower still</p>", "11")
    return found


def wiki(site: Site) -> Source:
    variables = {"site": f"{site.url}/api", "space_id": "7"}
    given = {"kind": "rest", "preset": "confluence_pages", "variables": variables}
    return rest_source(site, given | {"auth": {"user": "bot@example.org", "password": "$token"}})


def readers(source: Source) -> dict[str, tuple[str, ...] | None]:
    return {item.address: item.declared.allowed_principals for item in source.list() if item.declared is not None}


def test_a_page_of_confluence_is_for_who_may_read_the_space_every_page_above_and_the_page(
    site: Site, confluence: Confluence
) -> None:
    everybody = ("acc-1", "acc-2", "acc-3", "acc-4")
    source = wiki(site)
    stamps = {item.address: item.stamp for item in source.list()}
    assert readers(source) == {"10": everybody, "11": everybody, "12": everybody}
    # A restriction above closes what is below, and one who is named there must read the space too.
    confluence.restrictions["11"] = (["acc-1"], ["crew"])
    assert readers(source) == {"10": everybody, "11": ("acc-1", "acc-3"), "12": ("acc-1", "acc-3")}
    # The page's own list does not open again what a page above closes.
    confluence.restrictions["12"] = (["acc-2", "acc-3"], [])
    assert readers(source)["12"] == ("acc-3",)
    # Leaving a group counts, whatever else is as it was.
    confluence.groups["crew"].remove("acc-3")
    assert readers(source) == {"10": everybody, "11": ("acc-1",), "12": ()}
    # A restriction to a group without members is one.
    confluence.restrictions["11"] = ([], ["empty"])
    confluence.groups["empty"] = []
    assert readers(source)["11"] == ()
    # What does not say who is no empty list.
    confluence.restrictions["11"] = None
    assert readers(source)["11"] == ()
    # A page above that may not be looked at closes what is below it.
    confluence.restrictions.clear()
    confluence.hidden.add("11")
    assert readers(source) == {"10": everybody, "11": (), "12": ()}
    assert {item.address: item.stamp for item in source.list()} == stamps


def test_pages_of_confluence_are_read_anew_when_a_cursor_ran_out(site: Site, confluence: Confluence) -> None:
    source = wiki(site)
    confluence.expired = 1
    [first, *_] = source.list()
    fetched = source.fetch(first)
    assert fetched.raw == b"<h1>Home</h1><p>Welcome</p>"
    assert fetched.declared == first.declared
    assert wiki(site).fetch(first) == fetched
    assert first.uri == f"{site.url}/api/wiki/pages/viewpage.action?pageId=10"
    confluence.expired = 9
    with pytest.raises(SourceUnavailable, match=r"`list.path`: the server answers 400. It was read 3 times"):
        source.list()
    confluence.expired = 0
    confluence.write("11", "Crew", "<p>New</p>", "10")
    del confluence.pages["12"]
    before = {first.address: first.stamp}
    assert [item.address for item in source.list() if item.stamp != before.get(item.address)] == ["11"]


def test_a_page_of_confluence_below_more_pages_than_are_given_is_closed() -> None:
    [_, above, _] = preset("confluence_pages", {"site": "https://x.example", "space_id": "7"})["readers"]
    assert str(above["each_of"]["most"]) == above["each_of"]["params"]["limit"]


def test_every_preset_stands_in_the_documentation() -> None:
    text = (REPOSITORY / "docs" / "configuration.md").read_text("utf-8")
    assert [name for name in preset_names() if f"`{name}`" not in text] == []


class GitHub:
    """Issues of a repository as api.github.com gives them: pages of two, links by number, limits of requests."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.issues: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[str]] = {}
        self.collaborators = ["ada", "bo", "cy"]
        self.limited = 0
        self._moment = 0
        site.fallback = self._answer

    def write(self, number: int, title: str, body: str | None) -> None:
        self._moment += 1
        at = f"2026-01-01T00:00:{self._moment:02}Z"
        user = {"login": "ada"}
        self.issues[number] = {"number": number, "title": title, "body": body, "user": user, "updated_at": at}
        self.issues[number] |= {"html_url": f"https://github.com/acme/docs/issues/{number}", "state": "open"}
        self.issues[number] |= {"labels": [{"name": "tide"}, {"name": "bug"}], "milestone": None, "assignees": []}

    def comment(self, number: int, text: str) -> None:
        self.comments.setdefault(number, []).append(text)
        self.write(number, self.issues[number]["title"], self.issues[number]["body"])

    def _answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != "Bearer token":
            return as_json({"message": "Bad credentials"}, 401)
        if self.limited:
            self.limited -= 1
            return as_json({"message": "rate limit"}, 429, **{"Retry-After": "0"})
        parts = urlsplit(asked.path)
        path = parts.path.removeprefix("/api/repos/acme/docs/")
        if path == "collaborators":
            return self._page(asked, [{"login": name} for name in self.collaborators])
        if path == "issues":
            return self._page(asked, [self.issues[number] for number in sorted(self.issues)])
        number = int(path.split("/")[1])
        if number not in self.issues:
            return as_json({"message": "This issue was deleted"}, 410)
        if path.endswith("comments"):
            texts = self.comments.get(number, [])
            made = {"user": {"login": "bo"}, "created_at": "2026-01-02T00:00:00Z"}
            return self._page(asked, [made | {"body": text} for text in texts])
        return as_json(self.issues[number])

    def _page(self, asked: Asked, entries: list[Any]) -> Reply:
        query = {name: values[0] for name, values in parse_qs(urlsplit(asked.path).query).items()}
        number = int(query.get("page", 1))
        links = {}
        if number * 2 < len(entries):
            path = urlsplit(asked.path).path
            following = f"<{self.site.url}{path}?per_page=2&page={number + 1}>"
            links = {"Link": f'{following}; rel="next", <{self.site.url}{path}?page=9>; rel="last"'}
        return as_json(entries[2 * number - 2 : 2 * number], **links)


def test_issues_of_github_with_comments_readers_limits_and_deletions(site: Site) -> None:
    github = GitHub(site)
    for number in range(1, 6):
        github.write(number, f"Issue {number}", "It *leaks*.")
    for text in ("Yes.", "No.", "Perhaps."):
        github.comment(2, text)

    def source(**fields: Any) -> Source:
        given = {"kind": "rest", "preset": "github_issues", "variables": {"repository": "acme/docs"}}
        return rest_source(site, given | {"auth": {"bearer": "$token"}}, **fields)

    github.limited = 2
    reader = source()
    before = {item.address: item for item in reader.list()}
    assert sorted(before) == ["1", "2", "3", "4", "5"]
    fetched = reader.fetch(before["2"])
    for text in ("# Issue 2", "It *leaks*.", "## bo, 2026-01-02", "Yes.", "No.", "Perhaps."):
        assert text in fetched.raw.decode()
    assert before["2"].uri == "https://github.com/acme/docs/issues/2"
    assert fetched.declared.allowed_principals == ("tickets:collaborators",)
    assert members_of(reader, "collaborators") == ["ada", "bo", "cy"]
    assert fetched.declared.extra == {"state": "open", "labels_name": "tide, bug"}
    assert source().fetch(before["2"]) == fetched
    # Somebody leaves: no document is another one for that.
    github.collaborators = ["ada"]
    github.comment(3, "More.")
    del github.issues[5]
    after = {item.address: item for item in reader.list()}
    assert sorted(after) == ["1", "2", "3", "4"]
    assert [number for number in after if after[number].stamp != before[number].stamp] == ["3"]
    assert {item.declared.allowed_principals for item in after.values() if item.declared} == {
        ("tickets:collaborators",)
    }
    assert members_of(reader, "collaborators") == ["ada"]
    with pytest.raises(DocumentVanished):
        reader.fetch(before["5"])
    github.limited = 100
    with pytest.raises(SourceUnavailable, match=r"`list.path`: the server is asked too often"):
        reader.list()
    with pytest.raises(DocumentUnreadable):
        reader.fetch(before["1"])
    with pytest.raises(SourceUnavailable, match=r"`list.path`: the server answers 401. Correct `auth`"):
        source(auth={"bearer": "$other"}).list()


class Slack:
    """A channel of Slack: history and threads by cursor, two messages a page, errors as good answers."""

    def __init__(self, site: Site) -> None:
        self.threads: dict[str, list[dict[str, str]]] = {}
        self.members = ["U1", "U2", "U3"]
        self.says = ""
        self.expired = 0
        site.fallback = self._answer

    def say(self, at: str, text: str, thread: str = "") -> None:
        self.threads.setdefault(thread or at, []).append({"type": "message", "ts": at, "user": "U1", "text": text})

    def _answer(self, asked: Asked) -> Reply:
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.says:
            return as_json({"ok": False, "error": self.says})
        if self.expired and "cursor" in query:
            self.expired -= 1
            return as_json({"ok": False, "error": "invalid_cursor"})
        assert query["channel"] == "C7"
        match parts.path.removeprefix("/api/"):
            case "conversations.members":
                return self._page(query, "members", self.members)
            case "conversations.history":
                return self._page(query, "messages", [self._shown(at) for at in sorted(self.threads, reverse=True)])
            case "conversations.replies" if query["ts"] in self.threads:
                first, *replies = self.threads[query["ts"]]
                return self._page(query, "messages", [first, *replies])
        return as_json({"ok": False, "error": "thread_not_found"})

    def _shown(self, at: str) -> dict[str, Any]:
        first, *replies = self.threads[at]
        facts = {"reply_count": len(replies), "latest_reply": replies[-1]["ts"]} if replies else {}
        return first | facts

    def _page(self, query: dict[str, str], name: str, entries: list[Any]) -> Reply:
        start, size = int(query.get("cursor", 0)), min(2, int(query["limit"]))
        more = str(start + size) if start + size < len(entries) else ""
        return as_json({"ok": True, name: entries[start : start + size], "response_metadata": {"next_cursor": more}})


def test_threads_of_a_channel_of_slack_are_for_its_members(site: Site) -> None:
    slack = Slack(site)
    for number in range(1, 4):
        slack.say(f"160000000{number}.000100", f"Question {number}")
    for number in range(3):
        slack.say(f"170000000{number}.000200", f"Reply {number}", "1600000002.000100")
    slack.threads["1600000009.000100"] = [{"ts": "1600000009.000100", "subtype": "channel_join", "text": "joined"}]
    variables = {"channel": "C7", "team": "T1"}
    given = {"kind": "rest", "preset": "slack_channel", "variables": variables, "auth": {"bearer": "$token"}}
    source = rest_source(site, given)
    slack.expired = 1
    before = {item.address: item for item in source.list()}
    assert sorted(before) == [f"160000000{number}.000100" for number in range(1, 4)]
    fetched = source.fetch(before["1600000002.000100"])
    assert fetched.raw.decode() == "U1: Question 2\n\nU1: Reply 0\n\nU1: Reply 1\n\nU1: Reply 2"
    assert fetched.declared.allowed_principals == ("tickets:members",)
    assert members_of(source, "members") == ["U1", "U2", "U3"]
    assert rest_source(site, given).fetch(before["1600000002.000100"]) == fetched
    # A reply, a deletion, and somebody who leaves.
    slack.say("1700000009.000200", "Late", "1600000001.000100")
    gone = before["1600000003.000100"]
    del slack.threads[gone.address]
    slack.members.remove("U2")
    after = {item.address: item for item in source.list()}
    assert [each for each in after if after[each].stamp != before[each].stamp] == ["1600000001.000100"]
    assert {item.declared.allowed_principals for item in after.values() if item.declared} == {("tickets:members",)}
    assert members_of(source, "members") == ["U1", "U3"]
    with pytest.raises(DocumentVanished):
        source.fetch(gone)
    # Of a message that is deleted a note stays where it has replies; nobody counts or dates anything anew.
    deleted = {"subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted."}
    slack.threads["1600000002.000100"][0] |= deleted
    again = {item.address: item for item in source.list()}
    assert [each for each in again if again[each].stamp != after[each].stamp] == ["1600000002.000100"]
    assert b"Question 2" not in source.fetch(again["1600000002.000100"]).raw
    # A channel that the token's user has left is not an empty one.
    slack.says = "not_in_channel"
    assert isinstance(source, KnowsGroups)
    with pytest.raises(SourceUnavailable, match="not_in_channel"):
        source.memberships()
    with pytest.raises(SourceUnavailable, match=r"`ok`: the server says not_in_channel to `list.path`"):
        source.list()
    with pytest.raises(DocumentUnreadable):
        source.fetch(gone)
