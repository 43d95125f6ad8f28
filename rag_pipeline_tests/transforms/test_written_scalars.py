"""What a document or a sidecar declares is kept as it is written, and permissions are read as strictly as ever."""

from __future__ import annotations

import pytest

from rag_pipeline.errors import DocumentError
from rag_pipeline.transforms.metadata import read_front_matter, read_sidecar


def test_a_title_that_looks_like_a_number_stays_as_it_is_written() -> None:
    assert read_front_matter(b"---\ntitle: 1.10\nauthor: 0123\n---\nText.\n").title == "1.10"
    assert read_front_matter(b"---\ntitle: 1.10\nauthor: 0123\n---\nText.\n").author == "0123"
    assert read_sidecar(b"title: 2.50\n", is_json=False).title == "2.50"


def test_other_fields_stay_as_they_are_written() -> None:
    extra = read_front_matter(b"---\ndeparts: 12:30\nversions: [1.10, 2.0]\n---\nText.\n").extra
    assert extra["departs"] == "12:30"
    assert extra["versions"] == '["1.10", "2.0"]'


@pytest.mark.parametrize("value", ["[1.10]", "true", "12:30", "{a: 1}"])
def test_permissions_that_are_no_names_are_still_refused(value: str) -> None:
    with pytest.raises(DocumentError):
        read_sidecar(f"allowed_principals: {value}\n".encode(), is_json=False)
