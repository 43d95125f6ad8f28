"""Random documents for the chunker's properties.

Belongs here: hypothesis strategies.
Does not belong here: tests.
"""

from __future__ import annotations

from hypothesis import strategies as st

from rag_pipeline.transforms.chunk import ChunkParams
from rag_pipeline_tests.transforms.chunk.counters import Part, document_of

WORDS = (
    "alpha",
    "Beta",
    "approx.",
    "e.g.",
    "3.14",
    "unbelievably",
    "naïve",
    "日本語",
    "x",
    "foo_bar",
    "(see",
    "Fig.",
    "—",
)
word = st.one_of(
    st.sampled_from(WORDS), st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=9)
)
sentence = st.builds(
    lambda parts, end: " ".join(parts) + end, st.lists(word, min_size=1, max_size=30), st.sampled_from(".!?")
)
prose = st.lists(sentence, min_size=1, max_size=8).map(" ".join)
line = st.lists(word, min_size=1, max_size=12).map(" ".join)


def _indented(lines: list[tuple[int, str]]) -> str:
    return "\n".join("    " * depth + text for depth, text in lines).strip()


bullets = st.lists(st.tuples(st.integers(0, 2), prose), min_size=1, max_size=8).map(
    lambda items: "\n".join("  " * depth + "- " + text for depth, text in items).strip()
)
rows = st.lists(st.lists(line, min_size=2, max_size=2), min_size=1, max_size=10).map(
    lambda cells: "\n".join(["| a | b |", "|---|---|", *(f"| {left} | {right} |" for left, right in cells)])
)
code = st.lists(st.tuples(st.integers(0, 3), line), min_size=1, max_size=20).map(_indented)
unbroken = st.integers(1, 400).map(lambda count: "q7" * count)

body: st.SearchStrategy[Part] = st.one_of(
    st.tuples(st.just("paragraph"), prose),
    st.tuples(st.just("paragraph"), unbroken),
    st.tuples(
        st.sampled_from(["quote", "html", "record", "field", "cue"]),
        st.lists(prose, min_size=1, max_size=3).map("\n\n".join),
    ),
    st.tuples(st.just("list"), bullets),
    st.tuples(st.just("table"), rows),
    st.tuples(st.just("code"), code),
)
headings = st.builds(
    lambda text, level: ("heading", f"{'#' * level} {text}", level, text),
    line.filter(lambda text: "\n" not in text),
    st.integers(1, 3),
)
definitions = st.builds(
    lambda text, level, name: ("definition", text, level, name),
    code,
    st.integers(1, 3),
    st.sampled_from(["a", "a.b", "c"]),
)

parts = st.lists(st.one_of(body, headings), max_size=10)
prose_documents = st.builds(lambda found, title: document_of(*found, title=title), parts, st.none() | line)
code_documents = st.lists(st.one_of(definitions, st.tuples(st.just("code"), code)), max_size=8).map(
    lambda found: document_of(*found)
)
documents = st.one_of(prose_documents, code_documents)

params = st.builds(
    lambda most, target, least, header, with_header: ChunkParams(
        most, min(target, most) if target else None, least, min(header, most - 8), with_header
    ),
    st.sampled_from([16, 24, 40, 80, 254]),
    st.none() | st.integers(8, 200),
    st.sampled_from([0, 8, 48]),
    st.sampled_from([0, 8, 64]),
    st.booleans(),
)
