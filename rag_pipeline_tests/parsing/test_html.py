"""HTML: what is content stays whole, what is page chrome goes, and hostile pages end quickly."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter

import pytest

from rag_pipeline.contracts.documents import ParsedDocument
from rag_pipeline.errors import EmptyDocument
from rag_pipeline.parsing import ParseLimits, parse
from rag_pipeline_tests.parsing.rendering import check_invariants
from rag_pipeline_tests.paths import SHARED

PAGES = SHARED / "eval" / "html_extraction"
TARGET_F1 = 0.95


def parsed(page: str | bytes) -> ParsedDocument:
    raw = page.encode() if isinstance(page, str) else page
    documents = parse(raw, "text/html", "a.html", ParseLimits())
    check_invariants(documents)
    return documents[0]


def blocks(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, document.text[block.start_char : block.end_char]) for block in document.blocks]


CODE = "def area(width, *, height):\n\n    # two  blanks\n    return width * height  # <b> & _x_"
DOCUMENTATION = f"""<!doctype html><html lang="en-GB"><head><title>Areas | Handbook</title>
<meta name="generator" content="Sphinx 8"><meta name="author" content="Ada Byron"></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/api">Reference</a></li></ul></nav>
<div class="sidebar"><a href="/other">Volumes</a></div>
<main><h1 id="areas">Areas<a class="headerlink" href="#areas">¶</a></h1>
<p>An area is the product of a <em>width</em> and a <a href="/h">height</a>.</p>
<h2>Usage</h2><div class="highlight-python"><div class="highlight"><pre><span></span>{
    CODE.replace("&", "&amp;").replace("<", "&lt;")
}
</pre></div></div>
<h2>Units</h2><ol><li>Measure the width.<ul><li>Use metres.</li></ul></li><li>Run this:<pre>area 2 3</pre></li>
<li>Read the result.</li></ol>
<h3>Table</h3><table><thead><tr><th>Unit</th><th>Symbol</th></tr></thead><tbody><tr><td rowspan="2">Metre</td>
<td>m</td></tr><tr><td>mm</td></tr></tbody></table>
<blockquote><p>Measure twice.</p><p>Cut once.</p></blockquote>
<dl><dt>width</dt><dd>The shorter side.</dd></dl></main>
<footer>Copyright 2026</footer><script>track()</script></body></html>"""


def test_a_documentation_page_keeps_every_heading_code_block_list_and_table() -> None:
    document = parsed(DOCUMENTATION)
    assert (document.title, document.author, document.language) == ("Areas", "Ada Byron", "en")
    assert blocks(document) == [
        ("heading", "# Areas"),
        ("paragraph", "An area is the product of a width and a height."),
        ("heading", "## Usage"),
        ("code", f"```python\n{CODE}\n```"),
        ("heading", "## Units"),
        ("list", "1. Measure the width.\n  - Use metres.\n2. Run this:"),
        ("code", "```\narea 2 3\n```"),
        ("list", "3. Read the result."),
        ("heading", "### Table"),
        ("table", "Unit\tSymbol\nMetre\tm\nMetre\tmm"),
        ("quote", "> Measure twice.\n>\n> Cut once."),
        ("paragraph", "width\nThe shorter side."),
    ]
    assert [block.label for block in document.blocks if block.kind == "heading"] == [
        "Areas",
        "Usage",
        "Units",
        "Table",
    ]


def test_a_page_without_chrome_keeps_everything() -> None:
    page = "<h1>Fees</h1><p>Short.</p><h2>Empty section</h2><h2>Rates</h2><ul><li>one<li>two</ul><pre>x = 1</pre>"
    assert [text for _, text in blocks(parsed(page))] == [
        "# Fees",
        "Short.",
        "## Empty section",
        "## Rates",
        "- one\n- two",
        "```\nx = 1\n```",
    ]


def test_hidden_text_scripts_and_comments_are_left_out() -> None:
    page = (
        "<p>Seen.</p><p hidden>no1</p><p style='display: none'>no2</p><!-- no3 --><script>no4</script>"
        "<template>no5</template><span aria-hidden=true>no6</span>"
    )
    assert parsed(page).text == "Seen."


def test_layout_tables_are_read_as_text_and_data_tables_as_rows() -> None:
    page = "<table><tr><td><h2>News</h2><p>Text.</p><table><tr><td>a</td><td>b</td></tr></table></td></tr></table>"
    assert blocks(parsed(page)) == [("heading", "## News"), ("paragraph", "Text."), ("table", "a\tb")]


def test_an_article_in_a_pre_element_is_prose() -> None:
    line = "The committee met on Thursday and agreed on the plan that was put forward by the chair"
    page = "<pre>" + "\n\n".join("\n".join([line] * 4) for _ in range(4)) + "</pre>"
    assert [kind for kind, _ in blocks(parsed(page))] == ["paragraph"] * 4


@pytest.mark.parametrize(
    ("head", "encoding"), [("<meta charset=iso-8859-2>", "iso-8859-2"), ("", "cp1252"), ("", "utf-8")]
)
def test_the_encoding_is_the_declared_one_or_what_browsers_assume(head: str, encoding: str) -> None:
    words = "köszönöm szépen ő" if encoding == "iso-8859-2" else "Größe and naïve café"
    page = f"<html><head>{head}</head><body><p>plain words to begin with, then {words}</p></body></html>"
    assert words in parsed(page.encode(encoding)).text


def test_a_page_without_text_is_empty() -> None:
    with pytest.raises(EmptyDocument):
        parsed("<html><body><script>x</script><img src='a.png'></body></html>")


@pytest.mark.parametrize(
    "page",
    [
        "<p>start</p>" + "<div>" * 100_000 + "deep" + "</div>" * 100_000 + "<p>end</p>",
        "<p>start</p>" + "<table><tr><td>" * 20_000 + "deep",
        "<p>start</p>" + "<div>" * 300 + "<svg>" * 50_000 + "<p>deep",
        "<p>start</p><p " + " ".join(f"a{number}" for number in range(300_000)) + ">deep</p>",
        "<p>start</p><p " + " ".join(f'a{number}="v"' for number in range(300_000)) + ">deep</p>",
        "<p>start deep</p>" + "<" * 1_000_000,
        "<p>start deep " + "word " * 3_000_000,
        "<p>start deep</p><!--" + "x" * 1_000_000,
    ],
    ids=["divs", "tables", "svg", "names", "attributes", "brackets", "one long text", "comment"],
)
def test_hostile_pages_keep_their_text(page: str) -> None:
    text = parsed(page).text
    assert "start" in text
    assert "deep" in text


def test_no_entity_reads_a_file() -> None:
    page = '<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><html><body><p>Before &x; after</p></body></html>'
    assert "root:" not in parsed(page).text


def shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[start : start + 4]) for start in range(max(1, len(words) - 3)))


@pytest.mark.skipif(not PAGES.is_dir(), reason="needs the page corpus beside the repository")
def test_main_content_of_real_pages_beats_the_published_extractors() -> None:
    precisions, recalls = [], []
    for name, truth in json.loads((PAGES / "ground-truth.json").read_text("utf-8")).items():
        text = parsed(gzip.decompress((PAGES / "html" / f"{name}.html.gz").read_bytes())).text
        wanted, found = shingles(truth["articleBody"]), shingles(text)
        hits = (wanted & found).total()
        precisions.append(hits / found.total())
        recalls.append(hits / wanted.total())
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    assert 2 * precision * recall / (precision + recall) >= TARGET_F1


def test_a_comparison_in_a_script_does_not_swallow_the_page() -> None:
    script = "<script>if (a<b && c == '\"') { " + "call(x); " * 4_000 + "}</script>"
    page = f'<html><body>{script}<p>The first words.</p><p class="x">' + "More words. " * 2_000 + "</p></body></html>"
    text = parsed(page).text
    assert text.startswith("The first words.")
    assert text.endswith("More words.")


MENU = '<nav><ul><li><a href="/">Home</a></li></ul></nav><div class="sidebar"><h3>Popular</h3><ul><li><a href="/1">'
MENU += "How to mend a pump</a></li></ul></div>"
SHORT_PAGES = {
    "recipe": (
        "<div><h1>Pancakes</h1><ul><li>2 eggs</li><li>125 g flour</li></ul><ol><li>Fold in the flour.</li></ol></div>",
        ("2 eggs", "125 g flour", "Fold in the flour."),
    ),
    "terms": (
        "<div><h1>Terms</h1><ol><li>You may use it.<ol><li>Not for resale.</li></ol></li></ol></div>",
        ("You may use it.", "Not for resale."),
    ),
    "staff": (
        "<h1>Our team</h1>"
        + "".join(
            f'<div><h3>{name}</h3><p>{role}</p><p class="mail"><a href="mailto:a@b">E-Mail</a></p></div>'
            for name, role in (("Mary Adams", "Chief engineer"), ("Li Wei", "Surveyor"), ("Tom Roe", "Clerk"))
        ),
        ("Mary Adams", "Chief engineer", "Li Wei", "Clerk"),
    ),
    "product": (
        '<div><h1>Drill</h1><p>A compact drill for wood.</p><table class="specs">'
        "<tr><th>Weight</th><td>1.4 kg</td></tr><tr><th>Chuck</th><td>13 mm</td></tr></table></div>",
        ("A compact drill for wood.", "1.4 kg", "13 mm"),
    ),
}


@pytest.mark.parametrize("name", SHORT_PAGES)
def test_a_short_page_keeps_its_words_and_loses_its_menus(name: str) -> None:
    body, phrases = SHORT_PAGES[name]
    text = parsed(f"<html><body>{MENU}{body}<footer><p>Copyright 2026</p></footer></body></html>").text
    assert [phrase for phrase in phrases if phrase not in text] == []
    assert "pump" not in text
    assert "Copyright" not in text


def test_footnotes_and_notes_of_documentation_are_content() -> None:
    page = DOCUMENTATION.replace(
        "<h2>Units</h2>",
        '<aside class="footnote brackets"><p>A footnote says more.</p></aside><aside><p>Sponsored.</p></aside>'
        "<h2>Units</h2>",
    )
    text = parsed(page).text
    assert "A footnote says more." in text
    assert "Sponsored." not in text


STEPS = (
    "<h1>Rotating keys</h1><p>Keys live for ninety days, and two may overlap.</p>{more}<h2>Steps</h2>"
    "<ol><li>Create the second key.</li><li>Revoke the first.</li></ol>"
    "<table><tr><th>Plan</th><th>Keys</th></tr><tr><td>Free</td><td>2</td></tr></table>"
)
MENU = '<ul><li><a href="/">Home</a></li><li><a href="/s">Security</a></li></ul>'


@pytest.mark.parametrize(
    "chrome", ["<nav>{}</nav>", '<div class="menu">{}</div>', "<header><a>Acme</a></header><nav>{}</nav>", ""]
)
@pytest.mark.parametrize(
    "holder", ["<main>{}</main>", "<article>{}</article>", '<div id="content">{}</div>', "<div>{}</div>", "{}"]
)
@pytest.mark.parametrize(
    "more", ["", "<p>" + "The team keeps them in a vault that is opened twice a year. " * 12 + "</p>"]
)
def test_a_short_page_keeps_its_lists_and_leaves_out_its_menu(chrome: str, holder: str, more: str) -> None:
    body = chrome.format(MENU) + holder.format(STEPS.format(more=more)) + "<footer>Imprint of Acme</footer>"
    text = parsed(f"<html><body>{body}</body></html>").text
    for words in ("Rotating keys", "ninety days", "## Steps", "1. Create the second key.", "Plan\tKeys"):
        assert words in text
    for words in ("Home", "Security", "Imprint"):
        assert words not in text


def test_a_drawing_gives_a_page_no_title() -> None:
    page = "<html><body><svg><title>Arrow</title></svg><h1>Tides</h1><p>High at six.</p></body></html>"
    assert parsed(page).title == "Tides"


def test_a_long_page_without_a_main_part_keeps_the_lists_beside_its_text() -> None:
    parts = "".join(
        f"<h2>Part {number}</h2><p>Keys of part {number} live for ninety days, and two may overlap.</p>"
        f"<ol><li>Create key {number}.</li></ol><dl><dt>Owner {number}</dt><dd>Ada</dd></dl>"
        for number in range(12)
    )
    page = f"<html><body><nav>{MENU}</nav><div>{parts}</div><footer>Imprint of Acme</footer></body></html>"
    text = parsed(page).text
    assert [text.count(f"Create key {number}.") for number in range(12)] == [1] * 12
    assert [text.count(f"Owner {number}\n") for number in range(12)] == [1] * 12
    assert "Home" not in text
