"""What a reader of a Word document sees of a paragraph: its runs as they look, pictures by what they show.

Belongs here: how runs look, by themselves and by their styles, and the text of one paragraph.
Does not belong here: headings and lists (`docx_styles`), and where the text goes (`docx`).

Left out and counted: hidden text, text struck through or deleted, and text in a colour or size that is not seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag_pipeline.parsing.containers.archives import child, local_attribute, local_name
from rag_pipeline.parsing.formulas import formula_text
from rag_pipeline.parsing.office.symbols import symbol
from rag_pipeline.parsing.raised import Piece, Shift, joined
from rag_pipeline.parsing.readings import BASE, END, READING, with_readings
from rag_pipeline.parsing.web.inline import picture_words

if TYPE_CHECKING:
    from lxml.etree import _Element

SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
SKIPPED = frozenset((
    "moveFrom", "instrText", "delText", "delInstrText", "pPr", "rPr", "tblPr", "tblGrid", "trPr", "tcPr", "sectPr",
    "fldData", "binData", "proofErr", "commentRangeStart", "commentRangeEnd", "annotationRef", "rt", "oMathParaPr",
))  # fmt: skip
GRAPHICS = frozenset({"chart", "relIds", "blip", "imagedata"})
# Properties of a drawing, the picture in it, and a picture of older programs.
_PICTURES = frozenset({"docPr", "blip", "imagedata"})
# Styles based on styles; a circle ends here.
MAX_STYLES = 30
_REFERENCES = {"footnoteReference": "footnotes", "endnoteReference": "endnotes", "commentReference": "comments"}
# In half points: a point is too small to be read.
_UNSEEN_SIZES = frozenset({"0", "1", "2"})
_OFF = frozenset({"0", "false", "off", "none"})
_SHIFTS: dict[str, Shift] = {"superscript": "sup", "subscript": "sub"}
# What a run says of itself beyond these, such as its font, changes nothing here.
_NOTICED = frozenset({"rStyle", "vanish", "strike", "dstrike", "vertAlign", "color", "sz", "shd", "highlight"})
_LOOKS = {"vanish": "run", "strike": "deletion", "dstrike": "deletion"}


@dataclass(slots=True)
class Look:
    """How text is formatted, as far as a reader notices; None where nothing is said.

    Attributes:
        said: Kinds of hiding to whether they are switched on.
        shift: Raised, lowered or neither.
        is_white: In the colour of the page.
        is_shaded: On another colour than the page's.
    """

    said: dict[str, bool] = field(default_factory=dict)
    shift: Shift | None = None
    is_white: bool | None = None
    is_tiny: bool | None = None
    is_shaded: bool = False

    def over(self, below: Look) -> Look:
        """This look, with what it leaves open from `below`."""
        return Look(
            below.said | self.said,
            below.shift if self.shift is None else self.shift,
            below.is_white if self.is_white is None else self.is_white,
            below.is_tiny if self.is_tiny is None else self.is_tiny,
            self.is_shaded or below.is_shaded,
        )

    def cause(self, is_on_white: bool) -> str:
        """Why a reader does not see the text; "" for what is seen."""
        cause = next((kind for kind, is_on in self.said.items() if is_on), "")
        return cause or ("style" if self.is_tiny or (self.is_white and is_on_white and not self.is_shaded) else "")


_PLAIN = Look()


@dataclass(slots=True)
class Gathered:
    """What stands in a paragraph.

    Attributes:
        boxes: Text boxes, charts and pictures, which make blocks of their own.
        notes: "kind:id" of the notes and comments referred to.
    """

    pieces: list[Piece] = field(default_factory=list)
    boxes: list[_Element] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text as it is read."""
        return with_readings(joined(self.pieces))


def _said(item: _Element) -> str:
    """What a picture's properties say that it shows."""
    return picture_words(item.get("descr") or item.get("alt") or local_attribute(item, "title"))


def caption_of(picture: _Element) -> str:
    """What is said of a picture: by itself, or by the frame that it is drawn in."""
    frame = next(picture.iterancestors("{*}inline", "{*}anchor"), None)
    properties = child(frame, "docPr") if frame is not None else None
    return _said(picture if properties is None else properties)


class Runs:
    """Reads the paragraphs of a document.

    Args:
        styles: All styles by id.
        document: The main story, whose pages may have another colour than white, or pictures behind the text.
        hidden: Gets what is left out.

    Attributes:
        hidden: What was left out, by the way of hiding.
        picture_chars: Characters that only describe pictures.
    """

    def __init__(self, styles: Mapping[str, _Element], document: _Element, hidden: Counter[str]) -> None:
        self.hidden = hidden
        self.picture_chars = 0
        self._styles = styles
        self._known: dict[str, Look] = {}
        behind = (anchor.get("behindDoc") in ("1", "true") for anchor in document.iter("{*}anchor"))
        self._has_white_pages = child(document, "background") is None and not any(behind)

    def read(self, paragraph: _Element) -> Gathered:
        """The text of a paragraph and what hangs on it."""
        found = Gathered()
        look = _PLAIN
        for item in _properties(paragraph, "pPr"):
            name = local_name(item)
            if name == "pStyle":
                style = self._style(local_attribute(item, "val") or "")
                look = style if look is _PLAIN else look.over(style)
            elif name == "shd":
                look = Look(is_shaded=True).over(look)
        self._gather(paragraph, found, look)
        return found

    def _gather(self, element: _Element, found: Gathered, look: Look) -> None:
        for item in element:
            name = local_name(item)
            if name == "r":
                self._run(item, found, look)
            elif name == "del":
                self.hidden["deletion"] += next(item.iter("{*}delText"), None) is not None
            elif name == "AlternateContent":
                # The fallback says the same for older programs; it is read only where nothing else is.
                choice, fallback = child(item, "Choice"), child(item, "Fallback")
                self._gather(choice if choice is not None else fallback if fallback is not None else item, found, look)
            elif name == "oMath":
                found.pieces.append((formula_text(item), ""))
            elif not self._sign(item, name, found, look) and name and name not in SKIPPED and name != "Fallback":
                self._gather(item, found, look)

    def _sign(self, item: _Element, name: str, found: Gathered, look: Look) -> bool:
        """Takes in what is no container; False for what is one."""
        if name == "t":
            found.pieces.append((item.text or "", look.shift or ""))
        elif name in SIGNS:
            if name != "br" or local_attribute(item, "type") not in ("page", "column"):
                found.pieces.append((SIGNS[name], ""))
        elif name in _PICTURES:
            self._picture(item, name, found)
        elif name == "txbxContent" or name in GRAPHICS:
            found.boxes.append(item)
        elif name == "ruby":
            self._ruby(item, found, look)
        elif name in _REFERENCES:
            found.notes.append(f"{_REFERENCES[name]}:{local_attribute(item, 'id')}")
        elif name == "sym":
            sign = symbol(local_attribute(item, "font") or "", local_attribute(item, "char") or "")
            self.hidden["symbol"] += not sign
            found.pieces.append((sign, look.shift or ""))
        else:
            return False
        return True

    def _picture(self, item: _Element, name: str, found: Gathered) -> None:
        """What a picture is said to show, in its line, and itself, beside it."""
        if name != "blip":
            words = _said(item)
            self.picture_chars += len(words)
            found.pieces.append((f" {words} " if words else "", ""))
        # What an embedded file looks like is no picture of the document.
        if name != "docPr" and next(item.iterancestors("{*}object"), None) is None:
            found.boxes.append(item)

    def _ruby(self, ruby: _Element, found: Gathered, look: Look) -> None:
        """Words, and the reading that stands above them, which the file names first."""
        for mark, name in ((BASE, "rubyBase"), (READING, "rt")):
            found.pieces.append((mark, ""))
            part = child(ruby, name)
            if part is not None:
                self._gather(part, found, look)
        found.pieces.append((END, ""))

    def _run(self, run: _Element, found: Gathered, below: Look) -> None:
        properties = _properties(run, "rPr")
        look = below
        if any(local_name(item) in _NOTICED for item in properties):
            look = self._look(properties).over(below)
        cause = ""
        if look is not _PLAIN:
            cause = look.cause(look.is_white is True and self._has_white_pages and _stands_on_page(run))
        if not cause:
            self._gather(run, found, look)
        elif run.find("{*}t") is not None:
            self.hidden[cause] += 1

    def _look(self, properties: Iterable[_Element]) -> Look:
        """How an `rPr` element says that text looks, the style that it names included."""
        look = Look()
        below = _PLAIN
        for item in properties:
            name, value = local_name(item), local_attribute(item, "val")
            if name == "rStyle":
                below = self._style(value or "")
            elif name in _LOOKS:
                look.said[_LOOKS[name]] = value not in _OFF or look.said.get(_LOOKS[name], False)
            elif name == "vertAlign":
                look.shift = _SHIFTS.get(value or "", "")
            elif name == "color":
                look.is_white = (value or "").lower() == "ffffff"
            elif name == "sz":
                look.is_tiny = value in _UNSEEN_SIZES
            elif name in ("shd", "highlight"):
                look.is_shaded = True
        return look.over(below)

    def _style(self, style_id: str) -> Look:
        if not style_id:
            return _PLAIN
        if style_id not in self._known:
            self._known[style_id] = self._resolved(style_id)
        return self._known[style_id]

    def _resolved(self, style_id: str) -> Look:
        look = Look()
        seen: list[str] = []
        while style_id in self._styles and style_id not in seen and len(seen) < MAX_STYLES:
            seen.append(style_id)
            element = self._styles[style_id]
            own, paragraph = child(element, "rPr"), child(element, "pPr")
            if own is not None:
                look = look.over(self._look(own))
            if paragraph is not None and child(paragraph, "shd") is not None:
                look.is_shaded = True
            based = child(element, "basedOn")
            style_id = (local_attribute(based, "val") or "") if based is not None else ""
        return look if look != _PLAIN else _PLAIN


def _properties(element: _Element, name: str) -> Sequence[_Element]:
    """What the first child says of a paragraph or run, where it is of this name; the schema allows no other place."""
    first = element[0] if len(element) else None
    return first if first is not None and local_name(first) == name else ()


def _stands_on_page(run: _Element) -> bool:
    """Whether nothing but the page itself can be behind a run: no cell, box or shape."""
    names: Iterable[str] = (local_name(ancestor) for ancestor in run.iterancestors())
    return not any(name in ("tc", "txbxContent", "textbox") for name in names)


def is_hidden_row(row: _Element) -> bool:
    """Whether a table row is formatted as hidden, or deleted while changes are tracked."""
    properties = child(row, "trPr")
    for item in properties if properties is not None else ():
        if local_name(item) in ("hidden", "del"):
            return local_attribute(item, "val") not in _OFF
    return False
