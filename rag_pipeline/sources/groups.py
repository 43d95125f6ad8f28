"""Groups of a source: from a file beside it, or from the source itself.

Belongs here: which of the two is asked, and what a file of groups means.
Does not belong here: how a kind of source says its own groups (its module), what is made of it (`refresh/`).

A file is taken as a whole or not at all: half of one would shut people out, and half a name may be somebody else's.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rag_pipeline.contracts.groups import MOST_MEMBERSHIPS, GroupsSpec, Membership, Memberships
from rag_pipeline.contracts.sources import KnowsGroups, Source
from rag_pipeline.errors import SettingsError, SourceUnavailable
from rag_pipeline.settings.bounded_yaml import MAX_BYTES as MOST_YAML_BYTES
from rag_pipeline.settings.bounded_yaml import read_yaml

# A million memberships of sixty characters each.
MOST_CSV_BYTES = 64 * 2**20
_COLUMNS = ("group", "member")
_KIND = "kind"
_KINDS = {"": False, "person": False, "group": True}


class _Malformed(ValueError):
    """A file that does not say who is in which group; the message is a sentence."""


def memberships_of(source: Source, spec: GroupsSpec) -> Memberships:
    """Who is in which group of a source now.

    Raises:
        SourceUnavailable: It cannot be told, as a whole; what was known stands.
        SettingsError: The settings say that the source itself is asked, and it knows no groups.
    """
    if spec.file is not None:
        found = _of_file(source.name, Path(spec.file))
    elif isinstance(source, KnowsGroups):
        found = source.memberships()
    else:
        raise SettingsError(f"sources.{source.name}.groups: this kind of source knows no groups; name a file")
    if len(found.memberships) > MOST_MEMBERSHIPS:
        raise _unavailable(source.name, f"they are more than {MOST_MEMBERSHIPS:,} memberships. Leave groups out")
    return found


def _of_file(name: str, path: Path) -> Memberships:
    is_csv = path.suffix.lower() == ".csv"
    try:
        text = _read(path, MOST_CSV_BYTES if is_csv else MOST_YAML_BYTES)
        return Memberships(tuple(_of_csv(text) if is_csv else _of_yaml(text, path.name)))
    except OSError as error:
        raise _unavailable(name, f"{path} cannot be read: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError as error:
        raise _unavailable(name, f"{path} is no text in UTF-8") from error
    except (_Malformed, csv.Error) as error:
        raise _unavailable(name, f"{path}: {error}") from error
    except SettingsError as error:
        raise _unavailable(name, error.message) from error


def _read(path: Path, most_bytes: int) -> str:
    if not stat.S_ISREG(path.stat().st_mode):
        # To open a pipe that nobody writes to would wait for ever.
        raise _Malformed("it is not an ordinary file")
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        raw = file.read(most_bytes + 1)
        after = os.fstat(file.fileno())
    if len(raw) > most_bytes:
        raise _Malformed(f"it is larger than {most_bytes:,} bytes; a CSV file may be up to {MOST_CSV_BYTES:,}")
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(raw) != after.st_size:
        raise _Malformed("it is being written; write it beside and rename it")
    return str(raw, "utf-8-sig")


def _of_yaml(text: str, where: str) -> Iterator[Membership]:
    groups = read_yaml(text, where)
    if not isinstance(groups, Mapping):
        # An empty file among them: it is what a writer that failed leaves.
        raise _Malformed("want a mapping from each group to its members, and {} where there is none")
    for group, said in groups.items():
        lists = {"members": said} if said is None or isinstance(said, list) else said
        if not isinstance(lists, Mapping) or not {*lists} <= {"members", "groups"}:
            raise _Malformed(f"{_shown(group)}: want a list of members, or `members` and `groups` with a list each")
        for key, is_group in (("members", False), ("groups", True)):
            for member in _listed(lists.get(key), f"{_shown(group)}.{key}"):
                yield Membership(group, member, is_group)


def _listed(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or any(isinstance(each, (list, dict)) for each in value):
        raise _Malformed(f"{where}: want a list of names")
    return value


def _of_csv(text: str) -> Iterator[Membership]:
    if not text.endswith("\n"):
        raise _Malformed("its last line has no end, so it may be cut in the middle of a name; end it with a line break")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [name.strip().lower() for name in next(rows, [])]
    if header not in ([*_COLUMNS], [*_COLUMNS, _KIND]):
        raise _Malformed(f"want the columns {', '.join(_COLUMNS)} and, if some members are groups, {_KIND}")
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise _Malformed(f"line {rows.line_num}: want {len(header)} values, got {len(row)}")
        kind = row[2].strip().lower() if len(row) > len(_COLUMNS) else ""
        if kind not in _KINDS:
            raise _Malformed(f"line {rows.line_num}: {_KIND} is {_shown(row[2])}; allowed: person, group")
        yield Membership(row[0].strip(), row[1].strip(), _KINDS[kind])


def _shown(value: object) -> str:
    return f"{value!r:.80}"


def _unavailable(name: str, reason: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"The groups of source {name} cannot be told: {reason}. What was known of them stands.", source=name
    )
