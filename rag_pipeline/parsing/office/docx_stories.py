"""What a Word document says beside its main story: notes, comments, headers and footers.

Belongs here: reading those parts into plain lines. Does not belong here: where the lines go (`docx`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_pipeline.parsing.containers.archives import Archive, local_attribute, local_name, related, relations
from rag_pipeline.parsing.decode import clean_text
from rag_pipeline.parsing.office.docx_runs import Runs
from rag_pipeline.parsing.office.running_lines import saying_lines

if TYPE_CHECKING:
    from lxml.etree import _Element

_ASIDE = ("Fallback", "txbxContent")
_SEPARATORS = ("separator", "continuationSeparator", "continuationNotice")


def is_aside(paragraph: _Element, owner: _Element) -> bool:
    """Whether a paragraph below `owner` stands in a text box there, or in the fallback for one."""
    ancestor = paragraph.getparent()
    while ancestor is not None and ancestor is not owner:
        if local_name(ancestor) in _ASIDE:
            return True
        ancestor = ancestor.getparent()
    return False


def side_notes(archive: Archive, part: str, runs: Runs) -> dict[str, str]:
    """Text of foot- and endnotes and of comments, by "kind:id"; comments begin with who made them."""
    found: dict[str, str] = {}
    for kind in ("footnotes", "endnotes", "comments"):
        for name in related(archive, part, kind):
            root = archive.spare_xml(name)
            for note in root if root is not None else ():
                if local_attribute(note, "type") in _SEPARATORS:
                    continue
                text = " ".join(" ".join(_lines(note, runs)).split())
                if text and kind == "comments":
                    author = " ".join(clean_text(local_attribute(note, "author") or "").split())[:100]
                    text = f"Comment by {author}: {text}" if author else f"Comment: {text}"
                found[f"{kind}:{local_attribute(note, 'id')}"] = text
    return found


def running_lines(archive: Archive, part: str, document: _Element, said: set[str], runs: Runs) -> list[str]:
    """Each line of the headers and footers in use once, without page numbers and lines that are in `said`."""
    in_use = {local_attribute(item, "id") for item in document.iter("{*}headerReference", "{*}footerReference")}
    lines: list[str] = []
    for id_, (kind, name) in relations(archive, part).items():
        if kind in ("header", "footer") and id_ in in_use:
            root = archive.text_xml(name)
            lines += _lines(root, runs) if root is not None else []
    return saying_lines(lines, said)


def _lines(story: _Element, runs: Runs) -> list[str]:
    """Text of the paragraphs, those within text boxes after the one that holds the box."""
    lines: list[str] = []
    for paragraph in story.iter("{*}p"):
        if any(local_name(ancestor) == "Fallback" for ancestor in paragraph.iterancestors()):
            continue
        lines.append(clean_text(runs.read(paragraph).text))
    return lines
