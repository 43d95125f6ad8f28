"""An earlier state is searched as it was, with today's permissions: nothing that is closed today is found in it."""

from __future__ import annotations

import os
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rag_pipeline.contracts.filters import Filter, parse_condition
from rag_pipeline.errors import BadQuery, NothingPublished, RagPipelineError
from rag_pipeline.refresh import index
from rag_pipeline.refresh.generations import retire
from rag_pipeline.retrieval.search import MODES, Searcher
from rag_pipeline.stores.kept import open_version
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.retrieval.test_leaks import said

NIGHTS, MANY_NIGHTS = 4, 30
# A lake of thirty nights takes minutes, since each night is asked for in all versions that followed.
AT_LENGTH = pytest.mark.skipif(
    "RAG_PIPELINE_TEST_EXAMPLES" not in os.environ, reason="needs RAG_PIPELINE_TEST_EXAMPLES"
)
ATTEMPTS, MANY_ATTEMPTS = 30, 300
NAMES = ("a", "b", "c", "d", "e")
READERS = ("[public]", "[staff]", "[board]", "[staff, board]")
QUERY = "the pump of the hall"
ASKERS = ("public", "staff", "board")
Found = dict[tuple[str, str], list[tuple[str, str]]]
History = tuple[Project, list[tuple[datetime, Found]]]


def found(searcher: Searcher, as_of: datetime | None = None) -> Found:
    return {
        (asker, mode): [
            (hit.uri, hit.text) for hit in searcher.search(QUERY, principals=[asker], k=50, mode=mode, as_of=as_of)
        ]
        for asker in ASKERS
        for mode in MODES
    }


def made_history(folder: Path, count: int) -> History:
    """Nights of edits, deletions and permissions that change, and what each night's readers found."""
    chance = random.Random(12)
    project = Project.create(folder, deduplication={"near": False}, boilerplate={"leave_out": False})
    project.write("fixed.md", "The pump of the hall stands still.")
    nights = []
    for night in range(count):
        for name in chance.sample(NAMES, 3):
            path = project.folder / "docs" / f"{name}.md"
            if path.exists() and chance.random() < 0.3:
                path.unlink()
            else:
                head = f"---\nallowed_principals: {chance.choice(READERS)}\nsecret_{name}: x\n---\n"
                project.write(f"{name}.md", f"{head}The pump of the hall {name} is oiled on night {night}.")
        if night == count - 1:
            for name in NAMES[1:]:
                project.write(
                    f"{name}.md", f"---\nallowed_principals: [board]\n---\nThe pump of hall {name} is secret."
                )
        project.refresh()
        nights.append((datetime.now(UTC), found(Searcher.open(project.pipeline()))))
    return project, nights


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return made_history(tmp_path_factory.mktemp("history"), NIGHTS)


@pytest.fixture(scope="module")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """So many nights that a lake does not keep them all; here it does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "KEPT_PUBLICATIONS", 2 * MANY_NIGHTS)
        return made_history(tmp_path_factory.mktemp("long"), MANY_NIGHTS)


def always_readable(project: Project, moment: datetime) -> dict[str, set[str]]:
    """Addresses that an asker may read in what was published last before a moment, and in all that followed."""
    found: dict[str, set[str]] = {}
    with project.workspace() as workspace:
        rows = workspace.lake.publications()
        first = sum(row.published_at <= moment for row in rows) - 1
        for row in rows[first:]:
            table = open_version(workspace.vectors, row)
            readers = dict(table.read(["uri", "allowed_principals"]).iter_rows())
            for asker in ASKERS:
                shown = {uri for uri, names in readers.items() if {asker, "public"} & set(names)}
                found[asker] = found.get(asker, shown) & shown
    return found


@pytest.mark.parametrize("nights_of", ["history", pytest.param("long_history", marks=AT_LENGTH)])
def test_each_night_is_found_as_it_was_but_for_what_has_been_closed_since(
    nights_of: str, request: pytest.FixtureRequest
) -> None:
    project, nights = request.getfixturevalue(nights_of)
    searcher = Searcher.open(project.pipeline())
    lost = 0
    for moment, before in nights:
        after, always = found(searcher, moment), always_readable(project, moment)
        for (asker, mode), hits in before.items():
            # Scores of hits that are left may scale otherwise, so their order is compared in the retrievers alone.
            expected = [hit for hit in hits if hit[0] in always[asker]]
            lost += len(hits) - len(expected)
            assert sorted(after[asker, mode]) == sorted(expected)
            assert mode == "hybrid" or after[asker, mode] == expected
    assert lost, "nothing was closed since, so nothing was shown of it"


def told_without_leak(project: Project, nights: list[tuple[datetime, Found]], attempts: int, seed: int = 7) -> int:
    """How many of so many ways of asking for earlier nights told something; none may tell of what is closed today."""
    chance = random.Random(seed)
    told = 0
    with Searcher.open(project.pipeline()) as searcher:
        everybody = searcher.search(QUERY, principals=ASKERS, k=50)
        closed = {
            asker: set(NAMES) - {Path(hit.uri).stem for hit in searcher.search(QUERY, principals=[asker], k=50)}
            for asker in ASKERS
        }
        assert closed["public"] >= set(NAMES[1:])
        for _ in range(attempts):
            asker, name = chance.choice(ASKERS), chance.choice(NAMES)
            moment = chance.choice(nights)[0]
            conditions = chance.choice(((), (), (f"secret_{name}=x",), (f"secret_{name}",)))
            asked: dict[str, Any] = {
                "question": chance.choice((QUERY, f"pump {name} oiled", f"secret {name}", name)),
                "mode": chance.choice(MODES),
                "k": chance.choice((1, 3, 50)),
                "per_document": chance.choice((None, 1)),
                "diversity": chance.choice((0.0, 0.5)),
                "limits": Filter(
                    frozenset({"board"}),
                    conditions=tuple(parse_condition(text) for text in conditions),
                    paths=chance.choice((None, (f"{name}.md",), ("**",))),
                ),
            }
            way = chance.choice(("search", "search", "explain", "section", "tokens", "verify"))
            try:
                answer = said(searcher, everybody, asker, way, f"docs/{name}.md", asked, moment)
                told += "hall" in answer
            except RagPipelineError as error:
                # A field that is typed may be named; what there is instead may not.
                answer = error.message.replace(f"secret_{name}", "", 1)
            for other in closed[asker]:
                assert f"docs/{other}.md" not in answer, (asker, way, moment)
                assert f"secret_{other}" not in answer, (asker, way, moment)
                assert f"hall {other} " not in answer, (asker, way, moment)
    return told


@pytest.mark.parametrize(
    ("nights_of", "attempts"),
    [("history", ATTEMPTS), pytest.param("long_history", MANY_ATTEMPTS, marks=AT_LENGTH)],
)
def test_no_attempt_at_an_old_state_tells_of_what_is_closed_today(
    nights_of: str, attempts: int, request: pytest.FixtureRequest
) -> None:
    project, nights = request.getfixturevalue(nights_of)
    assert told_without_leak(project, nights, attempts) > attempts / 4


def test_nothing_that_is_closed_today_is_named_in_an_old_state(
    history: History,
) -> None:
    project, nights = history
    searcher = Searcher.open(project.pipeline())
    for moment, _ in nights:
        for asker in ASKERS:
            today = {hit.document_id for hit in searcher.search(QUERY, principals=[asker], k=50)}
            hits = searcher.search(QUERY, principals=[asker], k=50, as_of=moment)
            windows = searcher.windows(hits, principals=[asker], as_of=moment)
            assert {hit.document_id for hit in hits} <= today
            assert {window.document_id for window in windows} <= today
            assert all({asker, "public"} & set(hit.allowed_principals) for hit in hits)
            closed = {name for name in NAMES if f"docs/{name}.md" not in {hit.uri for hit in hits}}
            with pytest.raises(BadQuery) as refused:
                searcher.search(QUERY, principals=[asker], as_of=moment, limits=_unknown_field())
            assert not [name for name in closed if f"secret_{name}" in refused.value.message]


def _unknown_field() -> Any:
    return Filter(frozenset(), conditions=(parse_condition("nothing=x"),))


def test_a_time_before_everything_or_of_a_version_that_is_gone_says_so(
    history: History,
) -> None:
    project, nights = history
    searcher = Searcher.open(project.pipeline())
    with pytest.raises(NothingPublished, match="nothing had been published at 2020-01-01 23:59 UTC; the first"):
        searcher.search(QUERY, principals=["public"], as_of=date(2020, 1, 1))
    with pytest.raises(BadQuery, match="as_of"):
        searcher.search(QUERY, principals=["public"], as_of="yesterday")  # type: ignore[arg-type]
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert searcher.search(QUERY, principals=["public"], as_of=tomorrow) == searcher.search(
        QUERY, principals=["public"]
    )
    with project.workspace() as workspace:
        last = workspace.lake.last_publication()
        assert last is not None
        table = workspace.vectors.open(last.table_name, last.space_fingerprint)
        table._table.optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)
    with pytest.raises(NothingPublished, match="is not kept any more; the oldest version that is kept"):
        Searcher.open(project.pipeline()).search(QUERY, principals=["public"], as_of=nights[0][0])


@pytest.mark.parametrize("nights", [0, 3])
def test_a_table_that_was_made_again_is_not_what_readers_had(tmp_path: Path, nights: int) -> None:
    project = Project.create(tmp_path, deduplication={"near": False}, boilerplate={"leave_out": False})
    project.settings["embedding_models"]["other"] = {"kind": "hashing", "model": "hashing", "dimension": 32}
    project.write("lamp.md", "The lamp is crimson.\n")
    project.refresh()
    before = datetime.now(UTC)
    project.settings["serve"] = "other"
    project.refresh()
    between = datetime.now(UTC)
    with project.workspace() as workspace:
        retire(workspace, "small")
    # As many rows, at the same version or beyond it.
    for night in range(nights + 1):
        project.write("lamp.md", f"The lamp is azure {night}.\n")
        project.refresh(alias="small")
    with Searcher.open(project.pipeline()) as searcher:
        for mode in MODES:
            with pytest.raises(NothingPublished, match="is not kept any more; the oldest version that is kept"):
                searcher.search("lamp", principals=["public"], mode=mode, as_of=before)
        assert [hit.text for hit in searcher.search("lamp", principals=["public"], as_of=between)] == [
            "The lamp is crimson."
        ]
        now = searcher.search("lamp", principals=["public"])
        assert [hit.text for hit in now] == [f"The lamp is azure {nights}."]
        assert searcher.search("lamp", principals=["public"], as_of=datetime.now(UTC)) == now


HEAD = "---\nallowed_principals: [{}]\nsecret_{}: x\n---\n"
STORY: dict[str, tuple[str | None, ...]] = {
    "closed.md": (
        HEAD.format("public, board", "closed") + "The lamp password is crimson.",
        HEAD.format("board", "closed") + "The lamp password is crimson.",
        HEAD.format("board, public", "closed") + "The lamp is a lamp.",
    ),
    "deleted.md": (HEAD.format("public", "deleted") + "The lamp of the hall is azure.", None, "The lamp is dark."),
    "always.md": ("The lamp of the yard is old.", "The lamp of the yard is older.", "The lamp of the yard is oldest."),
    # Readable then and now, each time by other readers, but for the one who always could.
    "handed.md": tuple(f"{HEAD.format(who, 'handed')}The lamp of {who}." for who in ("a, b", "b, c", "c, b, a")),
}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, list[datetime]]:
    """Texts that are closed or deleted on the second night, and are open again, with others, on the third."""
    project = Project.create(
        tmp_path_factory.mktemp("story"), deduplication={"near": False}, boilerplate={"leave_out": False}
    )
    moments = []
    for night in range(3):
        for name, texts in STORY.items():
            text = texts[night]
            if text is None:
                (project.folder / "docs" / name).unlink()
            else:
                project.write(name, text + "\n")
        project.refresh()
        moments.append(datetime.now(UTC))
    return project, moments


@pytest.mark.parametrize(
    ("asker", "night", "wanted"),
    [
        ("public", 0, {"The lamp of the yard is old."}),
        ("public", 1, {"The lamp of the yard is older."}),
        ("public", 2, {"The lamp of the yard is oldest.", "The lamp is a lamp.", "The lamp is dark."}),
        ("board", 0, {"The lamp of the yard is old.", "The lamp password is crimson."}),
        ("board", 1, {"The lamp of the yard is older.", "The lamp password is crimson."}),
        ("a", 0, {"The lamp of the yard is old."}),
        ("b", 0, {"The lamp of the yard is old.", "The lamp of a, b."}),
        ("c", 0, {"The lamp of the yard is old."}),
        ("c", 1, {"The lamp of the yard is older.", "The lamp of b, c."}),
    ],
)
def test_what_was_revoked_is_not_given_back_though_it_was_opened_again(
    story: tuple[Project, list[datetime]], asker: str, night: int, wanted: set[str]
) -> None:
    project, moments = story
    with Searcher.open(project.pipeline()) as searcher:
        for mode in MODES:
            hits = searcher.search("lamp", principals=[asker], mode=mode, as_of=moments[night])
            assert {hit.text for hit in hits} == wanted
        now = searcher.search("lamp", principals=[asker])
        shown = {hit.document_id for hit in hits}
        assert {w.document_id for w in searcher.windows(now, principals=[asker], as_of=moments[night])} <= shown
        if night == 0:
            with pytest.raises(BadQuery) as refused:
                searcher.search("lamp", principals=[asker], as_of=moments[0], limits=_unknown_field())
            told = {name for name in ("closed", "deleted", "handed") if f"secret_{name}" in refused.value.message}
            assert told == {"board": {"closed"}, "b": {"handed"}}.get(asker, set())


def test_who_came_into_a_group_later_finds_by_it_nothing_from_before(tmp_path: Path) -> None:
    project = Project.create(tmp_path, deduplication={"near": False}, boilerplate={"leave_out": False})
    source = project.settings["sources"]["docs"]
    source |= {"allowed_principals": ["docs:crew"], "groups": {"file": "groups.yaml"}}

    def crew(*members: str) -> None:
        (project.folder / "groups.yaml").write_text(f"crew: [{', '.join(members)}]\n")

    def night() -> datetime:
        project.refresh()
        return datetime.now(UTC)

    crew("bob")
    project.write("crew.md", "---\nsecret_crew: x\n---\nThe lamp password is crimson.\n")
    project.write("narrowed.md", f"{HEAD.format('public, docs:crew', 'narrowed')}The lamp is for all.\n")
    first = night()
    # Eve is in it before the page that all could read is for the crew alone, and Ada only after that.
    crew("bob", "eve")
    night()
    project.write("crew.md", "The lamp is a lamp.\n")
    project.write("narrowed.md", f"{HEAD.format('docs:crew', 'narrowed')}The lamp is for the crew.\n")
    second = night()
    crew("bob", "eve", "ada")
    last = night()
    old, new = (
        {"The lamp password is crimson.", "The lamp is for all."},
        {"The lamp is a lamp.", "The lamp is for the crew."},
    )
    wanted = {
        "bob": {first: old, second: new, last: new},
        "eve": {first: {"The lamp is for all."}, second: new, last: new},
        "ada": {first: set(), second: set(), last: new},
    }
    with Searcher.open(project.pipeline()) as searcher:
        for who, nights in wanted.items():
            now = searcher.search("lamp", principals=iter([who]))
            assert {hit.text for hit in now} == new
            for moment, texts in nights.items():
                for mode in MODES:
                    hits = searcher.search("lamp", principals=iter([who]), mode=mode, as_of=moment)
                    assert {hit.text for hit in hits} == texts, (who, mode)
                shown = {hit.document_id for hit in hits}
                windows = searcher.windows(now, principals=iter([who]), as_of=moment)
                assert {window.document_id for window in windows} <= shown
                assert {hit.text for hit in searcher.explain("lamp", principals=[who], as_of=moment).hits} == texts
        with pytest.raises(BadQuery) as refused:
            searcher.search("lamp", principals=["ada"], as_of=first, limits=_unknown_field())
        assert "secret_" not in refused.value.message


def test_where_a_version_since_is_gone_nothing_older_is_shown(tmp_path: Path) -> None:
    project = Project.create(tmp_path, deduplication={"near": False}, boilerplate={"leave_out": False})
    project.settings["embedding_models"]["other"] = {"kind": "hashing", "model": "hashing", "dimension": 32}
    project.write("lamp.md", "The lamp password is crimson.\n")
    project.refresh()
    before = datetime.now(UTC)
    project.settings["serve"] = "other"
    project.write("lamp.md", "---\nallowed_principals: [board]\n---\nThe lamp password is crimson.\n")
    project.refresh()
    project.settings["serve"] = "small"
    project.write("lamp.md", "The lamp is a lamp.\n")
    project.refresh()
    after = datetime.now(UTC)
    with Searcher.open(project.pipeline()) as searcher:
        assert not searcher.search("lamp", principals=["public"], as_of=before)
        with project.workspace() as workspace:
            retire(workspace, "other")
            newest = workspace.lake.publications()[-1].published_at
        told = f"the oldest version that is kept was published at {newest:%Y-%m-%d %H:%M}"
        with pytest.raises(NothingPublished, match=f"not kept any more, and it may be.*{told}"):
            searcher.search("lamp", principals=["public"], as_of=before)
        assert [hit.text for hit in searcher.search("lamp", principals=["public"], as_of=after)] == [
            "The lamp is a lamp."
        ]
