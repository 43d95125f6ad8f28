"""How an explanation of a search looks.

Belongs here: the lines below a hit, and what is said of a document that was asked about.
Does not belong here: finding the reasons (`retrieval/explain.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from rag_pipeline.cli.rendering import clean

if TYPE_CHECKING:
    from rag_pipeline.retrieval.explain import Why
    from rag_pipeline.retrieval.search import Hit


def steps_of(hit: Hit) -> Padding:
    """Each step that made a hit's score and place, on a line of its own."""
    return Padding(Text("\n".join(f"- {line}" for line in _steps(hit)), style="dim"), (0, 0, 1, 3), expand=False)


def _steps(hit: Hit) -> Iterator[str]:
    yield from _found_by(hit)
    if hit.vector_weight is not None:
        yield f"fused: vectors count {hit.vector_weight:.3f}, words {1 - hit.vector_weight:.3f}"
    if hit.rank_weight < 1:
        yield f"times {hit.rank_weight:g}, for the low quality of its document"
    if hit.age_weight < 1:
        yield f"times {hit.age_weight:.3f}, for the age of its document"
    if hit.rerank_score is not None:
        yield f"the reranking model read it: {hit.rerank_score:.4f}"
    if hit.elsewhere:
        yield f"{len(hit.elsewhere)} others say nearly the same and stand in it"
    if hit.raised_above is not None:
        yield f"put before document {hit.raised_above}, which it supersedes"
    if hit.superseded_by:
        yield f"superseded by {', '.join(clean(version.uri) for version in hit.superseded_by)}"
    yield f"score {hit.score:.4f}"


def _found_by(hit: Hit) -> Iterator[str]:
    if hit.vector_rank is None or hit.vector_distance is None:
        yield "the vector retriever did not find it"
    else:
        yield f"the vector retriever found it at {hit.vector_rank}, cosine {1 - hit.vector_distance:.4f}"
    if hit.text_rank is None or hit.text_score is None:
        yield "the text retriever did not find it"
    else:
        yield f"the text retriever found it at {hit.text_rank}, BM25 {hit.text_score:.4f}"


def drawn_why(why: Why) -> list[Text | Padding | str]:
    """What became of a document."""
    parts: list[Text | Padding | str] = [
        Text.assemble((clean(why.uri), "bold"), f": {clean(why.sentence)}.")
        if why.uri
        else Text(f"{clean(why.sentence[:1].upper() + why.sentence[1:])}.")
    ]
    if why.hit is not None and why.reason not in ("hit", "collapsed"):
        parts.append(steps_of(why.hit))
    return [*parts, ""]


def record_of(why: Why) -> dict[str, Any]:
    """The same in JSON, under `why`."""
    values = {name: value for name, value in asdict(why).items() if name != "hit"}
    return {"why": values | {"hit": None if why.hit is None else why.hit.record()}}
