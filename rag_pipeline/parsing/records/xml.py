"""XML of any vocabulary: articles as headings and paragraphs, data as `name: value` lines.

Belongs here: one walk that tells prose from data by the elements themselves.
Does not belong here: XHTML (`web/html.py`) and office formats, which are XML inside archives.

Entities are never expanded and nothing outside the file is read.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import LimitExceeded, UndecodableBytes, UnparsableDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.containers.archives import xml_parser
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import clean_text, decode
from rag_pipeline.parsing.tabular import table_lines

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = "5"


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_TITLES = _set("title article-title invention-title heading head subtitle book-title chapter-title h1 h2 h3 h4 h5 h6")
_PROSE = _set("p para simpara li listitem item-text dd dt td entry quote disp-quote caption abstract note")
_CODE = _set("programlisting screen code-block codeblock pre literallayout listing code")
# Elements whose parts only make sense together, on one line.
_JOINED = _set(
    "ref element-citation mixed-citation citation nlm-citation contrib name person-group aff pub-date date "
    "bibl biblioentry author-notes history address patcit nplcit figref inventor addressbook"
)
_SKIPPED = _set("script style tex-math graphic inline-graphic media colspec")
# Two lines; what is longer is prose.
_MAX_FIELD_CHARS = 200
# Attributes are checked against each other: a tag with 100,000 of them takes half a minute.
_MAX_TAG_BYTES = 100_000
_DECLARATION = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})""")
_DECLARATION_TEXT = re.compile(r"\s*<\?xml[^>]{0,300}\?>")
_LONG_TAG = re.compile(rb"<[A-Za-z_:][^<>]{%d}" % _MAX_TAG_BYTES)
_MIN_PROSE_ELEMENTS = 5
_BLOCK_TAG = re.compile(r"</?(?:p|div|br|li|ul|ol|h[1-6]|tr|table|blockquote|pre)\b[^<>]*>", re.I)
# Tags of HTML alone: what else stands between such signs is a type, a placeholder or an address.
_ANY_TAG = re.compile(
    r"</?(?:a|abbr|address|article|aside|b|big|blockquote|br|caption|center|cite|code|col|colgroup|dd|del|details|dfn|div|dl|"
    r"dt|em|embed|figcaption|figure|font|footer|form|h[1-6]|header|hr|i|iframe|img|input|ins|kbd|label|li|link|main|mark|"
    r"nav|object|ol|p|param|pre|q|s|samp|script|section|small|source|span|strike|strong|style|sub|summary|sup|table|"
    r"tbody|td|tfoot|th|thead|time|tr|tt|u|ul|var|video|wbr)(?=[\s/>])[^<>]*>|<!--(?:(?!<!--).)*?-->",
    re.S | re.I,
)


def parse_xml(raw: bytes, context: ParseContext) -> list[ParsedDocument]:
    """One document. A file that is not well-formed is read as far as it goes, and the metadata says so.

    Raises:
        UnparsableDocument: Nothing in it is XML, or it nests deeper than 256 elements.
        LimitExceeded: A tag is longer than 100,000 bytes.
    """
    root, problem = _root(raw, context.address)
    walker = _Walker(root)
    walker.walk(root, 1)
    walker.flush()
    if problem and walker.builder.is_empty:
        raise _unreadable(context.address, problem)
    metadata = {"root_element": _name(root)} | ({"parse_error": problem} if problem else {})
    title = next((block.label for block in walker.builder.blocks if block.kind == "heading"), None)
    return [walker.builder.build(title=title, metadata=metadata)]


def _root(raw: bytes, address: str) -> tuple[_Element, str | None]:
    from lxml import etree

    problem: str | None = None
    if _LONG_TAG.search(raw):
        raise LimitExceeded(f"{address}: an XML tag is longer than {_MAX_TAG_BYTES:,} bytes.", address=address)
    source = raw.lstrip()
    for recover in (False, True):
        parser = xml_parser(recover)
        try:
            root = etree.fromstring(source, parser)
        except etree.XMLSyntaxError as error:
            problem = f"line {error.lineno}: not well-formed"
            source = _in_utf_8(source)
            continue
        if root is not None:
            return root, problem
    raise _unreadable(address, problem)


def _in_utf_8(raw: bytes) -> bytes:
    """The same document, decoded with our own eyes: what it declares may be wrong, or unknown to libxml2."""
    declared = _DECLARATION.match(raw)
    try:
        text = decode(raw, declared.group(1).decode("ascii") if declared else None)
    except UndecodableBytes:
        return raw
    head = _DECLARATION_TEXT.match(text)
    return text[head.end() if head else 0 :].encode("utf-8", "replace")


def _unreadable(address: str, problem: str | None) -> UnparsableDocument:
    return UnparsableDocument(
        f"{address}: the XML cannot be read ({problem or 'no root element'}). Correct the file there.",
        address=address,
    )


class _Walker:
    """Collects blocks; `name: value` lines of one parent become one block."""

    def __init__(self, root: _Element) -> None:
        self.builder = TextBuilder()
        self._lines: list[str] = []
        self._line: int | None = None
        prose = sum(1 for _ in zip(root.iter("{*}p", "{*}para", "{*}sec"), range(_MIN_PROSE_ELEMENTS), strict=False))
        self._is_data = prose < _MIN_PROSE_ELEMENTS

    def flush(self) -> None:
        self.builder.add("record" if self._is_data else "field", "\n".join(self._lines), line=self._line)
        self._lines.clear()
        self._line = None

    def walk(self, element: _Element, level: int) -> None:
        name = _name(element)
        if not name or name in _SKIPPED:
            return
        if name in _CODE and _has_text(element):
            self._add("code", clean_text("".join(element.itertext())), element)
        elif name in ("table", "tgroup") and self._table(element):
            return
        elif len(element) == 0:
            self._leaf(element, name, level)
        elif name in _TITLES:
            self._heading(element, level)
        elif name in _JOINED or _is_mixed(element):
            if self._is_data and element.attrib:
                self._field(element, name, _attributes(element))
            is_record = self._is_data and _is_mixed(element) and name not in _JOINED
            self._add("paragraph", _text(_with_attributes(element)) if is_record else _joined(element), element)
        else:
            self._container(element, name, level)

    def _container(self, element: _Element, name: str, level: int) -> None:
        if self._is_data and element.attrib:
            self._field(element, name, _attributes(element))
        has_title = any(_name(child) in _TITLES and _has_text(child) for child in element)
        repeats = self._is_data and len(element) > 0
        for child in element:
            self.walk(child, level + 1 if has_title and _name(child) not in _TITLES else level)
        if repeats or not self._is_data:
            self.flush()

    def _leaf(self, element: _Element, name: str, level: int) -> None:
        text = _text(element.text or "")
        attributes = _attributes(element) if self._is_data else ""
        if name in _TITLES and text:
            self._heading(element, level)
        elif (name in _PROSE and not attributes) or len(text) > _MAX_FIELD_CHARS:
            self._add("paragraph", f"{text} ({attributes})" if attributes else text, element)
        else:
            self._field(element, name, f"{text} ({attributes})" if text and attributes else text or attributes)

    def _field(self, element: _Element, name: str, value: str) -> None:
        if value:
            self._line = self._line or element.sourceline
            self._lines.append(f"{name}: {value}")

    def _heading(self, element: _Element, level: int) -> None:
        self.flush()
        text = " ".join(_joined(element).split())
        self.builder.add("heading", text, level=min(level, 6), line=element.sourceline)

    def _add(self, kind: str, text: str, element: _Element) -> None:
        self.flush()
        self.builder.add("code" if kind == "code" else "paragraph", text, line=element.sourceline)

    def _table(self, element: _Element) -> bool:
        rows = [
            [_joined(cell) for cell in row if _name(cell) in ("td", "th", "entry", "cell")]
            for row in element.iter("{*}tr", "{*}row")
        ]
        lines = table_lines(rows)
        if not lines:
            return False
        self.flush()
        self.builder.add("table", "\n".join(lines), line=element.sourceline)
        return True


def _name(element: _Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def _has_text(element: _Element) -> bool:
    return any(text.strip() for text in element.itertext())


def _is_mixed(element: _Element) -> bool:
    """Whether words stand directly between the children: then the children are inline markup."""
    if (element.text or "").strip():
        return True
    return any((child.tail or "").strip() for child in element)


def _joined(element: _Element) -> str:
    """All words below `element`; parts of a data-like element are set apart by spaces."""
    holds_blocks = any(_name(child) in _TITLES or _name(child) in _PROSE for child in element)
    separator = "" if _is_mixed(element) and not holds_blocks else " "
    pieces = [text for text in element.itertext() if separator == "" or text.strip()]
    return _text(separator.join(pieces))


def _with_attributes(element: _Element) -> str:
    """All words below `element`, those of children side by side set apart, and what their attributes say."""
    from lxml import etree

    pieces = [element.text or ""]
    for child in element:
        if isinstance(child, etree._Entity):
            # What stands for something that is not read is kept as it is written.
            pieces.append(f"{child.text}{child.tail or ''}")
            continue
        name = _name(child)
        said = _attributes(child) if name else ""
        if name and name not in _SKIPPED:
            pieces.append(_with_attributes(child) + (f" ({said})" if said else ""))
        is_value = bool(said) or name in _TITLES or name in _PROSE
        # Two elements without a sign between them are two values.
        is_apart = not child.tail or (is_value and child.tail[0].isalnum())
        pieces.append(f" {child.tail or ''}" if is_apart else child.tail or "")
    return "".join(pieces)


def _attributes(element: _Element) -> str:
    pairs = ((key.rpartition("}")[2], " ".join(value.split())) for key, value in element.attrib.items())
    return ", ".join(f"{clean_text(str(key))}={clean_text(value)}" for key, value in pairs if value)


def _text(text: str) -> str:
    """Readable text; markup that was escaped into the text (feeds do that) is taken out."""
    if "<" in text and _ANY_TAG.search(text):
        text = _ANY_TAG.sub("", _BLOCK_TAG.sub("\n", text))
        lines = (" ".join(line.split()) for line in html.unescape(text).split("\n"))
        return clean_text("\n".join(line for line in lines if line))
    return clean_text(" ".join(html.unescape(text).split()) if "&" in text else " ".join(text.split()))
