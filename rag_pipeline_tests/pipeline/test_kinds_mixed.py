"""P1 to P6 over a mixture of all kinds of sources: changes, groups, outages, sources that list nothing, and crashes.

After each whole night what is published equals a rebuild (P1), nothing was embedded twice (P2), who asks finds what the
groups of that moment may read and nothing else (P4), and each object is accounted for (P5). While a kind is down or
empty, what readers had of it stands (P3, P6).
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rag_pipeline.errors import MassDeletion
from rag_pipeline.refresh import bronze
from rag_pipeline_tests.levels import tries
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.pipeline.test_equals_a_rebuild import Crash, crash_after
from rag_pipeline_tests.pipeline.test_kinds_asked_together import KINDS as ASKED
from rag_pipeline_tests.pipeline.test_kinds_asked_together import Asking
from rag_pipeline_tests.pipeline.test_kinds_together import KINDS as READ
from rag_pipeline_tests.pipeline.test_kinds_together import Mixture
from rag_pipeline_tests.sources.site import Site

KINDS = (*READ, *ASKED)
GROUPS = ("staff", "crew")
PEOPLE = ("ann", "bob")
kinds = st.sampled_from(KINDS)
seeds = st.integers(0, 2**16)


class Mixed(RuleBasedStateMachine):
    """Days of changes to eight sources, one of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.site = Site()
        self.read, self.asked = Mixture(self.folder, 0), Asking(self.folder, self.site, 0)
        self.project: Project = self.read.project
        self.project.settings["sources"] |= self.asked.project.settings["sources"]
        self.members: set[tuple[str, str]] = {("staff", "ann"), ("crew", "bob")}
        groups = {"query": "SELECT * FROM members", "group": "team", "member": "who", "prefix": ""}
        self.project.settings["sources"]["sql"]["groups"] = groups
        self.is_settled = False

    def teardown(self) -> None:
        self.site.close()
        shutil.rmtree(self.folder)

    def world(self, kind: str) -> Mixture | Asking:
        return self.read if kind in READ else self.asked

    @initialize(seed=seeds)
    def begin(self, seed: int) -> None:
        with closing(sqlite3.connect(self.folder / "sql.db")) as connection:
            connection.execute("CREATE TABLE members (team TEXT, who TEXT)")
        self.write_members()
        for kind in KINDS:
            self.change(kind, seed)

    def write_members(self) -> None:
        with closing(sqlite3.connect(self.folder / "sql.db")) as connection, connection:
            connection.execute("DELETE FROM members")
            connection.executemany("INSERT INTO members VALUES (?, ?)", sorted(self.members))

    @rule(kind=kinds, seed=seeds)
    def change(self, kind: str, seed: int) -> None:
        """An edit, a move, a deletion, or other readers, in one source."""
        world = self.world(kind)
        world.random = random.Random(seed)
        for _ in range(3):
            world.change(kind)
        world.texts[kind].setdefault("z.md", f"The text that always stands in {kind}.")
        world.write(kind)
        self.is_settled = False

    @rule(group=st.sampled_from(GROUPS), person=st.sampled_from(PEOPLE))
    def join_or_leave(self, group: str, person: str) -> None:
        self.members ^= {(group, person)}
        self.write_members()
        self.is_settled = False

    @rule()
    def night(self) -> None:
        self.project.refresh()
        assert len(self.project.embedded) == len(set(self.project.embedded)), "nothing is embedded twice"
        self.is_settled = True

    @rule(writes=st.integers(0, 20))
    def killed_night(self, writes: int) -> None:
        embedded = list(self.project.embedded)
        try:
            with crash_after(writes):
                self.project.refresh()
        except Crash:
            # The batch that was being committed may be computed again.
            self.project.embedded[:] = embedded
        self.is_settled = False

    @contextmanager
    def stopped(self, kind: str) -> Iterator[None]:
        place = None if kind in ASKED else self.read.place(kind)
        if place is None:
            self.asked.stop(kind)
        else:
            place.rename(self.folder / "not there")
        try:
            yield
        finally:
            if place is None:
                self.asked.start(kind)
            else:
                (self.folder / "not there").rename(place)

    def shown(self, kind: str) -> list[tuple[str, str]]:
        return [(row["uri"], row["embedded_text"]) for row in self.project.published() if row["source"] == kind]

    @rule(kind=kinds, other=kinds, seed=seeds)
    def night_without(self, kind: str, other: str, seed: int) -> None:
        """One source does not answer; the others go on, and what readers have of it stands."""
        self.night()
        before = self.shown(kind)
        if other != kind:
            self.change(other, seed)
        with self.stopped(kind):
            with self.project.workspace() as workspace:
                reports = {each: bronze.poll_source(workspace, each, allow_mass_deletion=True) for each in KINDS}
            assert [each for each, report in reports.items() if report.unavailable_because] == [kind]
            self.project.refresh(poll=False)
        assert self.shown(kind) == before
        self.is_settled = False

    @rule()
    def night_of_an_empty_table(self) -> None:
        """What lists nothing at once is held, however often it is asked."""
        self.night()
        before = self.shown("sql")
        with closing(sqlite3.connect(self.folder / "sql.db")) as connection, connection:
            connection.execute("DELETE FROM pages")
        for _ in range(2):
            with pytest.raises(MassDeletion):
                self.project.refresh(allow_mass_deletion=False)
            assert self.shown("sql") == before
        self.read.write("sql")
        self.night()

    @precondition(lambda self: self.is_settled)
    @invariant()
    def all_promises_hold(self) -> None:
        rows = self.project.published()
        assert rows == self.project.rebuilt()
        assert self.project.verify().findings == []
        for person in PEOPLE:
            may = {person, "public"} | {group for group, member in self.members if member == person}
            wanted = {row["uri"] for row in rows if may & set(row["allowed_principals"])}
            for mode in ("text", "hybrid"):
                hits: list[Any] = self.project.search("the text number always", person, mode=mode, k=200)
                # Texts that hardly differ are one hit, which names where else they stand.
                found = {each.uri for hit in hits for each in (hit, *hit.elsewhere)}
                assert found <= wanted, f"{person} reads what {may} may not"
                assert mode == "text" or found == wanted
        self.is_settled = False


Mixed.TestCase.settings = settings(
    max_examples=int(os.environ.get("RAG_PIPELINE_TEST_EXAMPLES", tries(1, 6))),
    stateful_step_count=tries(3, 14),
    deadline=None,
    derandomize="RAG_PIPELINE_TEST_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestMixed = pytest.mark.slow(Mixed.TestCase)
