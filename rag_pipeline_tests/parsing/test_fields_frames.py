"""What fields, frames and players of a page show is kept; what nobody sees of them is counted."""

from __future__ import annotations

import pytest

from rag_pipeline.parsing import ParseLimits, parse


def read(body: str) -> tuple[str, dict[str, str]]:
    document = parse(f"<p>Before.</p>{body}<p>After.</p>".encode(), "text/html", "a.html", ParseLimits())[0]
    return document.text, dict(document.metadata)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ('<iframe srcdoc="<p>Fare is &amp;lt; 12 euros.</p>"></iframe>', "Fare is < 12 euros."),
        ("<object><p>Fare is 12 euros.</p></object>", "Fare is 12 euros."),
        ('<p>Fare: <input value="12 euros"> a day</p>', "Fare: 12 euros a day"),
        ("<textarea>Fare is 12 euros.\nDogs free.</textarea>", "Fare is 12 euros.\nDogs free."),
        ("<p>Fare <select><option>Full<option selected>Half</select> only</p>", "Fare Half only"),
        ('<p>Fine <ac:emoticon ac:name="tick"/> tail</p>', "Fine ✅ tail"),
        ('<p>Fine <ac:emoticon ac:name="own-sign"/> tail</p>', "Fine :own-sign: tail"),
    ],
)
def test_what_a_reader_sees_is_kept(body: str, kept: str) -> None:
    text, _ = read(body)
    assert kept in text
    assert text.startswith("Before.")
    assert text.endswith("After.")


FRAME = "<iframe {} srcdoc='<p>secret</p>'></iframe>"


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (FRAME.format("hidden"), "attribute"),
        (FRAME.format("width='0' height='0'"), "attribute"),
        (FRAME.format("style='display:none'"), "style"),
        ("<iframe srcdoc='<style>.a{display:none}</style><p>In.</p><p class=a>secret</p>'></iframe>", "style"),
        ("<iframe srcdoc='<p>In.</p><!-- secret -->'></iframe>", "comment"),
        ("<iframe srcdoc='<p>In.</p><iframe srcdoc=&quot;secret&quot;></iframe>'></iframe>", "frame"),
        ("<iframe src='x.html'>secret</iframe>", "fallback"),
        ("<object data='x.pdf'><p>secret</p></object>", "fallback"),
        ("<video src='x.mp4'>secret</video>", "fallback"),
        ("<p>Half <select><option selected>Half<option>secret</select></p>", "choice"),
        ("<p hidden><input value='secret'></p>", "attribute"),
        (
            '<ac:structured-macro ac:name="include"><ac:parameter ac:name=""><ac:link>'
            '<ri:page ri:content-title="secret"/></ac:link></ac:parameter></ac:structured-macro>',
            "include",
        ),
    ],
)
def test_what_nobody_sees_is_counted(body: str, cause: str) -> None:
    text, metadata = read(body)
    assert "secret" not in text
    assert metadata[f"hidden_{cause}_count"] == "1"
    assert text.startswith("Before.")
    assert text.endswith("After.")


@pytest.mark.parametrize("kind", ["hidden", "password", "submit", "checkbox"])
def test_fields_that_hold_no_text_of_a_reader_say_nothing(kind: str) -> None:
    assert read(f"<input type='{kind}' value='secret'>")[0].split() == ["Before.", "After."]
