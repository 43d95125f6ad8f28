"""Values of spreadsheet cells as a person sees them: the number formats of Excel applied to a value.

Belongs here: format codes such as `0.0%`, `00000`, `#,##0.00 "EUR"`, `dd.mm.yyyy`, `[h]:mm`, `0.0E+00`, `# ?/?`.
Does not belong here: where a cell's format stands (`sheet_view`), dates as such (`date_formats`).

Colours and widths are not shown. A code that is not understood gives the plain value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

from rag_pipeline.parsing.office.date_formats import Token, is_date_format, shown_date

Value = str | float | int | bool | date | time | datetime | timedelta | None

# What Excel allows.
MAX_CODE_CHARS = 255
# What Excel allows.
MAX_DECIMALS = 30
# Doubles hold no more whole digits, and Excel shows none.
MAX_NUMBER = 1e15
# Below it, a plain format shows all digits without an exponent.
MAX_SIMPLE = 1e12
# A half that is a little less in binary is rounded up all the same, as a person would.
HALF_UP = 1e-15

# Formats that files name by number only (ECMA-376, 18.8.30); 14 and 22 follow the reader's locale.
BUILTIN = {
    0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 5: '"$"#,##0;-"$"#,##0', 6: '"$"#,##0;-"$"#,##0',
    7: '"$"#,##0.00;-"$"#,##0.00', 8: '"$"#,##0.00;-"$"#,##0.00', 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?",
    13: "# ??/??", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM",
    20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)",
    39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)", 41: "#,##0;-#,##0", 42: '"$"#,##0;-"$"#,##0',
    43: "#,##0.00;-#,##0.00", 44: '"$"#,##0.00;-"$"#,##0.00', 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0",
    48: "##0.0E+0", 49: "@",
}  # fmt: skip

_PART = re.compile(
    r'(?P<quoted>"[^"]*"?)|(?P<escaped>\\.)|(?P<bracket>\[[^\]]*\])|(?P<space>_.)|(?P<fill>\*.)'
    r"|(?P<general>General)|(?P<ampm>AM/PM|A/P)|(?P<exponent>E[+-])|(?P<dots>\.0+(?![0#?.,%E]))"
    r"|(?P<date>y+|m+|d+|h+|s+)|(?P<digit>[0#?])|(?P<mark>[.,%/@;])|(?P<other>.)",
    re.I | re.S,
)
_SIMPLE = re.compile(
    r'(?P<before>(?:"[^"]*"|\\.|\[[^\]]*\]|_.|\*.|[^0-9#?.,%/@E"\\_*\[\]ymdhsA-Za-z])*)'
    r"(?P<whole>#,##0|[#0]*0)(?:\.(?P<decimals>0+))?(?P<percent>%?)"
    r'(?P<after>(?:"[^"]*"|\\.|\[[^\]]*\]|_.|\*.|[^0-9#?.,%/@E"\\_*\[\]A-Za-z])*)$'
)
_CONDITION = re.compile(r"\[(<=|>=|<>|<|>|=)(-?\d+(?:\.\d+)?)\]")
_CURRENCY = re.compile(r"\[\$([^\]-]*)(?:-[^\]]*)?\]")


@dataclass(frozen=True, slots=True)
class _Section:
    """One of the up to four sections of a code, which apply by sign or condition."""

    tokens: tuple[Token, ...]
    condition: tuple[str, float] | None

    def has(self, kind: str, text: str = "") -> bool:
        return any(token.kind == kind and (not text or token.text == text) for token in self.tokens)


def shown(value: Value, code: str) -> str | None:
    """`value` as the format shows it; None where the plain value is what a person sees or the code is unknown."""
    if isinstance(value, bool) or value is None or len(code) > MAX_CODE_CHARS:
        return None
    if isinstance(value, int | float) and (simple := _simple(code)) is not None and 0 < value < MAX_SIMPLE:
        before, pattern, factor, after = simple
        return f"{before}{value * factor * (1 + HALF_UP):{pattern}}{after}"
    sections = _sections(code)
    if isinstance(value, str):
        return _shown_text(value, sections)
    if isinstance(value, date | time | timedelta):
        chosen = next((section for section in sections if is_date_format(section.tokens)), None)
        return shown_date(value, chosen.tokens) if chosen else None
    if abs(value) >= MAX_NUMBER or value != value:
        return None
    section, is_signed = _chosen(value, sections)
    if section is None or section.has("general") or is_date_format(section.tokens):
        return None
    if not section.has("digit"):
        return "".join(token.text for token in section.tokens if token.kind == "literal").strip()
    number = Decimal(repr(float(value)))
    text = _shown_number(abs(number), section)
    if text is None:
        return None
    has_figures = any(character in "123456789" for character in text)
    return ("-" if number < 0 and is_signed and has_figures else "") + text


@lru_cache(maxsize=2_000)
def _simple(code: str) -> tuple[str, str, int, str] | None:
    """Text before, Python's format, factor and text after, for codes of one run of digits; None for all others.

    Nearly all codes of real sheets are such, and this is ten times as fast as the general way.
    """
    match = _SIMPLE.match(code.partition(";")[0])
    if match is None or _CONDITION.search(code) or not match["whole"] or match["whole"][0] == "?":
        return None
    before, after = (_literal(match[name]) for name in ("before", "after"))
    if before is None or after is None:
        return None
    whole = match["whole"].replace(",", "")
    zeros = len(whole.lstrip("#"))
    if zeros == 0 or ("," in match["whole"] and zeros > 1):
        return None
    decimals = len(match["decimals"] or "")
    width = zeros + (1 + decimals if decimals else 0)
    pattern = ("," if "," in match["whole"] else f"0{width}" if zeros > 1 else "") + f".{decimals}f"
    percent = bool(match["percent"])
    return before.lstrip(), pattern, 100 if percent else 1, (("%" if percent else "") + after).rstrip()


def _literal(code: str) -> str | None:
    """The text that a part of a code without digits shows; None where it shows more than text."""
    tokens = [_token(match.lastgroup or "other", match.group()) for match in _PART.finditer(code)]
    found = [token for token in tokens if token is not None]
    return "".join(token.text for token in found) if all(token.kind == "literal" for token in found) else None


@lru_cache(maxsize=2_000)
def _sections(code: str) -> tuple[_Section, ...]:
    sections: list[_Section] = []
    tokens: list[Token] = []
    condition: tuple[str, float] | None = None
    for match in _PART.finditer(code):
        kind, text = match.lastgroup or "other", match.group()
        if kind == "mark" and text == ";":
            sections.append(_Section(tuple(tokens), condition))
            tokens, condition = [], None
        elif kind == "bracket" and (found := _CONDITION.match(text)):
            condition = (found[1], float(found[2]))
        else:
            token = _token(kind, text)
            if token is not None:
                tokens.append(token)
    sections.append(_Section(tuple(tokens), condition))
    return tuple(sections[:4])


def _token(kind: str, text: str) -> Token | None:
    if kind == "quoted":
        return Token("literal", text.strip('"'))
    if kind == "escaped":
        return Token("literal", text[1:])
    if kind == "space":
        return Token("literal", " ")
    if kind == "bracket":
        currency = _CURRENCY.match(text)
        if currency:
            return Token("literal", currency[1])
        inner = text[1:-1].casefold()
        return Token("elapsed", inner) if inner and not inner.strip("hms") and len(set(inner)) == 1 else None
    if kind in ("general", "ampm", "exponent", "date", "digit", "dots"):
        return Token(kind, text if kind in ("digit", "dots", "ampm") else text.casefold())
    if kind == "mark":
        return Token(text, text)
    return None if kind == "fill" else Token("literal", text)


def _chosen(value: float, sections: tuple[_Section, ...]) -> tuple[_Section | None, bool]:
    """The section for a number, and whether the sign is still to be written."""
    numeric = sections[:3]
    if any(section.condition for section in numeric):
        for section in numeric:
            if section.condition is None or _holds(value, *section.condition):
                return section, True
        return None, True
    if value < 0 and len(numeric) > 1:
        return numeric[1], False
    if value == 0 and len(numeric) > 2:
        return numeric[2], False
    return numeric[0], True


def _holds(value: float, sign: str, bound: float) -> bool:
    return {
        "<": value < bound,
        ">": value > bound,
        "<=": value <= bound,
        ">=": value >= bound,
        "=": value == bound,
        "<>": value != bound,
    }[sign]


def _shown_text(value: str, sections: tuple[_Section, ...]) -> str | None:
    section = sections[3] if len(sections) > 3 else sections[0]
    if len(sections) < 4 and not section.has("@"):
        return None
    return "".join(value if token.kind == "@" else token.text for token in section.tokens).strip()


def _shown_number(number: Decimal, section: _Section) -> str | None:
    tokens = section.tokens
    number *= Decimal(100) ** sum(token.kind == "%" for token in tokens)
    if section.has("exponent"):
        return _scientific(number, tokens)
    if section.has("/"):
        return _fraction(number, tokens)
    places = [index for index, token in enumerate(tokens) if token.kind == "digit"]
    point = next((index for index, token in enumerate(tokens) if token.kind in (".", "dots")), len(tokens))
    whole = [index for index in places if index < point]
    decimals = [tokens[index].text for index in places if index > point]
    if point < len(tokens) and tokens[point].kind == "dots":
        decimals = ["0"] * (len(tokens[point].text) - 1)
    commas = [index for index, token in enumerate(tokens) if token.kind == ","]
    is_grouped = any(whole and whole[0] < index < whole[-1] for index in commas)
    last = places[-1]
    number /= Decimal(1000) ** sum(index > (whole[-1] if whole else last) for index in commas)
    figures, fraction = _figures(number, decimals)
    return _filled(tokens, whole, point, figures, fraction, is_grouped)


def _figures(number: Decimal, decimals: list[str]) -> tuple[str, str]:
    """Figures before and after the point, rounded to the places there are; optional zeros dropped."""
    count = min(len(decimals), MAX_DECIMALS)
    with localcontext() as context:
        context.prec = 60
        rounded = number.quantize(Decimal(1).scaleb(-count), rounding=ROUND_HALF_UP)
    whole, _, fraction = f"{rounded:f}".partition(".")
    while fraction and fraction[-1] == "0" and decimals[len(fraction) - 1] != "0":
        fraction = fraction[:-1]
    return whole.lstrip("0"), fraction


def _filled(
    tokens: tuple[Token, ...], whole: list[int], point: int, figures: str, fraction: str, is_grouped: bool
) -> str:
    """The section's text: figures fill its places from the right, and what is left over stands first."""
    least = sum(tokens[index].text == "0" for index in whole)
    first_zero = next((position for position, index in enumerate(whole) if tokens[index].text == "0"), len(whole))
    figures = figures.rjust(max(least, len(whole) - first_zero), "0")
    by_place: dict[int, str] = {}
    rest = figures
    for index in reversed(whole):
        by_place[index], rest = rest[-1:], rest[:-1]
    if whole:
        by_place[whole[0]] = rest + by_place[whole[0]]
    out: list[str] = []
    written = 0
    for index, token in enumerate(tokens):
        if token.kind == "digit" and index in by_place:
            for figure in by_place[index]:
                out.append(figure)
                written += 1
                left = len(figures) - written
                if is_grouped and left and left % 3 == 0:
                    out.append(",")
        elif index == point:
            out.append(f".{fraction}" if fraction else "")
        elif token.kind in ("literal", "%"):
            out.append(token.text)
    return "".join(out).strip()


def _scientific(number: Decimal, tokens: tuple[Token, ...]) -> str:
    at = next(index for index, token in enumerate(tokens) if token.kind == "exponent")
    point = next((index for index, token in enumerate(tokens[:at]) if token.kind == "."), at)
    decimals = sum(token.kind == "digit" for token in tokens[point:at])
    width = sum(token.kind == "digit" for token in tokens[at:])
    step = max(1, sum(token.kind == "digit" for token in tokens[:point]))
    exponent = number.adjusted() if number else 0
    exponent -= exponent % step
    mantissa = number.scaleb(-exponent).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    if mantissa >= Decimal(10) ** step:
        exponent += step
        mantissa = number.scaleb(-exponent).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    sign = "-" if exponent < 0 else "+" if tokens[at].text.endswith("+") else ""
    return f"{mantissa:f}E{sign}{abs(exponent):0{width}d}"


def _fraction(number: Decimal, tokens: tuple[Token, ...]) -> str | None:
    at = next(index for index, token in enumerate(tokens) if token.kind == "/")
    below = [token.text for token in tokens[at + 1 :] if token.kind in ("digit", "literal")]
    fixed = "".join(below).strip()
    above = [index for index, token in enumerate(tokens[:at]) if token.kind == "digit"]
    has_whole = any(token.kind == "literal" and not token.text.strip() for token in tokens[: above[-1] if above else 0])
    whole = int(number) if has_whole else 0
    rest = Fraction(number - whole)
    if fixed.isdecimal() and int(fixed):
        denominator = int(fixed)
        numerator = round(rest * denominator)
    else:
        limited = rest.limit_denominator(10 ** max(1, min(4, len(below))) - 1)
        numerator, denominator = limited.numerator, limited.denominator
    if numerator == denominator and has_whole:
        whole, numerator = whole + 1, 0
    if not numerator:
        return str(whole)
    return f"{whole} {numerator}/{denominator}" if whole else f"{numerator}/{denominator}"
