"""What a model is shown of a chunk, and its sentence in the chunk's header: without a lake or a model."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import Chunk, context_in, embedded_text
from rag_pipeline.contracts.ids import text_hash
from rag_pipeline.embedding.tokens import WordTokenCounter
from rag_pipeline.transforms.chunk.params import ChunkParams, with_room
from rag_pipeline.transforms.chunks import chunk_rows
from rag_pipeline.transforms.contexts import AROUND_CHARS, OPENING_CHARS, fitted, window_of, with_contexts

COUNTER = WordTokenCounter("w", 60)
TEXT = "".join(f"Sentence {at} of many. " for at in range(400))


def rows_of(headers: list[str], tokens: int = 10) -> list[dict[str, Any]]:
    chunks = [Chunk(at, at + 1, (), header, tokens, "paragraph") for at, header in enumerate(headers)]
    bare = dict.fromkeys(("context", "context_key", "part_key"))
    return [{**bare, **row} for row in chunk_rows("d", "h", "ab" * 50, chunks, "f", "")]


def test_a_window_has_the_beginning_and_what_stands_around_and_nothing_twice() -> None:
    far = window_of("T", TEXT, ["A", "B"], 6_000, 6_100)
    assert (far.opening, far.part) == (TEXT[:OPENING_CHARS], TEXT[6_000:6_100])
    assert (far.before, far.after) == (TEXT[6_000 - AROUND_CHARS : 6_000], TEXT[6_100 : 6_100 + AROUND_CHARS])
    assert "[…]" in far.around
    for start in (0, 10, AROUND_CHARS, AROUND_CHARS + OPENING_CHARS):
        near = window_of(None, TEXT, (), start, start + 5)
        assert near.around == TEXT[: start + 5 + AROUND_CHARS], "nothing lies between"


def test_an_edit_concerns_the_chunks_that_it_is_shown_with() -> None:
    spans = [(at, at + 500) for at in range(0, 8_000, 500)]
    keys = [window_of("T", TEXT, (), *span).key for span in spans]
    edited = TEXT[:5_100] + "X" + TEXT[5_101:]
    changed = [at for at, span in enumerate(spans) if window_of("T", edited, (), *span).key != keys[at]]
    assert changed == [8, 9, 10, 11, 12], "two on either side"
    longer = TEXT[:5_100] + "more of it " + TEXT[5_100:]
    moved = [(start + 11, end + 11) if start >= 5_500 else (start, end) for start, end in spans]
    assert [window_of("T", longer, (), *span).key for span in moved[13:]] == keys[13:], "where it lies does not count"
    assert window_of("U", TEXT, (), *spans[3]).key != keys[3]
    assert window_of("T", TEXT, ("A",), *spans[3]).key != keys[3]
    huge = window_of("T" * 10_000, TEXT, ["A" * 10_000] * 1_000, *spans[3])
    assert len("".join([huge.title, *huge.path])) < 3_000, "it would be sent with each chunk"


HEADER = st.sampled_from(["", "Title", "Title > Part", "Title\nColumn | Other", "Odd\n\nheader"])
SENTENCE = st.text("ab cü", min_size=1, max_size=200).map(lambda text: " ".join(text.split())).filter(bool)


@given(st.lists(HEADER, min_size=1, max_size=5), st.lists(st.none() | SENTENCE, min_size=5, max_size=5), st.data())
def test_sentences_come_and_go_and_leave_rows_as_they_were_cut(
    headers: list[str], sentences: list[str | None], data: st.DataObject
) -> None:
    rows = rows_of(headers, data.draw(st.integers(1, 58)))
    wanted = {row["chunk_id"]: (said, "k") for row, said in zip(rows, sentences, strict=False)}
    told = with_contexts(rows, wanted, COUNTER)
    assert len({row["chunk_id"] for row in told}) == len(rows)
    for row, said in zip(told, sentences, strict=False):
        assert row["text_hash"] == text_hash(embedded_text(row["header"], row["text"]))
        assert row["token_count"] <= max(COUNTER.max_tokens, 59)
        assert (said or "").startswith(context_in(row["header"]) if said else "")
        assert not said or context_in(row["header"])
    other = with_contexts(told, {row["chunk_id"]: ("Another.", "k") for row in told}, COUNTER)
    assert [row["header"] for row in other] == [
        row["header"] for row in with_contexts(rows, {row["chunk_id"]: ("Another.", "k") for row in rows}, COUNTER)
    ]
    assert [row["part_key"] for row in other] == [row["text_hash"] for row in rows]
    old = [row | {"part_key": None} for row in other]
    assert with_contexts(old, {row["chunk_id"]: ("Another.", "k") for row in other}, COUNTER) == other
    gone = with_contexts(other, {row["chunk_id"]: (None, None) for row in other}, COUNTER)
    assert gone == rows


@given(SENTENCE, st.integers(-5, 50))
def test_a_sentence_is_cut_to_the_room_there_is(sentence: str, room: int) -> None:
    found = fitted(sentence, room, COUNTER)
    assert found
    assert sentence.startswith(found)
    assert COUNTER.token_counts([found])[0] <= max(room, 1)


def test_chunks_leave_room_for_a_sentence_where_the_model_could_not_read_both() -> None:
    assert with_room({"max_tokens": 254}, 254) == {"max_tokens": 191}
    assert with_room({"max_tokens": 254, "target_tokens": 200}, 510) == {"max_tokens": 254, "target_tokens": 200}
    assert ChunkParams(**with_room({"max_tokens": 126, "target_tokens": 120}, 126)).max_tokens == 95
    assert with_room({"max_tokens": 510}, 510, ["questions", "context"]) == {"max_tokens": 318}
    assert with_room({"max_tokens": 254}, 254, ["questions", "context", "summarise"]) == {"max_tokens": 127}
    assert with_room({"max_tokens": 510}, 510, ["translate"]) == {"max_tokens": 255}
