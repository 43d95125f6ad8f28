"""Formulas of MathML and of Word, written in one line: `1/2`, `x^3`, `sqrt(a+b)`.

Belongs here: the elements of both, known by their local names. Does not belong here: the documents around them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag_pipeline.parsing.containers.archives import local_attribute, local_name

if TYPE_CHECKING:
    from lxml.etree import _Element

# Deeper than any formula that people set, and less than the stack.
MAX_DEPTH = 60
_SIMPLE = re.compile(r"[\w.,]*\Z")
_SKIPPED = frozenset(
    ("annotation", "annotation-xml", "mphantom", "fPr", "sSupPr", "sSubPr", "radPr", "dPr", "naryPr", "rPr", "ctrlPr")
)
_FRACTIONS = frozenset({"f", "mfrac"})
_RAISED = frozenset({"sSup", "msup", "mover", "limUpp"})
_LOWERED = frozenset({"sSub", "msub", "munder", "limLow"})
_BOTH = frozenset({"sSubSup", "msubsup", "munderover"})
_ROOTS = frozenset({"rad", "msqrt", "mroot"})


def formula_text(element: _Element, depth: int = 0) -> str:
    """A formula in one line, fractions and powers told from figures side by side."""
    name = local_name(element)
    if name in _SKIPPED or depth > MAX_DEPTH:
        return ""
    parts = [formula_text(child, depth + 1) for child in element if local_name(child) and not _is_setting(child)]
    if name in _FRACTIONS and len(parts) == 2:
        return f"{_whole(parts[0])}/{_whole(parts[1])}"
    if name in _RAISED and len(parts) == 2:
        return f"{parts[0]}^{_whole(parts[1])}"
    if name in _LOWERED and len(parts) == 2:
        return f"{parts[0]}_{_whole(parts[1])}"
    if name in _BOTH and len(parts) == 3:
        return f"{parts[0]}_{_whole(parts[1])}^{_whole(parts[2])}" + " " * (name == "munderover")
    if name in _ROOTS and parts:
        return _root(name, parts)
    if name == "nary" and len(parts) == 3:
        low, high, body = parts
        bounds = (f"_{_whole(low)}" if low else "") + (f"^{_whole(high)}" if high else "")
        return f"{_sign(element, 'chr', '∫')}{bounds} {body}"
    if name == "d":
        return _sign(element, "begChr", "(") + ", ".join(parts) + _sign(element, "endChr", ")")
    if name in ("mr", "mtr"):
        return ", ".join(parts) + "; "
    own = " ".join((element.text or "").split())
    tails = ["".join((child.tail or "").split()) for child in element if local_name(child) and not _is_setting(child)]
    return own + "".join(part + tail for part, tail in zip(parts, tails, strict=True))


def _root(name: str, parts: list[str]) -> str:
    """The root of the radicand, which Word writes last and MathML first."""
    if name == "msqrt":
        return f"sqrt({''.join(parts)})"
    radicand, degree = (parts[-1], "".join(parts[:-1])) if name == "rad" else (parts[0], "".join(parts[1:]))
    return f"root({degree}, {radicand})" if degree else f"sqrt({radicand})"


def _is_setting(element: _Element) -> bool:
    return local_name(element) in _SKIPPED


def _sign(element: _Element, name: str, usual: str) -> str:
    """A sign that the properties of one of Word's elements name."""
    for properties in element:
        if local_name(properties).endswith("Pr"):
            for item in properties:
                if local_name(item) == name:
                    return local_attribute(item, "val") or ""
    return usual


def _whole(text: str) -> str:
    return text if _SIMPLE.match(text) or (text[:1] in "-+\u2212" and _SIMPLE.match(text[1:])) else f"({text})"
