"""What a reader sees on a PDF page but its text does not hold: filled-in form fields and written remarks.

Belongs here: which fields and annotations count, and their words as pieces.
Does not belong here: opening files (`pdf`), layout (`layout`), fields that are drawings such as check marks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag_pipeline.parsing.builder import one_line
from rag_pipeline.parsing.decode import clean_again
from rag_pipeline.parsing.pdf.layout import Piece
from rag_pipeline.parsing.pdf.witness import letters

if TYPE_CHECKING:
    from liteparse.types import ParsedPage

# A remark of ten pages; more is a file that somebody pasted.
MAX_REMARK_CHARS = 20_000
# Longer names of fields are sentences of help.
MAX_NAME_CHARS = 80
# A page with more is a drawing.
MAX_PER_PAGE = 2_000

_TYPED_FIELDS = frozenset({"text", "combobox", "listbox"})
# A popup repeats its parent, a link's contents describe it, and a widget is a field.
_REMARKS = frozenset({"freetext", "text", "highlight", "underline", "squiggly", "strikeout", "stamp", "caret"})


def form_pieces(page: ParsedPage, text: str) -> list[Piece]:
    """The page's filled-in fields as one piece, `name: value` where the field has a name for people, then remarks.

    Args:
        text: The page's own text; what stands there already is left out.
    """
    known = letters(text)
    lines = list(dict.fromkeys(line for line, value in _fields(page) if letters(value) not in known))
    pieces = [Piece("field", "\n".join(lines), page.page_num)] if lines else []
    remarks = dict.fromkeys(remark for remark in _remarks(page) if letters(remark) not in known)
    return pieces + [Piece("paragraph", remark, page.page_num) for remark in remarks]


def _fields(page: ParsedPage) -> Iterator[tuple[str, str]]:
    """(line, value) of each field that somebody typed into or chose from."""
    for field in (page.form_fields or ())[:MAX_PER_PAGE]:
        value = _words(field.value) if field.type in _TYPED_FIELDS else ""
        if not letters(value):
            continue
        name = one_line(clean_again(field.alternate_name or ""))
        yield (f"{name}: {value}" if 0 < len(name) <= MAX_NAME_CHARS else value), value


def _remarks(page: ParsedPage) -> Iterator[str]:
    for annotation in (page.annotations or ())[:MAX_PER_PAGE]:
        words = _words(annotation.contents) if annotation.subtype in _REMARKS else ""
        if letters(words):
            yield words


def _words(text: str | None) -> str:
    lines = clean_again((text or "")[:MAX_REMARK_CHARS]).split("\n")
    return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)
