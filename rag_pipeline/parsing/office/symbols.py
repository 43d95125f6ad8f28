"""Signs of the fonts Symbol and Wingdings, which files name by the font's own numbers, as Unicode has them.

Belongs here: the signs that carry meaning: Greek letters, comparisons, arrows, ticks.
Does not belong here: where a document says so (`docx_runs`, `rtf`).
"""

from __future__ import annotations

# Such fonts lie in the private area of Unicode, or below it, from a blank on.
_PRIVATE, _LAST = 0xF000, 0xFF
# In the order of A to Z and a to z; written by number, as some look like other letters.
_GREEK = (
    "\u0391\u0392\u03a7\u0394\u0395\u03a6\u0393\u0397\u0399\u03d1\u039a\u039b\u039c"
    "\u039d\u039f\u03a0\u0398\u03a1\u03a3\u03a4\u03a5\u03c2\u03a9\u039e\u03a8\u0396"
)
_SMALL_GREEK = (
    "\u03b1\u03b2\u03c7\u03b4\u03b5\u03c6\u03b3\u03b7\u03b9\u03d5\u03ba\u03bb\u03bc"
    "\u03bd\u03bf\u03c0\u03b8\u03c1\u03c3\u03c4\u03c5\u03d6\u03c9\u03be\u03c8\u03b6"
)
_SYMBOL = {
    **dict(zip(range(0x41, 0x5B), _GREEK, strict=True)),
    **dict(zip(range(0x61, 0x7B), _SMALL_GREEK, strict=True)),
    **{code: chr(code) for code in b" !#%&()+,./0123456789:;<=>?[]_{|}"},
    0x22: "∀", 0x24: "∃", 0x27: "∋", 0x2A: "\u2217", 0x2D: "\u2212", 0x40: "≅", 0x5C: "∴", 0x5E: "⊥", 0x7E: "\u223c",
    0xA0: "€", 0xA1: "\u03d2", 0xA2: "\u2032", 0xA3: "≤", 0xA4: "\u2044", 0xA5: "∞", 0xA6: "ƒ", 0xAB: "↔", 0xAC: "←",
    0xAD: "↑", 0xAE: "→", 0xAF: "↓", 0xB0: "°", 0xB1: "±", 0xB2: "″", 0xB3: "≥", 0xB4: "\u00d7", 0xB5: "∝",
    0xB6: "∂", 0xB7: "•", 0xB8: "÷", 0xB9: "≠", 0xBA: "≡", 0xBB: "≈", 0xBC: "…", 0xC4: "⊗", 0xC5: "⊕", 0xC6: "∅",
    0xC7: "∩", 0xC8: "\u222a", 0xC9: "⊃", 0xCA: "⊇", 0xCB: "⊄", 0xCC: "⊂", 0xCD: "⊆", 0xCE: "∈", 0xCF: "∉",
    0xD0: "∠", 0xD1: "∇", 0xD2: "®", 0xD3: "©", 0xD4: "™", 0xD5: "∏", 0xD6: "√", 0xD7: "⋅", 0xD8: "¬", 0xD9: "∧",
    0xDA: "\u2228", 0xDB: "⇔", 0xDC: "⇐", 0xDD: "⇑", 0xDE: "⇒", 0xDF: "⇓", 0xE2: "®", 0xE3: "©", 0xE4: "™",
    0xE5: "∑", 0xF2: "∫",
}  # fmt: skip
_WINGDINGS = {
    0x4A: "☺", 0x4C: "☹", 0x6C: "●", 0x6E: "■", 0x6F: "☐", 0x71: "❑", 0x78: "☒", 0xA7: "▪", 0xA8: "☐", 0xD8: "➢",
    0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓", 0xE8: "➔", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑",
}  # fmt: skip
SIGNS_OF = {"symbol": _SYMBOL, "wingdings": _WINGDINGS}


def symbol(font: str, number: str) -> str:
    """The sign with a hexadecimal number in a font; empty for one that is not known."""
    try:
        code = int(number, 16)
    except ValueError:
        return ""
    signs = SIGNS_OF.get(font.strip().casefold())
    within = code - _PRIVATE if _PRIVATE <= code <= _PRIVATE + _LAST else code
    if signs is not None and within <= _LAST:
        return signs.get(within, "")
    # Letters of an ordinary font are named as Unicode names them.
    return chr(code) if 0x20 <= code < 0xD800 else ""
