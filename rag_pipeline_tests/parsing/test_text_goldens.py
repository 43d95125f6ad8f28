"""Each text format's parser gives exactly what the golden file beside its input shows.

Goldens are written by running with RAG_PIPELINE_WRITE_GOLDENS=1. The recipe version is part of a golden, so
changed output under an unchanged version shows in review.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rag_pipeline.parsing import ParseLimits, media_type_of, parse, recipe_version
from rag_pipeline_tests.parsing.rendering import check_invariants, render

GOLDEN = Path(__file__).parent / "golden"
INPUTS = sorted(GOLDEN.glob("*.input"))


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name.removesuffix(".input"))
def test_a_small_document_parses_to_its_golden(path: Path) -> None:
    address = path.name.removesuffix(".input")
    raw = path.read_bytes()
    media_type = media_type_of(address, raw)
    documents = parse(raw, media_type, address, ParseLimits())
    check_invariants(documents)
    shown = f"{media_type} {recipe_version(media_type)}\n{render(documents)}"
    golden = path.with_suffix(".golden")
    if os.environ.get("RAG_PIPELINE_WRITE_GOLDENS"):
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name.removesuffix(".input"))
def test_windows_line_ends_change_nothing(path: Path) -> None:
    address = path.name.removesuffix(".input")
    raw = path.read_bytes()
    media_type = media_type_of(address, raw)
    assert render(parse(raw.replace(b"\n", b"\r\n"), media_type, address, ParseLimits())) == render(
        parse(raw, media_type, address, ParseLimits())
    )


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name.removesuffix(".input"))
def test_utf_16_with_a_mark_changes_nothing(path: Path) -> None:
    if path.name.endswith(".xml.input"):
        pytest.skip("XML declares its own encoding")
    address = path.name.removesuffix(".input")
    raw = path.read_bytes()
    media_type = media_type_of(address, raw)
    wide = raw.decode().encode("utf-16")
    assert media_type_of(address, wide) == media_type
    assert render(parse(wide, media_type, address, ParseLimits())) == render(
        parse(raw, media_type, address, ParseLimits())
    )
