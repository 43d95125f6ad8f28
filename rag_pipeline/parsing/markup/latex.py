r"""LaTeX: readable text with sections, lists, tables, listings and formulas.

Belongs here: taking the preamble, comments and commands away; formulas stay as LaTeX.
Does not belong here: macro expansion and included files (`\input` reads nothing).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from rag_pipeline.contracts.documents import BlockKind, ParsedDocument
from rag_pipeline.parsing.builder import TextBuilder
from rag_pipeline.parsing.context import ParseContext
from rag_pipeline.parsing.decode import read_text
from rag_pipeline.parsing.markup.latex_inline import argument, readable
from rag_pipeline.parsing.tabular import table_lines
from rag_pipeline.parsing.web.hidden import hidden_counts

VERSION = "7"

_LEVELS = {
    "part": 1,
    "chapter": 1,
    "section": 2,
    "subsection": 3,
    "subsubsection": 4,
    "paragraph": 5,
    "subparagraph": 6,
}
_CODE = frozenset({"verbatim", "Verbatim", "lstlisting", "minted", "alltt", "algorithmic", "algorithm"})
_FORMULA = frozenset(
    {"equation", "align", "gather", "multline", "eqnarray", "displaymath", "math", "flalign", "alignat"}
)
_LIST = frozenset({"itemize", "enumerate", "description", "compactitem", "compactenum", "thebibliography"})
_QUOTE = frozenset({"quote", "quotation", "verse", "displayquote"})
_TABLE = frozenset({"tabular", "tabularx", "longtable", "array", "tabulary", "tabu"})
_DROPPED = frozenset({"tikzpicture", "pgfpicture", "picture", "filecontents", "comment"})
_WHOLE = _CODE | _FORMULA | _LIST | _QUOTE | _TABLE | _DROPPED

# Optional arguments end where another opens, and white space is never given back: text without the closing
# bracket is looked at once.
_OPTION = r"\s*+(?:\[[^\[\]]*+\]\s*+)?"
_MARK = re.compile(
    rf"\\(?P<section>part|chapter|section|subsection|subsubsection|paragraph|subparagraph)\*?{_OPTION}(?=\{{)"
    r"|\\begin\s*\{(?P<begin>[A-Za-z]+\*?)\}"
    r"|\\end\s*\{[A-Za-z]+\*?\}"
    r"|(?P<display>\\\[|\$\$)"
    rf"|(?P<caption>\\caption\*?{_OPTION}(?=\{{))"
    r"|(?P<gap>\n[ \t]*\n\s*)"
)
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%[^\n]*")
_SWITCHED_OFF = re.compile(r"\\iffalse\b.*?\\fi\b|\\begin\s*\{comment\}.*?\\end\s*\{comment\}", re.S)
_STRUCK = re.compile(r"\\(?:sout|st|xout|cancel)\s*\{[^{}]*+\}")
_PHANTOM = re.compile(r"\\[hv]?phantom\s*\{[^{}]*+\}")
_VERBATIM = re.compile(r"\\begin\s*\{(verbatim|Verbatim|lstlisting|minted|alltt)\*?\}")
_ITEM = re.compile(r"\\(?:item|bibitem)\b\s*+(?:\[([^\]]{0,500})\])?\s*+(?:\{[^{}]*+\})?")
_RULES = re.compile(r"\\(?:hline|toprule|midrule|bottomrule|cline\{[^{}]*+\}|cmidrule(?:\([^()]*+\))?\{[^{}]*+\})")
_INNER_LIST = re.compile(r"\\(?:begin|end)\s*\{(?:itemize|enumerate|description)\}(?:\[[^\[\]]*+\])?")
_NOT_LINE_END = re.compile(r"[^\n]")
_ROW_END = re.compile(r"\\\\(?:\[[^\[\]]*+\])?|\\tabularnewline")


@dataclass(frozen=True, slots=True)
class _Piece:
    kind: BlockKind
    text: str
    start: int
    level: int = 0
    # Each line of the text is one of the source, from `start` on.
    holds_lines: bool = False


def parse_latex(raw: bytes, _context: ParseContext) -> list[ParsedDocument]:
    """One document of readable text; title and author from the commands of that name. Raises UndecodableBytes."""
    source, hidden = _without_unseen(read_text(raw))
    title = _command(source, "title")
    author = _command(source, "author")
    begin = re.search(r"\\begin\s*\{document\}", source)
    start = begin.end() if begin else 0
    end = source.find(r"\end{document}", start)
    builder = TextBuilder()
    if title:
        builder.add("heading", title, level=1, line=1)
    line, counted = 1, 0
    for piece in _pieces(source, start, end if end >= 0 else len(source)):
        line += source.count("\n", counted, piece.start)
        counted = piece.start
        builder.add(piece.kind, piece.text, level=piece.level, line=line, holds_lines=piece.holds_lines)
    return [builder.build(title=title, author=author, metadata=hidden_counts(hidden))]


def _pieces(source: str, start: int, end: int) -> list[_Piece]:
    """The structure of `source[start:end]` in one pass: marks, and the prose between them."""
    pieces: list[_Piece] = []
    position = paragraph = start
    while (match := _MARK.search(source, position, end)) is not None:
        pieces += _prose(source, paragraph, match.start())
        found, position = _marked(source, match, end)
        pieces += found
        paragraph = position
    return [*pieces, *_prose(source, paragraph, end)]


def _prose(source: str, start: int, stop: int) -> list[_Piece]:
    text = readable(source[start:stop])
    if not any(character.isalnum() for character in text):
        return []
    return [_Piece("paragraph", text, start + len(source[start:stop]) - len(source[start:stop].lstrip()))]


def _marked(source: str, match: re.Match[str], end: int) -> tuple[list[_Piece], int]:
    """What the mark at `match` stands for, and the offset after it."""
    begin = match.start()
    if match["section"]:
        text, position = argument(source, match.end())
        return [_Piece("heading", " ".join(readable(text).split()), begin, _LEVELS[match["section"]])], position
    if match["caption"]:
        text, position = argument(source, match.end())
        return [_Piece("paragraph", readable(text), begin)], position
    if match["display"]:
        position = _after(source, r"\]" if match["display"] == r"\[" else "$$", match.end(), end)
        return [_Piece("code", source[begin:position], begin)], position
    name = match["begin"]
    if name is None:
        return [], match.end()
    if name.rstrip("*") not in _WHOLE:
        # Floats, theorems and the like hold ordinary text.
        return ([_Piece("heading", "Abstract", begin, 2)] if name == "abstract" else []), match.end()
    stop = _environment_end(source, name, match.end(), end)
    piece = _environment(name.rstrip("*"), source, begin, match.end(), stop)
    return ([piece] if piece else []), (_after(source, "}", stop, end) if stop < end else end)


def _environment(name: str, source: str, begin: int, start: int, stop: int) -> _Piece | None:
    body = source[start:stop]
    if name in _DROPPED:
        return None
    if name in _CODE:
        code = re.sub(r"\A[ \t]*(?:\[[^\]\n]*\])?(?:\{[^}\n]*\})?[ \t]*\n", "", body)
        lead = len(body) - len(code.lstrip())
        return _Piece("code", code, start + lead, holds_lines=True)
    if name in _FORMULA:
        return _Piece("code", re.sub(r"\\label\{[^{}]*+\}", "", body), begin)
    if name in _TABLE:
        return _in_lines("table", _table(body), source, start)
    if name in _QUOTE:
        return _Piece("quote", readable(body), begin)
    return _in_lines("list", _list(body), source, start)


def _in_lines(kind: BlockKind, lines: list[tuple[int, str]], source: str, start: int) -> _Piece | None:
    """A block of lines, each with its place below `start`: in its own line of the source where none shares one."""
    lines = [(place, text) for place, text in lines if text.strip()]
    if not lines:
        return None
    gaps = [source.count("\n", start + before, start + after) for (before, _), (after, _) in pairwise(lines)]
    are_apart = all(gaps) and not any("\n" in text for _, text in lines)
    text = lines[0][1] + "".join(
        "\n" * (gap if are_apart else 1) + line for gap, (_, line) in zip(gaps, lines[1:], strict=True)
    )
    return _Piece(kind, text, start + lines[0][0], holds_lines=are_apart)


def _list(body: str) -> list[tuple[int, str]]:
    """Each item with its place in `body`."""
    # Of the same length, so that places stay.
    body = _INNER_LIST.sub(lambda match: _NOT_LINE_END.sub(" ", match.group()), body)
    lines: list[tuple[int, str]] = []
    marks = list(_ITEM.finditer(body))
    lead = readable(body[: marks[0].start()] if marks else body)
    if any(character.isalnum() for character in lead):
        lines.append((len(body) - len(body.lstrip()), lead))
    for number, mark in enumerate(marks):
        stop = marks[number + 1].start() if number + 1 < len(marks) else len(body)
        text = " ".join(readable(body[mark.end() : stop]).split())
        label = readable(mark.group(1)).strip() + ": " if mark.group(1) else ""
        if label or text:
            lines.append((mark.start(), f"- {label}{text}"))
    return lines


def _table(body: str) -> list[tuple[int, str]]:
    """Each row with its place in `body`."""
    whole = len(body)
    if body.lstrip().startswith(("{", "[")):
        # Width and column specification.
        body = re.sub(r"\A\s*(?:\[[^\]]*\])?", "", body)
        for _ in range(2):
            if body.lstrip().startswith("{"):
                body = body[argument(body, 0)[1] :]
    # Of the same length, so that places stay.
    body = _RULES.sub(lambda match: " " * len(match.group()), body)
    places: list[int] = []
    rows: list[list[str]] = []
    position = 0
    for stop, after in [*(match.span() for match in _ROW_END.finditer(body)), (len(body), len(body))]:
        row = body[position:stop]
        cells = [readable(cell) for cell in re.split(r"(?<!\\)&", row)]
        if any(cell.strip() for cell in cells):
            rows.append(cells)
            places.append(whole - len(body) + position + len(row) - len(row.lstrip()))
        position = after
    return list(zip(places, table_lines(rows), strict=True))


def _environment_end(source: str, name: str, start: int, end: int) -> int:
    """Offset of the `\\end{name}` that belongs to a `\\begin{name}` before `start`; `end` if there is none."""
    depth = 1
    if name.rstrip("*") in _CODE:
        found = source.find(rf"\end{{{name}}}", start, end)
        return found if found >= 0 else end
    for match in re.compile(rf"\\(begin|end)\s*\{{{re.escape(name)}\}}").finditer(source, start, end):
        depth += 1 if match.group(1) == "begin" else -1
        if depth == 0:
            return match.start()
    return end


def _after(source: str, closing: str, start: int, end: int) -> int:
    found = source.find(closing, start, end)
    return found + len(closing) if found >= 0 else end


def _command(source: str, name: str) -> str | None:
    match = re.search(rf"\\{name}\b{_OPTION}(?=\{{)", source)
    if not match:
        return None
    source = re.sub(r"\\thanks\s*\{[^{}]*\}", "", argument(source, match.end())[0])
    text = readable(re.sub(r"\s*\\(?:And|AND|and)\b", ", ", source))
    return " ".join(text.split())[:300] or None


def _without_unseen(source: str) -> tuple[str, Counter[str]]:
    """`source` without comments, what is switched off or struck out, and how much that was.

    Line ends stay, so that lines count on; listings are left alone.
    """
    hidden: Counter[str] = Counter()
    pieces: list[str] = []
    position = 0
    while (match := _VERBATIM.search(source, position)) is not None:
        stop = source.find(rf"\end{{{match.group(1)}", match.end())
        stop = len(source) if stop < 0 else stop
        pieces += (_seen(source[position : match.start()], hidden), source[match.start() : stop])
        position = stop
    pieces.append(_seen(source[position:], hidden))
    return "".join(pieces), hidden


def _seen(text: str, hidden: Counter[str]) -> str:
    hidden["comment"] += sum(any(map(str.isalnum, match.group())) for match in _COMMENT.finditer(text))
    text = _COMMENT.sub(r"\1", text)
    for pattern, cause in ((_SWITCHED_OFF, "comment"), (_STRUCK, "deletion"), (_PHANTOM, "style")):
        text, count = pattern.subn(lambda match: "\n" * match.group().count("\n"), text)
        hidden[cause] += count
    return text
