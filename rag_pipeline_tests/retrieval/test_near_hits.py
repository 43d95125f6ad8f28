"""Ten hits are ten texts: near copies are one hit that names the others, among what the caller may read."""

from __future__ import annotations

from typing import Any

import pytest

from rag_pipeline.errors import BadQuery
from rag_pipeline.transforms.near_hits import is_near, wording_of
from rag_pipeline_tests.pipeline.project import Project

RULE = (
    "Whoever leaves the workshop turns the main pump off, closes both valves of the red pipe, writes the state of the "
    "tank into the book beside the door and hands the key to the porter before the gate is locked for the night."
)
NOTES = {
    "a.md": (RULE, "[public]"),
    "b.md": (RULE.replace("porter", "guard"), "[public]"),
    "c.md": (RULE.replace("the night", "the weekend"), "[board]"),
    "d.md": (f"{RULE} The fine is 20 crowns.", "[public]"),
    "e.md": (f"{RULE} The fine is 30 crowns.", "[public]"),
    "other.md": ("The pump of the garden waters the roses.", "[public]"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    settings = {"deduplication": {"near": False}, "boilerplate": {"leave_out": False}}
    made = Project.create(tmp_path_factory.mktemp("near"), **settings)
    for name, (text, readers) in NOTES.items():
        made.write(name, f"---\nallowed_principals: {readers}\n---\n{text}\n")
    long = "\n\n".join(f"## Part {at}\n\nThe pump number {at} of the mill is oiled on day {at}." for at in range(8))
    made.write("mill.md", f"# Mill\n\n{long}\n")
    made.refresh()
    return made


def found(project: Project, *principals: str, **options: Any) -> dict[str, list[str]]:
    hits = project.search("pump workshop valves red pipe", *principals, k=50, **options)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    return {hit.uri: sorted(place.uri for place in hit.elsewhere) for hit in hits}


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_near_copies_are_one_hit_that_names_the_others(project: Project, mode: str) -> None:
    hits = found(project, "public", mode=mode)
    (kept,) = {"docs/a.md", "docs/b.md"} & set(hits)
    assert hits[kept] == sorted({"docs/a.md", "docs/b.md"} - {kept})
    assert hits["docs/d.md"] == hits["docs/e.md"] == [], "another figure is another text"


def test_a_place_is_named_only_to_who_may_read_it(project: Project) -> None:
    assert "docs/c.md" not in str(found(project, "public"))
    assert "docs/c.md" in str(found(project, "board"))


def test_other_documents_come_before_more_of_one(project: Project) -> None:
    hits = project.search("pump of the mill is oiled", "public", mode="text", k=50)
    assert [hit.uri for hit in hits[:4]] == ["docs/mill.md"] * 4
    spread = project.search("pump of the mill is oiled", "public", mode="text", k=50, per_document=2)
    uris = [hit.uri for hit in spread]
    assert uris[:2] == ["docs/mill.md"] * 2
    assert uris.count("docs/mill.md") == [hit.uri for hit in hits].count("docs/mill.md"), "they fill up what is left"
    assert len({uri for uri in uris[2:] if uri != "docs/mill.md"}) > 1
    assert uris[2] != "docs/mill.md"
    with pytest.raises(BadQuery, match="per_document"):
        project.search("pump", "public", per_document=0)


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_diversity_brings_other_words_forward_and_scores_still_fall(project: Project, mode: str) -> None:
    def hits(diversity: float) -> list[Any]:
        return project.search("pump of the mill is oiled", "public", mode=mode, k=50, diversity=diversity)

    plain, other = hits(0.0), hits(0.7)
    assert {hit.chunk_id for hit in plain} == {hit.chunk_id for hit in other}
    assert plain[0].chunk_id == other[0].chunk_id
    assert len({hit.uri for hit in other[:3]}) > len({hit.uri for hit in plain[:3]})
    assert [hit.score for hit in other] == sorted((hit.score for hit in other), reverse=True)
    with pytest.raises(BadQuery, match="diversity"):
        hits(1.5)


def test_near_is_nine_tenths_of_all_words_and_every_number() -> None:
    ten = "one two three four five six seven eight nine ten"
    assert is_near(wording_of(ten), wording_of(f"{ten} eleven"))
    assert not is_near(wording_of(ten), wording_of(f"{ten} eleven twelve"))
    assert not is_near(wording_of(f"{ten} eleven 7"), wording_of(f"{ten} eleven 8"))
    assert not is_near(wording_of(""), wording_of(""))


def test_parts_of_one_form_that_differ_by_the_place_of_a_figure_are_not_the_same() -> None:
    one, other = (f"Part {part} of 4 of document 1. {'It burns with oil and a long wick. ' * 6}" for part in (1, 4))
    assert is_near(wording_of(one), wording_of(one.upper()))
    assert not is_near(wording_of(one), wording_of(other))
