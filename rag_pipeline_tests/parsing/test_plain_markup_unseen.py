"""Comments of plain-text markup are left out in place and counted; what only looks like one stays."""

from __future__ import annotations

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pipeline.contracts.documents import Block
from rag_pipeline.parsing import ParseLimits, media_type_of, parse
from rag_pipeline.parsing.markup.struck import ADOC, JIRA, MEDIAWIKI, ORG, without_struck
from rag_pipeline.parsing.markup.unseen import adoc_comments, org_comments, rst_comments, without_unseen
from rag_pipeline_tests.parsing.rendering import check_invariants

GONE = {
    "a.rst": (
        "Quay\n====\n\n.. was 9 euros\n   and gone\n\n..\n   gone too\n\n.. note:: Kept words\n\n.. _kept: x\n\n"
        ".. [1] Kept note\n\n.. |k| replace:: kept\n\n::\n\n   .. kept in code\n\nLast words.\n",
        "2",
    ),
    "a.adoc": (
        "= Quay\n\n// was 9, gone\n////\ngone block\n////\nSeen words.\n\n----\n// kept in code\n----\n\n/// kept\n\n"
        "http://kept.example\n",
        "2",
    ),
    "a.org": (
        "#+TITLE: Kept\n# gone\n* Quay\n#+BEGIN_COMMENT\ngone\n#+END_COMMENT\n"
        "#+begin_src sh\n# kept in code\n#+end_src\n"
        "* COMMENT gone\ngone below\n** gone deeper\n* Last\n#kept-tag\n",
        "3",
    ),
    "a.tex": (
        "\\begin{document}\\section{Quay}\n% gone\nSeen 50\\% kept.\\iffalse gone \\fi\n"
        "\\begin{comment}\ngone\n\\end{comment}\n"
        "\\begin{verbatim}\n% kept in code\n\\end{verbatim}\n\\end{document}\n",
        "3",
    ),
}


@pytest.mark.parametrize("name", GONE)
def test_comments_are_left_out_and_counted_and_every_line_stays_where_it_is(name: str) -> None:
    source, count = GONE[name]
    documents = parse(source.encode(), media_type_of(name, source.encode()), name, ParseLimits())
    check_invariants(documents)
    assert "gone" not in documents[0].text
    assert documents[0].text.lower().count("kept") == source.lower().count("kept")
    assert documents[0].metadata["hidden_comment_count"] == count
    lines = source.split("\n")
    for block in documents[0].blocks:
        assert block.line is not None
        first = documents[0].text[block.start_char : block.end_char].split("\n")[0]
        assert name == "a.tex" or first in lines[block.line - 1]


@pytest.mark.parametrize("find", [rst_comments, adoc_comments, org_comments])
@given(text=st.text(alphabet="./#*=-+ aC\n", max_size=120) | st.text(alphabet="/#+begin_comment\n* ", max_size=120))
def test_only_words_become_spaces(find, text: str) -> None:  # type: ignore[no-untyped-def]
    bare, _ = without_unseen(text, find, "")
    assert all(new in (old, " ") for old, new in zip(text, bare, strict=True))
    assert bare.count("\n") == text.count("\n")


def test_struck_and_raised_text_of_latex() -> None:
    source = (
        rb"\begin{document}The charge was \sout{90} 120 for 10\textsuperscript{6} tons.\phantom{gone}\end{document}"
    )
    (document,) = parse(source, "text/x-tex", "a.tex", ParseLimits())
    assert document.text == "The charge was 120 for 10^6 tons."
    assert document.metadata == {"hidden_deletion_count": "1", "hidden_style_count": "1"}


PIECE = '{"plain_text":"%s","annotations":{"strikethrough":%s}}'
NOTION = ",".join(PIECE % piece for piece in (("Kept ", "false"), ("gone", "true"), (" kept", "false")))
STRUCK = {
    "a.org": (
        "* Kept\nKept +gone now+, 1 +2 + 3 kept C++ and =kept +kept+ kept=.\n: kept +kept+ kept\n"
        "#+begin_src sh\nkept +kept+ kept\n#+end_src\n| kept | +gone+ |\n- kept\n- +gone+ kept +49 30 1+2\n",
        3,
    ),
    "a.adoc": (
        "= Kept\n\nKept [.line-through]#gone now# and [.red.line-through]##go##ne [line-through]#gone# `#kept#`.\n\n"
        "[.line-through]\ngone\ngone\n\n----\n[.line-through]#kept#\n----\n\n[.big]#kept# C# kept\n",
        4,
    ),
    "a.mediawiki": (
        "== Kept ==\nKept <s>gone</s> <del class=x>gone\n''gone''</del> <nowiki><s>kept</s></nowiki>\n"
        "<pre>\n<s>kept</s>\n</pre>\n* kept <strike>gone</strike>\n<s>kept, never closed\n",
        3,
    ),
    "a.jira": (
        "h1. Kept\n\nKept -gone well-gone- kept well-kept - kept - kept {{-kept-}} 10-20 kept.\n\n----\n- kept\n"
        "- kept\n|kept|-gone-|\n{noformat}\n-kept-\n{noformat}\n",
        2,
    ),
    "a.mrkdwn": ("Kept ~gone now~, ~/kept and ~/kept `~kept~`\n```\n~kept~\n```\n", 1),
    "a.notion": (f'{{"object":"block","type":"paragraph","paragraph":{{"rich_text":[{NOTION}]}}}}', 1),
}


@pytest.mark.parametrize("name", STRUCK)
def test_what_is_struck_through_is_left_out_and_counted_outside_code(name: str) -> None:
    source, count = STRUCK[name]
    (document,) = parse(source.encode(), media_type_of(name, source.encode()), name, ParseLimits())
    check_invariants([document])
    assert "go" not in document.text
    assert document.text.lower().count("kept") == source.lower().count("kept")
    assert document.metadata["hidden_deletion_count"] == str(count)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.jira", "||berth||due||paid||\n|-|95|-|\n|North|-|-|\n|-4|-5|\n"),
        ("a.mrkdwn", "Run scp ~/x.txt host:~/y with PATH=~/bin:~/lib.\n"),
        ("a.mediawiki", "{|\n|-\n| <s>old || 95\n|-\n| <del>older\n| 96 </s>\n|-\n| new || 97</del>\n|}\n"),
        ("a.org", "Draught is 31 +/-2 m for ships of class B+ and above.\n"),
        ("a.adoc", "[.line-through]\n----\ncode\n----\n\nWords.\n"),
        ("a.org", "+-----+----+\n| kept | 4 |\n+=====+====+\n"),
    ],
)
def test_dashes_of_cells_homes_of_paths_tolerances_fences_borders_and_tags_of_other_cells_strike_nothing_out(
    name: str, source: str
) -> None:
    (document,) = parse(source.encode(), media_type_of(name, source.encode()), name, ParseLimits())
    assert document.text.split() == source.split()
    assert document.metadata == {}


def test_a_link_within_a_cell_may_be_struck_out() -> None:
    source = b"|kept|-go [gone|https://gone.example] gone-|kept|\n"
    (document,) = parse(source, media_type_of("a.jira", source), "a.jira", ParseLimits())
    assert document.text.split() == ["|kept|", "|kept|"]


@pytest.mark.parametrize("pattern", [ORG, ADOC, MEDIAWIKI, JIRA])
@given(text=st.text(alphabet="+-#=~` as\n", max_size=60) | st.text(alphabet="<s>/del[.line-through]#\n ", max_size=120))
def test_striking_out_only_makes_spaces(pattern: re.Pattern[str], text: str) -> None:
    bare, count = without_struck(text, [Block("paragraph", 0, len(text))], pattern)
    assert all(new in (old, " ") for old, new in zip(text, bare, strict=True))
    assert count or bare == text


@pytest.mark.parametrize(
    ("pattern", "piece"),
    [(ORG, " +a"), (ORG, " =a"), (ADOC, "[.line-through]#a"), (ADOC, "[line-through"), (MEDIAWIKI, "<s>"),
     (JIRA, " -a"), (MEDIAWIKI, "<s><del>"), (JIRA, "{code}"), (ADOC, "##a#"), (MEDIAWIKI, "<code><s>"),
     (JIRA, " -[a"), (JIRA, " -[a|b")],
)  # fmt: skip
def test_marks_that_never_close_cost_no_square(pattern: re.Pattern[str], piece: str) -> None:
    def cost(count: int) -> float:
        text = piece * count
        before = process_time()
        without_struck(text, [Block("paragraph", 0, len(text))], pattern)
        return process_time() - before

    small = max(min(cost(4_000) for _ in range(3)), 1e-3)
    assert min(cost(32_000) for _ in range(2)) < 24 * small
