"""Records of any origin (JSON objects, CSV rows) as documents: tickets, plain records, chats, tables.

Belongs here: which fields are title, body, comments and id; when rows become documents of their own.
Does not belong here: reading JSON or CSV.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from rag_pipeline.contracts.documents import Block, ParsedDocument
from rag_pipeline.contracts.ids import digest
from rag_pipeline.parsing.builder import MAX_LABEL_CHARS, TextBuilder, one_line
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.markup.front_matter import scalar_text
from rag_pipeline.parsing.markup.markdown import seen_markdown
from rag_pipeline.parsing.records.json_places import line_of
from rag_pipeline.parsing.web.hidden import hidden_counts

Record = Mapping[str, Any]

# Of a longer name only the beginning is looked at.
MAX_NAME_CHARS = 2_000

_TICKET_IDS = frozenset({"id", "key", "ticket", "ticket_id", "number"})
_TITLES = ("title", "summary", "subject", "headline", "question")
_BODIES = ("description", "body", "text", "content", "message", "details", "answer", "steps", "resolution", "notes")
_COMMENTS = ("comments", "replies", "responses", "answers", "discussion", "thread", "history")
_AUTHORS = (
    "author", "user", "from", "creator", "reporter", "created_by", "by", "sender", "name", "login", "speaker", "role",
)  # fmt: skip
_DATES = ("created_at", "created", "date", "timestamp", "ts", "time", "updated_at", "updated")
_PERSON_FIELDS = (
    "display_name",
    "displayName",
    "login",
    "username",
    "name",
    "full_name",
    "email",
    "emailAddress",
    "title",
    "value",
)
_IDS = (
    "id", "_id", "key", "number", "iid", "uuid", "guid", "issue_id", "ticket_id", "issue_key", "ticket", "issue",
    "case", "case_id", "case_number", "element_id", "record_id", "doc_id", "document_id", "slug",
    "sku", "code", "nr", "no",
)  # fmt: skip
# Enough to find them by.
MAX_BAD_LINES_SHOWN = 20
# Half a line: names and codes are shorter, prose is longer.
_LONG_CHARS = 40
# Two lines; what is longer is a text of its own.
_SHOWN_CHARS = 200
# As sidecars and front matter have it.
_METADATA_CHARS = 2_000
# Deeper than any record, and less than the stack.
_MAX_DEPTH = 100
# Below the title.
_SECTION_LEVEL = 2
_MAY_BE_MARKUP = re.compile(r"<[!/a-zA-Z]|~~|%%")
_URL_LINE = re.compile(r"\s*+(?:- )?[^:]++:\s++https?://\S+$")
_URL = re.compile(r"https?://\S+$")


def record_id_field(records: Sequence[Record]) -> str | None:
    """The field that names nearly each record once (one in ten may lack or repeat it), else None."""
    if not records:
        return None
    names = {name: None for record in records[:50] for name in record}
    fields = sorted(names, key=lambda name: _rank(name, _IDS))
    # One repeated or missing id must not give every other record another part.
    spared = max(1, len(records) // 10) if len(records) > 2 else 0
    for name in fields:
        if _rank(name, _IDS) == len(_IDS) and not re.search(r"(?:^|[_ ])(?:id|key|uuid|number)$", name.casefold()):
            continue
        values = [scalar_text(record.get(name)) for record in records]
        if len({text for text in values if text}) >= len(records) - spared:
            return name
    return None


def are_documents(records: Sequence[Record]) -> bool:
    """Whether each record is worth a document: one names itself, and one field holds prose.

    Prose is a field of at least 40 characters on average over the records, not counting addresses.
    """
    if record_id_field(records) is None and not any(_field(record, _TITLES) for record in records[:50]):
        return False
    for name in {name: None for record in records[:50] for name in record}:
        texts = [record.get(name) for record in records]
        strings = [text for text in texts if isinstance(text, str) and not _URL.match(text)]
        is_long = len(strings) * 2 >= len(records) and sum(map(len, strings)) >= _LONG_CHARS * len(strings)
        if is_long and sum(" " in text.strip() for text in strings) * 2 >= len(strings):
            return True
    return False


def record_documents(records: Sequence[Record]) -> list[ParsedDocument]:
    """One document a record. Its part is the id field's value, or a digest of its content."""
    id_field = record_id_field(records)
    seen: dict[str, int] = {}
    documents: list[ParsedDocument] = []
    for record in records:
        part = scalar_text(record.get(id_field)) if id_field else None
        part = one_line(clean_text(part)) if part else content_key(record)
        # Equal records differ only by their ordinal among equals, which their neighbours cannot change.
        seen[part] = seen.get(part, 0) + 1
        documents.append(record_document(record, part if seen[part] == 1 else f"{part}#{seen[part]}"))
    return documents


def bad_records(lines: Sequence[int], count: int | None = None) -> dict[str, str]:
    """What metadata says of values and rows that are no records as the others are: how many, and in which lines.

    Args:
        count: How many there are, where the lines of some are not known.
    """
    shown = ", ".join(map(str, lines[:MAX_BAD_LINES_SHOWN])) + (" …" if len(lines) > MAX_BAD_LINES_SHOWN else "")
    facts = {"bad_record_count": str(len(lines) if count is None else count)}
    return facts | ({"bad_record_lines": shown} if lines else {})


def content_key(record: Any) -> str:
    """16 hex digits that depend on the record's content alone."""
    return digest("record", json.dumps(record, sort_keys=True, ensure_ascii=True, default=str))[:16]


def is_ticket(record: Record) -> bool:
    """Whether an object reads like a ticket or an article: a title, and a body or comments."""
    return bool(_field(record, _TITLES) and (_field(record, _BODIES) or _field(record, _COMMENTS)))


def record_document(record: Record, part: str = "") -> ParsedDocument:
    """A document of one record: title, short fields, then long fields and comments under headings.

    Short scalar fields are readable lines of the text and metadata; addresses are metadata only; nested
    values are written out as lines of their own.
    """
    builder = TextBuilder()
    title_field, comments_field = _field(record, _TITLES), _field(record, _COMMENTS)
    comments = record[comments_field] if comments_field else None
    has_comments = isinstance(comments, list)
    title = one_line(clean_text(str(record[title_field]))) if title_field else None
    if title:
        # People search for a ticket by its id, and every chunk of it carries the title.
        name = next((one_line(str(record[field])) for field in record if field.casefold() in _TICKET_IDS), "")
        title = title if not name or name in title else f"{name}: {title}"
        builder.add("heading", title, level=1, line=line_of(record, title_field))
    rest = {
        name: value
        for name, value in record.items()
        if name != title_field and not (has_comments and name == comments_field)
    }
    said = clean_text(str(record[title_field])) if title_field else ""
    if len(said.strip()) > MAX_LABEL_CHARS:
        # A title is a line; the rest of a longer one is text.
        builder.add("paragraph", said, line=line_of(record, title_field))
    hidden: Counter[str] = Counter()
    metadata = _add_fields(builder, rest, record, hidden, has_sections=bool(title))
    for comment in comments if isinstance(comments, list) else ():
        _add_comment(builder, comment, hidden)
    metadata |= hidden_counts(hidden)
    author = next((metadata[name] for name in metadata if name.casefold() in ("author", "reporter", "creator")), None)
    return builder.build(title=title, author=author, metadata=metadata, part=part)


def _add_fields(
    builder: TextBuilder, fields: Record, record: Record, hidden: Counter[str], *, has_sections: bool
) -> dict[str, str]:
    """Adds all `fields` of the record: short ones first, then long, then nested. Returns the metadata."""
    metadata: dict[str, str] = {}
    lines: list[str] = []
    long_fields: list[tuple[str, str]] = []
    nested: list[tuple[str, Any]] = []
    first: str | None = None
    for name, value in fields.items():
        text = _flat(value)
        if text is None:
            nested.append((name, value))
        elif name.casefold() in _BODIES or (len(text) > _SHOWN_CHARS and not _URL.match(text)):
            long_fields.append((name, text))
        elif text.strip():
            metadata[_cleaned_name(name)] = text[:_METADATA_CHARS]
            if not _URL.match(text) or len(text) > _METADATA_CHARS:
                first = first or name
                lines.append(f"{_cleaned_name(name)}: {one_line(text)}")
    builder.add("field", "\n".join(lines), line=line_of(record, first))
    for name, text in sorted(long_fields, key=lambda item: _rank(item[0], _BODIES)):
        _add_section(builder, _heading(name) if has_sections else None, text, hidden, line_of(record, name))
    for name, value in nested:
        full = clean_text(json.dumps(value, ensure_ascii=False, default=str))
        whole = readable_lines(value, 1)
        # Addresses are metadata, as far as there is room for them.
        inner = [line for line in whole if len(full) > _METADATA_CHARS or not _URL_LINE.match(line)]
        builder.add(
            "field", "\n".join([f"{_cleaned_name(name)}:", *inner]) if inner else "", line=line_of(record, name)
        )
        named = _named(value)
        if named is None or len(inner) < len(whole):
            place = _cleaned_name(name) if named is None else f"{_cleaned_name(name)}.fields"
            metadata[place] = full[:_METADATA_CHARS]
        if named is not None:
            metadata[_cleaned_name(name)] = named[:_METADATA_CHARS]
    return metadata


def is_chat(records: Sequence[Record]) -> bool:
    """Whether the records are messages: each has a speaker and a text, and nothing has a title."""
    sample = records[:20]
    return len(records) > 1 and all(
        _field(record, _AUTHORS)
        and _field(record, ("text", "message", "content", "body"))
        and not _field(record, _TITLES)
        for record in sample
    )


def chat_document(records: Sequence[Record]) -> ParsedDocument:
    """Messages as the turns of one transcript: `[time] speaker: text`."""
    builder = TextBuilder()
    for record in records:
        text_field = _field(record, ("text", "message", "content", "body"))
        body = (
            clean_text(_flat(record[text_field]) or "\n".join(readable_lines(record[text_field]))) if text_field else ""
        )
        speaker = _person(record, _AUTHORS)
        date_field = _field(record, _DATES)
        date = _flat(record[date_field]) if date_field else None
        lines = [f"{f'[{date}] ' if date else ''}{speaker or 'unknown'}: {body}"]
        lines += _other_lines(record, text_field, date_field if date is not None else None, _AUTHORS)
        builder.add("cue", "\n".join(lines), label=speaker, line=line_of(record))
    return builder.build(metadata={"message_count": str(len(records))})


def records_document(records: Iterable[Record]) -> ParsedDocument:
    """All records in one document, each a block of `field: value` lines."""
    builder = TextBuilder()
    for record in records:
        builder.add("record", "\n".join(readable_lines(record)), line=line_of(record))
    return builder.build()


def readable_lines(value: Any, depth: int = 0) -> list[str]:
    """A nested value as indented `name: value` lines, in the manner of YAML, without quotes.

    Raises:
        RecursionError: Nested deeper than 100 levels.
    """
    if depth > _MAX_DEPTH:
        raise RecursionError("nested too deeply to be read by a person")
    indent = "  " * depth
    if isinstance(value, Mapping):
        lines: list[str] = []
        for name, item in value.items():
            flat = _flat(item)
            lead = f"{indent}{_cleaned_name(name)}:"
            if flat is not None:
                lines.append(f"{lead} {_hanging(flat, depth + 1)}".rstrip())
            else:
                lines += [lead, *readable_lines(item, depth + 1)]
        return lines
    if isinstance(value, list):
        lines = []
        for item in value:
            inner = readable_lines(item, depth + 1) if isinstance(item, Mapping | list) else []
            flat = f"{indent}- {_hanging(_flat(item) or '', depth + 1)}".rstrip()
            lines += [f"{indent}- {inner[0].lstrip()}", *inner[1:]] if inner else [flat]
        return lines
    return [indent + _hanging(_flat(value) or "", depth)]


def _hanging(text: str, depth: int) -> str:
    return clean_text(text).strip().replace("\n", "\n" + "  " * depth)


def _flat(value: Any) -> str | None:
    """A scalar or a list of scalars as one string; None for anything deeper."""
    if value is None:
        return ""
    if isinstance(value, list):
        items = [_flat(item) if not isinstance(item, list) else None for item in value]
        return ", ".join(item for item in items if item) if all(item is not None for item in items) else None
    if isinstance(value, Mapping):
        return None
    text = scalar_text(value)
    return clean_text(text) if text is not None else ""


def _named(value: Any) -> str | None:
    """What metadata shows of objects with a name, or of a list of such; None for anything else."""
    if isinstance(value, list):
        names = [_named(item) for item in value]
        return ", ".join(name for name in names if name) if names and all(names) else None
    if isinstance(value, Mapping) and ("id" in value or "login" in value or "name" in value or "displayName" in value):
        return _person_name(value)
    return None


def _person_name(value: Mapping[str, Any]) -> str | None:
    for name in _PERSON_FIELDS:
        found = value.get(name)
        if isinstance(found, str) and found.strip():
            return clean_text(found)
    return None


def _person(record: Record, names: tuple[str, ...]) -> str | None:
    name = _field(record, names)
    if name is None:
        return None
    value = record[name]
    return one_line(_person_name(value) or "" if isinstance(value, Mapping) else _flat(value) or "") or None


def _add_comment(builder: TextBuilder, comment: Any, hidden: Counter[str]) -> None:
    if not isinstance(comment, Mapping):
        _add_section(builder, "Comment", _flat(comment) or "\n".join(readable_lines(comment)), hidden)
        return
    body_field = _field(comment, _BODIES)
    date_field = _field(comment, _DATES)
    author = _person(comment, _AUTHORS)
    heading = "Comment"
    heading += f" by {author}" if author else ""
    heading += f" on {_flat(comment[date_field])}" if date_field and _flat(comment[date_field]) else ""
    body = _flat(comment[body_field]) if body_field else None
    if body is None:
        body = "\n".join(readable_lines(comment))
        body_field = date_field = None
    _add_section(builder, heading, body, hidden, line_of(comment))
    if body_field:
        builder.add("field", "\n".join(_other_lines(comment, body_field, date_field, _AUTHORS)))


def _other_lines(record: Record, body: str | None, date: str | None, authors: tuple[str, ...]) -> list[str]:
    """What a message says beside its words, its date and its author's name."""
    author = _field(record, authors)
    rest = {name: value for name, value in record.items() if name not in (body, date) and value not in (None, "")}
    if author and not (isinstance(record[author], Mapping) and len(record[author]) > 1):
        rest.pop(author, None)
    return readable_lines(rest)


def _add_section(
    builder: TextBuilder, heading: str | None, text: str, hidden: Counter[str], line: int | None = None
) -> None:
    """A long field under its heading. Trackers hold Markdown, so its structure is kept and its comments are not."""
    text = clean_text(text).strip()
    if not text:
        return
    if heading:
        builder.add("heading", heading, level=_SECTION_LEVEL, line=line)
    # One line of prose needs no parser: a file may hold a hundred thousand of them.
    blocks: Sequence[Block] = ()
    if "\n" in text or not text[0].isalpha() or _MAY_BE_MARKUP.search(text):
        text, blocks = seen_markdown(text, hidden)
    if not blocks:
        builder.add("paragraph", text, line=line)
    for number, block in enumerate(blocks):
        # Up to the next block, so that link definitions between blocks are kept.
        stop = blocks[number + 1].start_char if number + 1 < len(blocks) else len(text)
        start = block.start_char if number else 0
        deeper = min(6, _SECTION_LEVEL + block.level) if block.kind == "heading" else 0
        builder.add(block.kind, text[start:stop], level=deeper, label=block.label, line=line)


def _field(record: Record, names: tuple[str, ...]) -> str | None:
    """The record's field that is first among `names` (any letter case) and has a value."""
    for wanted in names:
        for name, value in record.items():
            if name.casefold() == wanted and value not in (None, "", [], {}):
                return name
    return None


def _rank(name: str, names: tuple[str, ...]) -> int:
    folded = name.casefold()
    return names.index(folded) if folded in names else len(names)


def _heading(name: str) -> str:
    words = re.sub(r"[_\s]+", " ", _cleaned_name(name)).strip()
    return words[:1].upper() + words[1:]


def _cleaned_name(name: Any) -> str:
    return _cleaned(str(name))


# Records have the same few names again and again; a long one would take the place of many.
@lru_cache(maxsize=2048)
def _cleaned(name: str) -> str:
    return one_line(clean_text(name[:MAX_NAME_CHARS]))[:100]
