"""Cues of transcripts: which are kept, which are one line seen twice, which cannot be read."""

from __future__ import annotations

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.parsing import ParseLimits, parse


def talk(*cues: str) -> ParsedDocument:
    raw = "WEBVTT\n\n" + "\n\n".join(cues) + "\n"
    (document,) = parse(raw.encode(), "text/vtt", "talk.vtt", ParseLimits())
    return document


def test_who_says_the_same_again_is_heard_twice() -> None:
    document = talk(
        "00:01.000 --> 00:02.000\n<v Ann>Aye.",
        "00:02.000 --> 00:03.000\n<v Ben>Aye.",
        "00:03.000 --> 00:04.000\n<v Ben>Aye.",
        "00:30.000 --> 00:31.000\n<v Ben>Aye.",
    )
    assert document.text == "[00:00:01] Ann: Aye.\n\n[00:00:02] Ben: Aye. Aye. Aye."
    assert document.metadata["cue_count"] == "4"


def test_speakers_who_are_named_in_most_cues_are_speakers_though_each_speaks_once() -> None:
    words = ["Chair: All in favour?", "Ann Lee: Aye.", "Ben: Nay.", "and that is all."]
    document = talk(*(f"00:0{number}.000 --> 00:0{number + 1}.000\n{said}" for number, said in enumerate(words)))
    assert document.metadata["speakers"] == "Chair, Ann Lee, Ben"
    assert document.text.endswith("[00:00:02] Ben: Nay. and that is all.")


def test_a_colon_in_one_cue_of_many_names_no_speaker() -> None:
    words = ["Good morning.", "Note: the ferry is late.", "It sails at ten.", "Mind the gap."]
    document = talk(*(f"00:0{number}.000 --> 00:0{number + 1}.000\n{said}" for number, said in enumerate(words)))
    assert "speakers" not in document.metadata


def test_a_line_that_rolls_up_is_heard_once() -> None:
    document = talk(
        "00:01.000 --> 00:03.000\nwe sail at dawn",
        "00:03.000 --> 00:03.010\nwe sail at dawn",
        "00:03.010 --> 00:05.000\nwe sail at dawn\nwith the tide",
    )
    assert document.text == "[00:00:01] we sail at dawn with the tide"


@pytest.mark.parametrize(
    "timing",
    ["00:00:05.000 -> ", "xx:yy --> 00:00:06.000", "00:00:05:000 00:00:06:000", "00:00:05,000 \u2192 00:00:06,000"],
)
def test_a_cue_whose_times_cannot_be_read_is_counted(timing: str) -> None:
    document = talk("00:01.000 --> 00:02.000\nAye.", f"{timing}\nlost words")
    assert document.metadata["bad_cue_count"] == "1"


@pytest.mark.parametrize(
    "words", ["We met at 10:30 and left.", "10:30", "2024 was long", "Genesis 1:1 to 1:12", "a -> b"]
)
def test_words_with_times_are_words(words: str) -> None:
    assert "bad_cue_count" not in talk(f"00:01.000 --> 00:02.000\n{words}").metadata


def test_a_dash_begins_the_words_of_somebody_else() -> None:
    document = talk(
        "00:01.000 --> 00:02.000\n<v Ann>Who is there?",
        "00:02.000 --> 00:03.000\n- The pilot.\n- And his boat.",
        "00:03.000 --> 00:04.000\n- BEN: Me too.",
        "00:04.000 --> 00:05.000\n- BEN: -5 degrees.",
    )
    said = ["[00:00:01] Ann: Who is there?", "[00:00:02] - The pilot. - And his boat."]
    assert document.text.split("\n\n") == [*said, "[00:00:03] BEN: Me too. -5 degrees."]
    assert document.metadata["speakers"] == "Ann, BEN"


def test_a_cue_that_ends_before_it_begins_is_counted_and_its_words_stay() -> None:
    document = talk("00:01.000 --> 00:02.000\nAye.", "00:09.000 --> 00:03.000\nNay.")
    assert document.metadata["bad_cue_count"] == "1"
    assert "Nay." in document.text


def test_notes_of_a_transcript_are_counted() -> None:
    document = talk("NOTE draft", "00:01.000 --> 00:02.000\nNOTE that it is kept.", "NOTE\nof two", "NOTES are none")
    assert "NOTE that it is kept." in document.text
    assert "draft" not in document.text
    assert document.metadata["hidden_comment_count"] == "2"


def test_words_below_a_blank_line_are_those_of_the_cue_above_in_subrip() -> None:
    cues = "1\n00:00:01,000 --> 00:00:02,000\nThe first\n\n\nand the second.\n\n2\n00:00:03,000 --> 00:00:04,000\nEnd."
    [document] = parse(cues.encode(), "application/x-subrip", "x.srt", ParseLimits())
    assert "The first and the second. End." in document.text
    assert "bad_cue_count" not in document.metadata


def test_words_that_no_time_belongs_to_are_counted() -> None:
    broken = "1\n00:00:01,000 --> 00:00:02,000\nAye.\n\n2\n00:00:02,000\nNay.\n\n3\n00:00:05,000 --> 00:00:06,000\nEnd."
    [document] = parse(broken.encode(), "application/x-subrip", "x.srt", ParseLimits())
    assert document.metadata["bad_cue_count"] == "1"
    assert "Nay" not in document.text
    page = (
        "WEBVTT\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nlost words\n\n"
        "intro\n00:01.000 --> 00:02.000\nAye.\n\n"
        "more lost words\n\nNOTE words of a note\n\n00:03.000 --> 00:04.000\nEnd.\n"
    )
    [document] = parse(page.encode(), "text/vtt", "x.vtt", ParseLimits())
    assert document.metadata["bad_cue_count"] == "2"
    assert document.text == "[00:00:01] Aye. End."
