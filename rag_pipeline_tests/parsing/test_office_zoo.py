"""Real files of the binary formats: the phrase each must hold, the reason each must be refused for."""

from __future__ import annotations

import csv
import re
import unicodedata
from typing import Any

import pytest

from rag_pipeline.errors import DocumentError
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.ocr.options import OcrOptions
from rag_pipeline_tests.extras import needs
from rag_pipeline_tests.parsing.rendering import check_invariants
from rag_pipeline_tests.paths import SHARED

ZOO = SHARED / "corpora" / "format_zoo"
FORMATS = re.compile("html?|pdf|docx?|pptx?|xlsx|xlsm|xls|od[tps]|epub|rtf|eml|msg|png|jpg|tif")
LEAST_SHARE = 0.98
REASONS = {"ocr": "needs_ocr", "empty": "empty"}


def rows() -> list[dict[str, Any]]:
    manifest = ZOO / "manifest.csv"
    if not manifest.is_file():
        return []
    with manifest.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if FORMATS.fullmatch(row["format"])]


def folded(text: str, is_loose: bool) -> str:
    return re.sub(r"[\W_]" if is_loose else r"\s", "", unicodedata.normalize("NFKC", text).lower())


def outcome(row: dict[str, Any], ocr: OcrOptions | None = None) -> tuple[str, str]:
    """(text, "") of a file that was read, or ("", code)."""
    raw = (ZOO / row["path"]).read_bytes()
    try:
        documents = parse(raw, media_type_of(row["path"], raw), row["path"], ParseLimits(), ocr)
    except DocumentError as error:
        return "", error.code
    check_invariants(documents)
    return "\n".join(document.text for document in documents), ""


@pytest.mark.slow
@pytest.mark.skipif(not ZOO.is_dir(), reason="needs the format zoo beside the repository")
def test_real_files_hold_their_phrases_or_say_why_not() -> None:
    missing = []
    for row in rows():
        text, code = outcome(row)
        if row["expect"] != "text":
            assert code == REASONS[row["expect"]], row["path"]
            continue
        is_loose = "dropping punctuation" in row["special"]
        if folded(row["key_phrase"], is_loose) not in folded(text, is_loose):
            missing.append(row["path"])
    texts = sum(row["expect"] == "text" for row in rows())
    assert len(missing) <= (1 - LEAST_SHARE) * texts, missing


@pytest.mark.slow
@pytest.mark.skipif(not ZOO.is_dir(), reason="needs the format zoo beside the repository")
def test_scans_become_documents_where_text_is_missing_and_files_with_text_stay() -> None:
    needs("rapidocr", "the extra `ocr` is not installed")
    scans = [row for row in rows() if row["expect"] == "ocr"]
    assert len(scans) >= 9
    for row in scans:
        text, code = outcome(row, OcrOptions())
        assert not code, row["path"]
        assert folded(row["key_phrase"], is_loose=False) in folded(text, is_loose=False), row["path"]
    for row in rows():
        if row["expect"] == "text" and row["format"] in ("docx", "pptx", "odt", "odp", "epub", "html"):
            assert outcome(row, OcrOptions()) == outcome(row), row["path"]
