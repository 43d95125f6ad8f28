"""Confluence's storage format inside HTML: macros, links, tasks and pictures as the elements a reader sees.

Belongs here: character data sections, and `ac:` and `ri:` elements.
Does not belong here: HTML itself (`tree`, `blocks`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.S)
_SCRIPT = re.compile(r"<(script|style)\b[^<>]*>.*?</\1\s*>", re.S | re.I)
_LANGUAGE = re.compile(r"[\w+#.-]{1,20}\Z")
_CODE_MACROS = frozenset({"code", "noformat"})
# Macros that show a parameter: the heading of a panel, the words of a status lozenge, the key of an issue.
_SHOWN_PARAMETERS = {"status": "title", "jira": "key", "jiraissues": "key"}
# Macros that show what stands in another page.
_INCLUDES = frozenset({"include", "excerpt-include", "multiexcerpt-include", "includeplus"})
INCLUDED = "ac:included"
"""Tag of what is left of a macro that shows another page: the name of that page, which is counted and not shown."""
# What the editor writes by name; later emoji say their sign themselves.
_EMOTICONS = {
    "smile": "🙂",
    "sad": "🙁",
    "cheeky": "😛",
    "laugh": "😀",
    "wink": "😉",
    "thumbs-up": "👍",
    "thumbs-down": "👎",
    "information": "\N{INFORMATION SOURCE}",
    "tick": "✅",
    "cross": "❌",
    "warning": "⚠️",
    "plus": "\N{HEAVY PLUS SIGN}",
    "minus": "\N{HEAVY MINUS SIGN}",
    "question": "❓",
    "light-on": "💡",
    "yellow-star": "⭐",
    "heart": "❤️",
    "broken-heart": "💔",
}
_UNSEEN = frozenset({"ac:parameter", "ac:task-id", "ac:task-uuid", "ac:placeholder", "ac:default-parameter"})
_PLAIN = {
    "ac:task-list": "ul",
    "ac:task-body": "div",
    "ac:rich-text-body": "div",
    "ac:layout": "div",
    "ac:layout-section": "div",
    "ac:layout-cell": "div",
}
_TARGETS = ("ri:content-title", "ri:filename", "ri:value", "ri:space-key")


def with_character_data(text: str) -> str:
    """`text` with its CDATA sections outside scripts as escaped text, which a reader of HTML does not drop."""
    if "<![CDATA[" not in text:
        return text
    pieces: list[str] = []
    position = 0
    for script in _SCRIPT.finditer(text):
        pieces += (_CDATA.sub(_escaped, text[position : script.start()]), script.group())
        position = script.end()
    return "".join((*pieces, _CDATA.sub(_escaped, text[position:])))


def _escaped(section: re.Match[str]) -> str:
    return html.escape(section.group(1), quote=False)


def resolve_storage_format(root: HtmlElement) -> None:
    """Turns, in place, storage elements into plain HTML; other pages stay as they are."""
    found = root.xpath(".//*[starts-with(name(), 'ac:') or starts-with(name(), 'ri:')]")
    for element in found:
        tag = element.tag
        if tag in _HANDLERS:
            _HANDLERS[tag](element)
        elif tag in _PLAIN:
            element.tag = _PLAIN[tag]
    for element in found:
        if element.tag in _UNSEEN and element.getparent() is not None:
            element.drop_tree()
    for moment in root.iter("time") if found else ():
        # The editor writes a date as an empty element.
        if not moment.text_content().strip():
            moment.text = moment.get("datetime") or ""


def _macro(macro: HtmlElement) -> None:
    name = (macro.get("ac:name") or "").lower()
    if name in _INCLUDES:
        pages = [str(title) for title in macro.xpath(".//@*[name()='ri:content-title']")]
        for child in list(macro):
            macro.remove(child)
        macro.tag, macro.text = INCLUDED, next(iter(pages), "") or name
        return
    parameters = {
        (child.get("ac:name") or "").lower(): " ".join(child.text_content().split())
        for child in macro.iterchildren("ac:parameter")
    }
    if name == "excerpt" and parameters.get("hidden", "").lower() == "true":
        macro.set("hidden", "")
    for body in macro.iterchildren("ac:plain-text-body"):
        body.tag = "pre"
        language = parameters.get("language", "")
        if name in _CODE_MACROS:
            body.set("class", f"language-{language if _LANGUAGE.match(language) else 'none'}")
    shown = parameters.get(_SHOWN_PARAMETERS.get(name, ""), "")
    if shown:
        macro.text = f"{macro.text or ''} {shown} "
    elif parameters.get("title") and len(macro) > len(parameters):
        title = macro.makeelement("p")
        title.text = parameters["title"]
        macro.insert(0, title)


def _link(link: HtmlElement) -> None:
    """A link shows its body; one without shows the page, file or anchor it leads to."""
    if not link.text_content().strip() and link.find(".//img") is None and link.find(".//{*}image") is None:
        targets = [child.get(name) for child in link for name in _TARGETS if child.get(name)]
        link.text = next(iter(targets), None) or link.get("ac:anchor") or ""


def _image(image: HtmlElement) -> None:
    alt = image.get("ac:alt") or image.get("ac:title") or ""
    picture = image.makeelement("img", {"alt": alt})
    image.insert(0, picture)


def _task(task: HtmlElement) -> None:
    task.tag = "li"
    status = next((child for child in task.iterchildren("ac:task-status")), None)
    is_done = status is not None and (status.text or "").strip().lower() == "complete"
    if status is not None:
        status.drop_tree()
    body = next((child for child in task.iterchildren("ac:task-body")), None)
    if body is not None:
        body.text = f"[{'x' if is_done else ' '}] {(body.text or '').lstrip()}"


def _emoticon(emoticon: HtmlElement) -> None:
    name = emoticon.get("ac:name") or ""
    said = emoticon.get("ac:emoji-fallback") or _EMOTICONS.get(name) or emoticon.get("ac:emoji-shortname")
    emoticon.text = said or (f":{name}:" if name else "")


_HANDLERS: dict[str, Callable[[HtmlElement], None]] = {
    "ac:structured-macro": _macro,
    "ac:link": _link,
    "ac:image": _image,
    "ac:emoticon": _emoticon,
    "ac:task": _task,
}
