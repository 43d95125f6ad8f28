"""LaTeX: what a command says about its text is no text."""

from __future__ import annotations

import pytest

from rag_pipeline.parsing import ParseLimits, parse


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (r"\textcolor{red}{Due 4}", "Due 4"),
        (r"\textcolor[rgb]{1,0,0}{Due 4}", "Due 4"),
        (r"\fcolorbox{red}{white}{Due 4}", "Due 4"),
        (r"\parbox[t]{3cm}{Due \textbf{4}}", "Due 4"),
        (r"\raisebox{2pt}{Due 4}\rule{1cm}{2pt}", "Due 4"),
        (r"Due \scalebox{0.5}[2]{4}", "Due 4"),
        (r"\begin{tabular}{ll}\multicolumn{2}{p{3cm}}{Due 4} \\ a & b \\\end{tabular}", "Due 4\na\tb"),
        (r"\begin{tabular}{ll}\multirow[t]{2}{*}[2pt]{Due 4} & b \\\end{tabular}", "Due 4\tb"),
    ],
)
def test_colours_widths_and_numbers_of_columns_are_no_text(source: str, shown: str) -> None:
    raw = rf"\begin{{document}}{source}\end{{document}}".encode()
    assert parse(raw, "text/x-tex", "a.tex", ParseLimits())[0].text == shown
