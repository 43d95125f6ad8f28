"""Transcripts with times: WebVTT and SubRip, as turns of speakers.

Belongs here: reading cues leniently (one scanner for both formats), speakers, turns.
Does not belong here: chats (`records/records.py`) and transcripts without cue lines (`plain.py`).
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from operator import itemgetter

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder, one_line
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text, read_text

VERSION = "10"

# Many programs leave out leading zeros, or the milliseconds.
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_TIMING = re.compile(rf"[ \t]{{0,20}}{_TIME}[ \t]{{0,20}}-{{1,9}}>[ \t]{{0,20}}{_TIME}")
_NEARLY = r"[ \t]{0,20}\d{1,3}:\d[\d:.,]{1,15}[ \t]{0,20}"
_NEARLY_TIMING = re.compile(
    rf"{_NEARLY}(?:[-=]{{0,3}}>|[\u2013\u2014\u2192-])[^<>]{{0,60}}$|{_NEARLY}\d{{1,3}}:\d[\d:.,]{{1,15}}[ \t]*$"
)
# A time alone, below the number of a cue: its end is missing.
_LONE_TIME = re.compile(rf"{_NEARLY}$")
# Blocks of WebVTT that are no cue.
_NO_CUE = re.compile(r"[\ufeff]?(?:WEBVTT|NOTE|STYLE|REGION)(?=[ \t]|$)")
# Comments, which a player does not show: a block of their own.
_NOTE = re.compile(r"\n[ \t]*\nNOTE(?=[ \t\n])")
_DASH = re.compile(r"\s*(?:<[^<>]*>)*[-\u2010-\u2014]\s?\w")
_VOICE = re.compile(r"<v(?:\.[\w.-]+)?\s+([^<>]{1,200})>")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
_NAME = re.compile(
    r"(?:>>\s*|-\s*)?((?:[^\W\d_][\w.'\u2019-]*)(?: [^\W\d_][\w.'\u2019-]*){0,3}(?: \d{1,2})?):\s+(?=\S)"
)
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"'\u201d\u2019)]*$")
# About a minute of speech: what one person says longer is cut at a sentence.
_TURN_CHARS = 700
# Longer than people pause within a thought.
_PAUSE_MS = 5_000
# Captions that roll on leave no more than a frame or two.
_ROLLING_MS = 50
# A cue that nobody can read is only there to show the line before again.
_MOMENT_MS = 100


@dataclass(frozen=True, slots=True)
class _Cue:
    start_ms: int
    end_ms: int
    speaker: str | None
    text: str
    line: int


def parse_vtt(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """One document of turns, `[00:01:02] Speaker: words`, each a block labelled with its speaker.

    Raises:
        UnparsableDocument: There is no cue.
        UndecodableBytes.
    """
    text = read_text(raw)
    head = text.lstrip().split("\n", 1)[0]
    title = re.sub(r"^WEBVTT[ \t]*-?[ \t]*", "", head) if head.startswith("WEBVTT") else ""
    document = _document(text, context.address, one_line(title) or None, is_srt=False)
    notes = len(_NOTE.findall(text))
    hidden = {"hidden_comment_count": str(notes)} if notes else {}
    return [replace(document, metadata=document.metadata | hidden)]


def parse_srt(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """As `parse_vtt`, for SubRip, where words below a blank line are still those of the cue above."""
    return [_document(read_text(raw), context.address, None, is_srt=True)]


def clock(time_ms: int) -> str:
    """`HH:MM:SS` of a time in milliseconds."""
    seconds = time_ms // 1000
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _document(text: str, address: str, title: str | None, *, is_srt: bool) -> ParsedDocument:
    lines = text.split("\n")
    stray = _stray_blocks(lines)
    goes_on = {number for block in stray if not block.is_bad for number in block.lines} if is_srt else set()
    cues = _with_speakers(list(_cues(lines, goes_on)))
    if not cues:
        raise UnparsableDocument(
            f"{address}: no cue (a line like 00:01:02.000 --> 00:01:04.000) was found.", address=address
        )
    builder = TextBuilder()
    for turn in _turns(cues):
        words = " ".join(cue.text for cue in turn)
        speaker = turn[0].speaker
        lead = f"[{clock(turn[0].start_ms)}] {speaker}: " if speaker else f"[{clock(turn[0].start_ms)}] "
        builder.add("cue", lead + words, label=speaker or None, line=turn[0].line)
    bad = sum(_is_bad_timing(line) for line in lines if ">" in line or ":" in line)
    bad += sum(not block.is_counted and not goes_on.issuperset(block.lines) for block in stray)
    metadata = {"duration": clock(max(cue.end_ms for cue in cues)), "cue_count": str(len({cue.line for cue in cues}))}
    if bad:
        metadata["bad_cue_count"] = str(bad)
    speakers = list(dict.fromkeys(cue.speaker for cue in cues if cue.speaker))
    if speakers:
        metadata["speakers"] = ", ".join(speakers)[:2_000]
    return builder.build(title=title, metadata=metadata)


def _is_bad_timing(line: str) -> bool:
    """Whether a line means to time a cue but cannot be read as such, or ends the cue before it begins."""
    match = _TIMING.match(line)
    if match:
        return _ms(match.groups()[4:]) < _ms(match.groups()[:4])
    return "-->" in line or _NEARLY_TIMING.match(line) is not None


@dataclass(frozen=True, slots=True)
class _Stray:
    """Lines with words that stand between two cues, away from any timing.

    Attributes:
        lines: Their numbers, from 0.
        is_bad: They are meant as a cue of their own, whose times cannot be read, or stand before the first.
        is_counted: One of them is counted as a timing that cannot be read.
    """

    lines: range
    is_bad: bool
    is_counted: bool


def _stray_blocks(lines: list[str]) -> list[_Stray]:
    """Blocks of lines with words and without a timing, but for heads, comments and styles of WebVTT."""
    found: list[_Stray] = []
    has_cue = False
    start = 0
    for end in (*(number for number, line in enumerate(lines) if not line.strip()), len(lines)):
        block, first = lines[start:end], start
        start = end + 1
        if any("->" in line and _TIMING.match(line) for line in block):
            has_cue = True
        elif any(map(_has_letters, block)) and not _NO_CUE.match(block[0]):
            # The number of a cue stands above its times.
            below = block[1:] if block[0].strip().isdecimal() else block
            is_counted = any(map(_is_bad_timing, block))
            is_bad = is_counted or not has_cue or bool(below and _LONE_TIME.match(below[0]))
            found.append(_Stray(range(first, end), is_bad, is_counted))
    return found


def _has_letters(line: str) -> bool:
    return any(map(str.isalpha, line))


def _cues(lines: list[str], goes_on_in: set[int]) -> Iterator[_Cue]:
    """Every timing line and the lines below it, up to a blank line or the next timing line.

    Rolling captions repeat the line before without a pause, above the next one or for a moment alone: the same
    speaker's equal line is then taken once. Who says the same again in a cue of its own is heard twice.

    Args:
        goes_on_in: Numbers of lines that belong to the cue above although a blank line parts them from it.
    """
    marks = [(number, match) for number, line in enumerate(lines) if "->" in line and (match := _TIMING.match(line))]
    last: tuple[str, str | None] = ("", None)
    last_end_ms = 0
    for position, (number, match) in enumerate(marks):
        stop = marks[position + 1][0] if position + 1 < len(marks) else len(lines)
        body: list[tuple[str | None, str]] = []
        speaker: str | None = None
        groups = match.groups()
        is_rolling = _ms(groups[:4]) - last_end_ms <= _ROLLING_MS
        last_end_ms = _ms(groups[4:])
        is_moment = last_end_ms - _ms(groups[:4]) <= _MOMENT_MS
        own = [*takewhile(str.strip, lines[number + 1 : stop])]
        spoken = len(own)
        for line in own + [lines[later] for later in range(number + 1 + spoken, stop) if later in goes_on_in]:
            # A dash begins what somebody else says, who is not named.
            speaker = "" if _DASH.match(line) else speaker
            for name, said in _voices(line, speaker):
                speaker = name
                words = " ".join(clean_text(html.unescape(_TAG.sub("", said))).split())
                is_repeated = is_rolling and (spoken > 1 or is_moment) and (words, speaker) == last
                if words and not is_repeated:
                    body.append((speaker, words))
                if words:
                    last = (words, speaker)
        # Without a blank line between cues, the next cue's number is the last line.
        is_followed = body and position + 1 < len(marks) and body[-1][1].isdigit()
        if is_followed and lines[stop - 1].strip() == body[-1][1]:
            body.pop()
        # Who speaks before the first name is named has said the whole of it with him.
        first = next((name for name, _ in body if name), None)
        body = [(first if name is None else name, words) for name, words in body]
        for name, group in groupby(body, key=itemgetter(0)):
            yield _Cue(_ms(groups[:4]), _ms(groups[4:]), name, " ".join(words for _, words in group), number + 1)


def _voices(line: str, speaker: str | None) -> Iterator[tuple[str | None, str]]:
    """The parts of a line with who says them; the first goes on with who spoke before."""
    position = 0
    for voice in _VOICE.finditer(line):
        if voice.start() > position:
            yield speaker, line[position : voice.start()]
        speaker, position = one_line(html.unescape(voice.group(1))), voice.end()
    yield speaker, line[position:]


def _ms(parts: tuple[str | None, ...]) -> int:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))


def _with_speakers(cues: list[_Cue]) -> list[_Cue]:
    """Speakers written into the words (`MAYA: ...`), where names recur, are in capitals, or stand in most cues."""
    names = Counter(match.group(1) for cue in cues if (match := _NAME.match(cue.text)))
    # Beside names in capitals a word before a colon is a word.
    are_usual = len(names) > 1 and 2 * names.total() > len(cues) and not any(map(str.isupper, names))
    found: list[_Cue] = []
    for cue in cues:
        match = _NAME.match(cue.text)
        if not cue.speaker and match and (are_usual or names[match.group(1)] > 1 or match.group(1).isupper()):
            cue = _Cue(cue.start_ms, cue.end_ms, match.group(1), cue.text[match.end() :], cue.line)
        found.append(cue)
    return found


def _turns(cues: list[_Cue]) -> Iterator[list[_Cue]]:
    """Cues of one speaker in a row; a long turn is cut at a sentence end or a pause."""
    turn: list[_Cue] = []
    length = 0
    names_speakers = any(cue.speaker for cue in cues)
    for cue in cues:
        if turn:
            changed = cue.speaker != turn[-1].speaker and (cue.speaker is not None or not names_speakers)
            is_long = (length > _TURN_CHARS and bool(_SENTENCE_END.search(turn[-1].text))) or length > 2 * _TURN_CHARS
            is_pause = cue.speaker is None and cue.start_ms - turn[-1].end_ms > _PAUSE_MS
            if changed or is_long or is_pause:
                yield turn
                # A cue without a name goes on with the speaker before it.
                speaker = cue.speaker or (turn[-1].speaker if is_long else None)
                cue = _Cue(cue.start_ms, cue.end_ms, speaker, cue.text, cue.line)
                turn, length = [], 0
            elif cue.speaker is None and turn[-1].speaker:
                cue = _Cue(cue.start_ms, cue.end_ms, turn[-1].speaker, cue.text, cue.line)
        turn.append(cue)
        length += len(cue.text) + 1
    if turn:
        yield turn
