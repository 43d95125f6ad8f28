"""What the tags of a PDF say of a page: which text is a heading, an item, a cell or pagination, what pictures show.

Belongs here: reading the structure tree and the text that it points to.
Does not belong here: whether tags are to be believed, and what they change (`roles`).
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from ctypes import POINTER, Array, c_char, c_float, c_ulong, c_ushort, cast, create_string_buffer, string_at
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rag_pipeline.parsing.web.inline import picture_words

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfTextPage

# A page of a large table has five thousand.
MAX_ELEMENTS = 20_000
MAX_DEPTH = 60
# Each costs a look through the page's letters.
MAX_TEXTS = 3_000
MAX_OBJECTS = 50_000
# Heads and feet are drawn before all else or after it.
MARGIN_OBJECTS = 150

# Of the height of letters.
WORD_GAP = 0.25

# Roles of headings, and how deep they stand.
_LEVELS = {"H": 1, "Title": 1, **{f"H{level}": level for level in range(1, 7)}}
_PICTURES = frozenset({"Figure", "Formula"})
_WANTED = _PICTURES | {"LI", *_LEVELS}
_ROW_GROUPS = frozenset({"THead", "TBody", "TFoot"})
_CELLS = frozenset({"TH", "TD"})
# Names of roles are short; a paragraph fits into two thousand letters.
_NAME_BYTES = 128
_TEXT_BYTES = 4_000


Shape = tuple[int, int]
"""Rows and columns of a table."""
Box = tuple[float, float, float, float]
"""Left, lower, right and upper edge in points."""


@dataclass(slots=True)
class Part:
    """An element of the structure tree: its role, what it is said to show, and its parts and marked contents."""

    role: str
    alt: str = ""
    kids: list[Part | int] = field(default_factory=list)
    # A cell whose content is not looked at yet.
    element: Any = None


@dataclass(slots=True)
class Mark:
    """Text outside the structure: its place from the upper edge as share of the page, and whether it is pagination."""

    text: str
    top: float
    is_pagination: bool


@dataclass(slots=True)
class PageTags:
    """What the tags of one page say.

    Attributes:
        headings: Level from 1 and text, in the order of the structure.
        items: Texts of list items.
        tables: Rows of cells, and how many of the first rows name the columns; of known tables the cells are empty.
        pictures: What a picture shows, and its upper edge as share of the page, 1.0 if unknown.
        artifacts: Text that is said to be no content.
        texts, tagged: How many objects were looked at, and how many of them are marked as content or as none.
    """

    headings: list[tuple[int, str]] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    tables: list[tuple[list[list[str]], int]] = field(default_factory=list)
    pictures: list[tuple[str, float]] = field(default_factory=list)
    artifacts: list[Mark] = field(default_factory=list)
    texts: int = 0
    tagged: int = 0

    @property
    def says_nothing(self) -> bool:
        """Whether no part has a role that was not seen without tags."""
        has_tables = any(cell for rows, _ in self.tables for row in rows for cell in row)
        return not (self.headings or self.items or has_tables or self.pictures or self.artifacts)


def is_tagged(document: PdfDocument) -> bool:
    """Whether the file says that its pages have tags."""
    from pypdfium2 import raw as pdfium

    return bool(pdfium.FPDFCatalog_IsTagged(document.raw))


def read_tags(textpage: PdfTextPage, known: Set[Shape]) -> PageTags | None:
    """The tags of an upright page; None for a page without, or one that is turned.

    Args:
        known: Tables that layout found, whose cells need not be read.
    """
    from pypdfium2 import raw as pdfium

    page = textpage.page
    if page.get_rotation():
        return None
    tree = pdfium.FPDF_StructTree_GetForPage(page.raw)
    if not tree:
        return None
    try:
        reader = _Reader(textpage)
        elements = (
            pdfium.FPDF_StructTree_GetChildAtIndex(tree, index)
            for index in range(min(pdfium.FPDF_StructTree_CountChildren(tree), MAX_ELEMENTS))
        )
        document = Part("Document")
        for element in elements:
            if element and (part := reader.part(element, 0, False, known)) is not None:
                document.kids.append(part)
        return reader.read(document, known)
    finally:
        pdfium.FPDF_StructTree_Close(tree)


class _Reader:
    """Reads one page; `found` grows by every part that is taken."""

    def __init__(self, textpage: PdfTextPage) -> None:
        from pypdfium2 import raw as pdfium

        self._pdfium: Any = pdfium
        self._textpage: Any = textpage.raw
        self._left_elements, self._left_texts = MAX_ELEMENTS, MAX_TEXTS
        self._buffer = create_string_buffer(_TEXT_BYTES)
        self._letters = cast(self._buffer, POINTER(c_ushort))
        page = textpage.page
        _, bottom, _, self._upper = page.get_cropbox()
        self._height = max(1.0, self._upper - bottom)
        self.found = PageTags()
        self._texts: dict[int, list[Any]] = {}
        self._others: dict[int, list[Any]] = {}
        self._artifacts: list[tuple[Any, bool]] = []
        self._page = page.raw

    def read(self, document: Part, known: Set[Shape]) -> PageTags:
        """What the parts of the page say, with the text that they point to."""
        self._sort_objects(set(_wanted(document, known)))
        self._take(document, known)
        self.found.artifacts = [
            Mark(self._object_text(item), self._edge(item), is_pagination) for item, is_pagination in self._artifacts
        ]
        return self.found

    def _sort_objects(self, wanted: set[int]) -> None:
        pdfium = self._pdfium
        count = min(pdfium.FPDFPage_CountObjects(self._page), MAX_OBJECTS)
        far = 0 if wanted else max(0, count - 2 * MARGIN_OBJECTS)
        # A page has thousands of objects.
        object_at, number_of, page, found = (
            pdfium.FPDFPage_GetObject, pdfium.FPDFPageObj_GetMarkedContentID, self._page, self.found,
        )  # fmt: skip
        for index in range(count - far):
            item = object_at(page, index if index < MARGIN_OBJECTS else index + far)
            number = number_of(item)
            if number >= 0 and number not in wanted:
                found.texts += 1
                found.tagged += 1
                continue
            is_text = pdfium.FPDFPageObj_GetType(item) == pdfium.FPDF_PAGEOBJ_TEXT
            found.texts += is_text
            if number >= 0:
                found.tagged += is_text
                (self._texts if is_text else self._others).setdefault(number, []).append(item)
            elif is_text and (is_pagination := self._is_pagination(item)) is not None:
                found.tagged += 1
                self._artifacts.append((item, is_pagination))

    def _is_pagination(self, item: Any) -> bool | None:
        """Whether an artifact is pagination, which alone has a subtype; None for what is no artifact."""
        for index in range(self._pdfium.FPDFPageObj_CountMarks(item)):
            mark = self._pdfium.FPDFPageObj_GetMark(item, index)
            if self._name(mark) == "Artifact":
                # PDFium tells no names, so that the type itself cannot be had.
                return bool(self._pdfium.FPDFPageObjMark_GetParamValueType(mark, b"Subtype"))
        return None

    def _name(self, mark: Any) -> str:
        length = c_ulong()
        got = self._pdfium.FPDFPageObjMark_GetName(mark, self._letters, _NAME_BYTES, length)
        if not got or not 2 <= length.value <= _NAME_BYTES:
            return ""
        return string_at(self._buffer, length.value - 2).decode("utf-16-le", "replace")

    def part(self, element: Any, depth: int, is_wanted: bool, known: Set[Shape]) -> Part | None:
        """The element with all below it, as far as it is bounded.

        Args:
            is_wanted: The marked contents below it are, too.
        """
        if depth > MAX_DEPTH or self._left_elements <= 0:
            return None
        self._left_elements -= 1
        part = Part(_asked(self._pdfium.FPDF_StructElement_GetType, element, self._buffer))
        if part.role in _CELLS:
            part.element = element
            return part
        if part.role in _PICTURES:
            part.alt = _asked(self._pdfium.FPDF_StructElement_GetAltText, element, self._buffer)
        rows = self._known_rows(element, known) if part.role == "Table" and known else frozenset()
        self._fill(part, element, depth, is_wanted or part.role in _WANTED, known, rows)
        if part.role == "Table" and not rows:
            shape = _shape(part)
            for cell in (cell for row in _cells(part) for cell in row if shape is None or shape not in known):
                self._fill(cell, cell.element, depth + 2, shape is not None, known)
        return part

    def _known_rows(self, table: Any, known: Set[Shape]) -> Set[int]:
        """Places of the rows of a known table, of which nothing is asked: by how much is in each, and not by cells."""
        pdfium = self._pdfium
        columns: dict[int, int] = {}
        for index in range(min(pdfium.FPDF_StructElement_CountChildren(table), MAX_ELEMENTS)):
            # What stands on another page is none here.
            if row := pdfium.FPDF_StructElement_GetChildAtIndex(table, index):
                role = _asked(pdfium.FPDF_StructElement_GetType, row, self._buffer)
                if role in _ROW_GROUPS:
                    return frozenset()
                if role == "TR":
                    columns[index] = pdfium.FPDF_StructElement_CountChildren(row)
        counts = set(columns.values())
        return columns.keys() if len(counts) == 1 and (len(columns), counts.pop()) in known else frozenset()

    def _fill(
        self,
        part: Part,
        element: Any,
        depth: int,
        is_wanted: bool,
        known: Set[Shape],
        without: Set[int] = frozenset(),
    ) -> None:
        pdfium = self._pdfium
        for index in range(min(pdfium.FPDF_StructElement_CountChildren(element), MAX_ELEMENTS)):
            if index in without:
                continue
            child = pdfium.FPDF_StructElement_GetChildAtIndex(element, index)
            if child:
                if (below := self.part(child, depth + 1, is_wanted, known)) is not None:
                    part.kids.append(below)
            elif is_wanted and (number := pdfium.FPDF_StructElement_GetChildMarkedContentID(element, index)) >= 0:
                part.kids.append(number)

    def _take(self, part: Part, known: Set[Shape]) -> None:
        """Adds to `found` what the part and those below it say."""
        if part.role in _LEVELS:
            if text := self._text(part):
                self.found.headings.append((_LEVELS[part.role], text))
        elif part.role == "Table" and (shape := _shape(part)):
            rows = [[self._text(cell) if shape not in known else "" for cell in row] for row in _cells(part)]
            heads = [all(cell.role == "TH" for cell in row) for row in _cells(part)]
            self.found.tables.append((rows, heads.index(False) if False in heads else 0))
        elif part.role == "LI":
            if text := self._text(part, without="L"):
                self.found.items.append(text)
        elif part.role in _PICTURES and (said := picture_words(part.alt)):
            self.found.pictures.append((said, self._top(part)))
        for kid in part.kids:
            if isinstance(kid, Part):
                self._take(kid, known)

    def _text(self, part: Part, without: str = "") -> str:
        said: list[str] = []
        before: Box | None = None
        for item in (item for number in _numbers(part, without) for item in self._texts.get(number, ())):
            box = self._box(item)
            said += (" " if before and box and _is_apart(before, box) else "", self._object_text(item))
            before = box or before
        return " ".join("".join(said).split())

    def _object_text(self, item: Any) -> str:
        if self._left_texts <= 0:
            return ""
        self._left_texts -= 1
        length = self._pdfium.FPDFTextObj_GetText(item, self._textpage, self._letters, _TEXT_BYTES)
        return string_at(self._buffer, length - 2).decode("utf-16-le", "replace") if 2 < length <= _TEXT_BYTES else ""

    def _top(self, part: Part) -> float:
        items = (item for number in _numbers(part) for item in self._others.get(number, ()))
        return min(map(self._edge, items), default=1.0)

    def _edge(self, item: Any) -> float:
        """The middle of an object of text, or the upper edge of another, as share of the page's height."""
        box = self._box(item)
        if box is None:
            return 1.0
        is_text = self._pdfium.FPDFPageObj_GetType(item) == self._pdfium.FPDF_PAGEOBJ_TEXT
        at = (box[3] + box[1]) / 2 if is_text else box[3]
        return float(min(1.0, max(0.0, (self._upper - at) / self._height)))

    def _box(self, item: Any) -> Box | None:
        left, bottom, right, top = c_float(), c_float(), c_float(), c_float()
        if not self._pdfium.FPDFPageObj_GetBounds(item, left, bottom, right, top):
            return None
        return left.value, bottom.value, right.value, top.value


def _is_apart(before: Box, box: Box) -> bool:
    """Whether an object of text begins another line, or another word of the same one."""
    height = max(before[3] - before[1], box[3] - box[1])
    is_beside = min(before[3], box[3]) - max(before[1], box[1]) > 0
    return not is_beside or box[0] - before[2] > WORD_GAP * height or box[2] < before[0]


def _asked(ask: Any, element: Any, buffer: Array[c_char]) -> str:
    length = ask(element, buffer, _TEXT_BYTES)
    return (
        string_at(buffer, length - 2).decode("utf-16-le", "replace").rstrip("\0") if 2 < length <= _TEXT_BYTES else ""
    )


def _numbers(part: Part, without: str = "") -> Iterator[int]:
    """The marked contents of a part in order, but for parts of the role `without`."""
    for kid in part.kids:
        if isinstance(kid, int):
            yield kid
        elif kid.role != without:
            yield from _numbers(kid, without)


def _wanted(part: Part, known: Set[Shape]) -> Iterator[int]:
    """The marked contents whose text, or whose place, is to be known."""
    is_table = part.role == "Table" and (shape := _shape(part)) is not None and shape not in known
    if part.role in _LEVELS or part.role == "LI" or is_table or (part.role in _PICTURES and part.alt):
        yield from _numbers(part)
        return
    for kid in part.kids:
        if isinstance(kid, Part):
            yield from _wanted(kid, known)


def _shape(table: Part) -> Shape | None:
    """Rows and columns of a table; None unless all rows have the same columns, of which there are several."""
    lengths = [len(row) for row in _cells(table)]
    return (len(lengths), lengths[0]) if len(lengths) > 1 and lengths[0] > 1 and len(set(lengths)) == 1 else None


def _cells(table: Part) -> list[list[Part]]:
    return [[cell for cell in row.kids if isinstance(cell, Part) and cell.role in _CELLS] for row in _rows(table)]


def _rows(table: Part) -> Iterator[Part]:
    for kid in table.kids:
        if isinstance(kid, Part):
            if kid.role == "TR":
                yield kid
            elif kid.role in _ROW_GROUPS:
                yield from _rows(kid)
