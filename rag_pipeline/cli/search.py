"""`rag-pipeline search`: what one caller may find.

Belongs here: arguments, and how a hit looks.
Does not belong here: searching (`retrieval/search.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.padding import Padding
from rich.text import Text

from rag_pipeline.cli.explain import drawn_why, record_of, steps_of
from rag_pipeline.cli.options import common_options, open_pipeline, principals_option
from rag_pipeline.cli.rendering import age, clean, counted, emit, moment, one_line, show, shown, talk
from rag_pipeline.contracts.modes import MODES
from rag_pipeline.errors import UsageError

if TYPE_CHECKING:
    from rag_pipeline.contracts.filters import Filter
    from rag_pipeline.retrieval.explain import Why
    from rag_pipeline.retrieval.search import Hit, Searcher
    from rag_pipeline.retrieval.windows import Window

# Three to four lines of a terminal; the whole text is in the JSON.
SNIPPET_CHARS = 320
# As on the page.
LEAST_TELLING_CHARS = 4
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}")
# What is said of a hit whose source was read again.
_AT_SOURCE = {
    "same": ("as it is at its source now", "green"),
    "changed": ("changed at its source since it was indexed", "yellow"),
    "gone": ("gone from its source", "red"),
    "unknown": ("its source could not be read", "yellow"),
}
_HEADING_MARK = re.compile(r"(?m)^#+\s+")


@click.command()
@click.argument("query")
@principals_option("Who asks, like public, a group or a person; give it again for each.")
@click.option("--k", default=5, show_default=True, type=click.IntRange(min=1), help="Most hits.")
@click.option(
    "--mode",
    default="hybrid",
    show_default=True,
    type=click.Choice(MODES),
    help="vector finds by meaning, text by words, hybrid by both.",
)
@click.option("--source", "sources", multiple=True, metavar="NAME", help="Only this source; give it again for more.")
@click.option(
    "--filter",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="What a document's own metadata must say: status=Final, year>=2020, 'status in Draft,Final', status (says "
    "anything); give it again, and all must hold.",
)
@click.option("--path", "paths", multiple=True, metavar="GLOB", help="Only addresses that end like this, as hr/**.")
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Only documents of this language, as de.")
@click.option("--media-type", "media_types", multiple=True, metavar="TYPE", help="Only documents of this media type.")
@click.option("--since", metavar="TIME", help="Only what was modified since: 30d, 12h, 2026-03-01.")
@click.option("--before", metavar="TIME", help="Only what was modified before: 1y, 2026-03-01.")
@click.option("--min-quality", type=click.FloatRange(0, 1), metavar="SCORE", help="Only documents of this quality.")
@click.option(
    "--per-document",
    type=click.IntRange(min=1),
    metavar="N",
    help="So many hits of a document before any more of it.",
)
@click.option(
    "--diversity",
    default=0.0,
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="How much a hit counts less for words that better hits have already; 0.05 is a little.",
)
@click.option("--no-rerank", is_flag=True, help="Leave the reranking model aside, where one is published.")
@click.option(
    "--window",
    "window_tokens",
    metavar="TOKENS",
    type=click.IntRange(min=1),
    help="Show the text around each hit, up to so many tokens, instead of an excerpt; neighbours share one.",
)
@click.option(
    "--window-by",
    default="section",
    show_default=True,
    type=click.Choice(("section", "tokens")),
    help="Whether the text around a hit ends with its section.",
)
@click.option(
    "--as-of",
    metavar="TIME",
    help="Search what readers had then, where it is kept, with the permissions of today: 2026-03-01, 3d.",
)
@click.option("--verify", is_flag=True, help="Read the sources of the hits again: as it is now, changed, or gone.")
@click.option(
    "--explain",
    is_flag=True,
    help="Say how the score of each hit came about.",
)
@click.option(
    "--why",
    "document",
    metavar="DOCUMENT",
    help="Say what became of a document: its id, its address or the end of it.",
)
@common_options
def search(
    query: str,
    principals: tuple[str, ...],
    k: int,
    mode: str,
    sources: tuple[str, ...],
    window_tokens: int | None,
    per_document: int | None,
    diversity: float,
    no_rerank: bool,
    window_by: str,
    as_of: str | None,
    verify: bool,
    explain: bool,
    document: str | None,
    as_json: bool,
    **limits: Any,
) -> None:
    """Find what a caller may read, best first, in the index that is published now, or was at a time.

    Example: rag-pipeline search "how do I roll back a release?" --as public
    """
    pipeline = open_pipeline()
    for name in sources:
        if name not in pipeline.settings.sources:
            allowed = ", ".join(sorted(pipeline.settings.sources))
            raise UsageError(f"there is no source {name!r}; allowed: {allowed}", source=name)
    from rag_pipeline.retrieval.search import Searcher

    searcher = Searcher.open(pipeline)
    then = _moment(as_of)
    asked: Any = {"principals": principals, "mode": mode, "k": k, "sources": sources or None, "as_of": then}
    asked |= {
        "per_document": per_document,
        "diversity": diversity,
        "rerank": not no_rerank,
        "limits": limits_of(**limits),
    }
    hits, whys = _searched(searcher, query, document, asked, verify=verify)
    around: dict[int, Window] | None = None
    if window_tokens is not None:
        windows = searcher.windows(hits, principals=principals, max_tokens=window_tokens, by=window_by, as_of=then)  # type: ignore[arg-type]
        around = {rank: window for window in windows for rank in window.ranks}
    if as_json:
        _emit(hits, whys, around)
        return
    for hit in hits:
        show(*_drawn(hit, query, _window_text(hit, around)), *([steps_of(hit)] if explain else []))
    for why in whys:
        show(*drawn_why(why))
    published = searcher.published(as_of=then)
    at = hits[0].published_at if hits else published["published_at"]
    talk(
        # How many chunks there are in all is nothing that every caller may know.
        f"{counted(len(hits), 'hit')} for {', '.join(principals)} in mode {mode}; index of {published['alias']}, "
        f"published {moment(at)} UTC"
    )
    for note in dict.fromkeys(hit.rerank_note for hit in hits if hit.rerank_note is not None):
        talk(f"{note[:1].upper()}{note[1:]}.", style="yellow")
    for sentence in _overdue(hits):
        talk(sentence, style="yellow")


def _searched(
    searcher: Searcher, query: str, document: str | None, asked: Any, *, verify: bool
) -> tuple[list[Hit], Sequence[Why]]:
    """The hits, and what became of a document that was asked about."""
    if document is None:
        return searcher.search(query, **asked, verify=verify), ()
    explanation = searcher.explain(query, **asked, document=document)
    hits = list(explanation.hits)
    if verify:
        hits = searcher.verified(hits, principals=asked["principals"], as_of=asked["as_of"])
    return hits, explanation.documents


def _emit(hits: Iterable[Hit], whys: Iterable[Why], around: Mapping[int, Window] | None) -> None:
    for hit in hits:
        emit(hit.record() | ({} if around is None else _window_record(hit, around.get(hit.rank))))
    for why in whys:
        emit(record_of(why))


def _moment(text: str | None) -> datetime | date | None:
    """A time as it was typed; a day alone stays a day."""
    from rag_pipeline.contracts.filters import parse_moment

    if text is None:
        return None
    try:
        found = parse_moment(text, datetime.now(UTC))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return found.date() if _DAY.fullmatch(text.strip()) else found


def _window_record(hit: Hit, window: Window | None) -> dict[str, Any]:
    """The window in JSON; with the first of the hits that share it, which the others name."""
    if window is None:
        return {"window": "", "window_with": None}
    is_first = window.ranks[0] == hit.rank
    return {"window": window.text if is_first else "", "window_with": None if is_first else window.ranks[0]}


def _window_text(hit: Hit, around: Mapping[int, Window] | None) -> str | None:
    if around is None:
        return None
    window = around.get(hit.rank)
    if window is None or window.ranks[0] == hit.rank:
        return "" if window is None else window.text
    return f"(stands in the text shown with hit {window.ranks[0]})"


def _overdue(hits: Iterable[Hit]) -> list[str]:
    """A sentence on each source of hits that was not polled for too long; only what the caller found is named."""
    last = {hit.source: hit.source_polled_at for hit in hits if hit.source_overdue}
    return [
        f"Source {name} is overdue: it was last polled "
        + ("at an unknown time" if at is None else f"{moment(at)} UTC ({age(at)})")
        + ", and may say something else by now."
        for name, at in sorted(last.items())
    ]


def limits_of(
    conditions: tuple[str, ...],
    paths: tuple[str, ...],
    languages: tuple[str, ...],
    media_types: tuple[str, ...],
    since: str | None,
    before: str | None,
    min_quality: float | None,
) -> Filter:
    """The options as a filter; who asks is said elsewhere."""
    from rag_pipeline.contracts.filters import Filter, parse_condition, parse_moment

    now = datetime.now(UTC)
    try:
        return Filter(
            frozenset(),
            media_types=media_types or None,
            languages=tuple(code.strip().lower() for code in languages) or None,
            paths=paths or None,
            modified_after=parse_moment(since, now) if since is not None else None,
            modified_before=parse_moment(before, now) if before is not None else None,
            least_quality=min_quality,
            conditions=tuple(map(parse_condition, conditions)),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _drawn(hit: Hit, query: str, around: str | None) -> list[Text | Padding | str]:
    head = Text.assemble((f"{hit.rank}. ", "bold"), (one_line(hit.title or hit.uri), "bold"))
    place = Text(one_line(hit.citation), style="cyan")
    facts = Text(
        f"score {hit.score:.4f} = {_parts(hit)} · may read: {shown(hit.allowed_principals)} · "
        f"modified {_modified(hit)}",
        style="dim",
    )
    snippet = Text(snippet_of(hit.text, query) if around is None else clean(around).expandtabs(4))
    snippet.highlight_regex(_words(query), "bold yellow")
    if hit.at_source is not None:
        sentence, style = _AT_SOURCE[hit.at_source]
        snippet.append(f"\n{sentence}", style=style)
    if hit.superseded_by:
        newest = ", ".join(one_line(version.uri) for version in hit.superseded_by)
        snippet.append(f"\nan older version; superseded by {newest}", style="yellow")
    if hit.elsewhere:
        named = ", ".join(one_line(uri) for uri in dict.fromkeys(other.uri for other in hit.elsewhere))
        snippet.append(f"\nalso in {named}", style="dim")
    below = [place, snippet, facts, Text(f"chunk {hit.chunk_id}", style="dim")]
    return [head, *(Padding(line, (0, 0, 0, 3), expand=False) for line in below), ""]


def _parts(hit: Hit) -> str:
    parts = []
    if hit.vector_rank is not None and hit.vector_distance is not None:
        parts.append(f"vector #{hit.vector_rank} (cosine {1 - hit.vector_distance:.3f})")
    if hit.text_rank is not None and hit.text_score is not None:
        parts.append(f"text #{hit.text_rank} (BM25 {hit.text_score:.2f})")
    if hit.vector_weight is not None:
        parts[-1] += f", vector counts {hit.vector_weight:.2f}"
    if hit.rerank_score is not None:
        parts.append(f"reranked ({hit.rerank_score:.2f})")
    down = f", times {hit.rank_weight:g} for low quality" if hit.rank_weight < 1 else ""
    down += f", times {hit.age_weight:.2f} for age" if hit.age_weight < 1 else ""
    return " + ".join(parts) + down


def _modified(hit: Hit) -> str:
    if hit.source_modified_at is None:
        return "unknown"
    return f"{moment(hit.source_modified_at)} UTC ({age(hit.source_modified_at)})"


def snippet_of(text: str, query: str) -> str:
    """The part of a text with the most of the query's words, on one line."""
    flat = " ".join(_HEADING_MARK.sub("", clean(text)).split())
    if len(flat) <= SNIPPET_CHARS:
        return flat
    starts = [match.start() for match in re.finditer(_words(query), flat)] or [0]
    best = max(starts, key=lambda start: (_found(starts, start), -start))
    # Begin at a word, a little before the first one that was found.
    begin = flat.rfind(" ", 0, max(0, best - 40)) + 1
    end = flat.rfind(" ", begin, begin + SNIPPET_CHARS)
    shown_part = flat[begin : end if end > begin else begin + SNIPPET_CHARS]
    return f"{'… ' if begin else ''}{shown_part}{' …' if begin + len(shown_part) < len(flat) else ''}"


def _found(starts: Iterable[int], begin: int) -> int:
    return sum(begin <= start < begin + SNIPPET_CHARS - 40 for start in starts)


def _words(query: str) -> str:
    """A pattern of the query's longer words; short ones say little, and count where there are no others."""
    found = re.findall(r"\w+", query)
    words = sorted({re.escape(word) for word in found if len(word) >= LEAST_TELLING_CHARS} or map(re.escape, found))
    return rf"(?i)\b({'|'.join(words)})" if words else r"(?!)"
