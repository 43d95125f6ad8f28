"""What the metadata says of pages that were read from pictures, and of those that were not.

Belongs here: the names of these facts. Does not belong here: what is left out in general (`transforms/left_out.py`).
"""

from __future__ import annotations

from rag_pipeline.parsing.ocr.lines import Line, confidence
from rag_pipeline.parsing.ocr.options import ENGINE, ENGINE_VERSION

# Fits a column; how many there are is counted.
MAX_PAGES_NAMED = 50


def read_facts(pages: list[int], lines: list[Line]) -> dict[str, str]:
    """What the metadata says of pages whose text was read from pictures."""
    return {
        "ocr": f"{ENGINE} {ENGINE_VERSION}",
        "ocr_pages": ",".join(map(str, pages[:MAX_PAGES_NAMED])),
        "ocr_pages_count": str(len(pages)),
        "ocr_confidence": f"{confidence(lines):.2f}",
    }


def lacking_facts(failures: list[str], unsure_lines: int) -> dict[str, str]:
    """What the metadata says of pages that the engine failed on, and of lines that were left out."""
    facts = {"ocr_failures_count": str(len(failures)), "ocr_failure": failures[0]} if failures else {}
    return facts | ({"ocr_unsure_lines_count": str(unsure_lines)} if unsure_lines else {})


def unread_facts(pages: list[int]) -> dict[str, str]:
    """What the metadata says of pages without text that show pictures."""
    return {
        "pages_needing_ocr_count": str(len(pages)),
        "pages_needing_ocr": ",".join(map(str, pages[:MAX_PAGES_NAMED])),
    }
