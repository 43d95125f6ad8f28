"""Small PDFs made in code beyond lines of text: turned text, any script, tags, and files within."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rag_pipeline_tests.parsing.office_files import pdf, stream

CATALOG = b"<</Type/Catalog/Pages 2 0 R%b>>"
PAGES = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"

Placed = tuple[int, float, float, str]


@dataclass(frozen=True)
class Tag:
    """An element of a structure tree: role, elements and numbers of marked contents below it, and what it shows."""

    role: str
    kids: Sequence[Tag | int]
    alt: str = ""


def page_pdf(
    content: bytes, *more: bytes, catalog: bytes = b"", page: bytes = b"", size: tuple[int, int] = (612, 792)
) -> bytes:
    """One page with this content; further objects are numbered from 6."""
    return pdf(
        [
            CATALOG % catalog,
            PAGES,
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Resources<</Font<</F 5 0 R>>>>/Contents 4 0 R%b>>"
            % (*size, page),
            stream(content),
            FONT,
            *more,
        ]
    )


def pages_pdf(contents: Sequence[bytes]) -> bytes:
    """A page for each content."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * index) for index in range(len(contents)))
    objects = [CATALOG % b"", b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(contents)), FONT]
    for index, content in enumerate(contents):
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F 3 0 R>>>>/Contents %d 0 R>>"
            % (5 + 2 * index)
        )
        objects.append(stream(content))
    return pdf(objects)


def turned_text(angle: int, lines: Sequence[str], left: float, bottom: float, points: int = 11) -> bytes:
    """Lines that run at `angle` degrees against the page, the first from (left, bottom)."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    lead = 1.3 * points
    return b"".join(
        b"BT /F %d Tf %.4f %.4f %.4f %.4f %.2f %.2f Tm (%b) Tj ET\n"
        % (
            points,
            cosine,
            sine,
            -sine,
            cosine,
            left + number * lead * sine,
            bottom - number * lead * cosine,
            line.encode("cp1252"),
        )
        for number, line in enumerate(lines)
    )


def glyph_pdf(lines: Sequence[Sequence[str]], right: int = 0, page: bytes = b"") -> bytes:
    """Lines of glyphs in the order in which they are drawn, each with the text that it stands for.

    Lines begin at the left, or end at `right` points.
    """
    codes: dict[str, int] = {}
    content = b""
    for number, glyphs in enumerate(lines):
        drawn = "".join(f"{codes.setdefault(glyph, len(codes) + 1):04X}" for glyph in glyphs)
        left = right - 6 * len(glyphs) if right else 72
        content += b"BT /F 12 Tf %d %d Td <%b> Tj ET\n" % (left, 700 - 16 * number, drawn.encode())
    pairs = b"".join(b"<%04X> <%b>\n" % (code, text.encode("utf-16-be").hex().encode()) for text, code in codes.items())
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def "
        b"1 begincodespacerange <0000> <FFFF> endcodespacerange %d beginbfchar\n%bendbfchar endcmap end end"
        % (len(codes), pairs)
    )
    return pdf(
        [
            CATALOG % b"",
            PAGES,
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F 5 0 R>>>>/Contents 4 0 R%b>>" % page,
            stream(content),
            b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[6 0 R]/ToUnicode 8 0 R>>",
            b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/FontDescriptor 7 0 R/DW 500"
            b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>",
            b"<</Type/FontDescriptor/FontName/X/Flags 4/FontBBox[0 -200 1000 800]/ItalicAngle 0/Ascent 800"
            b"/Descent -200/CapHeight 700/StemV 80>>",
            stream(cmap),
        ]
    )


def drawn_from_the_left(text: str, ligatures: Sequence[str] = ()) -> list[str]:
    """The glyphs of a right-to-left line from the left; marks and these ligatures are one glyph with their letter."""
    glyphs: list[str] = []
    position = 0
    while position < len(text):
        ligature = next((each for each in ligatures if text.startswith(each, position)), text[position])
        if glyphs and unicodedata.combining(ligature[0]):
            glyphs[-1] += ligature
        else:
            glyphs.append(ligature)
        position += len(ligature)
    return glyphs[::-1]


def pdf_with_files(
    files: Sequence[tuple[str, bytes]], clip: tuple[str, bytes] | None = None, content: bytes | None = None
) -> bytes:
    """A cover page with embedded files, and one pinned to the page."""
    objects: list[bytes] = []
    names = b""
    for name, data in [*files, *([clip] if clip else [])]:
        number = 6 + len(objects)
        encoded = b"<feff%b>" % name.encode("utf-16-be").hex().encode()
        objects += [
            b"<</Type/Filespec/F%b/UF%b/EF<</F %d 0 R>>>>" % (encoded, encoded, number + 1),
            stream(data, b"/Type/EmbeddedFile"),
        ]
        names += b"%b %d 0 R " % (encoded, number) if len(objects) <= 2 * len(files) else b""
    page = b""
    if clip:
        number = 6 + len(objects)
        objects.append(b"<</Type/Annot/Subtype/FileAttachment/Rect[10 10 30 30]/FS %d 0 R>>" % (number - 2))
        page = b"/Annots[%d 0 R]" % number
    shown = b"BT /F 12 Tf 72 700 Td (Cover letter of the harbour) Tj ET" if content is None else content
    return page_pdf(shown, *objects, catalog=b"/Names<</EmbeddedFiles<</Names[%b]>>>>" % names, page=page)


def marked(number: int | None, *lines: tuple[int, int, int, str], artifact: bytes = b"") -> bytes:
    """Lines of (points, left, bottom, text) as marked content of a number, or as an artifact."""
    drawn = b"".join(
        b"BT /F %d Tf %d %d Td (%b) Tj ET\n" % (points, left, bottom, text.encode("cp1252"))
        for points, left, bottom, text in lines
    )
    return (
        (b"/Artifact %b BDC\n" % artifact if number is None else b"/P <</MCID %d>> BDC\n" % number) + drawn + b"EMC\n"
    )


def tagged_pdf(content: bytes, tags: Sequence[Tag]) -> bytes:
    """One page whose marked contents have these roles."""
    objects: list[bytes] = []
    owners: dict[int, int] = {}
    first = 8

    def add(tag: Tag, parent: int) -> int:
        place = len(objects)
        objects.append(b"")
        kids = [b"%d 0 R" % add(kid, first + place) if isinstance(kid, Tag) else b"%d" % kid for kid in tag.kids]
        owners.update((kid, first + place) for kid in tag.kids if isinstance(kid, int))
        alt = b"/Alt(%b)" % tag.alt.encode("cp1252") if tag.alt else b""
        objects[place] = b"<</Type/StructElem/S/%b/P %d 0 R/Pg 3 0 R/K[%b]%b>>" % (
            tag.role.encode(),
            parent,
            b" ".join(kids),
            alt,
        )
        return first + place

    roots = b" ".join(b"%d 0 R" % add(tag, 6) for tag in tags)
    by_number = b" ".join(
        b"%d 0 R" % owners[number] if number in owners else b"null" for number in range(max(owners, default=-1) + 1)
    )
    return page_pdf(
        content,
        b"<</Type/StructTreeRoot/K[%b]/ParentTree 7 0 R/ParentTreeNextKey 1>>" % roots,
        b"<</Nums[0 [%b]]>>" % by_number,
        *objects,
        catalog=b"/MarkInfo<</Marked true>>/StructTreeRoot 6 0 R",
        page=b"/StructParents 0",
    )
