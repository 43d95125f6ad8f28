"""What documents took, added up."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.errors import DocumentError, EmptyDocument
from rag_pipeline.refresh.timings import SHOWN_DOCUMENTS, Timed, Timings


def refuse(item: str) -> str:
    raise EmptyDocument(f"{item} is empty")


def test_a_refusal_is_an_answer_that_took_time_too() -> None:
    timed = pickle.loads(pickle.dumps(Timed(refuse)))
    result, seconds = timed("page")
    assert isinstance(result, DocumentError)
    assert seconds >= 0
    assert Timed(str.upper)("page")[0] == "PAGE"


@given(st.lists(st.tuples(st.sampled_from(["text/html", "text/plain"]), st.floats(0, 100)), max_size=40))
def test_the_slowest_are_the_slowest_and_nothing_is_lost(found: list[tuple[str, float]]) -> None:
    timings = Timings()
    for number, (media_type, seconds) in enumerate(found):
        timings.add(f"s{number % 3}", f"{number:03}", media_type, 10, seconds)
    expected = sorted((seconds for _, seconds in found), reverse=True)[:SHOWN_DOCUMENTS]
    assert [document.seconds for document in timings.slowest] == expected
    for groups in (timings.by_media_type, timings.by_source):
        assert sum(each.documents for each in groups.values()) == len(found)
        assert sum(each.size for each in groups.values()) == 10 * len(found)
