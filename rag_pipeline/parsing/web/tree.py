"""Makes an lxml tree of HTML bytes that is safe and cheap to walk.

Belongs here: decoding, the pre-scan against inputs that stall parsers, removal of what is never content
(scripts, hidden elements, permalinks). Does not belong here: what the page is about (`content`)
and how elements become blocks (`blocks`).
"""

from __future__ import annotations

import html as html_entities
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag_pipeline.errors import LimitExceeded
from rag_pipeline.parsing.decode import decode, tally_unwanted
from rag_pipeline.parsing.limits import ParseLimits
from rag_pipeline.parsing.web.confluence import INCLUDED, resolve_storage_format, with_character_data
from rag_pipeline.parsing.web.drawn import say_drawings, say_readings
from rag_pipeline.parsing.web.fields import say_fields
from rag_pipeline.parsing.web.hidden import LARGEST_SHARE, hidden_cause, is_transparent
from rag_pipeline.parsing.web.styles import hiding_selectors, resolve_variables, selected_cause

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# Longer than any tag but those with pictures in them.
MAX_TAG_CHARS = 20_000
# The parser needs time that grows with their square.
MAX_ATTRIBUTES = 1_000
# The parser keeps a line in one piece.
MAX_LINE_CHARS = 100_000
# Possessive throughout: one pass, whatever stands between the quotes and however many are never closed.
_TAG = re.compile(r"<([a-zA-Z][\w:-]*+)[^<>\"']*+(?>(?:(?:\"[^\"]*+\"|'[^']*+')[^<>\"']*+)*)>?")
_NESTING_TAGS = re.compile(r"</?(?:div|span|font|b|i|u|em|strong|center|section|big|small|a)\b[^<>]*>", re.I)
_ANY_TAG = re.compile(r"<[^<>]*>")
_UNSEEN = re.compile(r"<(/?)(script|style|template|noscript|svg)\b[^<>]*>", re.I)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.I)
_XML_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})""", re.I)

_HIGH_BYTES = bytes(range(0x80, 0x100))

DROPPED_TAGS = (
    "script",
    "style",
    "template",
    "noscript",
    "svg",
    "canvas",
    "iframe",
    "object",
    "embed",
    "audio",
    "video",
    "map",
    "button",
    "select",
    "input",
    "textarea",
    "datalist",
    "link",
    "meta",
    "head",
    "area",
    "source",
    "track",
    # What was deleted no longer holds, and would run into what replaced it.
    "del",
    "s",
    "strike",
    INCLUDED,
)
_NOISE_CLASS = re.compile(
    r"(?:^|\s)(?:headerlink|headeranchor|anchor-link|anchorjs-link|hash-link|mw-editsection|linenos|lineno|"
    r"line-numbers-rows|gutter|copybtn|noprint|mw-jump-link|"
    r"navbox|catlinks|katex-html|MathJax_Preview)(?:\s|$)"
)


# What a page holds instead of itself or of what it plays, choices, other pages, and what it marks as deleted.
_COUNTED_TAGS = {
    "iframe": "fallback",
    "object": "fallback",
    "video": "fallback",
    "audio": "fallback",
    "canvas": "fallback",
    "select": "choice",
    INCLUDED: "include",
    "template": "template",
    "noscript": "template",
    "del": "deletion",
    "s": "deletion",
    "strike": "deletion",
}
_COMMENT_OR_SCRIPT = re.compile(r"<!--|<(script|style)\b", re.I)
_CONDITIONS = ("[if", "<![", "[endif")
# A page in a frame is read, one within that is counted: each level is the whole text once more.
_MAX_FRAME_DEPTH = 1


def declared_encoding(raw: bytes) -> str | None:
    """The encoding the document's own head names, or None."""
    head = raw[:4096]
    match = _XML_DECLARED.search(head) or _DECLARED.search(head)
    return match.group(1).decode("ascii") if match else None


def parse_tree(raw: bytes, address: str, limits: ParseLimits) -> tuple[HtmlElement | None, int]:
    """The document's root element without comments, and how many there were; None for no element at all.

    Raises:
        LimitExceeded: The text is longer than the limit.
        UndecodableBytes: From `decode`.
    """
    text = decode(raw, declared_encoding(raw) or _web_default(raw))
    if len(text) > limits.max_text_chars:
        raise LimitExceeded(
            f"{address}: the page has {len(text)} characters, the limit is {limits.max_text_chars}. "
            "Split it, or raise `limits.max_text_chars`.",
            chars=len(text),
            limit_chars=limits.max_text_chars,
        )
    return tree_of_text(text), comment_count(text)


def _web_default(raw: bytes) -> str | None:
    """Windows-1252, which browsers assume, where accents are few; other scripts are better guessed."""
    high = len(raw) - len(raw.translate(None, _HIGH_BYTES))
    return "cp1252" if 0 < high < 0.1 * len(raw) else None


def tree_of_text(text: str) -> HtmlElement | None:
    """Like `parse_tree`, for text already decoded."""
    # lxml gives such characters out of a page, but takes them nowhere: trafilatura fails on them.
    if _NOT_XML.search(text):
        tally_unwanted("".join(_NOT_XML.findall(text)))
        text = _NOT_XML.sub("", text)
    text = with_character_data(text)
    # One tag with hundreds of thousands of attributes takes libxml2 minutes (quadratic duplicate check).
    text = _with_short_tags(text)
    root, is_complete = _parsed(text)
    if not is_complete:
        # libxml2 stops at 256 levels and silently drops the rest, so flatten what only nests.
        text = _without_unseen(text)
        root, is_complete = _parsed(_NESTING_TAGS.sub(" ", text))
    if not is_complete:
        plain = html_entities.unescape(_ANY_TAG.sub("\n", text))
        root, _ = _parsed("".join(f"<p>{html_entities.escape(part)}</p>" for part in _short_lines(plain)))
    if root is not None and "<ac:" in text:
        resolve_storage_format(root)
    return root


def _without_unseen(text: str) -> str:
    """`text` without scripts and the like, in one pass, however badly they are nested."""
    kept: list[str] = []
    position = 0
    open_tag: re.Match[str] | None = None
    for match in _UNSEEN.finditer(text):
        is_end, name = match.groups()
        if open_tag is None and not is_end:
            open_tag = match
        elif open_tag is not None and is_end and name.lower() == open_tag.group(2).lower():
            kept.append(text[position : open_tag.start()])
            position = match.end()
            open_tag = None
    return " ".join([*kept, text[position:]])


def _short_lines(text: str) -> Iterator[str]:
    """The lines that hold something; libxml2 refuses texts of more than ten million bytes."""
    for line in text.split("\n"):
        if line.strip():
            for start in range(0, len(line), MAX_LINE_CHARS):
                yield line[start : start + MAX_LINE_CHARS]


def _with_short_tags(text: str) -> str:
    kept: list[str] = []
    position = 0
    for match in _TAG.finditer(text) if len(text) > MAX_TAG_CHARS else ():
        start, end = match.span()
        if end - start > MAX_TAG_CHARS and _is_monstrous(match.group()):
            kept += (text[position:start], f"<{match.group(1)}>")
            position = end
    return "".join([*kept, text[position:]])


def _is_monstrous(tag: str) -> bool:
    # A long data URI is one attribute and harmless; what closes elements is a script's `a<b` and much of the page.
    return "</" not in tag and len(_QUOTED.sub(" ", tag).split()) >= MAX_ATTRIBUTES


def _parsed(text: str) -> tuple[HtmlElement | None, bool]:
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=False)
    try:
        root = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, AssertionError):
        return None, True
    is_complete = not any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log)
    return root, is_complete


def drop_unseen(root: HtmlElement, frame_depth: int = 0) -> Counter[str]:
    """Takes out, in place, what a reader does not see or cannot read as text.

    Args:
        frame_depth: How many frames the page stands in.

    Returns:
        How many elements with text were hidden, by the way of hiding; what pages hold by nature (scripts, permalinks)
        does not count.
    """
    from lxml import etree

    counts = _say_frames(root, frame_depth)
    _say_boxes(root)
    say_fields(root)
    say_readings(root)
    say_drawings(root)
    has_styles = next(root.iter("style", "link"), None) is not None
    doomed: list[tuple[HtmlElement, str | None]] = [
        (element, _COUNTED_TAGS.get(str(element.tag))) for element in root.iter(*DROPPED_TAGS)
    ]
    doomed += [(dialog, "attribute") for dialog in root.iter("dialog") if "open" not in dialog.attrib]
    selectors = hiding_selectors(root) if has_styles else {}
    resolve_variables(root)
    for element in root.iter(etree.Element):
        if element.attrib or element.tag in selectors:
            cause = hidden_cause(element, has_styles)
            if cause == "style" and is_transparent(element) and _is_most_of(element, root):
                continue
            if not cause and selectors and (said := selected_cause(element, selectors)):
                cause = None if _is_most_of(element, root) else said
            if cause or ((classes := element.get("class")) and _NOISE_CLASS.search(classes)):
                doomed.append((element, cause))
    return counts + _dropped(doomed)


def _dropped(doomed: list[tuple[HtmlElement, str | None]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    gone: set[HtmlElement] = set()
    for element, cause in doomed:
        if element.getparent() is None or element.tag in ("body", "html") or element in gone:
            continue
        if cause and not any(above in gone for above in element.iterancestors()) and element.text_content().strip():
            counts[cause] += 1
        gone.add(element)
    for element in gone:
        element.drop_tree()
    return counts


def _say_frames(root: HtmlElement, depth: int) -> Counter[str]:
    """Puts a page written into its frame (`srcdoc`), and what stands for an object that there is none of, in place.

    Returns:
        What was hidden within the frames, or not read of them.
    """
    counts: Counter[str] = Counter()
    for thing in list(root.iter("object")):
        if not any(name in thing.attrib for name in ("data", "classid", "type")):
            thing.tag = "div"
    for frame in list(root.iter("iframe")):
        written = frame.get("srcdoc") or ""
        if not written.strip():
            continue
        page = tree_of_text(written) if depth < _MAX_FRAME_DEPTH else None
        if page is None:
            counts["frame"] += 1
            continue
        counts["fallback"] += bool(frame.text_content().strip())
        if "0" in (frame.get("width"), frame.get("height")):
            frame.set("hidden", "")
        counts += drop_unseen(page, depth + 1)
        body = next(page.iter("body"), page)
        for child in list(frame):
            frame.remove(child)
        # As a `div` it keeps the ways in which it is hidden.
        frame.tag, frame.text = "div", body.text
        del frame.attrib["srcdoc"]
        frame.extend(list(body))
    return counts


def _say_boxes(root: HtmlElement) -> None:
    """Boxes of task lists as Markdown writes them."""
    for box in root.iter("input"):
        if box.get("type", "").lower() == "checkbox" and next(box.iterancestors("li"), None) is not None:
            box.tail = f"[{'x' if 'checked' in box.attrib else ' '}] {(box.tail or '').lstrip()}"


def _is_most_of(element: HtmlElement, root: HtmlElement) -> bool:
    return len(element.text_content()) > LARGEST_SHARE * len(root.text_content())


def comment_count(text: str) -> int:
    """How many comments with words HTML has outside scripts; conditional ones address programs.

    One that is never closed goes on to the end.
    """
    count = position = 0
    while found := _COMMENT_OR_SCRIPT.search(text, position):
        script = found.group(1)
        end = text.find(f"</{script}" if script else "-->", found.end())
        if end < 0:
            end = len(text)
        words = text[found.end() : end]
        count += not script and not words.startswith(_CONDITIONS) and any(map(str.isalnum, words))
        position = end
    return count
