"""What people said which label some documents have: the file that an enrichment names as `labelled`.

Belongs here: reading that file.
Does not belong here: comparing it with what was read (`transforms/agreement.py`).
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from io import StringIO
from pathlib import Path

from rag_pipeline.contracts.enrichments import NO_LABEL
from rag_pipeline.errors import SettingsError

COLUMNS = ("uri", "label")
# A hundred thousand lines: nobody labels more by hand, and a table of something else is not read whole.
MOST_BYTES = 10 * 2**20


def read_labelled(setting: str, path: Path, labels: Collection[str]) -> dict[str, frozenset[str]]:
    """Labels by address: the uri of a document, or its end by whole path segments.

    Args:
        setting: Path of the setting that names the file, for messages.
        labels: Those that the enrichment gives.

    Raises:
        SettingsError: The file is not there or no such table, or says a label that there is not.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SettingsError(f"{setting}: {path} is larger than {MOST_BYTES // 2**20} MiB; label fewer documents")
        # A spreadsheet begins it with a mark of byte order.
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{setting}: {path} cannot be read as text: {error}") from error
    try:
        rows = list(csv.DictReader(StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise SettingsError(f"{setting}: {path} is no table in CSV: {error}") from error
    found: dict[str, set[str]] = {}
    for number, row in enumerate(rows, start=2):
        address, label = ((row.get(column) or "").strip() for column in COLUMNS)
        if not address and not label:
            continue
        if not address or (label not in labels and label != NO_LABEL):
            allowed = ", ".join([*sorted(labels), NO_LABEL])
            raise SettingsError(
                f"{setting}: {path}, row {number}: want the columns uri and label, a document and one of its labels: "
                f"{allowed}"
            )
        found.setdefault(address.lstrip("/"), set()).add(label)
    if not found:
        raise SettingsError(f"{setting}: {path} labels nothing; want a table with the columns uri and label")
    return {address: frozenset(each) for address, each in found.items()}
