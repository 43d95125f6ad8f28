"""No message is longer than a person reads, and none holds what opens a place."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator

import pytest

from rag_pipeline import shown as showing
from rag_pipeline.errors import RagPipelineError
from rag_pipeline.shown import MOST_CHARS, bounded, keep_secret, masked, shown

SECRET = "hunter2secret"
MEGABYTE = 2**20


def all_errors(cls: type[RagPipelineError] = RagPipelineError) -> Iterator[type[RagPipelineError]]:
    yield cls
    for each in cls.__subclasses__():
        yield from all_errors(each)


@pytest.mark.parametrize("cls", list(all_errors()), ids=lambda cls: cls.__name__)
def test_a_value_of_a_megabyte_makes_no_message_of_a_megabyte(cls: type[RagPipelineError]) -> None:
    error = cls(f"the source {'x' * MEGABYTE} is not there. Run: rag-pipeline run", source="y" * MEGABYTE, count=3)
    for text in (error.message, str(error), str(error.facts["source"])):
        assert len(text) <= MOST_CHARS
        assert f"{MEGABYTE // 1000:,}"[:5] in text
    assert error.message.startswith("the source xxx")
    assert error.message.endswith("Run: rag-pipeline run")
    assert error.facts["count"] == 3
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.facts) == (cls, error.message, error.facts)


@pytest.mark.parametrize("length", [0, 1, MOST_CHARS - 1, MOST_CHARS, MOST_CHARS + 1, 3 * MOST_CHARS])
def test_only_what_is_too_long_is_cut_and_only_once(length: int) -> None:
    text = "a" * length
    assert (bounded(text) == text) == (length <= MOST_CHARS)
    assert bounded(bounded(text)) == bounded(text)


@pytest.mark.parametrize(
    "address",
    [
        f"sftp://amy:{SECRET}@host/docs",
        f"https://{SECRET}@host/docs",
        f"https://host/docs?sig={SECRET}&se=2026",
        f"simplecache::ftp://amy:{SECRET}@host/docs",
        f"s3://amy:{SECRET}@bucket/lake/silver/documents",
        f"ftp://amy:{SECRET}@more@host/docs",
    ],
)
@pytest.mark.parametrize(
    "said",
    [
        "could not read {}: nothing there",
        "'{}'",
        "({}), so nothing",
        "{}",
        "<{}>\n{}",
        'Generic {{ url: "{}" }}',
        "at {}.",
    ],
)
def test_an_address_in_a_message_is_shown_without_what_opens_it(address: str, said: str) -> None:
    text = said.format(*[address] * 2)
    for found in (masked(text), shown(text), RagPipelineError(text, place=address).message):
        assert SECRET not in found
        assert "host" in found or "bucket" in found
    assert SECRET not in str(RagPipelineError("x", place=text).facts)


@pytest.mark.parametrize(
    "text",
    [
        "/home/amy/a@b?c=d",
        "see https://docs.example.org/page#a",
        "abfss://notes@account.net/x",
        "a :// b",
        "mail a@b.c",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize("text", ["x" * 5, "://", "s3://", "a+b-c.", "x://y@"], ids=repr)
def test_looking_takes_time_in_proportion_to_the_text(text: str) -> None:
    started = time.perf_counter()
    shown(text * (4 * MEGABYTE // len(text)))
    assert time.perf_counter() - started < 5


def test_values_that_are_kept_secret_stand_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "_secrets", set())
    keep_secret(["hunter2", "hunter2-and-more", "true", ""])
    error = RagPipelineError("the store said: bad key hunter2-and-more, or hunter2; verify=true", said="hunter2")
    assert error.message == "the store said: bad key ***, or ***; verify=true"
    assert error.facts == {"said": "***"}
