"""Real files of every text format: each holds the phrase its manifest names, with sound spans."""

from __future__ import annotations

import csv
import re
import unicodedata
from typing import Any

import pytest

from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline_tests.parsing.rendering import check_invariants
from rag_pipeline_tests.paths import SHARED

ZOO = SHARED / "corpora" / "format_zoo"
FORMATS = re.compile(
    "md|asciidoc|rst|org|tex|txt|csv|tsv|json|ndjson|jsonl|yaml|n?xml|ipynb|vtt|srt|java|tsx|rs|py|go|js|sql|c|sh"
)
# Their phrases include the quotation marks of the JSON source, which readable text does not keep.
QUOTED_JSON = frozenset({"ipynb/markitdown__test_notebook.ipynb", "json/unstructured__spring-weather.html.json"})


def rows() -> list[dict[str, Any]]:
    manifest = ZOO / "manifest.csv"
    if not manifest.is_file():
        return []
    with manifest.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if FORMATS.fullmatch(row["format"]) and row["expect"] == "text"]


def folded(text: str) -> str:
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text).lower())


@pytest.mark.skipif(not ZOO.is_dir(), reason="needs the format zoo beside the repository")
def test_the_zoo_has_files_of_the_text_formats() -> None:
    assert len(rows()) > 50


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["path"])
def test_a_real_file_holds_its_key_phrase(row: dict[str, Any]) -> None:
    raw = (ZOO / row["path"]).read_bytes()
    documents = parse(raw, media_type_of(row["path"], raw[:4096]), row["path"], ParseLimits())
    check_invariants(documents)
    phrase = folded(row["key_phrase"])
    if row["path"] in QUOTED_JSON:
        phrase = phrase.strip('"').rpartition('":"')[2]
    texts = [document.text for document in documents] + [document.title or "" for document in documents]
    assert phrase in folded("\n".join(texts))
