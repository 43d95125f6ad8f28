"""Write the pages of docs/ that follow from the code: settings, tables, errors, formats, and the JSON schema.

    python docs/generate.py            write them
    python docs/generate.py --check    say which are out of date, exit code 1 if any is

Belongs here: turning declarations (settings, contracts, the error tree, the registry of parsers) into Markdown.
Does not belong here: anything a person writes. A test compares the pages with what this gives.
"""

from __future__ import annotations

import argparse
import json
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rag_pipeline import settings
from rag_pipeline.contracts.catalog import TABLES
from rag_pipeline.contracts.index import NULLABLE, ROW_COLUMNS
from rag_pipeline.contracts.table import TableContract
from rag_pipeline.defs.describe import index_column_docs
from rag_pipeline.errors import DocumentError, DocumentVanished, RagPipelineError
from rag_pipeline.parsing import media_type
from rag_pipeline.parsing.registry import FORMATS
from rag_pipeline.settings.described import describe
from rag_pipeline.settings.engine import ENGINE_KINDS
from rag_pipeline.settings.enrichments import ENRICHMENT_KINDS
from rag_pipeline.settings.sources import BUILT_IN, CommonSourceSettings

FOLDER = Path(__file__).resolve().parent
NOTE = "<!-- Made by docs/generate.py; edit the code it reads, then run `make docs`. -->"
BELOW = "<!-- Below this line made by docs/generate.py; edit rag_pipeline/settings, then run `make docs`. -->"
DURATION_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
BAR = "\\|"
TYPE_NAMES = {str: "text", int: "whole number", float: "number", bool: "yes or no", timedelta: "duration"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return lines + [f"| {' | '.join(safe(cell).replace('|', BAR) for cell in row)} |" for row in rows]


def safe(text: str) -> str:
    """One line in which nothing outside code is taken for a tag."""
    parts = " ".join(text.split()).split("`")
    return "`".join(part if at % 2 else part.replace("<", "&lt;") for at, part in enumerate(parts))


def page(title: str, *lines: str) -> str:
    return "\n".join([f"# {title}", "", NOTE, "", *lines]).rstrip() + "\n"


# -- settings -----------------------------------------------------------------------------------------------


def configuration() -> str:
    """Every key of pipeline.yaml, section by section."""
    describe(settings.Settings)
    lines = [_written_part("configuration.md"), "", BELOW]
    for heading, section in _sections():
        lines += ["", f"## {heading}", "", safe(section.__doc__ or ""), ""]
        rows = [_setting(name, field) for name, field in section.model_fields.items()]
        lines += table(("key", "values", "default", "meaning"), rows)
    return "\n".join(lines) + "\n"


def _written_part(name: str) -> str:
    """What a person wrote at the top of a page whose rest is generated."""
    return (FOLDER / name).read_text("utf-8").partition(BELOW)[0].strip()


def _sections(
    heading: str = "The file",
    section: type[BaseModel] = settings.Settings,
    prefix: str = "",
    seen: set[str] | None = None,
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Sections from the top, each followed by those inside it, with the path of each."""
    seen = set() if seen is None else seen
    yield heading, section
    for name, field in section.model_fields.items():
        for model in _models_in(field.annotation):
            many = {dict: ".<name>", tuple: "[]", list: "[]"}.get(get_origin(field.annotation), "")
            path = f"{prefix}{name}{many}"
            # What all kinds of sources have stands there once.
            if path in seen:
                continue
            if not _of_kind(model):
                seen.add(path)
            yield from _sections(f"`{path}`{_of_kind(model)}", model, f"{path}.", seen)


def _of_kind(model: type[BaseModel]) -> str:
    """What tells the kinds of sources, enrichments and engines apart, which stand at one path."""
    kind = next(
        (kind for kind, each in {**BUILT_IN, **ENRICHMENT_KINDS, **ENGINE_KINDS}.items() if each is model), None
    )
    return "" if kind is None else f" of kind `{kind}`"


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    parts = get_args(annotation)[:1] if get_origin(annotation) is typing.Annotated else get_args(annotation)
    found = [model for part in parts for model in _models_in(part)]
    # It stands for the kinds that other packages bring, which are not known here.
    return [model for model in found if model is not CommonSourceSettings]


def _setting(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
    return f"`{name}`", _values(field.annotation, field), default, field.description or ""


def _values(annotation: Any, field: FieldInfo | None = None) -> str:
    """The allowed values in words."""
    if annotation is None or annotation is type(None):
        return "none"
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is typing.Annotated:
        return _values(parts[0])
    if origin in (Union, types.UnionType):
        # The kinds of sources are all sections.
        return " or ".join(dict.fromkeys(_values(part, field) for part in parts if part is not type(None)))
    if origin in (tuple, list):
        return f"list of {_plural(_values(parts[0]))}"
    if origin is dict:
        return f"mapping of names to {_plural(_values(parts[1]))}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return TYPE_NAMES.get(annotation, str(annotation)) + ("" if field is None else _bounds(field))


def _plural(noun: str) -> str:
    return noun if noun.endswith("s") or noun == "text" else f"{noun}s"


def _bounds(field: FieldInfo) -> str:
    signs = (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "to"))
    said = [f"{word} {getattr(rule, sign)}" for rule in field.metadata for sign, word in signs if hasattr(rule, sign)]
    return f", {' '.join(said)}" if said else ""


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        return "see there"
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        unit, size = next((u, s) for u, s in DURATION_UNITS if seconds % s == 0)
        return f"`{seconds // size}{unit}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:.4g}`"
    if isinstance(value, tuple):
        return f"`{json.dumps(list(value))}`"
    return "`{}`" if value == {} else f"`{value}`"


# -- tables -------------------------------------------------------------------------------------------------


def table_reference() -> str:
    """Every table of the lake with its columns, from the contracts."""
    lines = [
        "Every table is declared once, in `rag_pipeline/contracts/`, and a frame is checked against its contract",
        "before it is written. Ask any of them with `rag-pipeline sql`. Times are UTC, spans are half-open and count",
        "code points, `_hash` names content and `_fingerprint` names a recipe.",
    ]
    for contract in TABLES:
        lines += ["", f"## {_place(contract)}", "", f"{safe(contract.doc)} Key: `{', '.join(contract.key)}`.", ""]
        rows = [
            (f"`{n}`", _dtype(str(c.dtype)), "yes" if c.nullable else "", c.doc) for n, c in contract.columns.items()
        ]
        lines += table(("column", "type", "may be null", "meaning"), rows)
        if contract.rules:
            lines += ["", "Rules on every row:", ""]
            lines += [f"- `{rule.code}`: {rule.doc}" for rule in contract.rules]
    known = index_column_docs()
    lines += ["", "## gold/index", "", INDEX_NOTE, ""]
    rows = [(f"`{n}`", str(t), "yes" if n in NULLABLE else "", known[n]) for n, t in ROW_COLUMNS.items()]
    rows.append(("`vector`", "fixed_size_list<float>", "", known["vector"]))
    lines += table(("column", "type", "may be null", "meaning"), rows)
    return page("Tables", *lines)


INDEX_NOTE = (
    "One row per chunk, in LanceDB, one table per embedding space. It repeats what a search needs of silver, so that "
    "a search reads one table."
)


def _place(contract: TableContract) -> str:
    per = {"bronze/source": "bronze/&lt;source&gt;", "gold/embeddings": "gold/embeddings/&lt;space fingerprint&gt;"}
    return per.get(contract.kind, contract.kind)


def _dtype(name: str) -> str:
    simple = {"String": "text", "Int64": "int", "Float64": "float", "Boolean": "bool", "Binary": "bytes"}
    if name in simple:
        return simple[name]
    if name.startswith("Datetime"):
        return "time"
    return {"List(String)": "list of text", "List(Int64)": "list of int", "List(Float32)": "list of float"}.get(
        name, "list of structs"
    )


# -- errors -------------------------------------------------------------------------------------------------


def errors() -> str:
    """Reason codes of quarantine, and every other error with its exit code."""
    everything = list(_subclasses(RagPipelineError))
    refused = [c for c in everything if issubclass(c, DocumentError) and c not in (DocumentError, DocumentVanished)]
    others = [c for c in everything if not issubclass(c, DocumentError) and not _has_children(c)]
    return page(
        "Reason codes and errors",
        "Codes are stable: they are stored in tables and in the metadata of runs. Each message says what happened,",
        "where, and what to do next.",
        "",
        "## Why a document is in quarantine",
        "",
        "One refused document never ends a run. It stays in `silver/quarantine` until its bytes or its parser change;",
        "`parser_timeout` and `parser_crashed` are also tried again by themselves, after an hour and then at growing",
        "distance. `rag-pipeline quarantine list` shows the rows; `rag-pipeline quarantine retry` tries them again.",
        "",
        *table(("reason code", "meaning"), [(f"`{c.code}`", _first_line(c)) for c in refused]),
        "",
        "## Errors that end a command or a step",
        "",
        "Exit codes: 0 fine, 1 a finding, 2 usage or settings, 3 permanent, 4 try again, 130 or 143 stopped",
        "by a person or the system (SIGINT, SIGTERM).",
        "Dagster retries a step only for errors that a retry can cure.",
        "",
        *table(
            ("code", "exit code", "retried", "meaning"),
            [(f"`{c.code}`", str(c.exit_code), "yes" if c.retryable else "", _first_line(c)) for c in others],
        ),
    )


def _subclasses(cls: type[RagPipelineError]) -> Iterator[type[RagPipelineError]]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


def _has_children(cls: type[RagPipelineError]) -> bool:
    return bool(cls.__subclasses__())


def _first_line(cls: type[RagPipelineError]) -> str:
    return (cls.__doc__ or "").strip().split("\n\n")[0]


# -- formats ------------------------------------------------------------------------------------------------


def formats() -> str:
    """What is read, by media type, with the endings that name it and the module that reads it."""
    endings: dict[str, list[str]] = {}
    for ending, kind in media_type._ENDINGS.items():
        endings.setdefault(kind, []).append(ending)
    rows = [
        (
            f"{found.name}",
            f"`{kind}`",
            " ".join(f"`{e}`" for e in endings.get(kind, [])),
            f"`parsing/{found.module.replace('.', '/')}.py`",
        )
        for kind, found in FORMATS.items()
    ]
    return page(
        "File formats",
        "The content decides what a file is, its name comes second: a PDF called `report.txt` is read as a PDF. What",
        "is not in this table goes to quarantine as `unsupported_media_type`, and so do programs and texts with zero",
        "bytes, whatever their name and wherever they lie; pictures and scanned pages go there as",
        "`needs_ocr`, unless `ocr: missing` has them read (extra `ocr`): PNG, JPEG, TIFF with its pages, WebP, BMP,",
        "the first frame of a GIF, and pages of a PDF without text become text with its page and reading order. `ocr`,",
        "`ocr_pages` and `ocr_confidence` in the metadata say so, and pages that stay without text are counted",
        "(`pages_needing_ocr`), as are lines that the engine is not sure of (`ocr_unsure_lines_count`) and pages that",
        "it failed on (`ocr_failures_count`).",
        "",
        "Pictures within PDF, DOCX, PPTX, ODT, ODP and EPUB, and those written into HTML as data, are blocks of",
        "kind `picture` of the document: where each stands, on which page, what is said of it (alternative text,",
        "or the line below or above it that begins as a caption), its form, pixels, bytes and hash (`pictures` of",
        "`silver.documents`). They change no text. Rules, icons, what has hardly any bytes, and what stands three",
        "times in one document are ornaments: counted (`decorative_pictures_count`), and no blocks. `ocr:",
        "missing` reads those of a document that has no other text; `ocr: always` reads all of them, and the",
        "words stand where the picture does (`ocr_pictures_count`), unless the text beside it says them already,",
        "as that behind a scan does. Pictures that cannot be opened, such as EMF and SVG, or are more than",
        "`limits.max_ocr_pages`, are counted (`unread_pictures_count`), and more than 1,000 in one document, too",
        "(`skipped_pictures_count`).",
        "",
        *table(("format", "media type", "endings", "read by"), rows),
        "",
        "## What is left out",
        "",
        "What a reader of the document does not see is no text, in every format, and is counted in the document's",
        "metadata by the way it was hidden:",
        "",
        *table(("metadata", "what was left out"), HIDDEN),
        "",
        "Fields of a form say what is written or chosen in them. Scripts, styles, labels of buttons, permalinks and",
        "line numbers are left out without being counted. What `details` closes is read. What fades in",
        "is shown: a transparent element stays if it also moves (`transform`, `transition`) or holds most of the page.",
        "Bad cues of a transcript, words that no time belongs to among them, are counted as `bad_cue_count`; below a",
        "blank line of SubRip words are those of the cue above. A record that is no JSON object becomes a part of its",
        "own with `parse_error`, and lines before the rows of a CSV file whose rows are documents become one. Such",
        "values, lines that are no JSON and rows of CSV with other cells than the rest are read, and counted as",
        "`bad_record_count` with their lines (`bad_record_lines`). Code is",
        "left as it is; Markdown in notebooks and tickets is read as Markdown.",
        "",
        "Hidden rows and columns of a spreadsheet are left out and counted as `hidden_row_count` and",
        "`hidden_column_count`, sheets that no menu brings back as `hidden_sheet_count`. A hidden sheet that a person",
        "can bring back is read, and its heading says so. Cells are read as they are shown: what a format (`;;;`) or,",
        "in XLSX, a font in the colour of its fill does not show is left out and counted as `hidden_cell_count`; in",
        "XLS and XLSB formats hide numbers alone. Where conditions, tables or a picture may colour a cell, and in XLS,",
        "XLSB and ODS, colours hide nothing. A formula",
        "that XLSX or ODS hold without its value is counted as `unread_formula_count`; XLS and XLSB always hold one.",
        "",
        "Colours and sizes in a PDF hide nothing: what is painted behind a letter cannot be told without drawing the",
        "page, white letters stand on dark areas everywhere, and invisible letters are what a scanner read.",
        "",
        "Members of an archive that cannot be read are named with their reason as `unread_members`, those that lead",
        "out of it among them; files that a file manager does not show are counted as `hidden_member_count`.",
        "Files within a PDF, a mail, an e-book or an office file, OpenDocument too (embedded workbooks, packages and",
        "OLE objects), are documents below it; those that cannot be read, or lie beyond a bound, are named and counted",
        "in the same way",
        "(`unread_attachments`, `unread_attachments_count`), parts of a mail that only a key opens among them;",
        "messages of a mailbox that cannot be read are counted as `unread_message_count`.",
        "Parts of an office file that are damaged, break off or",
        "are not there are named as `unread_parts`, chapters of an e-book as `unread_chapters`; what stands before",
        "the break is read. What a damaged PDF lost of its streams, each the content",
        "of a page or several objects, is counted as `lost_stream_count` where the rest could be put together again.",
        "",
        "What repeats at the head or foot of the pages of a PDF, or counts them, is no text, and is counted as",
        "`running_line_count`, which no check takes for a loss; what is left out for its tag as pagination alone, as",
        "`artifact_count`. Heads and feet of Word, RTF and OpenDocument texts come once, last, without page numbers.",
        "Where a PDF is tagged and its tags account for its text, they say what is a heading, an",
        "item and a row (`heading_source` is `tags`), and what its pictures show is text.",
        "",
        "## Notes and comments",
        "",
        "A note stands beside what it explains. In HTML and e-books it comes below the paragraph or item that",
        "first refers to it, with its sign (`[1] …`), also from another chapter, where its id, type or role says that",
        "it is a note or it leads back to its sign; a sign that is a link runs into no word (`word[1]`). In Markdown",
        "it comes below the block that first refers to it and keeps the line that it has in the file; a note that is",
        "used nowhere stays where it is. In Word, RTF and OpenDocument notes and comments follow the paragraph, or the",
        "table, that they hang on. LaTeX, AsciiDoc, MediaWiki and Org (`[fn:: …]`) have notes in the line, where they",
        "stay (LaTeX's in brackets); named notes of reStructuredText and Org, and notes of Word 1997 to 2003, stay",
        "where the file has them. Comments on cells and words of shapes follow the cells of their sheet, with the cell",
        "(`Comment on B3 by Ada: …`). Comments say who made them, where that is known.",
        "",
        "To add a format: write a module in its room of `parsing/` with `VERSION` and a function from bytes and a",
        "`ParseContext` to parsed documents, and add a line to `FORMATS` in `parsing/registry.py`. Raise the version",
        "whenever its output may change: every document of that type is then parsed again by the next run.",
    )


HIDDEN = (
    ("`hidden_comment_count`", "comments in HTML and Markdown (`<!-- … -->`, definitions of links "
     "that lead nowhere, `[//]: # (…)`, and Obsidian's `%% … %%` in one line or between two lines "
     "of their own), MDX, reStructuredText, AsciiDoc, Org (with headlines marked `COMMENT`) and "
     "LaTeX, and notes of WebVTT"),
    ("`hidden_attribute_count`", "elements of HTML with `hidden`, but for `hidden=until-found`, which the search of a "
     "browser opens; with `aria-hidden`, where it is no prose (paragraph, item, cell, heading, table): signs, doubles "
     "and closed windows have it, and what is prose is seen"),
    ("`hidden_style_count`", "elements of HTML that their own style, or a style sheet in the page, hides: `display`, "
     "`visibility`, `opacity`, size or font of zero, clipped, off the screen, behind what they lie in (`z-index`), or "
     "in the colour of what is behind, also by a variable (`var()`); selectors of tags, classes, ids and attributes "
     "are understood, below one another, and what another rule shows again is seen; in other formats text in white on "
     "the page itself, or of a size up to one point"),
    ("`hidden_class_count`", "elements of HTML for screen readers only (`sr-only`, `visually-hidden` and their like)"),
    ("`hidden_template_count`", "`template` and `noscript` of HTML"),
    ("`hidden_fallback_count`", "what HTML holds for programs that cannot show an `iframe`, `object`, `video`, `audio` "
     "or `canvas`"),
    ("`hidden_frame_count`", "frames (`srcdoc`) within a frame; the words of a frame that the page holds are read"),
    ("`hidden_choice_count`", "lists of HTML to choose from: what is not chosen"),
    ("`hidden_include_count`", "macros of Confluence that show what stands in another page"),
    ("`hidden_deletion_count`", "what is marked as deleted: `del`, `s`, `strike` and `line-through` of HTML, also by a "
     "style sheet in the page, `~~ … ~~` of Markdown, `+ … +` of Org, `[.line-through]` of AsciiDoc, `del`, `s` and "
     "`strike` of MediaWiki, `- … -` of Jira, `~ … ~` of Slack, text struck through in Notion, LaTeX, Word, "
     "PowerPoint, cells of sheets, OpenDocument and RTF, and what is deleted while changes are tracked"),
    ("`hidden_slide_count`", "slides that the show leaves out"),
    ("`hidden_shape_count`", "shapes of a slide that are switched off or lie wholly beside it"),
    ("`hidden_run_count`", "text of Word (also of 1997 to 2003), OpenDocument and RTF formatted as hidden"),
    ("`hidden_symbol_count`", "signs that Word names by their number in a font such as Webdings, for which there is no "
     "letter"),
    ("`removed_control_count`, `removed_zero_width_count`, `removed_direction_count`, `removed_soft_hyphen_count`, "
     "`removed_tag_count`, `removed_mark_count`, `removed_other_count`", "characters that no reader sees, in every "
     "format: controls and terminal escapes, characters without width, marks of direction, soft hyphens, tags that "
     "only programs read, accents past 30 on one letter, lone surrogates and the like; no check takes them for a loss"),
    ("`lost_byte_count`", "bytes that are no text in the encoding of the file, each of which became \ufffd"),
    ("`hidden_row_count`", "hidden rows of spreadsheets and of tables in Word and OpenDocument"),
    ("`hidden_section_count`, `hidden_paragraph_count`", "sections and paragraphs that OpenDocument hides"),
    (
        "`skipped_quote_count`",
        "quotes of an answer by mail (`quoted: leave_out`), which stand in another message; what is written between "
        "marked ones, and what is passed on, is kept; below an unmarked head of Outlook all is quote",
    ),
)  # fmt: skip


def schema() -> str:
    """JSON schema of pipeline.yaml, as `rag-pipeline config schema` prints it."""
    return json.dumps(settings.json_schema(), indent=2) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "tables.md": table_reference,
    "errors.md": errors,
    "formats.md": formats,
    "pipeline.schema.json": schema,
}


def outdated() -> list[str]:
    """Pages that differ from what the code gives now."""
    found = []
    for name, make in PAGES.items():
        path = FOLDER / name
        if not path.is_file() or path.read_text("utf-8") != make():
            found.append(name)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the pages of docs/ that follow from the code.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a page is out of date")
    changed = outdated()
    if not parser.parse_args().check:
        for name in changed:
            (FOLDER / name).write_text(PAGES[name](), "utf-8")
            sys.stderr.write(f"wrote docs/{name}\n")
        return 0
    for name in changed:
        sys.stderr.write(f"docs/{name} is out of date; run: make docs\n")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
