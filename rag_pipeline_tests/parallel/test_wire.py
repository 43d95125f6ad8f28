"""What a worker may send comes back equal; everything else is refused, on both sides."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline import errors
from rag_pipeline.contracts.documents import Block, BlockKind, Chunk, ParsedDocument
from rag_pipeline.parallel import wire

# Half of a surrogate pair among them.
TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
COUNT = st.integers(0, 2**40)
KIND = st.sampled_from(get_args(BlockKind))
BLOCK = st.builds(Block, KIND, COUNT, COUNT, COUNT, st.none() | TEXT, st.none() | COUNT, st.none() | COUNT)
DOCUMENT = st.builds(
    ParsedDocument,
    TEXT,
    st.lists(BLOCK, max_size=4).map(tuple),
    st.none() | TEXT,
    st.none() | TEXT,
    st.none() | TEXT,
    st.dictionaries(TEXT, TEXT, max_size=3),
    st.dictionaries(TEXT, st.floats(0, 1), max_size=3),
    TEXT,
    st.lists(st.integers(-(2**63), 2**64), max_size=3).map(tuple),
)
CHUNK = st.builds(
    Chunk,
    COUNT,
    COUNT,
    st.lists(TEXT, max_size=3).map(tuple),
    TEXT,
    COUNT,
    KIND,
    st.none() | COUNT,
    st.none() | COUNT,
    st.booleans(),
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.binary(max_size=20)
VALUE = st.recursive(
    PLAIN | DOCUMENT | BLOCK | CHUNK,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(TEXT | COUNT, inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUE)
def test_a_value_comes_back_equal_and_of_the_same_kind(value: Any) -> None:
    again = wire.load(wire.dump(value))
    assert again == value
    assert type(again) is type(value)


@given(st.binary(max_size=60) | TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_value_or_refused(raw: bytes) -> None:
    try:
        wire.load(raw)
    except ValueError:
        return


def test_every_refusal_comes_back_with_its_class_and_facts() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DocumentError)
    ]
    assert len(kinds) > 15
    for kind in kinds:
        again = wire.load(wire.dump(kind("what happened", size_bytes=3, part="a", limit=None, names=("x",))))
        assert type(again) is kind
        assert again.message == "what happened"
        assert again.facts == {"size_bytes": 3, "part": "a", "limit": None, "names": ("x",)}


def test_not_a_number_is_sent_too() -> None:
    assert math.isnan(wire.load(wire.dump(math.nan)))


@pytest.mark.parametrize("value", [object(), {1, 2}, [lambda: None], {"a": object()}, errors.StoreError("x")])
def test_what_has_no_plain_form_is_not_sent(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot send"):
        wire.dump(value)


def test_a_document_of_other_values_than_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        wire.load(b'["document","t",[["heading",[],2,1,null,null,null]],null,null,null,{},{},"",[],[]]')
    with pytest.raises(ValueError, match="cannot be read"):
        wire.load(b'["document",7,[],null,null,null,{},{},"",[],[]]')
    with pytest.raises(ValueError, match="cannot be read"):
        wire.load(b'["document","t",[],null,null,null,{},{},"",[],[["image/png",1,2,3,[]]]]')
