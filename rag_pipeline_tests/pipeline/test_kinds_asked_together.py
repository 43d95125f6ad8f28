"""Kinds that are asked over a network, and mail, in one pipeline: nights of random changes, and each of them down."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from hashlib import sha256
from mailbox import Maildir
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest

from rag_pipeline.refresh import bronze
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.sources.rest_api import as_json
from rag_pipeline_tests.sources.site import Asked, Reply, Site, html

NAMES = [f"{folder}{stem}" for folder in ("", "team/") for stem in "abcd"]
KINDS = ("feed", "mail", "rest", "web")
READERS = ("public", "staff", "crew")
DOWN = Reply(status=503, headers={"Retry-After": "999"})


class Asking:
    """The same few documents live in four kinds of sources, each changed by itself."""

    def __init__(self, folder: Path, site: Site, seed: int) -> None:
        self.random = random.Random(seed)
        self.project = Project.create(folder, [], cache="cache")
        self.texts: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        self.down = ""
        self._mail = folder / "Mail"
        self._count = 0
        asked = {"networks": ["127.0.0.1/32"], "max_deleted_floor": 1_000}
        polite = asked | {"delay_seconds": 0}
        self.project.settings["sources"] = {
            "feed": {"kind": "feed", "location": f"{site.url}/feed/", "keep": False} | polite,
            "mail": {"kind": "mail", "location": "Mail", "max_deleted_floor": 1_000},
            "rest": {
                "kind": "rest",
                "location": f"{site.url}/rest",
                "list": {"path": "items", "items": "items"},
                "id": "id",
                "template": "{body}",
                "principals": "readers",
            }
            | asked,
            "web": {"kind": "web", "location": f"{site.url}/web/"} | polite,
        }
        self.readers = dict.fromkeys(KINDS, "staff")
        site.fallback = self._answer

    def change(self, kind: str) -> None:
        """One edit, addition, move or deletion, or other readers."""
        texts, name, to = self.texts[kind], self.random.choice(NAMES), self.random.choice(NAMES)
        self._count += 1
        what = self.random.choice(["write", "write", "move", "delete", "readers"])
        if what == "move" and name in texts:
            texts[to] = texts.pop(name)
        elif what == "delete" and len(texts) > 1:
            texts.pop(name, None)
        elif what == "readers":
            self.readers[kind] = self.random.choice(READERS)
        else:
            texts[name] = f"The text number {self._count} is about {kind} and nothing else."

    def write(self, kind: str) -> None:
        """Have the settings and, where it lies in a folder, the source hold what there is; servers look themselves."""
        self.project.settings["sources"][kind]["allowed_principals"] = [self.readers[kind]]
        if kind != "mail":
            return
        shutil.rmtree(self._mail, ignore_errors=True)
        Maildir(self._mail).close()
        for name, text in self.texts[kind].items():
            head = "From: Ada <ada@example.org>\nSubject: News\nContent-Type: text/plain; charset=utf-8\n\n"
            (self._mail / "cur" / f"{sha256(name.encode()).hexdigest()}:2,S").write_text(f"{head}{text}\n")

    def stop(self, kind: str) -> None:
        self.down = kind
        if kind == "mail":
            self._mail.rename(self._mail.with_name("away"))

    def start(self, kind: str) -> None:
        self.down = ""
        if kind == "mail":
            self._mail.with_name("away").rename(self._mail)

    def _answer(self, asked: Asked) -> Reply:
        kind, _, rest = asked.path.removeprefix("/").partition("/")
        if kind == self.down:
            return DOWN
        texts = self.texts.get(kind, {})
        if kind == "feed":
            entries = "".join(
                f"<entry><id>{escape(name)}</id><content type='text'>{escape(text)}</content></entry>"
                for name, text in texts.items()
            )
            return Reply(f'<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title>{entries}</feed>'.encode())
        if kind == "rest" and rest == "items":
            items = [{"id": name, "body": text, "readers": [self.readers[kind]]} for name, text in texts.items()]
            return as_json({"items": items})
        if kind == "web" and not rest:
            links = "".join(f'<a href="/web/{quote(name)}">{name}</a>' for name in texts)
            return html(links, X_Robots_Tag="noindex")
        if kind == "web" and rest in texts:
            return html(f"<p>{texts[rest]}</p>", "A page")
        return Reply(b"not found", 404)


@pytest.fixture
def site() -> Iterator[Site]:
    opened = Site()
    yield opened
    opened.close()


def test_nights_of_kinds_that_are_asked_equal_a_rebuild_and_what_is_down_stands_still_alone(
    site: Site, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, site, seed=7)
    project = asking.project
    for night in range(3):
        for kind in KINDS:
            for _ in range(4 if night == 0 else 2):
                asking.change(kind)
            asking.texts[kind].setdefault("z", f"There is always something in {kind}.")
            asking.write(kind)
        project.refresh()
        assert project.published() == project.rebuilt(), night
        assert project.verify().findings == []
        assert len(project.embedded) == len(set(project.embedded)), "nothing is embedded twice"
    for down in KINDS:
        before = [row for row in project.published() if row["source"] == down]
        assert before
        others = [kind for kind in KINDS if kind != down]
        for kind in others:
            asking.change(kind)
            asking.write(kind)
        asking.stop(down)
        with project.workspace() as workspace:
            reports = {name: bronze.poll_source(workspace, name, allow_mass_deletion=True) for name in KINDS}
        assert [name for name, report in reports.items() if report.unavailable_because] == [down]
        project.refresh(poll=False)
        assert [row for row in project.published() if row["source"] == down] == before
        asking.start(down)
    project.refresh()
    assert project.published() == project.rebuilt()
