r"""Inside a LaTeX paragraph: commands to plain text.

Belongs here: accents, quotes, references, font commands, balanced arguments.
Does not belong here: anything that spans paragraphs (`latex.py`).
"""

from __future__ import annotations

import re
import unicodedata

from rag_pipeline.parsing.raised import shifted

_ACCENTS = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304",
    ".": "\u0307", "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328",
    "r": "\u030a", "d": "\u0323", "b": "\u0331",
}  # fmt: skip
_SYMBOLS = {
    "ldots": "\u2026", "dots": "\u2026", "textellipsis": "\u2026", "LaTeX": "LaTeX", "TeX": "TeX",
    "ss": "\u00df", "ae": "\u00e6", "AE": "\u00c6", "oe": "\u0153", "OE": "\u0152", "o": "\u00f8",
    "O": "\u00d8", "aa": "\u00e5", "AA": "\u00c5", "l": "\u0142", "L": "\u0141", "i": "\u0131",
    "S": "\u00a7", "P": "\u00b6", "copyright": "\u00a9", "pounds": "\u00a3", "euro": "\u20ac",
    "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textendash": "\u2013",
    "textemdash": "\u2014", "textquoteright": "\u2019", "newline": "\n", "quad": " ", "qquad": " ",
    "par": "\n", "textregistered": "\u00ae", "texttrademark": "\u2122", "textdegree": "\u00b0",
    "degree": "\u00b0", "and": ", ", "And": ", ", "AND": ", ",
}  # fmt: skip
_SILENT = (
    r"label|vspace|hspace|includegraphics|bibliographystyle|bibliography|pagestyle|thispagestyle|setlength|addtolength"
    r"|setcounter|addtocounter|input|include|usepackage|documentclass|newcommand|renewcommand|definecolor|color"
    r"|rule|graphicspath|hypersetup|newtheorem|markboth|addcontentsline|phantomsection|selectlanguage|resizebox|def"
)
_MATH = re.compile(r"\$[^$]{1,2000}\$|\\\((?>(?:[^\\]|\\(?![()])){1,2000})\\\)")
_SILENT_COMMAND = re.compile(rf"\\(?:{_SILENT})\*?(?![A-Za-z])\s*(?:\[[^\[\]]*\])*(?:\{{[^{{}}]*\}})*(?:\[[^\[\]]*\])?")
_MEASURE = r"\{(?:[^{}]|\{[^{}]*\})*\}"
# What is said before the text: a colour, a width, how many columns.
_MEASURED = re.compile(
    rf"\\(?:textcolor|colorbox|parbox|raisebox|rotatebox|scalebox)\*?(?:\[[^\[\]]*\])*{_MEASURE}(?:\[[^\[\]]*\])*(?=\{{)"
    rf"|\\(?:multicolumn|multirow|fcolorbox)\*?(?:\[[^\[\]]*\])*{_MEASURE}(?:\[[^\[\]]*\])*{_MEASURE}(?:\[[^\[\]]*\])*(?=\{{)"
)
_CITE = re.compile(r"\\[a-zA-Z]{0,20}cite[a-zA-Z]{0,20}\*?(?:\[[^\[\]]*\])*\{([^{}]*)\}")
_REF = re.compile(r"\\(?:[a-zA-Z]{0,20}ref)\*?\{([^{}]*)\}")
_LINK = re.compile(r"\\href\{([^{}]*)\}\{([^{}]*)\}")
_FOOTNOTE = re.compile(r"\\(?:(?:foot|end|side|margin|tablefoot)note(?:text)?|thanks)(?:\[[^\[\]]*\])?\{([^{}]*)\}")
_SHIFTED = re.compile(r"\\text(super|sub)script\{([^{}]*)\}")
_COMMAND = re.compile(r"\\([A-Za-z@]+)\*?(?:\[[^\[\]]*\])*\{([^{}]*)\}")
_GROUP = re.compile(r"\{([^{}]*)\}")
_ACCENT = re.compile(r"\\(['`^\"~=.]|[cvuHkrdb](?![A-Za-z]))\s*(?:\{(\\?[A-Za-z]{0,2})\}|(\\?[A-Za-z]))")
_NAMED = re.compile(r"\\([A-Za-z@]+)\*?[ \t]*(?:\{\})?")
_ESCAPED = re.compile(r"\\([%&$#_{}])")
# Commands within commands; each pass resolves the innermost.
_MAX_PASSES = 12
# The passes are over all of a text, so a longer one stays as it is.
_MAX_CHARS = 200_000


def argument(source: str, position: int) -> tuple[str, int]:
    """The balanced `{...}` that starts at or just after `position`, and the offset after it.

    An argument that is not closed within 10,000 characters ends at its line's end.
    """
    start = source.find("{", position)
    if start < 0:
        return "", position
    depth = 0
    for match in re.compile(r"\\.|[{}]", re.S).finditer(source, start, start + 10_000):
        if match.group() == "{":
            depth += 1
        elif match.group() == "}":
            depth -= 1
            if depth == 0:
                return source[start + 1 : match.start()], match.end()
    stop = source.find("\n", start)
    stop = len(source) if stop < 0 else stop
    return source[start + 1 : stop], stop


def readable(text: str) -> str:
    """LaTeX `text` as a person would read it; formulas between dollars stay as they are."""
    if len(text) > _MAX_CHARS:
        return text.strip()
    formulas: list[str] = []

    def keep(match: re.Match[str]) -> str:
        formulas.append(match.group())
        return f"\ue000{len(formulas) - 1}\ue001"

    text = _MATH.sub(keep, text.replace(r"\\", "\n"))
    text = _ESCAPED.sub(lambda match: f"\ue002{ord(match.group(1))}\ue003", text)
    text = _ACCENT.sub(_accent, text)
    for _ in range(_MAX_PASSES):
        before = text
        text = _SILENT_COMMAND.sub("", text)
        text = _MEASURED.sub("", text)
        text = _LINK.sub(r"\2 (\1)", text)
        text = _CITE.sub(r"[\1]", text)
        text = _REF.sub(r"\1", text)
        text = _FOOTNOTE.sub(r" (\1)", text)
        text = _SHIFTED.sub(_shifted, text)
        text = _COMMAND.sub(r"\2", text)
        text = _GROUP.sub(r"\1", text)
        if text == before:
            break
    text = _NAMED.sub(lambda match: _SYMBOLS.get(match.group(1), ""), text)
    text = (
        text.replace("``", "\u201c")
        .replace("''", "\u201d")
        .replace("---", "\u2014")
        .replace("--", "\u2013")
        .replace("~", " ")
    )
    text = re.sub(r"\\([ ,;:!/@-])", r" ", text)
    text = re.sub("\ue002(\\d+)\ue003", lambda match: chr(int(match.group(1))), text)
    text = re.sub("\ue000(\\d+)\ue001", lambda match: formulas[int(match.group(1))], text)
    return re.sub(r"[ \t]{2,}", " ", re.sub(r"\n\s*\n\s*", "\n", text)).strip()


def _shifted(match: re.Match[str]) -> str:
    return shifted(match.group(2), "sup" if match.group(1) == "super" else "sub", match.string[: match.start()][-1:])


def _accent(match: re.Match[str]) -> str:
    letter = (match.group(2) or match.group(3) or "").removeprefix("\\")
    return unicodedata.normalize("NFC", letter[:1] + _ACCENTS[match.group(1)] + letter[1:]) if letter else ""
