"""Text that plain-text markup strikes through: in Org, AsciiDoc, MediaWiki and Jira.

Belongs here: finding it outside code and blanking it out, so that every place in the text stays where it is.
Does not belong here: deletions of Markdown (`markdown_comments`), LaTeX (`latex`) and Slack, whose text is composed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_pipeline.contracts.documents import Block

_NOT_LINE_END = re.compile(r"[^\n]")
# What stands before `struck` in each is shown as it is written, and so is passed over; in Org, borders
# of tables too. There a tolerance (`+/-5`) begins nothing.
ORG = re.compile(
    r"^[ \t]*(?:#\+|:[ \t]).*$|(?<![^\s({'\"-])(?:([=~])(?=\S)(?>(?:(?!\1)[^\n])+)\1"
    r"|(?P<struck>\+(?=[^\s+/-])(?!=++\+)[^+\n]++(?<=\S)\+))(?=[\s.,;:!?')}\[\"\\-]|$)",
    re.M,
)
_ROLE = r"\[[^\[\]\n]{0,200}(?<![\w-])line-through(?![\w-])[^\[\]\n]{0,200}\]"
_FENCE = r"(?:[-.=*_+/]{2,}|[|,:!]={3,}|`{3,}\w*)"
ADOC = re.compile(
    # In a line of its own a role is that of the whole block; without its fence what is fenced would be other text.
    rf"`[^`\n]++`|(?P<struck>\A{_ROLE}[ \t]*\n(?!{_FENCE}[ \t]*(?:\n|\Z))(?s:.*)"
    rf"|{_ROLE}(?:##[^#\n]++(?>(?:#[^#\n]++)*)##|#(?=\S)[^#\n]++(?<=\S)#))"
)
# It ends with the cell of a table, whether it is closed there or not.
MEDIAWIKI = re.compile(
    r"<(?P<raw>nowiki|code|pre|syntaxhighlight|source)\b[^<>\n]{0,500}>(?>(?:[^<]++|<(?!/?(?P=raw)\b))*)</(?P=raw)"
    r"|(?P<struck><(?P<tag>s|del|strike)(?:\s[^<>\n]{0,500})?>(?>(?:[^<\n|]++|\|(?!\|)|\n(?![ \t]*[|!])"
    r"|<(?!/?(?P=tag)\b))*)</(?P=tag)\s*>)",
    re.I,
)
JIRA = re.compile(
    r"\{\{[^\n{}]++\}\}|\{(code|noformat)[^{}\n]{0,200}\}[^{}]*+\{\1\}"
    # A dash within a word does not end it; a sentence does not strike out more than this. A cell ends at a bar, beside
    # that of a link: dashes that stand alone are empty cells.
    r"|(?<![^\s|(])(?P<struck>-(?=[^\s|-])(?:[^|\n]|\[[^\[\]|\n]{0,300}\|[^\[\]\n]{0,300}\]){0,300}?(?<=[^\s|-])-)"
    r"(?=[\s|).,;:!?]|$)",
    re.M,
)
# What every block holds that may have something struck out: found at a tenth of the cost.
_MAY = {
    ORG: re.compile(r"\+(?=[^\s+])(?<![^\s({'\"-]\+)[^+\n]++\+"),
    ADOC: re.compile("line-through"),
    MEDIAWIKI: re.compile(r"<(?:s|del|strike)[\s>]", re.I),
    JIRA: re.compile(r"-(?=[^\s-])(?<![^\s|(]-)"),
}


def without_struck(text: str, blocks: Sequence[Block], pattern: re.Pattern[str]) -> tuple[str, int]:
    """`text` with what `pattern` finds in its blocks as spaces of the same length, and how much there was.

    Args:
        blocks: What was found in the text; code among it is left alone.
    """
    may = _MAY[pattern]
    if not may.search(text):
        return text, 0
    pieces: list[str] = []
    position = count = 0
    for block in blocks:
        if block.kind == "code" or not may.search(text, block.start_char, block.end_char):
            continue
        for match in pattern.finditer(text[block.start_char : block.end_char]):
            if match["struck"]:
                start, end = (block.start_char + place for place in match.span("struck"))
                pieces += (text[position:start], _NOT_LINE_END.sub(" ", text[start:end]))
                position = end
                count += 1
    return "".join((*pieces, text[position:])), count
