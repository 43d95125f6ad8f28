"""What fields of an HTML page show: the values that stand in them, and the choice that is made.

Belongs here: putting these words, in place, where the walk over the page finds them.
Does not belong here: boxes of task lists and what is left out (`tree`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# The others hold marks, secrets, labels of buttons, or what only programs read.
_WRITTEN_TYPES = frozenset(
    {"", "text", "email", "tel", "url", "number", "date", "datetime-local", "time", "month", "week"}
)


def say_fields(root: HtmlElement) -> None:
    """Puts what is written or chosen in each field in its place; fields keep the ways in which they are hidden.

    A list in which nothing is chosen shows a prompt, which is left with the choices.
    """
    for field in list(root.iter("input")):
        value = " ".join((field.get("value") or "").split())
        if value and (field.get("type") or "").strip().lower() in _WRITTEN_TYPES:
            field.tag = "span"
            field.text = _apart(field, value)
    for area in list(root.iter("textarea")):
        lines = area.text_content().strip().splitlines()
        if lines:
            _fill(area, lines)
    for choices in list(root.iter("select")):
        chosen = [" ".join(each.text_content().split()) for each in choices.iter("option") if "selected" in each.attrib]
        if any(chosen):
            shown = choices.makeelement("span", dict(choices.attrib))
            choices.addprevious(shown)
            shown.text = _apart(shown, ", ".join(filter(None, chosen)), choices.tail)
            for option in list(choices.iter("option")):
                if "selected" in option.attrib:
                    option.drop_tree()


def _apart(field: HtmlElement, value: str, after: str | None = None) -> str:
    """`value` with a space to each side on which a word would run into it, as the border of its field parts them."""
    before, parent = field.getprevious(), field.getparent()
    left = before.tail if before is not None else parent.text if parent is not None else None
    right = after or field.tail
    lead = " " if left and not left[-1].isspace() else ""
    return f"{lead}{value}{' ' if right and not right[0].isspace() else ''}"


def _fill(area: HtmlElement, lines: list[str]) -> None:
    for child in list(area):
        area.remove(child)
    area.tag = "div"
    area.text = lines[0]
    for line in lines[1:]:
        line_break = area.makeelement("br")
        line_break.tail = line
        area.append(line_break)
