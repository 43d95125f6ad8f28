"""Of two versions of a document the older one never comes first, says so, and names only what the caller may see."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.retrieval.plan import SourceRules
from rag_pipeline.retrieval.ranked import Ranked
from rag_pipeline.retrieval.ranking import collapsed
from rag_pipeline.retrieval.search import MODES
from rag_pipeline.retrieval.supersession import Versions, newer_first, successions_of
from rag_pipeline.transforms.lineage import Lineage
from rag_pipeline.transforms.references import Member
from rag_pipeline.transforms.supersession import Seen, is_claim
from rag_pipeline_tests.pipeline.project import Project

CLOSED = frozenset({"board"})
OPEN = frozenset({"public"})
SUBJECTS = ("metadata", "wheels", "imports", "typing", "locks", "strings", "numbers", "loops", "paths", "dates")


def pairs_of(members: list[Member], **rules: Any) -> set[tuple[str, str]]:
    """(old, new) of document_ids for somebody who may read everything."""
    seen = Seen(successions_of(members, [SourceRules("s", **rules)]).statements, lambda _: True)
    return {(member.document_id, new) for member in members for new in seen.newer(member.document_id)}


def header(number: int, title: str, **fields: str) -> str:
    lines = [
        f"PEP: {number}",
        f"Title: {title}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items()),
    ]
    return "\n".join(lines) + "\n\n"


@pytest.fixture(scope="module")
def peps(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Pairs of proposals as PEPs have them; the field stands on the old side, the new side, or both."""
    project = Project.create(tmp_path_factory.mktemp("peps"), deduplication={"near": False})
    for at, subject in enumerate(SUBJECTS):
        old, new = 100 + at, 400 + at
        on_old = {} if at % 3 == 1 else {"Superseded_By": str(new)}
        on_new = {} if at % 3 == 2 else {"Replaces": str(old)}
        text = f"Abstract\n========\n\nThis proposal says how {subject} of packages are written. "
        project.write(f"pep-{old:04}.rst", header(old, f"The form of {subject}", **on_old) + text * 2 + "\n")
        project.write(
            f"pep-{new:04}.rst", header(new, f"{subject.title()}, revised", **on_new) + f"{text}It is stricter.\n"
        )
    project.refresh()
    return project


@pytest.mark.parametrize("mode", MODES)
def test_the_stale_one_never_comes_first(peps: Project, mode: str) -> None:
    stale = 0
    for at, subject in enumerate(SUBJECTS):
        for question in (f"The form of {subject}", f"{subject.title()}, revised"):
            hits = peps.search(question, "public", mode=mode, k=10)
            order = [hit.uri for hit in hits]
            old, new = f"docs/pep-{100 + at:04}.rst", f"docs/pep-{400 + at:04}.rst"
            stale += old in order and (new not in order or order.index(old) < order.index(new))
            for hit in hits:
                assert [one.uri for one in hit.superseded_by] == ([new] if hit.uri == old else []) or hit.uri not in (
                    old,
                    new,
                )
            scores = [hit.score for hit in hits]
            assert scores == sorted(scores, reverse=True)
    assert stale == 0


def project_of(tmp_path: Any, notes: dict[str, tuple[str, str]], **source: Any) -> Project:
    project = Project.create(tmp_path, deduplication={"near": False}, boilerplate={"leave_out": False})
    project.settings["sources"]["docs"] |= source
    for name, (fields, text) in notes.items():
        project.write(name, f"---\n{fields}\n---\n{text}\n")
    project.refresh()
    return project


def test_a_newer_version_that_is_not_found_is_looked_for(tmp_path: Any) -> None:
    """The new one shares no word with the question, and stands behind more others than a search looks at."""
    others = {
        f"{at}.md": (f"a: {at}", f"The quay fee of berth {at} is paid at the quay, fee by fee.") for at in range(130)
    }
    notes = {"old.md": ("superseded_by: new.md", "The quay fee is 4 crowns."), "new.md": ("x: y", "Mooring costs 5.")}
    project = project_of(tmp_path, notes | others)
    for mode in MODES:
        hits = project.search("quay fee crowns", "public", mode=mode, k=3)
        assert [hit.uri for hit in hits[:2]] == ["docs/new.md", "docs/old.md"], mode


@pytest.mark.parametrize("asker", ["public", "board"])
@pytest.mark.parametrize("hidden", ["old.md", "new.md"])
def test_a_version_that_the_caller_may_not_see_says_and_moves_nothing(tmp_path: Any, hidden: str, asker: str) -> None:
    def readers(name: str) -> str:
        return f"allowed_principals: [{'board' if name == hidden else 'public'}]"

    notes = {
        "old.md": (f"superseded_by: new.md\n{readers('old.md')}", "The quay fee is 4 crowns."),
        "new.md": (
            f"replaces: old.md\n{readers('new.md')}",
            "The fee of mooring at any quay is now 5 crowns, due at dawn.",
        ),
    }
    project = project_of(tmp_path, notes)
    asked = ("public",) if asker == "public" else ("public", "board")
    hits = project.search("quay fee is 4 crowns", *asked, k=5)
    if asker == "board":
        assert [hit.uri for hit in hits] == ["docs/new.md", "docs/old.md"]
        return
    assert hidden not in str([hit.record() for hit in hits])
    assert [hit.superseded_by for hit in hits] == [()]


def test_equal_texts_of_two_versions_are_shown_as_the_newer(tmp_path: Any) -> None:
    notes = {
        "a/rule.md": (
            "superseded_by: z/rule.md\nreaders: a",
            "The gate is closed at nine, and the key hangs beside it.",
        ),
        "z/rule.md": ("x: y", "The gate is closed at nine, and the key hangs beside it."),
    }
    project = project_of(tmp_path, notes)
    project.write("z/rule.md.meta.yaml", "allowed_principals: [public, staff]\n")
    project.refresh()
    (hit,) = project.search("when is the gate closed", "public", k=5)
    assert hit.uri == "docs/z/rule.md"
    assert [place.uri for place in hit.elsewhere] == ["docs/a/rule.md"]
    assert hit.superseded_by == ()


def test_the_newer_of_two_equal_texts_is_shown_with_its_own_age() -> None:
    members = [
        Member("old", "s", "s/old.md", None, ("superseded_by=new.md",), OPEN),
        Member("new", "s", "s/new.md", None, (), OPEN),
    ]
    rows = [
        {"document_id": name, "uri": f"s/{name}.md", "chunk_id": name, "text_hash": "h"}
        | {"embedded_text": "The gate is closed.", "header_chars": 0}
        for name in ("old", "new")
    ]
    ranked = [Ranked(rows[0], 0.9, age_weight=0.75), Ranked(rows[1], 0.8, age_weight=1.0)]
    (kept,) = collapsed(ranked, successions_of(members, ()).seen_by(["public"]))
    assert (kept.row["document_id"], kept.age_weight) == ("new", 1.0)
    assert [place.document_id for place in kept.elsewhere] == ["old"]


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        ({"version_pattern": "guides/v{version}/**"}, "guides/v1.9/pump.md", "guides/v1.10/pump.md"),
        ({"version_pattern": "**/pump-{version}.md"}, "it/pump-2.0rc1.md", "it/pump-2.0.md"),
        ({"archive_folders": ["archive"]}, "archive/pump.md", "pump.md"),
        ({"archive_folders": ["Archive"]}, "hr/archive/pump.md", "hr/pump.md"),
    ],
)
def test_versions_lie_in_addresses_by_what_is_declared(
    tmp_path: Any, source: dict[str, Any], old: str, new: str
) -> None:
    notes = {old: ("x: y", "The lever of the pump is red."), new: ("x: y", "The lever of the pump was painted blue.")}
    project = project_of(tmp_path, notes, **source)
    hits = project.search("the lever of the pump is red", "public", mode="text", k=5)
    assert [hit.uri for hit in hits] == [f"docs/{new}", f"docs/{old}"]
    assert [version.uri for version in hits[1].superseded_by] == [f"docs/{new}"]
    project.settings["sources"]["docs"] = {
        name: value for name, value in project.settings["sources"]["docs"].items() if name not in source
    }
    assert project.search("the lever of the pump is red", "public", mode="text", k=5)[0].uri == f"docs/{old}"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("566", {"n"}),
        ("PEP 566", {"n"}),
        ("pep-0566", {"n"}),
        ("566, 600", {"n", "m"}),
        ("566 600", {"n", "m"}),
        ("./pep-0566.rst", {"n"}),
        ("../peps/pep-0566.rst", {"n"}),
        ("peps/pep-0566.rst", {"n"}),
        ("[new](pep-0566.rst#top)", {"n"}),
        ("https://example.org/x/peps/pep-0566.rst", {"n"}),
        ("https://peps.example.org/pep-0566/", {"n"}),
        ("metadata 2, now", {"n"}),
        ("n", {"n"}),
        ("two.md", set()),
        ("7", set()),
        ("345", set()),
        ("", set()),
    ],
)
def test_a_reference_is_a_number_a_name_a_path_or_a_title(value: str, found: set[str]) -> None:
    members = [
        Member("o", "s", "docs/peps/pep-0345.rst", None, ("superseded_by", f"superseded_by={value}")),
        Member("n", "s", "docs/peps/pep-0566.rst", "Metadata 2, now"),
        Member("m", "s", "docs/peps/pep-0600.rst", None),
        Member("p", "s", "docs/a/two.md", None),
        Member("q", "s", "docs/b/two.md", None),
        Member("r", "other", "docs/peps/pep-0007.rst", None),
    ]
    assert pairs_of(members) == {("o", name) for name in found}


@pytest.mark.parametrize(
    ("fact", "found"),
    [
        ("withdrawal_reason=superseded by eip-7702.", {"n"}),
        ("withdrawal_reason=withdrawn in favor of [eip-7702](./eip-7702.md)", {"n"}),
        ("status=superseded by 7702", {"n"}),
        ("status=replaced by ./eip-7702.md; see eip-20", {"n"}),
        ("note=it was obsoleted by eip-7702 and eip-20", {"n", "m"}),
        ("withdrawal_reason=superseded by the eof proposals. eip-20 stays.", set()),
        ("withdrawal_reason=the author prefers eip-7702", set()),
        ("status=superseded", set()),
        ("title=superseded by eip-7702", set()),
    ],
)
def test_fields_in_words_name_the_newer(fact: str, found: set[str]) -> None:
    members = [
        Member("o", "s", "docs/eip-3074.md", None, (fact,)),
        Member("n", "s", "docs/eip-7702.md", None),
        Member("m", "s", "docs/eip-20.md", None),
    ]
    assert pairs_of(members) == {("o", name) for name in found}
    assert is_claim(fact) or not found


def test_a_long_name_costs_no_time() -> None:
    name = "a" + "-" * 100_000
    started = time.process_time()
    members = [Member("o", "s", f"docs/{name}.md", None, ("superseded_by", f"superseded_by={name}b"))]
    assert pairs_of(members) == set()
    assert time.process_time() - started < 1


def test_versions_are_ordered_as_people_read_them() -> None:
    names = ("v1.2", "v1.10", "v1.10.1", "v2.0rc1", "v2.0", "v2.0.1")
    members = [Member(name, "s", f"docs/{name}/a.md", None) for name in names]
    pairs = pairs_of(members, version_pattern="v{version}/**")
    assert pairs == {(old, new) for at, old in enumerate(names) for new in names[at + 1 :]}


@given(st.dictionaries(st.sampled_from("abcdef"), st.frozensets(st.sampled_from("abcdef"), max_size=3)))
def test_nothing_is_older_than_itself_and_circles_say_nothing(newer: dict[str, frozenset[str]]) -> None:
    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = newer.get(waiting.pop(), frozenset()) - found
            found |= new
            waiting.extend(new)
        return found

    lineage = Lineage(lambda name: newer.get(name, frozenset()))
    above = {one: {other for other in reached(one) if one not in reached(other)} for one in "abcdef"}
    for one in "abcdef":
        assert one not in above[one]
        assert lineage.newer(one) == above[one]
        assert lineage.count(one) == len(above[one])
        assert {other for other in "abcdef" if lineage.is_newer(other, one)} == above[one]
        assert lineage.newest(one) == {other for other in above[one] if not above[other]}


RULES = SourceRules("s", version_pattern="v{version}/**", archive_folders=("archive",))


def test_a_closed_document_makes_no_reference_ambiguous() -> None:
    members = [
        Member("old", "s", "s/a/adr-3.md", None, ("superseded_by=adr-12",), OPEN),
        Member("new", "s", "s/b/adr-12.md", None, (), OPEN),
        Member("twin", "s", "s/c/adr-12.md", None, (), CLOSED),
    ]
    successions = successions_of(members, ())
    assert [one.uri for one in successions.seen_by(["public"]).newest("old")] == ["s/b/adr-12.md"]
    assert successions.seen_by(["public", "board"]).newest("old") == ()
    assert successions.seen_by(["public", "board"], frozenset({"twin"})).newer("old") == ["new"]


def test_closed_versions_do_not_count_among_the_last() -> None:
    members = [Member(f"d{at}", "s", f"s/v{at}/g.md", None, (), OPEN if at < 3 else CLOSED) for at in range(25)]
    successions = successions_of(members, [RULES])
    assert successions.seen_by(["public"]).newer("d0") == ["d2", "d1"]
    assert len(successions.seen_by(["public", "board"]).newer("d0")) == 20


REFERENCES = ("adr-1", "adr-2", "2", "v2/adr-1.md", "../b/adr-2.md", "https://x.org/s/b/adr-1.md", "guide", "1, guide")
FACTS = [f"{name}={value}" for name in ("superseded_by", "replaces") for value in REFERENCES]
PLACES = [
    f"s/{folder}/{file}"
    for folder in ("a", "b", "archive/a", "v1", "v2", "v3")
    for file in ("adr-1.md", "adr-2.md", "guide.md")
]
MEMBERS = st.builds(
    Member,
    st.uuids().map(str),
    st.sampled_from(["s", "t"]),
    st.sampled_from(PLACES),
    st.sampled_from([None, "Guide", "adr-2"]),
    st.lists(st.sampled_from(FACTS), max_size=2).map(tuple),
    st.sampled_from([OPEN, CLOSED, OPEN | CLOSED, frozenset({"staff"})]),
)


@given(
    st.lists(MEMBERS, max_size=12),
    st.frozensets(st.sampled_from(["public", "board", "staff"]), min_size=1),
    st.data(),
)
def test_for_each_asker_versions_are_those_of_a_lake_without_what_they_may_not_read(
    members: list[Member], asker: frozenset[str], data: st.DataObject
) -> None:
    names = [member.document_id for member in members]
    closed = data.draw(st.frozensets(st.sampled_from(names), max_size=2)) if names else frozenset()
    readable = [one for one in members if one.readers & asker and one.document_id not in closed]
    found = successions_of(members, [RULES]).seen_by(asker, closed)
    alone = successions_of(readable, [RULES]).seen_by(asker)
    for name in names:
        assert found.newer(name) == alone.newer(name)
        assert found.newest(name) == alone.newest(name)


@pytest.mark.parametrize("ids", [("1", "2"), ("2", "1")])
def test_several_newer_versions_stand_by_their_addresses_whatever_their_ids(ids: tuple[str, str]) -> None:
    """A document that was moved keeps its id, and one that is taken in anew gets another."""
    first, second = ids
    members = [
        Member("old", "s", "s/old.md", None, ("superseded_by=a.md, b.md",), OPEN),
        Member(first, "s", "s/a.md", None, (), OPEN),
        Member(second, "s", "s/b.md", None, (), OPEN),
    ]
    versions = successions_of(members, ()).seen_by(["public"])
    rows = [Ranked({"document_id": name}, score) for name, score in (("old", 1.0), ("1", 0.5), ("2", 0.4))]
    found = newer_first(rows, versions, lambda _: {}, 3)
    assert [one.row["document_id"] for one in found] == [first, second, "old"]


@pytest.mark.parametrize("oldest_first", [True, False])
def test_a_long_chain_is_followed_once(oldest_first: bool) -> None:
    """Steps are counted, not time: with twice the documents there are twice the steps, or four times in sets alone."""

    def steps(length: int) -> int:
        names = [f"d{at:04}" for at in range(length)]
        members = [
            Member(name, "s", f"s/{name}.md", None, (f"superseded_by={new}",), OPEN)
            for name, new in zip(names, [*names[1:], ""], strict=True)
        ]
        asked = Counter[str]()
        seen = Seen(successions_of(members, ()).statements, lambda _: True)

        def newer(name: str) -> frozenset[str]:
            asked[name] += 1
            return seen.newer(name)

        versions = Versions({member.document_id: member for member in members}, newer)
        order = names if oldest_first else names[::-1]
        rows = [Ranked({"document_id": name}, 1.0 - at / length) for at, name in enumerate(order)]
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            found = newer_first(rows, versions, lambda _: {}, 10)
        finally:
            sys.setprofile(before)
        assert [one.row["document_id"] for one in found] == names[::-1]
        assert set(asked.values()) == {1}
        return calls

    assert steps(200) < 5 * steps(100)


def test_only_what_is_reached_from_rows_is_filtered_for_the_asker() -> None:
    members = [
        Member(f"d{at}", "s", f"s/d{at}.md", None, (f"superseded_by=d{at + 1}",) if at % 2 == 0 else (), OPEN)
        for at in range(1_000)
    ]
    looked_at = Counter[str]()

    def may_read(name: str) -> bool:
        looked_at[name] += 1
        return True

    seen = Seen(successions_of(members, ()).statements, may_read)
    versions = Versions({member.document_id: member for member in members}, seen.newer)
    rows = [Ranked({"document_id": name}, 1.0) for name in ("d10", "d11", "d40")]
    found = newer_first(rows, versions, lambda _: {}, 10)
    assert [one.row["document_id"] for one in found] == ["d11", "d10", "d40"]
    assert set(looked_at) == {"d10", "d11", "d40", "d41"}


def test_scores_of_old_documents_count_less_where_a_half_life_is_set(tmp_path: Any) -> None:
    notes = {
        "old.md": ("modified_at: 2015-01-01", "The lamp hangs in the hall."),
        "new.md": ("modified_at: 2026-01-01", "A lamp hangs in the hall, over a door."),
    }
    project = project_of(tmp_path, notes)
    plain = project.search("the lamp hangs in the hall", "public", mode="text", k=5)
    assert plain[0].uri == "docs/old.md"
    assert [hit.age_weight for hit in plain] == [1.0, 1.0]
    project.settings["sources"]["docs"]["half_life"] = "1000d"
    aged = project.search("the lamp hangs in the hall", "public", mode="text", k=5)
    assert aged[0].uri == "docs/new.md"
    assert 0.5 <= aged[1].age_weight < aged[0].age_weight <= 1
