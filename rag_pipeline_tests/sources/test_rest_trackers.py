"""Presets for trackers of tickets and for Notion, against servers of this machine that speak the published APIs."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rag_pipeline.contracts.sources import KnowsGroups, Source, SourceObject
from rag_pipeline.errors import DocumentUnreadable, DocumentVanished, SourceUnavailable
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline_tests.sources.rest_api import as_json, rest_source
from rag_pipeline_tests.sources.site import Asked, Reply, Site

pytestmark = pytest.mark.usefixtures("no_waits")


def query_of(asked: Asked) -> dict[str, list[str]]:
    return parse_qs(urlsplit(asked.path).query)


def opened(site: Site, name: str, auth: dict[str, str], **variables: str) -> Source:
    given = {"kind": "rest", "preset": name, "variables": {"site": f"{site.url}/api", **variables}, "auth": auth}
    return rest_source(site, given)


def by_address(source: Source) -> dict[str, SourceObject]:
    return {item.address: item for item in source.list()}


def changed(before: dict[str, SourceObject], after: dict[str, SourceObject]) -> list[str]:
    return [each for each in after if after[each].stamp != before[each].stamp]


def readers(found: dict[str, SourceObject]) -> dict[str, tuple[str, ...] | None]:
    return {each: item.declared.allowed_principals for each, item in found.items() if item.declared is not None}


def members_of(source: Source, group: str) -> list[str]:
    """Who is in a group of a source now."""
    assert isinstance(source, KnowsGroups)
    return [each.member for each in source.memberships().memberships if each.group == group]


class GitLab:
    """Issues of a project: pages of two, links by number, confidential issues, notes of the system and of the staff."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.issues: dict[int, dict[str, Any]] = {}
        self.notes: dict[int, list[dict[str, Any]]] = {}
        self.members = [("ada", "active"), ("bo", "active"), ("cy", "blocked"), ("di", "active")]
        self.limited = 0
        self._moment = 0
        site.fallback = self._answer

    def write(self, number: int, **more: Any) -> None:
        self._moment += 1
        made = {"id": 900 + number, "iid": number, "title": f"Issue {number}", "description": "It *leaks*."}
        made |= {"state": "opened", "labels": ["tide", "bug"], "author": {"username": "ada"}, "assignees": []}
        made |= {"web_url": f"https://gitlab.example/acme/docs/-/issues/{number}", "confidential": False}
        at = f"2026-01-01T00:00:{self._moment:02}.000Z"
        self.issues[number] = made | self.issues.get(number, {}) | {"updated_at": at} | more

    def note(self, number: int, body: str, **more: Any) -> None:
        at = "2026-01-02T00:00:00.000Z"
        note = {"body": body, "author": {"username": "bo"}, "created_at": at, "system": False, "internal": False}
        self.notes.setdefault(number, []).append(note | more)
        self.write(number)

    def _answer(self, asked: Asked) -> Reply:
        if asked.headers.get("private-token") != "token":
            return as_json({"message": "401 Unauthorized"}, 401)
        if self.limited:
            self.limited -= 1
            return as_json({"message": "Too Many Requests"}, 429, **{"Retry-After": "0"})
        match urlsplit(asked.path).path.removeprefix("/api/api/v4/projects/7/").split("/"):
            case ["members", "all"]:
                return self._page(asked, [{"username": name, "state": state} for name, state in self.members])
            case ["issues"]:
                is_wanted = query_of(asked)["confidential"] == ["false"]
                shown = [each for _, each in sorted(self.issues.items()) if not (is_wanted and each["confidential"])]
                return self._page(asked, shown)
            case ["issues", number, *rest] if int(number) in self.issues:
                notes = self.notes.get(int(number), [])
                return self._page(asked, notes) if rest else as_json(self.issues[int(number)])
        return as_json({"message": "404 Not found"}, 404)

    def _page(self, asked: Asked, entries: list[Any]) -> Reply:
        number = int(query_of(asked).get("page", ["1"])[0])
        links = {}
        if number * 2 < len(entries):
            path, _, query = asked.path.partition("?")
            kept = "&".join(each for each in query.split("&") if not each.startswith("page="))
            links = {"Link": f'<{self.site.url}{path}?{kept}&page={number + 1}>; rel="next"'}
        return as_json(entries[2 * number - 2 : 2 * number], **links)


def test_issues_of_gitlab_are_for_members_and_hold_nothing_that_guests_may_not_read(site: Site) -> None:
    gitlab = GitLab(site)
    for number in range(1, 6):
        gitlab.write(number)
    gitlab.note(2, "Yes.")
    gitlab.note(2, "added ~bug label", system=True)
    gitlab.note(2, "Only for us.", internal=True)
    gitlab.note(2, "No.")
    gitlab.write(4, confidential=True)
    auth = {"header": "PRIVATE-TOKEN", "value": "$token"}
    gitlab.limited = 2
    source = opened(site, "gitlab_issues", auth, project="7")
    before = by_address(source)
    assert sorted(before) == ["1", "2", "3", "5"]
    fetched = source.fetch(before["2"])
    told = "# Issue 2\n\nIt *leaks*.\n\n\n## bo, 2026-01-02T00:00:00.000Z\n\nYes.\n"
    assert fetched.raw.decode() == f"{told}\n\n## bo, 2026-01-02T00:00:00.000Z\n\nNo.\n"
    assert fetched.declared.allowed_principals == ("tickets:members",)
    assert members_of(source, "members") == ["ada", "bo", "di"]
    assert fetched.declared.extra == {"state": "opened", "labels": "tide, bug"}
    assert before["2"].uri == "https://gitlab.example/acme/docs/-/issues/2"
    assert opened(site, "gitlab_issues", auth, project="7").fetch(before["2"]) == fetched
    # Somebody leaves, an issue becomes confidential, one goes, one is answered.
    gitlab.members = [("ada", "active")]
    gitlab.write(1, confidential=True)
    del gitlab.issues[5]
    gitlab.note(3, "More.")
    after = by_address(source)
    assert sorted(after) == ["2", "3"]
    assert changed(before, after) == ["3"]
    assert readers(after) == {"2": ("tickets:members",), "3": ("tickets:members",)}
    assert members_of(source, "members") == ["ada"]
    with pytest.raises(DocumentVanished):
        source.fetch(before["5"])
    with pytest.raises(SourceUnavailable, match=r"answers 401\. Correct `auth`"):
        opened(site, "gitlab_issues", auth | {"value": "$other"}, project="7").list()


class Jira:
    """Issues of a project: search by token, comments by offset, who may browse each of them."""

    def __init__(self, site: Site) -> None:
        self.issues: dict[str, dict[str, Any]] = {}
        self.comments: dict[str, list[dict[str, Any]]] = {}
        self.browse: dict[str, list[str]] = {}
        self.forgets_last = False
        self.expired = 0
        self._moment = 0
        site.fallback = self._answer

    def write(self, number: int, description: str | None = "It *leaks*.") -> None:
        self._moment += 1
        fields: dict[str, Any] = {"summary": f"Issue {number}", "description": description, "labels": ["tide"]}
        fields |= {"updated": f"2026-01-01T00:00:{self._moment:02}.000+0100", "status": {"name": "Open"}}
        fields |= {"reporter": {"displayName": "Ada"}, "issuetype": {"name": "Bug"}, "assignee": None}
        self.issues[f"100{number}"] = {"id": f"100{number}", "key": f"ABC-{number}", "fields": fields}
        self.browse.setdefault(f"ABC-{number}", ["acc-1", "acc-2"])

    def comment(self, number: int, body: str, **more: Any) -> None:
        made = {"author": {"displayName": "Bo"}, "created": "2026-01-02T00:00:00.000+0100", "body": body}
        self.comments.setdefault(f"100{number}", []).append(made | more)
        self.write(number)

    def _answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization", "").partition(" ")[0] != "Basic":
            return as_json({"errorMessages": ["no"]}, 401)
        query = {name: values[0] for name, values in query_of(asked).items()}
        match urlsplit(asked.path).path.removeprefix("/api/rest/api/2/").split("/"):
            case ["search", "jql"]:
                assert query["jql"] == 'project = "ABC" ORDER BY id ASC'
                return self._searched(query)
            case ["user", "permission", "search"]:
                named = self.browse.get(query["issueKey"])
                found = [{"accountId": each, "active": True} for each in named or ()]
                return as_json(found) if named is not None else as_json({}, 404)
            case ["issue", name, *rest] if name in self.issues:
                if not rest:
                    return as_json(self.issues[name])
                start, found = int(query["startAt"]), self.comments.get(name, [])
                return as_json({"comments": found[start : start + 2], "startAt": start, "total": len(found)})
        return as_json({"errorMessages": ["Issue does not exist"]}, 404)

    def _searched(self, query: dict[str, str]) -> Reply:
        if self.expired and "nextPageToken" in query:
            self.expired -= 1
            return as_json({"errorMessages": ["The provided next page token is invalid"]}, 400)
        start = int(query.get("nextPageToken", 0))
        shown = [self.issues[name] for name in sorted(self.issues)]
        is_last = start + 2 >= len(shown)
        more = {} if is_last or self.forgets_last else {"nextPageToken": str(start + 2)}
        return as_json({"issues": shown[start : start + 2], "isLast": is_last} | more)


def test_issues_of_jira_are_for_who_may_browse_each_of_them(site: Site) -> None:
    jira = Jira(site)
    for number in range(1, 6):
        jira.write(number)
    for text in ("Yes.", "No.", "{code}x{code}"):
        jira.comment(2, text)
    jira.comment(2, "For developers.", visibility={"type": "role", "value": "Developers"})
    jira.browse["ABC-3"] = ["acc-2"]
    auth = {"user": "bot@example.org", "password": "$token"}
    jira.expired = 1
    source = opened(site, "jira_issues", auth, project="ABC")
    before = by_address(source)
    assert readers(before) == dict.fromkeys(["1001", "1002", "1004", "1005"], ("acc-1", "acc-2")) | {"1003": ("acc-2",)}
    fetched = source.fetch(before["1002"])
    text = fetched.raw.decode()
    assert text.startswith("h1. Issue 2\n\nIt *leaks*.\n")
    assert [text.count(each) for each in ("h2. Bo, 2026-01-02", "Yes.", "No.", "{code}x{code}")] == [3, 1, 1, 1]
    assert "developers" not in text
    assert fetched.declared.media_type == "text/x-jira"
    assert before["1002"].uri == f"{site.url}/api/browse/ABC-2"
    # A security level, one that may not be asked about, a deletion, an edit.
    jira.browse["ABC-1"] = ["acc-1"]
    del jira.browse["ABC-4"]
    del jira.issues["1005"]
    jira.write(2, "It was mended.")
    after = by_address(source)
    assert changed(before, after) == ["1002"]
    assert readers(after) == {"1001": ("acc-1",), "1002": ("acc-1", "acc-2"), "1003": ("acc-2",), "1004": ()}
    with pytest.raises(DocumentVanished):
        source.fetch(before["1005"])
    jira.forgets_last = True
    with pytest.raises(SourceUnavailable, match="page 1 says that there are more, and not where"):
        source.list()


class Zendesk:
    """Tickets by their export, which names its end, with comments and agents by cursor."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tickets: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[str]] = {}
        self.agents = [("ada", None), ("bo", "groups"), ("cy", None), ("di", None)]
        self.ends = True
        self._moment = 0
        site.fallback = self._answer

    def write(self, number: int, **more: Any) -> None:
        self._moment += 1
        made = {"id": number, "subject": f"Ticket {number}", "description": "d", "status": "open", "tags": ["tide"]}
        self.tickets[number] = made | {"updated_at": f"2026-01-01T00:00:{self._moment:02}Z"} | more

    def _answer(self, asked: Asked) -> Reply:
        query = query_of(asked)
        match urlsplit(asked.path).path.removeprefix("/api/api/v2/").split("/"):
            case ["incremental", "tickets", "cursor"]:
                shown = [self.tickets[number] for number in sorted(self.tickets)]
                start = int(query.get("cursor", ["0"])[0])
                is_last = start + 2 >= len(shown)
                # After the last page, too, one is named to go on from some day.
                after = f"{self.site.url}/api/api/v2/incremental/tickets/cursor?cursor={start + 2}"
                end = {"end_of_stream": is_last} if self.ends else {}
                return as_json({"tickets": shown[start : start + 2], "after_url": after} | end)
            case ["users"]:
                assert query["role[]"] == ["agent", "admin"]
                shown = [
                    {
                        "email": f"{name}@x.example",
                        "active": True,
                        "suspended": name == "di",
                        "ticket_restriction": only,
                    }
                    for name, only in self.agents
                ]
                return self._page(asked, "users", shown)
            case ["tickets", number] if int(number) in self.tickets:
                return as_json({"ticket": self.tickets[int(number)]})
            case ["tickets", number, "comments"]:
                at = {"author_id": 5, "created_at": "2026-01-02T00:00:00Z", "html_body": "<p>no</p>"}
                return self._page(asked, "comments", [at | {"plain_body": each} for each in self.comments[int(number)]])
        return as_json({"error": "RecordNotFound"}, 404)

    def _page(self, asked: Asked, name: str, entries: list[Any]) -> Reply:
        start = int(query_of(asked).get("page[after]", ["0"])[0])
        path, _, query = asked.path.partition("?")
        kept = "&".join(each for each in query.split("&") if not each.startswith(("page[after]", "page%5Bafter")))
        after = f"{self.site.url}{path}?{kept}&page[after]={start + 2}"
        meta = {"has_more": start + 2 < len(entries)}
        return as_json({name: entries[start : start + 2], "meta": meta, "links": {"next": after, "prev": None}})


def test_tickets_of_zendesk_are_for_agents_without_a_restriction(site: Site) -> None:
    zendesk = Zendesk(site)
    for number in range(1, 5):
        zendesk.write(number)
        zendesk.comments[number] = [f"Text {number}.", "Yes.", "No."]
    zendesk.write(5, status="deleted")
    auth = {"user": "bot@example.org/token", "password": "$token"}
    source = opened(site, "zendesk_tickets", auth)
    before = by_address(source)
    assert sorted(before) == ["1", "2", "3", "4"]
    assert set(readers(before).values()) == {("tickets:agents",)}
    assert members_of(source, "agents") == ["ada@x.example", "cy@x.example"]
    fetched = source.fetch(before["2"])
    said = "".join(f"\n\n## 5, 2026-01-02T00:00:00Z\n\n{each}\n" for each in ("Text 2.", "Yes.", "No."))
    assert fetched.raw.decode() == f"# Ticket 2{said}"
    assert before["2"].uri == f"{site.url}/api/agent/tickets/2"
    zendesk.agents[0] = ("ada", "assigned")
    zendesk.write(3)
    del zendesk.tickets[4]
    zendesk.write(1, status="deleted")
    after = by_address(source)
    assert sorted(after) == ["2", "3"]
    assert changed(before, after) == ["3"]
    assert set(readers(after).values()) == {("tickets:agents",)}
    assert members_of(source, "agents") == ["cy@x.example"]
    # Without its word that it ended nobody knows whether it did.
    zendesk.ends = False
    with pytest.raises(SourceUnavailable, match=r"`list.pages.last`: page 1 holds nothing there"):
        source.list()


class Notion:
    """Pages that were shared with an integration: search by POST, blocks by GET, two of each at once."""

    def __init__(self, site: Site) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        # By what they lie in.
        self.blocks: dict[str, list[dict[str, Any]]] = {}
        self.forgets_cursor = False
        self._moment = 0
        site.fallback = self._answer

    def write(self, name: str, title: str, **more: Any) -> None:
        self._moment += 1
        made = {"object": "page", "id": name, "last_edited_time": f"2026-01-01T00:{self._moment:02}:00.000Z"}
        made |= {"properties": {"Name": {"type": "title", "title": [{"plain_text": title, "href": None}]}}}
        self.pages[name] = made | {"url": f"https://www.notion.so/{name}", "in_trash": False} | more

    def block(self, above: str, name: str, text: str, kind: str = "paragraph") -> None:
        for each in [each for under in self.blocks.values() for each in under if each["id"] == above]:
            each["has_children"] = True
        parent = {"type": "page_id" if above in self.pages else "block_id"}
        parent[parent["type"]] = above
        made = {"object": "block", "id": name, "type": kind, "parent": parent, "has_children": False, "in_trash": False}
        said = {"title": text} if kind == "child_page" else {"rich_text": [{"plain_text": text, "href": None}]}
        self.blocks.setdefault(above, []).append(made | {kind: said})

    def _answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != "Bearer token" or asked.headers.get("notion-version") != "2022-06-28":
            return as_json({"object": "error", "status": 401}, 401)
        match urlsplit(asked.path).path.removeprefix("/api/v1/").split("/"):
            case ["search"] if asked.method == "POST":
                sent = json.loads(asked.body)
                assert sent["filter"] == {"property": "object", "value": "page"}
                assert sent["page_size"] == 100
                return self._page(sent.get("start_cursor"), [self.pages[name] for name in sorted(self.pages)])
            case ["pages", name] if name in self.pages:
                return as_json(self.pages[name])
            case ["blocks", name, "children"]:
                return self._page(query_of(asked).get("start_cursor", [None])[0], self.blocks.get(name, []))
        return as_json({"object": "error", "status": 404, "code": "object_not_found"}, 404)

    def _page(self, cursor: str | None, entries: list[Any]) -> Reply:
        start = int(cursor or 0)
        more = start + 2 < len(entries)
        following = str(start + 2) if more and not self.forgets_cursor else None
        return as_json({"results": entries[start : start + 2], "has_more": more, "next_cursor": following})


def test_pages_of_notion_come_with_all_blocks_below_them(site: Site) -> None:
    notion = Notion(site)
    for name in "abcde":
        notion.write(name, f"Page {name}")
    notion.write("t", "Thrown away", in_trash=True)
    for number in range(5):
        notion.block("b", f"b{number}", f"Item {number}", "bulleted_list_item")
    for number in range(3):
        notion.block("b1", f"b1{number}", f"Below {number}", "to_do")
    notion.block("b12", "b120", "Lower still")
    notion.block("b", "c", "Page c", "child_page")

    def source() -> Source:
        given = {"kind": "rest", "preset": "notion_pages", "auth": {"bearer": "$token"}}
        return rest_source(site, given)

    reader = source()
    before = by_address(reader)
    assert sorted(before) == list("abcde")
    assert before["b"].uri == "https://www.notion.so/b"
    fetched = reader.fetch(before["b"])
    assert fetched.declared.allowed_principals is None
    [document] = parse(fetched.raw, str(fetched.declared.media_type), "b", ParseLimits())
    assert document.title == "Page b"
    items = "- Item 0\n- Item 1\n  - [ ] Below 0\n  - [ ] Below 1\n  - [ ] Below 2\n    Lower still\n"
    assert document.text == f"Page b\n\n{items}- Item 2\n- Item 3\n- Item 4"
    assert source().fetch(before["b"]) == fetched
    notion.write("c", "Page c, again")
    del notion.pages["d"]
    notion.write("e", "Page e", in_trash=True)
    after = by_address(reader)
    assert sorted(after) == list("abc")
    assert changed(before, after) == ["c"]
    with pytest.raises(DocumentVanished):
        reader.fetch(before["d"])
    # What lies in itself never ends.
    notion.blocks["b120"] = [notion.blocks["b"][1]]
    notion.blocks["b12"][0]["has_children"] = True
    with pytest.raises(DocumentUnreadable, match=r"`parts.0.nested`: b1 lies in itself"):
        reader.fetch(before["b"])
    notion.forgets_cursor = True
    with pytest.raises(SourceUnavailable, match="page 1 says that there are more, and not where"):
        reader.list()
